"""The process that stands for a processing job's container."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

from local_aws.pipelines.execution.failures import StepFailed
from local_aws.pipelines.processing.job_files import relocate

KILL_AFTER_SECONDS = 30  # AWS waits 120
WARDEN = Path(__file__).with_name("warden.py")
# The variables a script may see of this machine's; everything else is the job's own.
_INHERITED = ("LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "SSL_CERT_FILE")


class JobProcess:
    """One job's process and all that it starts, which end with the server."""

    def __init__(self, process: asyncio.subprocess.Process, lifeline: int) -> None:
        self._process, self._lifeline = process, lifeline

    @classmethod
    async def start(cls, command: list[str], environment: dict[str, str], place: Path, log: Path) -> JobProcess:
        """Start a command.

        Args:
            place: the directory it begins in.
            log: the file that gets what it prints.
        """
        watched, ours = os.pipe()
        with log.open("wb") as output:
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-I", str(WARDEN), str(watched), *command, cwd=place, env=environment,
                    stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=asyncio.subprocess.STDOUT,
                    start_new_session=True, pass_fds=(watched,),
                )  # fmt: skip
            finally:
                os.close(watched)
        return cls(process, ours)

    async def wait(self, seconds: float) -> int | None:
        """Wait for its end; its exit code, or None when it took longer and was ended."""
        timed_out = False
        try:
            async with asyncio.timeout(seconds):
                await self._process.wait()
        except TimeoutError:
            timed_out = True
        finally:
            self._signal(signal.SIGKILL)  # a container ends with its first process
            os.close(self._lifeline)
        await self._process.wait()
        return None if timed_out else self._process.returncode

    def terminate(self) -> None:
        """SIGTERM now, SIGKILL when it has not ended after 30 seconds."""
        self._signal(signal.SIGTERM)
        asyncio.get_running_loop().call_later(KILL_AFTER_SECONDS, self._signal, signal.SIGKILL)

    async def kill(self) -> None:
        """End it at once."""
        self._signal(signal.SIGKILL)
        await self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


def command_of(record: dict[str, Any], place: Path) -> list[str]:
    """A job's command line on this machine.

    Raises:
        StepFailed: it has none.
    """
    application = record["AppSpecification"]
    command = [*application.get("ContainerEntrypoint", []), *application.get("ContainerArguments", [])]
    if not command:
        raise StepFailed("ClientError: The image has no entrypoint of its own here; give a ContainerEntrypoint.")
    command = [relocate(str(part), place) for part in command]
    if Path(command[0]).name in ("python", "python3"):
        command[0] = sys.executable
    return command


def environment_of(record: dict[str, Any], credentials: Any, place: Path, endpoint_url: str) -> dict[str, str]:
    """A job's environment: its own variables, its role's credentials, where AWS is, and little of this machine's."""
    region = record["ProcessingJobArn"].split(":")[3]
    given = {key: relocate(str(value), place) for key, value in (record.get("Environment") or {}).items()}
    return {
        **{name: os.environ[name] for name in _INHERITED if name in os.environ},
        # This environment's python3 first: an entrypoint may be a shell script that calls it.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        # What a job installs is its own, and gone with it.
        "PIP_TARGET": str(place / ".packages"),
        "PYTHONPATH": str(place / ".packages"),
        **given,
        "HOME": str(place),
        "PYTHONUNBUFFERED": "1",
        "PROCESSING_JOB_ARN": record["ProcessingJobArn"],
        "AWS_ACCESS_KEY_ID": credentials.access_key_id,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key,
        "AWS_SESSION_TOKEN": credentials.session_token,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
