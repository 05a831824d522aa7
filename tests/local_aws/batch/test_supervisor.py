"""The process that owns the job processes: output, ends, what jobs leave behind, and the server's death."""

from __future__ import annotations

import marshal
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_aws.containers import supervisor as module

SUPERVISOR = Path(module.__file__)
linux = pytest.mark.skipif(sys.platform != "linux", reason="finds a job's daemons by /proc")


class Server:
    """The other end of the supervisor's socket."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-I", str(SUPERVISOR), str(theirs.fileno())], pass_fds=[theirs.fileno()], env={}
            )
        self.socket.settimeout(20)
        self.reports: dict[str, list[tuple]] = {}

    def order(self, *orders: tuple) -> None:
        body = marshal.dumps(list(orders))
        self.socket.sendall(struct.pack("!I", len(body)) + body)

    def start(self, key: str, *argv: str, env: dict[str, str] | None = None, cleanup: list[str] | None = None) -> None:
        environment = {"PATH": os.environ["PATH"], "LOCAL_AWS_ATTEMPT": key, **(env or {})}
        self.order(("start", key, list(argv), environment, str(self.directory / key), cleanup))

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            chunk = self.socket.recv(count - len(data))
            assert chunk, "the supervisor is gone"
            data += chunk
        return data

    def wait(self, key: str, kind: str) -> tuple:
        """The first report of this kind about this job."""
        while True:
            for report in self.reports.get(key, []):
                if report[0] == kind:
                    return report
            (length,) = struct.unpack("!I", self._exactly(4))
            for report in marshal.loads(self._exactly(length)):
                self.reports.setdefault(report[1], []).append(report)

    def lines(self, key: str) -> list[str]:
        return [line for report in self.reports[key] if report[0] == "output" for line in report[3]]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.socket.close()
    assert server.process.wait(10) == 0


def gone(pid: int, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


def test_output_and_exit_code(server: Server) -> None:
    server.start("a", "/bin/sh", "-c", "echo one; echo two >&2; printf three; exit 3")
    assert server.wait("a", "ended")[2] == 3
    assert server.lines("a") == ["one", "two", "three"]
    assert server.reports["a"][0][0] == "started"


def test_lines_arrive_while_the_job_runs(server: Server) -> None:
    server.start("a", "/bin/sh", "-c", "echo now; read never < /dev/null; sleep 60")
    server.wait("a", "output")
    assert server.lines("a") == ["now"]
    server.order(("kill", "a"))
    assert server.wait("a", "ended")[2] == 137


def test_a_signal_goes_to_the_first_process(server: Server) -> None:
    server.start("a", "/bin/sh", "-c", "trap 'echo stopping; exit 7' TERM; echo ready; while :; do sleep 0.05; done")
    server.wait("a", "output")
    server.order(("signal", "a", int(signal.SIGTERM), False))
    assert server.wait("a", "ended")[2] == 7
    assert server.lines("a") == ["ready", "stopping"]


@pytest.mark.parametrize(("init", "code"), [(False, 137), (True, 143)])
def test_a_signal_without_a_handler_ends_pid_1_only_when_an_init_passes_it_on(
    server: Server, init: bool, code: int
) -> None:
    """https://man7.org/linux/man-pages/man7/pid_namespaces.7.html"""
    server.start("a", "/bin/sleep", "60")
    server.wait("a", "started")
    server.order(("signal", "a", int(signal.SIGTERM), init))
    assert server.wait("a", "ended")[2] == code


def test_an_exit_code_like_that_of_a_signal_is_the_programs_own(server: Server) -> None:
    server.start("a", "/bin/sh", "-c", "trap 'exit 143' TERM; echo ready; while :; do sleep 0.05; done")
    server.wait("a", "output")
    server.order(("signal", "a", int(signal.SIGTERM), False))
    assert server.wait("a", "ended")[2] == 143


def test_a_program_that_ends_itself_by_a_signal_has_it_in_its_exit_code(server: Server) -> None:
    server.start("a", "/bin/sh", "-c", "kill -TERM $$")
    assert server.wait("a", "ended")[2] == 143


def test_a_command_that_can_not_be_executed(server: Server) -> None:
    server.start("a", "/no/such/program")
    assert "No such file" in server.wait("a", "failed")[2]
    server.start("b", "/bin/true")
    assert server.wait("b", "ended")[2] == 0


