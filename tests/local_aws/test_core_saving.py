"""The state directory: saved while the server answers, whole or not at all, and an end when the disk is full."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import os
import signal
import sqlite3
import subprocess
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

import local_aws
from local_aws.disk import Disk
from local_aws.ministack import saving
from local_aws.saving import Saver
from local_aws.store import Store

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        },
    }
)


def client(server: local_aws.ServerInfo, service: str) -> Any:
    return boto3.client(
        service, endpoint_url=server.endpoint_url, region_name="us-east-1", aws_access_key_id="test",
        aws_secret_access_key="test", config=Config(retries={"max_attempts": 0}),
    )  # fmt: skip


def test_a_full_disk_ends_the_server_once_with_one_sentence(tmp_path: Path) -> None:
    disk, stops = Disk(tmp_path), []
    disk.stop = lambda: stops.append(1)
    disk.refuse(OSError(errno.ENOSPC, "No space left on device"))
    disk.refuse(OSError(errno.EIO, "Input/output error"))
    assert stops == [1]
    assert disk.refusal == (
        f"The disk that holds {tmp_path} is full, so the embedded AWS has ended. Make room on it, then start the "
        "embedded AWS again with the same state directory."
    )


def test_a_record_that_the_disk_does_not_take_is_told_and_fails_the_call(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    store = Store(tmp_path / "s.sqlite3", disk.refuse)
    store.put("kind", "before", {})
    store._db.execute("PRAGMA max_page_count = 10")
    with pytest.raises(sqlite3.Error, match="full"):
        store.put_many("kind", [(str(number), {"text": "x" * 1000}) for number in range(100)])
    assert disk.refusal and "is full" in disk.refusal
    store.put("kind", "after", {})  # no transaction is left open
    assert list(store.all("kind")) == ["before", "after"]


@pytest.mark.parametrize("left", ["new only", "new half", "old"])
def test_a_kill_between_two_renamings_loses_nothing(tmp_path: Path, left: str) -> None:
    state, new, old = (tmp_path / name for name in ("ministack", "ministack.new", "ministack.old"))
    for directory in (state, new, old):
        directory.mkdir()
        (directory / "of").write_text(directory.name)
    if left == "new only":  # the last one was moved away, the new one not yet in its place
        state.rename(tmp_path / "away")
    saving.recover(state)
    assert (state / "of").read_text() == ("ministack.new" if left == "new only" else "ministack")
    assert not new.exists() and not old.exists()


def exits(status: int) -> int:
    return os.posix_spawn("/bin/sh", ["sh", "-c", f"exit {status}"], {})


@pytest.mark.parametrize(("status", "refused"), [(0, False), (1, False), (errno.ENOSPC, True)])
def test_what_a_save_could_not_write_is_told_to_the_disk(tmp_path: Path, status: int, refused: bool) -> None:
    disk, saves = Disk(tmp_path), []

    async def run() -> None:
        saver = Saver(lambda: saves.append(exits(status)) or saves[-1], disk)
        saver.start()
        await saver.close()

    asyncio.run(run())
    assert len(saves) == 1
    assert bool(disk.refusal) == refused


@pytest.fixture
def server(tmp_path: Path) -> Iterator[local_aws.ServerInfo]:
    yield local_aws.start(port=0, home=tmp_path / "home", state_dir=tmp_path / "state")
    local_aws.stop(tmp_path / "home")


@pytest.mark.thorough
@pytest.mark.slow
def test_a_state_that_changes_all_the_time_is_saved_whole(server: local_aws.ServerInfo, tmp_path: Path) -> None:
    """Calls and functions go on while the state is saved; before, such a save could leave the logs out."""
    logs, done = client(server, "logs"), threading.Event()
    logs.create_log_group(logGroupName="g")
    log = server.log

    def flood() -> None:
        number = 0
        while not done.is_set():
            logs.create_log_stream(logGroupName="g", logStreamName=str(number))
            number += 1

    flooding = threading.Thread(target=flood)
    flooding.start()
    saved = tmp_path / "state" / "ministack" / "cloudwatch_logs.json"
    versions = set()
    deadline = time.monotonic() + 60
    while len(versions) < 3 and time.monotonic() < deadline:
        if saved.exists():
            versions.add(saved.stat().st_mtime_ns)
        time.sleep(0.05)
    done.set()
    flooding.join()
    assert len(versions) >= 3
    assert "error" not in log.read_text().lower()
    assert "g" in json.dumps(json.loads(saved.read_text())["payload"]["log_groups"])


@pytest.mark.slow
def test_every_save_holds_what_ministack_keeps_in_files_of_its_own(
    server: local_aws.ServerInfo, tmp_path: Path
) -> None:
    """Such as the functions' packages, which a save left behind in the directory that it replaced."""
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as file:
        file.writestr("f.py", "def handler(event, context):\n    return 'kept'\n")
    role = client(server, "iam").create_role(RoleName="f", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    client(server, "lambda").create_function(
        FunctionName="f", Role=role, Runtime="python3.12", Handler="f.handler", Code={"ZipFile": package.getvalue()}
    )
    saved = tmp_path / "state" / "ministack" / "lambda.json"
    for number in range(2):
        before = version(saved)
        wait_until(lambda before=before: version(saved) != before)
        client(server, "sqs").create_queue(QueueName=str(number))  # a change, which is saved
    os.kill(server.pid, signal.SIGKILL)
    wait_until(lambda: local_aws.status(tmp_path / "home").presence is local_aws.Presence.DIED)
    again = local_aws.start(port=0, home=tmp_path / "home", state_dir=tmp_path / "state")
    assert client(again, "lambda").invoke(FunctionName="f")["Payload"].read() == b'"kept"'


def version(saved: Path) -> int | None:
    """When this file was last saved, or None if it is not there."""
    try:
        return saved.stat().st_ino
    except FileNotFoundError:
        return None


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_fails_the_call_and_what_was_acknowledged_is_there(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", small], check=False).returncode:
        pytest.skip("this machine lets nothing be mounted")
    home, written = tmp_path / "home", 0
    try:
        server = local_aws.start(port=0, home=home, state_dir=small / "state")
        s3 = client(server, "s3")
        s3.create_bucket(Bucket="bucket")
        time.sleep(5)  # until the bucket is saved, README says how long that takes
        with pytest.raises((ClientError, BotoCoreError)):
            for written in range(20):
                s3.put_object(Bucket="bucket", Key=str(written), Body=b"x" * 500_000)
        wait_until(lambda: local_aws.status(home).presence is local_aws.Presence.ABSENT)
        assert f"The disk that holds {small / 'state'} is full" in server.log.read_text().splitlines()[-1]
        subprocess.run(["mount", "-o", "remount,size=40m", small], check=True)
        s3 = client(local_aws.start(port=0, home=home, state_dir=small / "state"), "s3")
        for number in range(written):
            assert len(s3.get_object(Bucket="bucket", Key=str(number))["Body"].read()) == 500_000
    finally:
        local_aws.stop(home)
        subprocess.run(["umount", small], check=False)


@pytest.mark.slow
def test_the_servers_end_saves_what_it_acknowledged(server: local_aws.ServerInfo, tmp_path: Path) -> None:
    client(server, "sqs").create_queue(QueueName="kept")
    os.kill(server.pid, signal.SIGTERM)
    wait_until(lambda: local_aws.status(tmp_path / "home").presence is local_aws.Presence.ABSENT)
    again = local_aws.start(port=0, home=tmp_path / "home", state_dir=tmp_path / "state")
    assert client(again, "sqs").get_queue_url(QueueName="kept")["QueueUrl"]
