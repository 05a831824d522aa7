"""Durable records."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from pathlib import Path

from local_aws.store import Store


def test_records_come_back_in_the_order_they_were_made(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite3")
    when = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    store.put("job", "b", {"at": when, "deep": [{"at": when}]})
    store.put_many("job", [("a", {"n": 1}), ("c", {"n": 2})])
    store.put("queue", "b", {"n": 3})
    store.put("job", "b", {"at": when, "deep": [{"at": when}]})  # written again, it keeps its place
    store.delete("job", "c")
    store.delete("job", "never was")
    store.close()
    again = Store(tmp_path / "s.sqlite3")
    assert list(again.all("job").items()) == [("b", {"at": when, "deep": [{"at": when}]}), ("a", {"n": 1})]
    assert again.all("queue") == {"b": {"n": 3}}


def test_a_killed_process_loses_nothing_it_had_written(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from local_aws.store import Store
store = Store(Path(sys.argv[1]))
for i in range(100):
    store.put("job", str(i), {"n": i})
os.kill(os.getpid(), signal.SIGKILL)
"""
    path = tmp_path / "s.sqlite3"
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -9
    assert len(Store(path).all("job")) == 100


def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    Store(tmp_path / "s.sqlite3")
    assert (tmp_path / "s.sqlite3").stat().st_mode & 0o777 == 0o600
