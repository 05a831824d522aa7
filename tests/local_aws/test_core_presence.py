"""What start, status and stop say of a server that is busy, stopped, dead, half started, or another user's."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from processes import is_alive

import local_aws
from local_aws import Ending, Presence

ROOT = Path(local_aws.__file__).resolve().parent.parent
USER = 65534  # nobody's number, whose files the tests read as another user than root
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

# Has the lock and the record of a server, and answers nothing. It can be deaf to SIGTERM, and without a record.
STAND_IN = """
import os, signal, sys, time
from pathlib import Path
from local_aws.home import Home, name_holder
home = Home(Path(sys.argv[1]))
home.make()
lock = home.lock()
name_holder(lock, os.getpid())
if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "recorded" in sys.argv:
    home.write(9, "instance", "state")  # where nothing listens
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """Where another user may go too, which pytest's own directories are not."""
    directory = Path(tempfile.mkdtemp(prefix="presence-"))
    directory.chmod(0o755)
    yield directory / "home"
    shutil.rmtree(directory)


@pytest.fixture
def stand_in(home: Path) -> Iterator[Callable[..., subprocess.Popen]]:
    running: list[subprocess.Popen] = []

    def begin(*manner: str) -> subprocess.Popen:
        line = [sys.executable, "-c", STAND_IN, str(home), *manner]
        process = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout and process.stdout.readline() == "ready\n"
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


# Another user may not be let into this Python's directories: it becomes that user when it has all it needs.
COMMAND = """
import encodings.idna, os, shutil, sys  # what is imported late
from local_aws.__main__ import main
if user := int(sys.argv[1]):
    os.setgid(user), os.setuid(user)
sys.exit(main(sys.argv[2:]))
"""


