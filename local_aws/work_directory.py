"""The directory that jobs work in. The server deletes it, so it is marked as the server's."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from local_aws.home import LocalAwsError

MARKER = ".made-by-local-aws"


def make(directory: Path) -> None:
    """Make an empty directory, from what a killed server left too, but never from what is not marked as ours.

    Raises:
        LocalAwsError: it is not ours.
    """
    if directory.exists() and any(directory.iterdir()) and not (directory / MARKER).exists():
        raise LocalAwsError(
            f"{directory} is not the embedded AWS's own directory. Move it away, or start with another --home."
        )
    directory.mkdir(mode=0o700, exist_ok=True)
    (directory / MARKER).touch()
    empty(directory)


def empty(directory: Path) -> None:
    """Delete everything, and the mark last, so that an interrupted deletion can go on."""
    for entry in directory.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        elif entry.name != MARKER:
            entry.unlink(missing_ok=True)


def remove(directory: Path) -> None:
    """Delete it with all that is in it, as far as that can be deleted."""
    empty(directory)
    (directory / MARKER).unlink()
    with contextlib.suppress(OSError):
        directory.rmdir()
