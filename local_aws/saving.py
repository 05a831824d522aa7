"""MiniStack's state is saved every two seconds, when something has changed, while the server goes on answering."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable

from local_aws.disk import Disk

log = logging.getLogger("local_aws.saving")

SECONDS = 2  # between two saves
SAVE_SECONDS = 120  # a save that takes longer is given up, and tried again


class Saver:
    """Saves while it runs, and once more at the end.

    Args:
        fork: begins a save in another process, and returns the process's id (`ministack.fork_save`).
        disk: gets what the system refused.
    """

    def __init__(self, fork: Callable[[], int], disk: Disk) -> None:
        self._fork, self._disk = fork, disk
        self.changed = False
        self._task: asyncio.Task | None = None
        self._closing, self._wake = False, asyncio.Event()

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Save what has changed since, after the save that is under way."""
        if self._task:
            self._closing = self.changed = True  # jobs' lines come without a request
            self._wake.set()
            await self._task

    async def _run(self) -> None:
        last = False
        while not last:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), SECONDS)
            last = self._closing
            if self.changed and not self._disk.refusal:
                self.changed = False
                self.changed = not await self._save() or self.changed

    async def _save(self) -> bool:
        """Save the state as it is now. Returns whether that succeeded."""
        begun = time.monotonic()
        try:
            pid = self._fork()
        except OSError as error:  # such as too many processes
            log.error("MiniStack's state could not be saved: %s. It is tried again.", error)
            return False
        while (ended := os.waitpid(pid, os.WNOHANG))[0] == 0:
            if time.monotonic() - begun > SAVE_SECONDS:
                os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.02)
        code = os.waitstatus_to_exitcode(ended[1])
        if code > 1:
            self._disk.refuse(OSError(code, os.strerror(code)))
        elif code:
            log.error("MiniStack's state could not be saved (exit status %s). It is tried again.", code)
        return code == 0
