"""What a container image stands for on this machine, and the environment a job's process is born with.

| image (last part of its name)              | runs                                                           |
|--------------------------------------------|----------------------------------------------------------------|
| aws-cli                                    | the installed AWS CLI, with the image's entrypoint `aws`       |
| python, sagemaker-distribution             | this Python for `python` and `python3`; other commands by PATH |
| any other, when a Docker engine answers    | `docker run`                                                   |
| any other                                  | CannotPullContainerError                                       |
"""

from __future__ import annotations

import os
import shutil
import sys
from functools import lru_cache
from pathlib import Path

from local_aws.batch.definitions import Spec
from local_aws.batch.jobs import Job

PYTHON_IMAGES = ("python", "sagemaker-distribution")
AWS_CLI_IMAGES = ("aws-cli",)
# A container's search path, with this Python before the system's.
SEARCH_PATH = os.pathsep.join((str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"))


def image_name(image: str) -> str:
    """The last part of an image's name, without tag and digest."""
    return image.partition("@")[0].rsplit("/", 1)[-1].partition(":")[0]


def runs_here(image: str) -> bool:
    """Whether a process of this machine stands in for the image."""
    return image_name(image) in AWS_CLI_IMAGES + PYTHON_IMAGES


def process_argv(spec: Spec) -> list[str]:
    """The command line of a job whose image runs here.

    Raises:
        FileNotFoundError: the command is no program on a container's search path.
    """
    command = spec.container["command"]
    if image_name(spec.container["image"]) in AWS_CLI_IMAGES:
        return [sys.executable, "-m", "awscli", *command]
    if not command or command[0] in ("python", "python3"):
        return [sys.executable, *command[1:]]
    return [_program(command[0]), *command[1:]]


@lru_cache
def _program(name: str) -> str:
    program = shutil.which(name, path=SEARCH_PATH)
    if program is None:  # which is not remembered
        raise FileNotFoundError(name)
    return program


def docker_argv(docker: str, spec: Spec, name: str, environment: dict[str, str]) -> list[str]:
    """`docker run` for a job; the values of its environment are inherited, not shown on the command line."""
    argv = [docker, "run", "--rm", "--name", name, "--network", "host", "--pull", "never"]
    argv += ["--cpus", str(spec.vcpus), "--memory", f"{spec.memory}m"]
    if spec.container.get("linuxParameters", {}).get("initProcessEnabled"):
        argv.append("--init")
    for variable in environment:
        argv += ["--env", variable]
    return [*argv, spec.container["image"], *spec.container["command"]]


def job_environment(job: Job, compute_environment: str, endpoint_url: str, region: str) -> dict[str, str]:
    """What a container sees: its definition's variables, those of Batch, and where AWS is. Nothing of the server's.

    https://docs.aws.amazon.com/batch/latest/userguide/job_env_vars.html
    """
    environment = {
        "AWS_BATCH_CE_NAME": compute_environment,
        "AWS_BATCH_JOB_ATTEMPT": str(len(job.attempts) + 1),
        "AWS_BATCH_JOB_ID": job.id,
        "AWS_BATCH_JQ_NAME": job.queue.name,
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    if job.parent is not None:
        environment["AWS_BATCH_JOB_ARRAY_INDEX"] = str(job.index)
        environment["AWS_BATCH_JOB_ARRAY_SIZE"] = str(job.parent.size)
    return environment | job.spec.environment


def process_environment(environment: dict[str, str], directory: str, key: str) -> dict[str, str]:
    """The environment of a process that stands in for a container: what an image would have set comes first."""
    return {
        "PATH": SEARCH_PATH,
        "LANG": "C.UTF-8",
        "HOME": directory,
        "TMPDIR": directory,
        **environment,
        "LOCAL_AWS_ATTEMPT": key,  # by which the supervisor knows a job's daemons
    }
