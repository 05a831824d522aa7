"""Check what `make tutorial` needs of this machine, and report each lack in one sentence."""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import resource
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from ..config import ConfigError

LEAST_FILES = 256  # a notebook's kernel alone has some 60 files and connections open
LOCK = ".lock"  # in outputs: two runs at once, such as with two prefixes, would mix what they write there
RECORD = "embedded_aws.json"  # in outputs: which embedded AWS the notebooks ran on


def raise_file_limit() -> None:
    """Let this process, and the kernels it starts, open as many files as the system grants.

    Raises:
        ConfigError: that is too few.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < LEAST_FILES:
        raise ConfigError(
            f"A program may have only {hard} files open here, and the notebooks need {LEAST_FILES}. Raise the limit "
            "with `ulimit -n 1024`, or in a new terminal if this one refuses that."
        )
    if 0 <= soft < LEAST_FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (LEAST_FILES, hard))


def make_outputs(outputs: Path, names: Iterable[str]) -> None:
    """Make the folder for what a run writes.

    Args:
        names: of the files that will be written there, or replaced.

    Raises:
        ConfigError: the folder or one of these files can't be written.
    """
    try:
        outputs.mkdir(exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"The folder {outputs} can't be made: {error.strerror}. Run it where you may write."
        ) from error
    for path in [outputs, *(outputs / name for name in names)]:
        if path.exists() and not os.access(path, os.W_OK):
            raise ConfigError(
                f"{path} belongs to {_owner(path)}, perhaps since an earlier sudo, and can't be written. Take it back "
                f"with `sudo chown -R {_name(os.geteuid())} {outputs}`, or delete that folder."
            )


def lock_outputs(outputs: Path) -> IO[str]:
    """The right to write to the outputs folder, until this file is closed.

    Raises:
        ConfigError: another run has it.
    """
    file = (outputs / LOCK).open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise ConfigError(
            f"Another run writes to {outputs}. Wait for its end, or run this one in another checkout."
        ) from error
    return file


def _owner(path: Path) -> str:
    return _name(path.stat().st_uid)


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"


def is_same_aws(outputs: Path, state_id: str) -> bool:
    """Whether the notebooks of the last run used this embedded AWS, as far as its record says.

    Args:
        outputs: the folder that the last run wrote to.
        state_id: names what the embedded AWS holds.
    """
    try:
        return json.loads((outputs / RECORD).read_text())["state_id"] == state_id
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return True


def record_aws(outputs: Path, state_id: str) -> None:
    """Record for the next run which embedded AWS the notebooks use."""
    (outputs / RECORD).write_text(json.dumps({"state_id": state_id}) + "\n")
