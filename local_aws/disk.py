"""The disk of the state directory. What is acknowledged is on it, so a server that it refuses a write ends."""

from __future__ import annotations

import errno
import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger("local_aws.disk")


class NotWritten(BaseException):
    """What a call was to leave on the disk is not there, so that it must not be answered as if it were.

    It is no Exception, since MiniStack catches each of those and goes on.
    """


class Disk:
    """The disk that a server's state is on.

    Attributes:
        directory: the state directory.
        refusal: one sentence about the first write that failed.
        stop: called then. It ends the server.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.refusal: str | None = None
        self.stop: Callable[[], None] = lambda: None

    def refuse(self, error: OSError | sqlite3.Error) -> None:
        """End the server, once, after a write has failed, and say why."""
        if self.refusal:
            return
        full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or (
            getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        )
        if full:
            self.refusal = (
                f"The disk that holds {self.directory} is full, so the embedded AWS has ended. Make room on it, then "
                "start the embedded AWS again with the same state directory."
            )
        else:
            self.refusal = f"The embedded AWS has ended, since it can't write to {self.directory}: {error}."
        log.critical(self.refusal)
        self.stop()
