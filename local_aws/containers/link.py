"""The connection to one supervisor, the process that owns job processes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import marshal
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger("local_aws.containers")

CLOSE_SECONDS = 10
TURN_SECONDS = 0.01  # of reports, before others get their turn
SYSTEM_FOLDERS = ("/usr/local/bin", "/usr/bin", "/bin")


def search_path(programs: Path) -> str:
    """A container's search path: the folder with its Python, before the system's."""
    return os.pathsep.join((str(programs), *SYSTEM_FOLDERS))


SEARCH_PATH = search_path(Path(sys.executable).parent)


class Link:
    """The connection to one supervisor: what is ordered in one turn of the loop goes out as one frame."""

    def __init__(self, directory: Path, on_report: Callable[[tuple], None], on_death: Callable[[Link], None]) -> None:
        """Args:
        directory: where jobs get theirs.
        on_report: called with each report.
        on_death: called when the supervisor has died and another one is there.
        """
        self.directory, self.on_report, self.on_death = directory, on_report, on_death
        self.load = 0  # attempts it has been given that have not ended
        self._orders: list[tuple] = []
        self._closing = False
        self._pause_at = 0.0
        self._listener: asyncio.Task | None = None

    async def open(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            # Nothing of the server's environment: what a job is to see is sent with it.
            self._process = subprocess.Popen(
                [sys.executable, "-I", str(Path(__file__).with_name("supervisor.py")), str(theirs.fileno())],
                pass_fds=[theirs.fileno()], env={"PATH": SEARCH_PATH}, stdin=subprocess.DEVNULL,
                cwd=self.directory, start_new_session=True,
            )  # fmt: skip
        reader, self._writer = await asyncio.open_connection(sock=ours, limit=1 << 20)
        self._listener = asyncio.create_task(self._listen(reader))

    async def close(self) -> None:
        self._closing = True
        self._writer.close()
        if self._listener:
            self._listener.cancel()
        try:
            await asyncio.to_thread(self._process.wait, CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def order(self, order: tuple) -> None:
        if not self._orders:
            asyncio.get_running_loop().call_soon(self._send)
        self._orders.append(order)

    def _send(self) -> None:
        body = marshal.dumps(self._orders)
        self._orders = []
        self._writer.write(struct.pack("!I", len(body)) + body)

    async def _handle(self, reports: list[tuple]) -> None:
        """See to reports for a moment at a time: what is read already is handed over without a pause of the loop."""
        for report in reports:
            if time.monotonic() > self._pause_at:
                await asyncio.sleep(0)
                self._pause_at = time.monotonic() + TURN_SECONDS
            try:
                self.on_report(report)
            except Exception:  # a bug of ours must not stop every other job
                log.exception("A report of the supervisor could not be handled: %r", report[:2])

    async def read(self, reader: asyncio.StreamReader) -> None:
        """Hand over the supervisor's reports until its connection ends."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                (length,) = struct.unpack("!I", await reader.readexactly(4))
                await self._handle(marshal.loads(await reader.readexactly(length)))

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        await self.read(reader)
        if not self._closing:
            log.error("The supervisor of some jobs died. Its jobs end, and a new one is started.")
            await asyncio.to_thread(self._process.wait)
            await self.open()
            self.on_death(self)
