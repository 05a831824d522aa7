"""python -m local_aws start | stop | status | serve"""

from __future__ import annotations

import argparse
import os
import secrets
import shlex
import sys
import time
from pathlib import Path
from typing import IO

import local_aws
from local_aws.home import Home, explained, name_holder, state_id
from local_aws.images import parse, requested

NOT_RUNNING, SILENT = 3, 4  # exit statuses of `status`


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m local_aws", description="The embedded AWS.")
    parser.add_argument("command", choices=["start", "stop", "status", "serve"])
    parser.add_argument("--port", type=int, help="on 127.0.0.1 (default: 4566, or a free one when that is taken)")
    parser.add_argument("--home", type=Path, help="directory of the server's files (default: $LOCAL_AWS_HOME)")
    parser.add_argument("--state-dir", type=Path, help="keep resources, jobs and executions in this directory")
    parser.add_argument(
        "--image", action="append", metavar="NAME=PATH",
        help="run this image in the Python environment at PATH. May be repeated (default: $LOCAL_AWS_IMAGES)",
    )  # fmt: skip
    parser.add_argument("--lock", type=int, help=argparse.SUPPRESS)  # the home's, when `start` has it already
    options = parser.parse_args(arguments)
    home = (options.home or local_aws.default_home()).resolve()
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
    server = local_aws.start(options.port, home, options.state_dir, parse(options.image) if options.image else None)
    print(f"The embedded AWS answers at {server.endpoint_url} (process {server.pid}, log {server.log}).")
    print("Its dummy credentials: AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test")
    for name, folder in server.images.items():
        print(f"The image {name} runs in {folder}.")
    return 0


def _stop(home: Path) -> int:
    match local_aws.stop(home):
        case local_aws.Ending.NOT_RUNNING:
            print("The embedded AWS was not running.")
        case local_aws.Ending.POLITE:
            print("The embedded AWS is stopped.")
        case _:
            print(
                f"The embedded AWS did not end within {local_aws.STOP_SECONDS} seconds and was killed. README says "
                "what of a state directory can then be lost."
            )
    return 0


def _status(home: Path) -> int:
    status = local_aws.status(home)
    process, log = f"process {status.pid or 'unknown'}", Home(home).log
    match status.presence:
        case local_aws.Presence.ANSWERS if status.server:
            print(f"The embedded AWS answers at {status.server.endpoint_url} ({process}).")
            return 0
        case local_aws.Presence.SILENT:
            print(
                f"The embedded AWS is there ({process}) and does not answer, because it is busy or stopped. "
                f"Its log is {log}. End it with `{local_aws.COMMAND} stop`."
            )
            return SILENT
        case local_aws.Presence.STARTING:
            print(f"The embedded AWS is starting ({process}).")
            return SILENT
        case local_aws.Presence.DIED:
            print(f"The embedded AWS died. Its log is {log}. Start it again with `{local_aws.COMMAND} start`.")
        case _:
            print(f"The embedded AWS is not running. Start it with `{local_aws.COMMAND} start`.")
    return NOT_RUNNING


def _serve(options: argparse.Namespace, home: Path) -> int:
    """Serve in the foreground. `start` runs this in the background."""
    from local_aws import server

    images = requested(parse(options.image) if options.image else None)  # before the environment is cleaned
    place = Home(home)
    place.make()
    lock = _lock(place) if options.lock is None else os.fdopen(options.lock, "r+")
    os.set_inheritable(lock.fileno(), False)  # what the server starts may outlive it
    state_dir = options.state_dir.resolve() if options.state_dir else None
    instance = secrets.token_hex(8)
    with lock:
        name_holder(lock, os.getpid())
        with explained(state_dir or home):
            held = state_id(state_dir, instance)
        with explained(home):
            clean = local_aws._clean_environment(home)
            os.environ.clear()  # the functions' environment is this one
            os.environ.update(clean)
            listening = local_aws._listen(options.port)
            # Written before the server answers: find() asks the server itself whether it is up.
            place.write(listening.getsockname()[1], instance, held, images)
        try:
            server.run(listening, home, state_dir, instance, images)
        finally:
            place.record.unlink(missing_ok=True)
            name_holder(lock, None)
    return 0


def _lock(place: Home) -> IO[str]:
    """The home's lock. Whoever asks whether it is taken has it for a moment, so one refusal is none."""
    for _ in range(10):
        if lock := place.lock():
            return lock
        time.sleep(0.02)
    running = local_aws.find(place.path)
    where = f", at {running.endpoint_url} (process {running.pid})" if running else ""
    raise local_aws.LocalAwsError(
        f"The embedded AWS of {place.path} already runs{where}. Use that, or stop it first with "
        f"`{local_aws.COMMAND} stop --home {shlex.quote(str(place.path))}`."
    )


if __name__ == "__main__":
    sys.exit(main())
