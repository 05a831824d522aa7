"""The command and the environment with which a processing job's container runs on this machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from local_aws.images import file_of
from local_aws.pipelines.execution.failures import StepFailed
from local_aws.pipelines.processing.job_files import relocate

# The variables a script may see of this machine's; everything else is the job's own.
_INHERITED = ("LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "SSL_CERT_FILE")


def command_of(record: dict[str, Any], place: Path, mapped: Path | None) -> list[str]:
    """A job's command line on this machine.

    Args:
        mapped: folder of the Python environment that the job's image is mapped to.

    Raises:
        StepFailed: it has none.
    """
    application = record["AppSpecification"]
    command = [*application.get("ContainerEntrypoint", []), *application.get("ContainerArguments", [])]
    if not command:
        raise StepFailed("ClientError: The image's entrypoint is not known here. Give a ContainerEntrypoint.")
    command = [relocate(str(part), place) for part in command]
    if mapped:
        command = [file_of(mapped, word) for word in command]
    if Path(command[0]).name in ("python", "python3"):
        command[0] = str(mapped / "bin" / "python") if mapped else sys.executable
    return command


def environment_of(
    record: dict[str, Any], credentials: Any, place: Path, endpoint_url: str, mapped: Path | None
) -> dict[str, str]:
    """A job's environment has its variables, its role's credentials, AWS's address, and little of this machine's.

    Args:
        mapped: folder of the Python environment that the job's image is mapped to.
    """
    programs = mapped / "bin" if mapped else Path(sys.executable).parent
    region = record["ProcessingJobArn"].split(":")[3]
    given = {key: relocate(str(value), place) for key, value in (record.get("Environment") or {}).items()}
    return {
        **{name: os.environ[name] for name in _INHERITED if name in os.environ},
        **({"VIRTUAL_ENV": str(mapped)} if mapped else {}),
        # The environment's python3 first: an entrypoint may be a shell script that calls it.
        "PATH": os.pathsep.join([str(programs), os.environ.get("PATH", os.defpath)]),
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
