"""Single processes that stand for containers, each started, awaited and ended by one caller."""

from __future__ import annotations

import asyncio
import shutil
import signal
from pathlib import Path

from local_aws import clock
from local_aws.containers.link import Link

STOP_SECONDS = 30  # between SIGTERM and SIGKILL
NOT_EXECUTABLE = 127  # as a shell reports it
KILLED = 128 + signal.SIGKILL


class Container:
    """One process and all that it starts. They end with the server.

    Attributes:
        lines: what it printed, each line with its time in milliseconds since the epoch.
        exit_code: done when it has ended.
    """

    def __init__(self, key: str, link: Link) -> None:
        self.key, self._link = key, link
        self.lines: list[tuple[int, str]] = []
        self.exit_code: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def wait(self, seconds: float) -> int | None:
        """Wait for its end. Returns its exit code, or None when it took longer and was ended."""
        try:
            return await asyncio.wait_for(asyncio.shield(self.exit_code), seconds)
        except TimeoutError:
            await self.kill()
            return None

    def terminate(self) -> None:
        """SIGTERM to the first process now, SIGKILL to all that is left 30 seconds later."""
        self._link.order(("signal", self.key, int(signal.SIGTERM), False))
        asyncio.get_running_loop().call_later(STOP_SECONDS, self._kill)

    async def kill(self) -> None:
        """End it at once."""
        self._kill()
        await self.exit_code

    def _kill(self) -> None:
        if not self.exit_code.done():
            self._link.order(("kill", self.key))


class Containers:
    """The containers of one service, behind one supervisor, which is started with the first of them.

    Args:
        directory: below which each container gets a working directory while it runs.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._running: dict[str, Container] = {}
        self._link: Link | None = None
        self._opening = asyncio.Lock()

    async def start(self, key: str, argv: list[str], environment: dict[str, str]) -> Container:
        """Start a command. One that can't be executed ends with 127 and says so in its lines.

        Args:
            key: the container's name among those of this service.
            environment: all that its process sees.
        """
        async with self._opening:
            if self._link is None:
                self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
                link = Link(self.directory, self._report, self._supervisor_died)
                await link.open()
                self._link = link
        container = self._running[key] = Container(key, self._link)
        program = argv[0] if "/" in argv[0] else shutil.which(argv[0], path=environment["PATH"])
        if program is None:
            self._report(("failed", key, f"{argv[0]}: No such file or directory", clock.milliseconds()))
        else:
            seen = {**environment, "LOCAL_AWS_ATTEMPT": key}  # by which the supervisor knows its daemons
            self._link.order(("start", key, [program, *argv[1:]], seen, str(self.directory / key), None))
        return container

    async def close(self) -> None:
        """End every container."""
        if self._link:
            await self._link.close()

    def _report(self, report: tuple) -> None:
        kind, key = report[0], report[1]
        container = self._running.get(key)
        if container is None:
            return
        if kind == "output":
            container.lines += [(report[2], line) for line in report[3]]
        elif kind == "ended":
            self._end(container, report[2])
        elif kind == "failed":
            container.lines.append((report[3], report[2]))
            self._end(container, NOT_EXECUTABLE)

    def _end(self, container: Container, code: int) -> None:
        del self._running[container.key]
        if not container.exit_code.done():
            container.exit_code.set_result(code)

    def _supervisor_died(self, _: Link) -> None:
        for container in list(self._running.values()):
            self._end(container, KILLED)
