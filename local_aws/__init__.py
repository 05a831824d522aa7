"""The embedded AWS is a server on this machine that answers AWS's APIs, so that the kit runs without an account.

    import local_aws
    server = local_aws.start()          # finds the running one, or starts it in the background
    boto3.client("batch", endpoint_url=server.endpoint_url, ...)
    local_aws.stop()

The server outlives the process that started it. Its files (server.json, its log, the jobs' working directories) are in
`home`: the environment variable LOCAL_AWS_HOME, else `.local_aws` beside this package. A relative LOCAL_AWS_HOME is
relative to the folder that holds this package, so that a notebook and a shell in another folder mean the same one.
Installed from a wheel, it is the user's home folder instead.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from local_aws.home import COMMAND, Home, LocalAwsError, ServerInfo, explained, name_holder, owner
from local_aws.images import requested

__all__ = [
    "COMMAND", "Ending", "LocalAwsError", "Presence", "ServerInfo", "Status", "default_home", "find", "start", "status",
    "stop",
]  # fmt: skip

DEFAULT_PORT = 4566
BACKLOG = 2048
START_SECONDS = 60
STOP_SECONDS = 30  # for a polite end; SIGKILL follows
KILL_SECONDS = 30  # a busy system takes its time to free a large process's memory
ROOT = Path(__file__).resolve().parent.parent


class Presence(enum.Enum):
    """What is known of a home's server."""

    ANSWERS = enum.auto()
    SILENT = enum.auto()  # it lives, and does not answer: it is busy, or stopped
    STARTING = enum.auto()
    DIED = enum.auto()
    ABSENT = enum.auto()


@dataclass(frozen=True)
class Status:
    """A home's server: `server` as it recorded itself, `pid` of the process that lives, if it can be seen from here."""

    presence: Presence
    server: ServerInfo | None = None
    pid: int | None = None


class Ending(enum.IntEnum):
    """How a server ended. It is false when there was none."""

    NOT_RUNNING = 0
    POLITE = 1
    FORCED = 2


def default_home() -> Path:
    """Where a server keeps its files by default, which is in the repository.

    Installed from a wheel it is the user's own folder, since packages' folders are shared and may not be writable.
    """
    base = ROOT if (ROOT / "pyproject.toml").exists() else Path.home()
    return (base / (os.environ.get("LOCAL_AWS_HOME") or ".local_aws")).resolve()


def find(home: Path | None = None) -> ServerInfo | None:
    """The running server of this home, or None when there is none that answers.

    Raises:
        LocalAwsError: the home is another user's.
    """
    info = Home(home or default_home()).read()
    return info if info and _answers(info) else None


def status(home: Path | None = None) -> Status:
    """Whether this home's server lives, answers, or has died.

    Raises:
        LocalAwsError: the home is another user's.
    """
    place = Home(home or default_home())
    info = place.read()
    if info and _answers(info):
        return Status(Presence.ANSWERS, info, info.pid)
    if not place.is_locked():
        return Status(Presence.DIED if info else Presence.ABSENT, info)
    pid = place.holder()
    silent = info is not None and pid in (info.pid, None)
    return Status(Presence.SILENT if silent else Presence.STARTING, info, pid)


def start(
    port: int | None = None,
    home: Path | None = None,
    state_dir: Path | None = None,
    images: Mapping[str, str | Path] | None = None,
) -> ServerInfo:
    """Find this home's server or start one in the background, and return it when it answers.

    Args:
        port: on 127.0.0.1. 0 is any free one. Default: 4566, or any free one when 4566 is taken.
        home: directory of the server's files.
        state_dir: directory in which resources, jobs and executions survive a stop, a crash and a restart. Without it
            they live as long as the server.
        images: names of images, and for each the folder of a Python environment that stands for it. Default:
            those that the variable LOCAL_AWS_IMAGES names.

    Raises:
        LocalAwsError: the port is taken by another program, the home is another user's, a folder is no Python
            environment, the running server doesn't have these images, or the server did not come up.
    """
    place, environments = Home(home or default_home()), requested(images)
    place.make()
    deadline = time.monotonic() + START_SECONDS
    while True:
        if running := find(place.path):
            if port not in (None, 0, running.port):
                raise LocalAwsError(
                    f"The embedded AWS already runs on port {running.port}. Use that, or stop it first with "
                    f"`{COMMAND} stop`."
                )
            for name, folder in environments.items():
                if running.images.get(name) != str(folder):
                    raise LocalAwsError(
                        f"The embedded AWS already runs, and does not map the image {name} to {folder}. Stop it first "
                        f"with `{COMMAND} stop`."
                    )
            return running
        if lock := place.lock():  # two notebooks started at once must not make two servers
            with lock:
                if port:
                    _listen(port).close()  # a taken port is told at once
                return _spawn(port, place, state_dir, environments, lock)
        if time.monotonic() > deadline:
            raise LocalAwsError(
                f"The embedded AWS of {place.path} is there (process {place.holder() or 'unknown'}) and does not "
                f"answer. Its log is {place.log}. End it with `{COMMAND} stop`."
            )
        time.sleep(0.02)


