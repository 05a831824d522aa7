"""python -m local_aws start | stop | status | serve"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shlex
import sys
from pathlib import Path

import local_aws


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m local_aws", description="The embedded AWS.")
    parser.add_argument("command", choices=["start", "stop", "status", "serve"])
    parser.add_argument("--port", type=int, help="on 127.0.0.1 (default: 4566, or a free one when that is taken)")
    parser.add_argument("--home", type=Path, help="directory of the server's files (default: $LOCAL_AWS_HOME)")
    parser.add_argument("--state-dir", type=Path, help="keep resources, jobs and executions in this directory")
    parser.add_argument("--lock", type=int, help=argparse.SUPPRESS)  # the home's, when `start` has it already
    options = parser.parse_args(arguments)
    home = options.home or local_aws.default_home()
    try:
        match options.command:
            case "start":
                return _start(options, home)
            case "stop":
                return _stop(home)
            case "status":
                return _status(home)
            case _:
                return _serve(options, home)
    except local_aws.LocalAwsError as error:
        print(error, file=sys.stderr)
        return 1


def _start(options: argparse.Namespace, home: Path) -> int:
    server = local_aws.start(options.port, home, options.state_dir)
    print(f"The embedded AWS answers at {server.endpoint_url} (process {server.pid}, log {server.log}).")
    print("Its dummy credentials: AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test")
    return 0


def _stop(home: Path) -> int:
    print("The embedded AWS is stopped." if local_aws.stop(home) else "The embedded AWS was not running.")
    return 0


def _status(home: Path) -> int:
    if server := local_aws.find(home):
        print(f"The embedded AWS answers at {server.endpoint_url} (process {server.pid}).")
        return 0
    if (home / "server.json").exists():
        print(f"The embedded AWS died; its log is {home / 'server.log'}. Start it again: python -m local_aws start")
    else:
        print("The embedded AWS is not running. Start it: python -m local_aws start")
    return 3


def _serve(options: argparse.Namespace, home: Path) -> int:
    """Serve in the foreground; `start` runs this in the background."""
    from local_aws import server

    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o700)
    lock = local_aws._lock(home) if options.lock is None else os.fdopen(options.lock, "w")
    if lock:
        os.set_inheritable(lock.fileno(), False)  # what the server starts may outlive it
    else:
        running = local_aws.find(home)
        where = f", at {running.endpoint_url} (process {running.pid})" if running else ""
        raise local_aws.LocalAwsError(
            f"The embedded AWS of {home} already runs{where}; use that, or stop it first with "
            f"`python -m local_aws stop --home {shlex.quote(str(home))}`."
        )
    with lock:
        clean = local_aws._clean_environment(home)
        os.environ.clear()  # the functions' environment is this one
        os.environ.update(clean)
        listening = local_aws._listen(options.port)
        instance = secrets.token_hex(8)
        record = home / "server.json"
        partial = record.with_suffix(".tmp")
        partial.write_text(json.dumps({"port": listening.getsockname()[1], "pid": os.getpid(), "instance": instance}))
        partial.replace(record)  # written before the server answers: find() asks the server itself whether it is up
        try:
            server.run(listening, home, options.state_dir, instance)
        finally:
            record.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
