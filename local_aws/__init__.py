"""The embedded AWS: a server on this machine that answers AWS's own APIs, so that the kit runs without an account.

    import local_aws
    server = local_aws.start()          # finds the running one, or starts it in the background
    boto3.client("batch", endpoint_url=server.endpoint_url, ...)
    local_aws.stop()

The server outlives the process that started it. Its files (server.json, its log, the jobs' working directories) are in
`home`: the environment variable LOCAL_AWS_HOME, else `.local_aws` beside this package.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

__all__ = ["LocalAwsError", "ServerInfo", "default_home", "find", "start", "stop"]

DEFAULT_PORT = 4566
BACKLOG = 2048
START_SECONDS = 60
STOP_SECONDS = 60


class LocalAwsError(RuntimeError):
    """The embedded AWS can't be started, found or stopped; the message says why and what to do."""


@dataclass(frozen=True)
class ServerInfo:
    """A running server. `instance` tells two servers that had the same port apart."""

    endpoint_url: str
    port: int
    pid: int
    instance: str
    log: Path


def default_home() -> Path:
    """Where a server keeps its files unless it is told otherwise."""
    return Path(os.environ.get("LOCAL_AWS_HOME") or Path(__file__).resolve().parent.parent / ".local_aws")


def find(home: Path | None = None) -> ServerInfo | None:
    """The running server of this home, or None; a server.json that a killed server left is no server."""
    home = Path(home or default_home())
    try:
        record = json.loads((home / "server.json").read_text())
        info = ServerInfo(
            f"http://127.0.0.1:{record['port']}", record["port"], record["pid"], record["instance"], home / "server.log"
        )
    except (FileNotFoundError, ValueError, KeyError):
        return None
    return info if _answers(info) else None


def start(port: int | None = None, home: Path | None = None, state_dir: Path | None = None) -> ServerInfo:
    """Find this home's server or start one in the background, and return it when it answers.

    Args:
        port: on 127.0.0.1; 0 is any free one. Without it 4566, or any free one when 4566 is taken.
        home: directory of the server's files.
        state_dir: directory in which resources, jobs and executions survive a stop, a crash and a restart. Without it
            they live as long as the server.

    Raises:
        LocalAwsError: the port is taken by another program, or the server did not come up.
    """
    home = Path(home or default_home())
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o700)
    deadline = time.monotonic() + START_SECONDS
    while True:
        if running := find(home):
            if port not in (None, 0, running.port):
                raise LocalAwsError(
                    f"The embedded AWS already runs on port {running.port}; use that, or stop it first with "
                    "`python -m local_aws stop`."
                )
            return running
        if lock := _lock(home):  # two notebooks started at once must not make two servers
            with lock:
                if port:
                    _listen(port).close()  # a taken port is told at once
                return _spawn(port, home, state_dir, lock)
        if time.monotonic() > deadline:
            raise LocalAwsError(
                f"The embedded AWS of {home} is there and does not answer; its log is {home / 'server.log'}."
            )
        time.sleep(0.02)


def stop(home: Path | None = None) -> bool:
    """Stop this home's server and wait until it is gone; False when none was running.

    Raises:
        LocalAwsError: the server does not stop.
    """
    home = Path(home or default_home())
    info = find(home)
    if info is None:
        _forget(home)
        return False
    os.kill(info.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while _alive(info.pid):
        if time.monotonic() > deadline:
            raise LocalAwsError(
                f"The embedded AWS (process {info.pid}) does not stop; end it with `kill -9 {info.pid}`."
            )
        time.sleep(0.02)
    _forget(home)
    return True


def _forget(home: Path) -> None:
    """Delete the record of a server that is gone; one that is coming up keeps its own."""
    record = home / "server.json"
    if record.exists() and (lock := _lock(home)):
        with lock:
            record.unlink(missing_ok=True)


def _spawn(port: int | None, home: Path, state_dir: Path | None, lock: IO[str]) -> ServerInfo:
    """Start a server in the background and hand it the home's lock."""
    log = home / "server.log"
    command = [sys.executable, "-m", "local_aws", "serve", "--home", str(home), "--lock", str(lock.fileno())]
    if port is not None:
        command += ["--port", str(port)]
    if state_dir:
        command += ["--state-dir", str(Path(state_dir).resolve())]
    with log.open("wb") as output:
        log.chmod(0o600)
        server = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=_clean_environment(home),
            start_new_session=True, pass_fds=[lock.fileno()],
        )  # fmt: skip
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        if info := find(home):
            return info
        time.sleep(0.02)
    if server.poll() is None:
        server.kill()
    tail = " | ".join(log.read_text(errors="replace").strip().splitlines()[-3:])
    raise LocalAwsError(f"The embedded AWS did not start; its log ends: {tail or '(empty)'}")


def _clean_environment(home: Path) -> dict[str, str]:
    """The server's environment, and so its Lambda functions': nothing of the user's AWS, nothing secret."""
    keep = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV", "OPENBLAS_CORETYPE")
    temporary = home / "tmp"
    temporary.mkdir(exist_ok=True, mode=0o700)
    root = str(Path(__file__).resolve().parent.parent)
    environment = {name: os.environ[name] for name in keep if name in os.environ}
    return environment | {
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "PYTHONPATH": os.pathsep.join(filter(None, [root, environment.get("PYTHONPATH", "")])),
        "PYTHONUNBUFFERED": "1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _listen(port: int | None) -> socket.socket:
    """A socket that listens already when its port is told to anyone: nobody can take the port in between."""
    for candidate in (DEFAULT_PORT, 0) if port is None else (port,):
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the last server's connections may linger
        try:
            listening.bind(("127.0.0.1", candidate))
            listening.listen(BACKLOG)
            return listening
        except OSError:
            listening.close()
    raise LocalAwsError(
        f"Port {port} on 127.0.0.1 is taken by another program; start the embedded AWS on another with "
        "`python -m local_aws start --port N`, or leave --port out to take a free one."
    )


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
    except ProcessLookupError:
        return False
    return True


def _lock(home: Path) -> IO[str] | None:
    """The home's lock, kept until this file is closed, here and by who got it from here; None when it is taken.

    Who starts the server has it, and then the server as long as it lives.
    """
    file = (home / "lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
