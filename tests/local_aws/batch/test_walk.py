"""The walk in docs/architecture.md: its files and functions are there, and a job passes them in turn."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from walks import Hop, first_missing, hops, is_there

from .conftest import make_account

HOPS = hops("A job's way")
# A server that notes which functions it calls from SIGUSR1 to its end.
SERVER = """
import json, signal, socket, sys
from pathlib import Path
from local_aws import server

walked = []

def note(frame, event, _):
    if event == "call" and "/local_aws/" in frame.f_code.co_filename:
        walked.append((frame.f_code.co_filename.rpartition("/local_aws/")[2], frame.f_code.co_qualname))

def begin(*_):
    sys.setprofile(note)
    print("noting", flush=True)

signal.signal(signal.SIGUSR1, begin)
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
server.run(listening, Path(sys.argv[1]), None, "walk", {})
sys.setprofile(None)
Path(sys.argv[2]).write_text(json.dumps(walked))
"""


@pytest.mark.parametrize("hop", HOPS, ids=lambda hop: hop[1])
def test_a_hop_is_there(hop: Hop) -> None:
    assert is_there(hop)


def test_a_job_passes_the_hops_in_this_order(aws: Any, tmp_path: Path) -> None:
    home, notes = tmp_path / "home", tmp_path / "walked.json"
    home.mkdir()
    with subprocess.Popen([sys.executable, "-c", SERVER, home, notes], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            port = int(process.stdout.readline())
            server = dataclasses.replace(aws.server, endpoint_url=f"http://127.0.0.1:{port}")
            account = make_account(dataclasses.replace(aws, server=server, home=home))
            queue, definition = account.queue(account.environment()), account.definition("true")
            os.kill(process.pid, signal.SIGUSR1)
            assert process.stdout.readline() == "noting\n"
            assert account.job_is(account.submit(queue, definition))["status"] == "SUCCEEDED"
        finally:
            process.send_signal(signal.SIGTERM)
    walked = [tuple(hop) for hop in json.loads(notes.read_text())]
    assert len(HOPS) == 13
    assert first_missing(HOPS, walked) is None
