"""Images that a Docker engine runs, when one answers."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time

DOCKER_SECONDS = 30  # how long it is remembered whether a Docker engine answers


class Docker:
    """The engine of this machine, if there is one."""

    def __init__(self) -> None:
        self._answers: tuple[float, bool] = (0.0, False)  # until when it is remembered, and whether one answers

    @property
    def program(self) -> str:
        """Its path. Where it is not installed its name, which the failure to start it then shows."""
        return shutil.which("docker") or "docker"

    async def pull(self, image: str) -> str | None:
        """Make the image available to Docker. Returns why it can't be, or None."""
        program, now = shutil.which("docker"), time.monotonic()
        if now > self._answers[0]:
            answers = program is not None and (await _run(program, "version"))[0] == 0
            self._answers = (now + DOCKER_SECONDS, answers)
        if program is None or not self._answers[1]:
            return (
                f"the embedded AWS can't run {image}. No Docker engine answers, and the image is mapped to no Python "
                "environment (python -m local_aws start --image NAME=PATH)."
            )
        if (await _run(program, "image", "inspect", image))[0] == 0:
            return None
        code, output = await _run(program, "pull", "--quiet", image)
        return None if code == 0 else output


async def _run(*argv: str) -> tuple[int, str]:
    """Exit code and last line of a short command."""
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={name: value for name, value in os.environ.items() if name != "DOCKER_HOST"},
    )  # fmt: skip
    output, _ = await process.communicate()
    return await process.wait(), (output.decode(errors="replace").strip().splitlines() or [""])[-1]
