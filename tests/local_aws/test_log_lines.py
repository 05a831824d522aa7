"""A job that prints a million short lines: portions, not records."""

from __future__ import annotations

import asyncio
import copy
import json
import marshal
import os
import pickle
import socket
import struct
import subprocess
import sys
from bisect import bisect_left
from pathlib import Path

import pytest

from local_aws.containers import supervisor
from local_aws.containers.link import Link
from local_aws.ministack.ports.log_lines import Lines


@pytest.fixture
def lines() -> Lines:
    made = Lines()
    made.append_lines(5, 6, ["one", "two"])
    made.extend([{"timestamp": 7, "message": "a\nb", "ingestionTime": 7, "eventId": "x"}])
    made.append_lines(9, 9, [str(number) for number in range(1000)])
    return made


def test_lines_are_read_as_a_list_of_events(lines: Lines) -> None:
    assert len(lines) == 1003
    assert lines[1] == {"timestamp": 5, "message": "two", "ingestionTime": 6, "eventId": lines[1]["eventId"]}
    assert [event["message"] for event in lines[1:4]] == ["two", "a\nb", "0"]
    assert lines[-1]["message"] == "999"
    assert [event["message"] for event in lines][:4] == ["one", "two", "a\nb", "0"]
    assert len({event["eventId"] for event in lines}) == 1003
    assert bisect_left(lines, 7, key=lambda event: event["timestamp"]) == 2
    with pytest.raises(IndexError):
        lines[1003]


def test_a_copy_shares_the_portions_and_grows_alone(lines: Lines) -> None:
    copied = copy.deepcopy(lines)
    lines.append_lines(9, 9, ["more"])
    assert (len(copied), len(lines)) == (1003, 1004)


def test_a_saved_state_has_a_record_a_portion(lines: Lines) -> None:
    records = json.loads(json.dumps(lines.records()))
    assert len(records) == 3
    assert list(Lines.from_records(records)) == list(lines)


def test_a_million_lines_take_little_more_than_their_text() -> None:
    made = Lines()
    for start in range(0, 1_000_000, 1000):
        made.append_lines(1, 1, [str(number) for number in range(start, start + 1000)])
    assert len(made) == 1_000_000
    text = sum(len(str(number)) + 1 for number in range(1_000_000))
    assert len(pickle.dumps(made.records())) < 1.1 * text


def test_output_is_reported_in_portions(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    process = subprocess.Popen(
        [sys.executable, "-I", supervisor.__file__, str(theirs.fileno())], pass_fds=[theirs.fileno()], cwd=tmp_path
    )
    theirs.close()
    command = [sys.executable, "-c", "print('\\n'.join(map(str, range(20_000))))"]
    orders = marshal.dumps([("start", "a", command, {"PATH": os.environ["PATH"]}, str(tmp_path / "a"), None)])
    ours.sendall(struct.pack("!I", len(orders)) + orders)
    portions: list[list[str]] = []
    with ours, ours.makefile("rb") as reading:
        ended = False
        while not ended:
            (length,) = struct.unpack("!I", reading.read(4))
            for report in marshal.loads(reading.read(length)):
                ended |= report[0] == "ended"
                if report[0] == "output":
                    portions.append(report[3])
    process.wait(10)
    assert [line for portion in portions for line in portion] == [str(number) for number in range(20_000)]
    assert max(map(len, portions)) <= 1000


def test_others_get_their_turn_between_reports(tmp_path: Path) -> None:
    """All reports are there already, and none of them waits: without a pause the loop would see nothing else."""
    seen: list[str] = []

    async def flood() -> None:
        link = Link(tmp_path, lambda _: (seen.append("report"), spend(0.004))[0], lambda _: None)
        reader = asyncio.StreamReader()
        body = marshal.dumps([("output", "a", 1, ["x"])] * 5)
        reader.feed_data((struct.pack("!I", len(body)) + body) * 4)
        reader.feed_eof()
        task = asyncio.create_task(link.read(reader))
        while not task.done():
            await asyncio.sleep(0)
            seen.append("another")

    def spend(seconds: float) -> None:
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end:
            pass

    asyncio.run(flood())
    runs = "".join("r" if each == "report" else "a" for each in seen).strip("a").split("a")
    assert sum(map(len, runs)) == 20
    assert max(map(len, runs)) <= 4
