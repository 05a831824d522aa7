"""The process that owns the job processes: starts them, reads their output, reports their ends, leaves none behind.

It runs as one file (`python -I supervisor.py FD`) beside the server, which it talks to over one socket. Being
small and single-threaded, it starts processes cheaply; being a process, it outlives a server that dies just long enough
to kill every job. It gets its orders in frames, and reports in frames that carry all that has happened since the
last one, so 10,000 short jobs cost the server few wake-ups.

Frame: 4 bytes of length, then a marshalled list of tuples. From the server:
    ("start", key, argv, env, cwd, cleanup)    run argv in the fresh directory cwd; cleanup is an argv run afterwards
    ("signal", key, number, init)              to the job's first process, as a container runtime signals PID 1; init
                                               says whether an init process would pass the signal on
    ("kill", key)                              SIGKILL to everything the job started
To the server (time in milliseconds since the epoch):
    ("started", key, pid, time)
    ("failed", key, message, time)             argv could not be executed
    ("output", key, time, [line, ...])
    ("ended", key, exit code, time)            128 + n after signal n, 137 after a signal that was sent from here, did
                                               its default and had no init; nothing of the job runs any more
"""

from __future__ import annotations

import contextlib
import marshal
import os
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import deque

READ_BYTES = 65536
# CloudWatch Logs takes events of at most 256 KiB less 26 bytes; the awslogs driver splits longer lines.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
LINE_BYTES = 256 * 1024 - 26
# A job that prints without end must not fill the server's memory. CloudWatch Logs has no such limit.
OUTPUT_BYTES = 8 * 1024 * 1024
# The server sees to one report at a time, and to its other callers between two.
LINES_PER_REPORT = 1000
TRUNCATED = (
    f"[the embedded AWS keeps the first {OUTPUT_BYTES // 1024**2} MiB of an attempt's output, and drops the rest]"
)
# With more than a few jobs, reports wait this long for company: a server woken once for many does less.
GATHER_SECONDS = 0.005
FEW_JOBS = 4
STARTS_PER_TURN = 4

_PR_SET_CHILD_SUBREAPER = 36
_DEFAULT_SIGNALS = (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ)  # Python and this process ignore them


class Job:
    """One running job, with its first process, the pipe with its output, and its directory."""

    __slots__ = ("buffer", "cleanup", "code", "cwd", "ended_at", "fd", "kept", "key", "pid", "sent")

    def __init__(self, key: str, pid: int, fd: int, cwd: str, cleanup: list[str] | None) -> None:
        self.key, self.pid, self.fd, self.cwd, self.cleanup = key, pid, fd, cwd, cleanup
        self.buffer = b""
        self.kept = 0
        self.code: int | None = None
        self.ended_at = 0
        self.sent: int | None = None  # a signal that PID 1 of a container survives unless it handles it