def command(*arguments: str, home: Path, user: int = 0) -> tuple[int, str]:
    line = [sys.executable, "-c", COMMAND, str(user), *arguments, "--home", str(home)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_a_stopped_server_is_there_and_stop_ends_it(home: Path) -> None:
    server = local_aws.start(port=0, home=home)
    os.kill(server.pid, signal.SIGSTOP)
    status, said = command("status", home=home)
    assert status == 4
    assert f"(process {server.pid}) and does not answer" in said and "python -m local_aws stop" in said
    assert command("stop", home=home) == (0, "The embedded AWS is stopped.\n")
    assert not is_alive(server.pid)
    assert local_aws.status(home).presence is Presence.ABSENT


def test_a_server_that_never_ends_by_itself_is_killed(home: Path, stand_in: Callable) -> None:
    process = stand_in("deaf", "recorded")
    assert local_aws.status(home).presence is Presence.SILENT
    assert local_aws.stop(home, seconds=0.2) is Ending.FORCED
    process.wait(5)
    assert local_aws.stop(home) is Ending.NOT_RUNNING


def test_a_half_started_server_is_starting_and_stop_ends_it(home: Path, stand_in: Callable) -> None:
    process = stand_in()
    assert local_aws.status(home) == local_aws.Status(Presence.STARTING, None, process.pid)
    assert command("status", home=home) == (4, f"The embedded AWS is starting (process {process.pid}).\n")
    assert local_aws.stop(home) is Ending.POLITE
    process.wait(5)


def test_the_record_of_a_killed_server_names_nobody_to_end(home: Path, stand_in: Callable) -> None:
    """server.json may name a process id that another program has by now; only the lock's holder is ended."""
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        process = stand_in()
        (home / "server.json").write_text(f'{{"port": 9, "pid": {bystander.pid}, "instance": "old"}}')
        assert local_aws.stop(home) is Ending.POLITE
        process.wait(5)
        assert bystander.poll() is None
        (home / "lock").write_text(f"{bystander.pid}\n")
        assert local_aws.stop(home) is Ending.NOT_RUNNING
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_holder_that_cannot_be_seen_is_not_guessed(home: Path, stand_in: Callable) -> None:
    """As when the server runs in a container that shares the directory, and has process ids of its own."""
    process = stand_in()
    (home / "lock").write_text(f"{os.getpid()}\n")
    with pytest.raises(local_aws.LocalAwsError, match=r"its process can't be seen from here\. Stop it where"):
        local_aws.stop(home)
    assert process.poll() is None


def test_a_dead_server_is_dead(home: Path, stand_in: Callable) -> None:
    process = stand_in("recorded")
    process.kill()
    process.wait()
    status, said = command("status", home=home)
    assert status == 3 and "died" in said
    assert command("stop", home=home) == (0, "The embedded AWS was not running.\n")


@pytest.mark.parametrize("stops", [True, False])
def test_make_clean_deletes_nothing_under_a_server_that_cannot_be_stopped(tmp_path: Path, stops: bool) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\nexit {0 if stops else 1}\n")
    python.chmod(0o755)
    cleaned = subprocess.run(["make", "clean"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (cleaned.returncode == 0, python.exists()) == (stops, not stops)


@pytest.mark.parametrize("served", [".", "elsewhere"])
def test_make_clean_deletes_nothing_under_a_jupyterlab(tmp_path: Path, served: str) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    jupyter = tmp_path / ".venv" / "bin" / "jupyter"
    jupyter.parent.mkdir(parents=True)
    jupyter.write_text(f"#!/bin/sh\necho 'http://localhost:8888/?token=t :: {(tmp_path / served).resolve()}'\n")
    jupyter.chmod(0o755)
    cleaned = subprocess.run(["make", "clean"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert jupyter.exists() == (served == ".")
    assert ("JupyterLab runs here, from .venv. Stop it first" in cleaned.stderr) == (served == ".")


# --- where its files are ---------------------------------------------------------------------------------------------


def test_a_relative_home_is_one_place_wherever_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_AWS_HOME", "relative/home")
    here = local_aws.default_home()
    monkeypatch.chdir(tmp_path)
    assert local_aws.default_home() == here == ROOT / "relative" / "home"


@pytest.mark.slow
def test_a_relative_home_on_the_command_line_runs_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor of the jobs runs in another directory than the server."""
    monkeypatch.chdir(tmp_path)
    server = local_aws.start(port=0, home=Path("here"))
    try:
        assert server.log == tmp_path / "here" / "server.log"
    finally:
        local_aws.stop(tmp_path / "here")


def test_too_few_open_files_are_one_sentence(home: Path) -> None:
    line = f"ulimit -n 64; exec {sys.executable} -m local_aws start --port 0 --home {home}"
    done = subprocess.run(["bash", "-c", line], cwd=ROOT, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 1
    assert "may have only 64 files open here, and needs 256" in done.stderr and len(done.stderr.splitlines()) == 1


# --- files of another user -------------------------------------------------------------------------------------------


@as_root
@pytest.mark.parametrize("mode", [0o700, 0o755])
@pytest.mark.parametrize("verb", ["start", "status", "stop"])
def test_a_home_of_roots_is_one_sentence(home: Path, verb: str, mode: int) -> None:
    home.mkdir(mode=mode)
    (home / "lock").touch(0o600)
    (home / "server.json").touch(0o600)
    status, said = command(verb, home=home, user=USER)
    assert status == 1
    assert len(said.splitlines()) == 1, said
    assert "belongs to root" in said and str(home) in said and "sudo chown -R" in said


@as_root
def test_a_file_of_roots_in_a_home_of_mine_is_one_sentence(home: Path) -> None:
    home.mkdir()
    os.chown(home, USER, USER)
    (home / "lock").touch(0o600)
    status, said = command("start", home=home, user=USER)
    assert status == 1
    assert said.startswith(f"{home / 'lock'} belongs to root") and len(said.splitlines()) == 1


@as_root
def test_a_home_that_cannot_be_made_is_one_sentence(home: Path) -> None:
    status, said = command("start", home=home, user=USER)
    assert status == 1
    assert f"{home} can't be made, since {home.parent} belongs to root" in said and "LOCAL_AWS_HOME" in said


@as_root
def test_a_server_of_roots_is_one_sentence(home: Path, stand_in: Callable) -> None:
    process = stand_in("recorded")
    os.chown(home, USER, USER)
    (home / "lock").chmod(0o644)
    (home / "server.json").chmod(0o644)
    status, said = command("stop", home=home, user=USER)
    assert (status, said) == (
        1,
        f"The embedded AWS (process {process.pid}) runs as root. End it with `sudo kill {process.pid}`.\n",
    )
    assert process.poll() is None