def stop(home: Path | None = None, seconds: float = STOP_SECONDS) -> Ending:
    """Stop this home's server, politely and then by force, and wait until it is gone.

    Args:
        home: directory of the server's files.
        seconds: how long it may take to end by itself, before it is killed.

    Returns:
        How it ended, which is false when none was running.

    Raises:
        LocalAwsError: it does not end, or is another user's.
    """
    place = Home(home or default_home())
    ending = Ending.NOT_RUNNING
    if place.is_locked():
        polite, forced = [signal.SIGTERM, signal.SIGCONT], [signal.SIGKILL]
        for manner, signals, patience in ((Ending.POLITE, polite, seconds), (Ending.FORCED, forced, KILL_SECONDS)):
            pid = _holder(place)
            if pid is None:
                break
            ending = manner
            _send(pid, signals)
            if _gone(place, pid, patience):
                break
        else:
            raise LocalAwsError(
                f"The embedded AWS (process {pid}) does not end, not even by SIGKILL. Restart this machine."
            )
    place.forget()
    return ending


def _holder(place: Home) -> int | None:
    """Return the process to end, or None when it has ended meanwhile. Wait for one that is just being started."""
    deadline = time.monotonic() + 2
    while (pid := place.holder()) is None:
        if not place.is_locked():
            return None
        if time.monotonic() > deadline:
            raise LocalAwsError(
                f"The embedded AWS of {place.path} is there, but its process can't be seen from here. Stop it where it "
                "was started, such as in its container."
            )
        time.sleep(0.02)
    return pid


def _send(pid: int, signals: list[signal.Signals]) -> None:
    """Signal a server. A stopped one (SIGSTOP) gets SIGTERM only when it goes on, so send SIGCONT after it."""
    try:
        for number in signals:
            os.kill(pid, number)
    except ProcessLookupError:
        return  # it has ended
    except PermissionError as error:
        raise LocalAwsError(
            f"The embedded AWS (process {pid}) runs as {owner(Path(f'/proc/{pid}'))}. End it with `sudo kill {pid}`."
        ) from error


def _gone(place: Home, pid: int, seconds: float) -> bool:
    """Whether the server has let go of its lock and ended, at the latest after so many seconds."""
    deadline = time.monotonic() + seconds
    while place.is_locked() or _alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _spawn(
    port: int | None, home: Home, state_dir: Path | None, images: Mapping[str, Path], lock: IO[str]
) -> ServerInfo:
    """Start a server in the background and hand it the home's lock."""
    command = [sys.executable, "-m", "local_aws", "serve", "--home", str(home.path), "--lock", str(lock.fileno())]
    if port is not None:
        command += ["--port", str(port)]
    if state_dir:
        command += ["--state-dir", str(Path(state_dir).resolve())]
    command += [f"--image={name}={folder}" for name, folder in images.items()]
    with explained(home.path):
        environment = _clean_environment(home.path)
        home.record.unlink(missing_ok=True)  # a killed server's
        output = home.log.open("wb")
    with output:
        home.log.chmod(0o600)
        server = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment,
            start_new_session=True, pass_fds=[lock.fileno()],
        )  # fmt: skip
    name_holder(lock, server.pid)
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        if info := find(home.path):
            return info
        time.sleep(0.02)
    if server.poll() is None:
        server.kill()
        server.wait()
    tail = " | ".join(home.log.read_text(errors="replace").strip().splitlines()[-3:])
    raise LocalAwsError(f"The embedded AWS did not start. Its log ends: {tail or '(empty)'}")


def _clean_environment(home: Path) -> dict[str, str]:
    """The environment of the server and its Lambda functions, without the user's AWS settings and secrets."""
    keep = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV", "OPENBLAS_CORETYPE")
    temporary = home / "tmp"
    temporary.mkdir(exist_ok=True, mode=0o700)
    environment = {name: os.environ[name] for name in keep if name in os.environ}
    return environment | {
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), environment.get("PYTHONPATH", "")])),
        "PYTHONUNBUFFERED": "1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _listen(port: int | None) -> socket.socket:
    """Return a socket that listens before its port is known, so no other program can take the port in between."""
    for candidate in (DEFAULT_PORT, 0) if port is None else (port,):
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the last server's connections may linger
        try:
            listening.bind(("127.0.0.1", candidate))
            listening.listen(BACKLOG)
            return listening
        except OSError as error:
            listening.close()
            refused = error
    raise LocalAwsError(_why_it_can_not_listen(port, refused)) from refused


def _why_it_can_not_listen(port: int | None, refused: OSError) -> str:
    if refused.errno == errno.EADDRNOTAVAIL:
        return (
            "This machine has no address 127.0.0.1, where the embedded AWS answers. Add it to the loopback interface: "
            "`sudo ip link set lo up` and `sudo ip address add 127.0.0.1/8 dev lo` do so on Linux."
        )
    other = f"Start the embedded AWS on another with `{COMMAND} start --port N`, or leave --port out."
    if refused.errno == errno.EADDRINUSE:
        return f"Port {port} on 127.0.0.1 is taken by another program. {other}"
    return f"The embedded AWS can't listen at port {port} on 127.0.0.1 ({refused.strerror}). {other}"


def _answers(info: ServerInfo) -> bool:
    """Whether the server at this port is the one server.json describes."""
    connection = http.client.HTTPConnection("127.0.0.1", info.port, timeout=5)
    try:
        connection.request("GET", "/_local_aws/health")
        return json.loads(connection.getresponse().read()).get("instance") == info.instance
    except (OSError, http.client.HTTPException, ValueError, AttributeError):
        return False
    finally:
        connection.close()


def _alive(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # if we are its parent, it would stay a zombie
    try:
        os.kill(pid, 0)
        # A process that has ended keeps its number until its parent, such as a notebook's kernel, asks for it.
        # https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # another user's
    except FileNotFoundError:
        return not Path("/proc/self/stat").exists()  # it has just ended, or this system has no such files