class Supervisor:
    def __init__(self, server: socket.socket) -> None:
        self.server = server
        self.selector = selectors.DefaultSelector()
        self.jobs: dict[str, Job] = {}
        self.by_pid: dict[int, Job] = {}
        self.starts: deque[tuple] = deque()
        self.reports: list[tuple] = []
        self.report_by = 0.0
        self.incoming = bytearray()
        self.null = os.open(os.devnull, os.O_RDONLY)
        # SIGCHLD and SIGTERM become readable bytes, so one select waits for everything.
        self.wake_read, self.wake_write = os.pipe()
        for fd in (self.wake_read, self.wake_write):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(self.wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.selector.register(server, selectors.EVENT_READ)
        self.selector.register(self.wake_read, selectors.EVENT_READ)

    def run(self) -> None:
        """Serve until the server closes its end, dies, or asks for the end with SIGTERM; then kill every job."""
        try:
            while self._turn():
                pass
        finally:
            self._kill_all()

    def _turn(self) -> bool:
        """See to whatever is ready, start a few jobs, report: ends are seen between starts, not after all of them."""
        alive = True
        for key, _ in self.selector.select(self._patience()):
            if key.fileobj == self.wake_read:
                alive = self._woken() and alive
            elif key.fileobj is self.server:
                alive = self._obey() and alive
            elif key.data.fd >= 0:
                self._read(key.data)
        for _ in range(min(len(self.starts), STARTS_PER_TURN)):
            self._start(*self.starts.popleft())
        if self.reports and time.monotonic() >= self.report_by:
            alive = self._report() and alive
        return alive

    def _patience(self) -> float | None:
        """How long to wait for something to do, in seconds."""
        if self.starts:
            return 0
        return max(0.0, self.report_by - time.monotonic()) if self.reports else None

    def _woken(self) -> bool:
        numbers = b""
        with contextlib.suppress(BlockingIOError):
            numbers = os.read(self.wake_read, 65536)
        self._reap()
        return signal.SIGTERM not in numbers

    def _emit(self, *report: object) -> None:
        if not self.reports:
            self.report_by = time.monotonic() + (GATHER_SECONDS if len(self.jobs) + len(self.starts) > FEW_JOBS else 0)
        self.reports.append(report)

    # --- orders ---

    def _obey(self) -> bool:
        try:
            data = self.server.recv(1 << 20)
        except ConnectionError:
            return False
        if not data:
            return False
        self.incoming += data
        while len(self.incoming) >= 4:
            (length,) = struct.unpack_from("!I", self.incoming)
            if len(self.incoming) < 4 + length:
                break
            orders = marshal.loads(self.incoming[4 : 4 + length])
            del self.incoming[: 4 + length]
            for order in orders:
                if order[0] == "start":
                    self.starts.append(order[1:])
                elif order[0] == "signal":
                    self._signal(*order[1:])
                else:
                    self._kill(order[1])
        return True

    def _start(self, key: str, argv: list[str], env: dict[str, str], cwd: str, cleanup: list[str] | None) -> None:
        read_end, write_end = os.pipe()
        try:
            os.mkdir(cwd, 0o700)  # noqa: PTH102 - a Path each would cost as much as the call
            os.chdir(cwd)  # the new process inherits it
            # A process group of its own, in the supervisor's session: Linux shares the CPU between sessions first, and
            # with one a job the server would be one among many. https://man7.org/linux/man-pages/man7/sched.7.html
            pid = os.posix_spawn(
                argv[0], argv, env, setpgroup=0, setsigdef=_DEFAULT_SIGNALS,
                file_actions=[(os.POSIX_SPAWN_DUP2, self.null, 0), (os.POSIX_SPAWN_DUP2, write_end, 1),
                              (os.POSIX_SPAWN_DUP2, write_end, 2)],
            )  # fmt: skip
        except (OSError, ValueError) as error:
            os.close(read_end)
            self._emit("failed", key, str(error), _now())
            shutil.rmtree(cwd, ignore_errors=True)
            return
        finally:
            os.close(write_end)
        os.set_blocking(read_end, False)
        job = Job(key, pid, read_end, cwd, cleanup)
        self.jobs[key] = self.by_pid[pid] = job
        self.selector.register(read_end, selectors.EVENT_READ, job)
        self._emit("started", key, pid, _now())

    def _signal(self, key: str, number: int, init: bool) -> None:
        """The kernel keeps from PID 1 of a container every signal that it does not handle, so SIGKILL ends it later.

        Here the signal ends it at once, to shorten the wait, and `_settle` reports what SIGKILL would have left.
        https://man7.org/linux/man-pages/man7/pid_namespaces.7.html
        """
        job = self.jobs.get(key)
        if job and job.code is None:
            job.sent = None if init else number
            with contextlib.suppress(ProcessLookupError):
                os.kill(job.pid, number)

    def _kill(self, key: str) -> None:
        job = self.jobs.get(key)
        if job and job.code is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(job.pid, signal.SIGKILL)

    # --- output ---

    def _read(self, job: Job) -> None:
        """One chunk. A chatty job waits its turn like every other."""
        try:
            chunk = os.read(job.fd, READ_BYTES)
        except BlockingIOError:
            return
        if not chunk:
            self._finish(job)
            return
        if job.kept >= OUTPUT_BYTES:
            return
        job.kept += len(chunk)
        lines = (job.buffer + chunk).split(b"\n")
        job.buffer = lines.pop()
        if job.kept >= OUTPUT_BYTES:
            lines += [job.buffer, TRUNCATED.encode()]
            job.buffer = b""
        while len(job.buffer) > LINE_BYTES:
            lines.append(job.buffer[:LINE_BYTES])
            job.buffer = job.buffer[LINE_BYTES:]
        self._output(job, lines)

    def _output(self, job: Job, lines: list[bytes]) -> None:
        """Report lines. CloudWatch Logs takes no empty events, so the awslogs driver sends none."""
        text = []
        for line in lines:
            line = line.rstrip(b"\r")
            while line:
                text.append(line[:LINE_BYTES].decode(errors="replace"))
                line = line[LINE_BYTES:]
        for start in range(0, len(text), LINES_PER_REPORT):
            self._emit("output", job.key, _now(), text[start : start + LINES_PER_REPORT])

    # --- ends ---

    def _reap(self) -> None:
        """Take every process that ended. A job whose first process did has ended with all that it started."""
        ended: list[Job] = []
        strays = False
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            job = self.by_pid.pop(pid, None)
            if job is None:
                strays = True  # a process that a job left behind, inherited by us, and what it leaves in turn
                continue
            job.code = os.waitstatus_to_exitcode(status)
            job.ended_at = _now()
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
            ended.append(job)
        if ended or strays:
            self._kill_strays()
        for job in ended:
            if job.fd >= 0:
                self._read_rest(job)
            else:
                self._settle(job)

    def _read_rest(self, job: Job) -> None:
        """What is still in the pipe. If a dying process holds it open, its end comes through the selector."""
        waiting = selectors.EVENT_READ
        while job.fd >= 0 and waiting:
            self._read(job)
            waiting = job.fd >= 0 and _readable(job.fd)

    def _finish(self, job: Job) -> None:
        """Its output has ended. It has ended if its first process has too."""
        if job.fd >= 0:
            self.selector.unregister(job.fd)
            os.close(job.fd)
            job.fd = -1
            if job.buffer:
                self._output(job, [job.buffer])
                job.buffer = b""
        self._settle(job)

    def _settle(self, job: Job) -> None:
        if job.code is None or job.fd >= 0:
            return
        del self.jobs[job.key]
        if job.cleanup:
            subprocess.run(job.cleanup, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        try:
            os.rmdir(job.cwd)  # noqa: PTH106 - most jobs leave it empty
        except OSError:
            shutil.rmtree(job.cwd, ignore_errors=True)
        signaled = -job.code if job.code < 0 else None
        if signaled is not None and signaled == job.sent:
            signaled = signal.SIGKILL
        code = job.code if signaled is None else 128 + signaled
        self._emit("ended", job.key, code, job.ended_at)

    def _kill_strays(self) -> None:
        """Kill processes that left their job's group (daemons) and whose job has ended.

        Orphans become our children. The environment that one started with names its job.
        """
        for pid in _children():
            if pid in self.by_pid:
                continue
            try:
                if os.getpgid(pid) in self.by_pid:
                    continue  # in the group of a job that still runs
                with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123 - often, and a Path costs more
                    environment = file.read()
            except OSError:
                continue  # it is gone, or a zombie that the next waitpid takes
            owner = _variable(environment, b"LOCAL_AWS_ATTEMPT=")
            job = self.jobs.get(owner)
            if job is None or job.code is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _kill_all(self) -> None:
        for job in list(self.by_pid.values()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(job.pid, signal.SIGKILL)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            for pid in _children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            try:
                pid, _ = os.waitpid(-1, 0 if self.by_pid else os.WNOHANG)
            except ChildProcessError:
                break
            self.by_pid.pop(pid, None)
        for job in self.jobs.values():
            if job.cleanup:
                subprocess.run(job.cleanup, stdin=subprocess.DEVNULL, capture_output=True, check=False)
            shutil.rmtree(job.cwd, ignore_errors=True)

    def _report(self) -> bool:
        body = marshal.dumps(self.reports)
        self.reports = []
        try:
            # Blocks when the server is slow, and so slows the jobs that print, rather than keep their lines here.
            self.server.sendall(struct.pack("!I", len(body)) + body)
        except OSError:
            return False
        return True


def _now() -> int:
    return int(time.time() * 1000)


def _readable(fd: int) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(fd, selectors.EVENT_READ)
        return bool(selector.select(0))


def _children() -> list[int]:
    """Our child processes, where the system lists them (Linux). Elsewhere a job's process group has to do."""
    pid = os.getpid()
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:  # noqa: PTH123
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


def _variable(environment: bytes, prefix: bytes) -> str:
    for entry in environment.split(b"\0"):
        if entry.startswith(prefix):
            return entry[len(prefix) :].decode(errors="replace")
    return ""


def _adopt_orphans() -> None:
    """Inherit what jobs leave behind (Linux), instead of init."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


if __name__ == "__main__":
    _adopt_orphans()
    connection = socket.socket(fileno=int(sys.argv[1]))
    connection.set_inheritable(False)  # it was passed down to here, and no further
    Supervisor(connection).run()
