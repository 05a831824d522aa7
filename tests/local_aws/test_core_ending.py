"""The end of a busy server: nothing begins any more, what waits is kept, and no function is left behind."""

from __future__ import annotations

import json
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

import local_aws
from utils.session import embedded_session

from .functions import function, messages, queue, role, until

pytestmark = pytest.mark.slow

ROOT = Path(local_aws.__file__).resolve().parent.parent

# A server with a service that takes its time to stop, as one with many jobs does: until a file is there.
SERVER = """
import asyncio, signal, socket, sys
from pathlib import Path
from local_aws import ministack, work_directory
from local_aws.disk import Disk
from local_aws.server import App, Context, serve

folder = Path(sys.argv[1])

class Slow:
    name = "batch"
    async def start(self): ...
    async def stop(self):
        (folder / "ending").touch()
        while not (folder / "end").exists():
            await asyncio.sleep(0.02)

async def main():
    listening = socket.create_server(("127.0.0.1", 0))
    port, disk = listening.getsockname()[1], Disk(folder / "state")
    app = App(ministack.load(port, disk), Context(f"http://127.0.0.1:{port}", folder, disk=disk), [Slow()], {})
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    print(port, flush=True)
    await serve(app, listening, stop)

asyncio.run(main())
"""

# Says that it has begun, and waits for a file.
CODE = """
import os, pathlib, time
FOLDER = pathlib.Path({folder!r})
def h(event, context):
    descriptor = os.open(FOLDER / "begun", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, b".")
    os.close(descriptor)
    while not (FOLDER / "go").exists():
        time.sleep(0.02)
    if "fail" in event:
        raise ValueError("as asked")
    (FOLDER / ("done-" + context.aws_request_id)).touch()
"""


def begun(folder: Path) -> int:
    """How many invocations have begun."""
    return (folder / "begun").stat().st_size if (folder / "begun").exists() else 0


def account(endpoint_url: str) -> Any:
    return SimpleNamespace(client=lambda service: embedded_session(endpoint_url).client(service))


def busy(aws: Any, code: str) -> str:
    """Give a function more than it can do at once: a queue with thirty messages, and its own failure to try again."""
    reader = role(aws, "logs:*", "sqs:*")
    url, arn = queue(aws, VisibilityTimeout="600")
    for _ in range(3):
        entries = [{"Id": str(number), "MessageBody": "x"} for number in range(10)]
        aws.client("sqs").send_message_batch(QueueUrl=url, Entries=entries)
    own = function(aws, code, Role=reader, Timeout=120)
    aws.client("lambda").create_event_source_mapping(EventSourceArn=arn, FunctionName=own, BatchSize=1)
    aws.client("lambda").invoke(FunctionName=own, InvocationType="Event", Payload=b'{"fail": true}')
    return url


@pytest.fixture
def slowly_ending(tmp_path: Path) -> Iterator[tuple[subprocess.Popen, Any]]:
    line = [sys.executable, "-c", SERVER, str(tmp_path)]
    process = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    yield process, account(f"http://127.0.0.1:{int(process.stdout.readline())}")
    process.kill()
    process.communicate()


@pytest.mark.thorough
def test_nothing_begins_once_the_end_has_begun(slowly_ending: tuple[subprocess.Popen, Any], tmp_path: Path) -> None:
    process, aws = slowly_ending
    url = busy(aws, CODE.format(folder=str(tmp_path)))
    until(lambda: begun(tmp_path) == 6)  # five batches at a time, and the invocation that fails
    process.send_signal(signal.SIGTERM)
    until((tmp_path / "ending").exists)
    (tmp_path / "go").touch()  # the mapping has room for the next five, and the invocation is tried again in a second
    until(lambda: len(list(tmp_path.glob("done-*"))) == 5)
    events = aws.client("events")
    with pytest.raises(ClientError, match=r"ServiceUnavailable.*The embedded AWS is ending\."):
        events.put_events(Entries=[{"Source": "s", "DetailType": "d", "Detail": "{}"}])
    time.sleep(3)
    (tmp_path / "end").touch()
    process.wait(30)
    assert begun(tmp_path) == 6
    home = tmp_path / "home"
    try:
        again = account(local_aws.start(0, home, tmp_path / "state").endpoint_url)  # on another port
        kept = again.client("sqs").get_queue_url(QueueName=url.rpartition("/")[2])["QueueUrl"]
        until(lambda: messages(again, kept) == 0)
        assert begun(tmp_path) == 6 + 25
    finally:
        local_aws.stop(home)


def test_a_busy_server_ends_by_itself_and_leaves_no_function_behind(tmp_path: Path) -> None:
    """Functions that its end interrupts are not begun again."""
    home = tmp_path / "home"
    aws = account(local_aws.start(0, home).endpoint_url)
    try:
        for _ in range(3):
            busy(aws, CODE.format(folder=str(tmp_path)))
        until(lambda: begun(tmp_path) == 18)
    finally:
        ending = local_aws.stop(home)
    assert (ending, begun(tmp_path)) == (local_aws.Ending.POLITE, 18)
    assert [process for process in psutil.process_iter(["cmdline"]) if str(home) in json.dumps(process.info)] == []


@pytest.mark.thorough
def test_the_fuzzers_result_outlives_a_stop_that_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    stop = local_aws.stop

    def failing(home: Path) -> None:
        stop(home)
        raise local_aws.LocalAwsError("as asked")

    monkeypatch.setattr(local_aws, "stop", failing)
    monkeypatch.setattr(sys, "argv", ["fuzz.py", "--requests", "1"])
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(local_aws.LocalAwsError, match="as asked"):
        runpy.run_path(str(ROOT / "benchmarks" / "fuzz.py"), run_name="__main__")
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["requests"] == 1