def test_a_job_sees_its_directory_and_its_environment_only(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.start("a", "/bin/sh", "-c", "pwd; env | sort", env={"MINE": "1"})
    server.wait("a", "ended")
    directory, *variables = server.lines("a")
    assert directory == str(server.directory / "a")
    names = {variable.partition("=")[0] for variable in variables}
    assert names - {"PWD", "OLDPWD", "SHLVL", "_"} == {"PATH", "MINE", "LOCAL_AWS_ATTEMPT"}
    assert not Path(directory).exists()


def test_files_a_job_leaves_are_removed(server: Server) -> None:
    server.start("a", "/bin/sh", "-c", "mkdir -p deep/er; echo x > deep/er/file")
    server.wait("a", "ended")
    assert list(server.directory.iterdir()) == []


def test_descriptors_of_the_supervisor_are_not_inherited(server: Server) -> None:
    """Least of all the socket to the server, over which a job could order others."""
    server.start("a", sys.executable, "-c", "import os; print(sorted(map(int, os.listdir('/dev/fd'))))")
    server.wait("a", "ended")
    assert server.lines("a") == ["[0, 1, 2, 3]"]  # 3 is the listing's own


def test_the_first_process_takes_its_children_with_it(server: Server) -> None:
    server.start("a", "/bin/sh", "-c", "sleep 60 & echo $!")
    server.wait("a", "ended")
    assert gone(int(server.lines("a")[0]))


DAEMON = """
import os, sys, time
read, write = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.write(write, str(os.getpid()).encode())
        time.sleep(60)
    os._exit(0)
print(os.read(read, 20).decode(), flush=True)
"""


@linux
def test_a_daemon_does_not_outlive_its_job(server: Server) -> None:
    server.start("other", "/bin/sleep", "60")
    server.start("a", sys.executable, "-c", DAEMON)
    assert server.wait("a", "ended")[2] == 0
    assert gone(int(server.lines("a")[0]))
    server.order(("kill", "other"))
    assert server.wait("other", "ended")[2] == 137


@linux
def test_a_daemon_of_a_running_job_is_left_alone(server: Server) -> None:
    server.start("a", sys.executable, "-c", DAEMON + "time.sleep(60)\n")
    server.wait("a", "output")
    server.start("b", "/bin/true")
    server.wait("b", "ended")
    pid = int(server.lines("a")[0])
    assert Path(f"/proc/{pid}").exists()
    server.order(("kill", "a"))
    server.wait("a", "ended")
    assert gone(pid)


@linux
def test_a_child_of_a_running_job_that_has_cleared_its_environment_is_left_alone(server: Server) -> None:
    """Its parent is gone, so it is the supervisor's, and its environment does not tell whose it was; its group does."""
    server.start("a", "/bin/sh", "-c", "(env -i sleep 60 & echo $!); sleep 60")
    server.wait("a", "output")
    (child,) = map(int, server.lines("a"))
    server.start("b", "/bin/sh", "-c", "true")
    server.wait("b", "ended")
    assert not gone(child, 0.5)
    server.order(("kill", "a"))
    server.wait("a", "ended")
    assert gone(child)


def test_output_is_bounded(server: Server) -> None:
    server.start("a", "/bin/sh", "-c", "yes 0123456789 | head -c 20000000")
    server.wait("a", "ended")
    lines = server.lines("a")
    assert module.OUTPUT_BYTES <= sum(len(line) + 1 for line in lines) < module.OUTPUT_BYTES + 2 * module.READ_BYTES
    assert lines[-1] == module.TRUNCATED


def test_a_line_without_end_is_split(server: Server) -> None:
    server.start("a", "/bin/sh", "-c", "head -c 600000 /dev/zero | tr '\\0' x; echo; echo last")
    server.wait("a", "ended")
    *parts, last = server.lines("a")
    assert max(map(len, parts)) <= module.LINE_BYTES
    assert ("".join(parts), last) == ("x" * 600_000, "last")


def test_many_at_once(server: Server) -> None:
    for index in range(200):
        server.start(f"job-{index}", "/bin/sh", "-c", f"echo {index}; exit {index % 3}")
    for index in range(200):
        assert server.wait(f"job-{index}", "ended")[2] == index % 3
        assert server.lines(f"job-{index}") == [str(index)]


def test_cleanup_runs_after_the_job(server: Server) -> None:
    mark = server.directory / "mark"
    server.start("a", "/bin/true", cleanup=["/usr/bin/touch", str(mark)])
    server.wait("a", "ended")
    assert mark.exists()


@pytest.mark.parametrize("how", ["server gone", "asked to end"])
def test_no_job_outlives_the_supervisor(tmp_path: Path, how: str) -> None:
    server = Server(tmp_path)
    server.start("a", "/bin/sh", "-c", "sleep 60 & echo $$ $!; wait")
    server.start("d", sys.executable, "-c", DAEMON + "time.sleep(60)\n")
    server.wait("a", "output")
    server.wait("d", "output")
    pids = [int(pid) for key in ("a", "d") for pid in server.lines(key)[0].split()]
    if how == "server gone":
        server.socket.close()
    else:
        server.process.terminate()
    assert server.process.wait(10) == 0
    assert all(gone(pid) for pid in (pids if sys.platform == "linux" else pids[:2]))
    assert list(tmp_path.iterdir()) == []
    server.socket.close()
