"""What a container image stands for on this machine, and the environment a job's process is born with.

| image (last part of its name)              | runs                                                           |
|--------------------------------------------|----------------------------------------------------------------|
| one that is mapped (local_aws/images.py)   | the Python environment that it is mapped to                    |
| aws-cli                                    | the installed AWS CLI, with the image's entrypoint `aws`       |
| python, sagemaker-distribution             | this Python for `python` and `python3`; other commands by PATH |
| any other, when a Docker engine answers    | `docker run`                                                   |
| any other                                  | CannotPullContainerError                                       |
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from local_aws.batch.model.submissions import Spec
from local_aws.batch.state.jobs import Job
from local_aws.containers.link import SEARCH_PATH, search_path
from local_aws.images import environment_of, file_of

PYTHON_IMAGES = ("python", "sagemaker-distribution")
AWS_CLI_IMAGES = ("aws-cli",)
# Where these images have their Python. There this one stands in for it.
PYTHON_FOLDERS = ("/usr/local/bin", "/opt/conda/bin")
PYTHON_PROGRAMS = [Path(folder, name) for folder in PYTHON_FOLDERS for name in ("python", "python3")]


def image_name(image: str) -> str:
    """The last part of an image's name, without tag and digest."""
    return image.partition("@")[0].rsplit("/", 1)[-1].partition(":")[0]


def runs_here(image: str, images: Mapping[str, Path]) -> bool:
    """Whether a process of this machine stands in for the image.

    Args:
        images: folders of the environments that images are mapped to.
    """
    return environment_of(images, image) is not None or image_name(image) in AWS_CLI_IMAGES + PYTHON_IMAGES


def process_argv(spec: Spec, environment: dict[str, str], images: Mapping[str, Path]) -> list[str]:
    """The command line of a job whose image runs here.

    A PATH of the job's environment is where a container's runtime looks for the command.

    Raises:
        FileNotFoundError: the command is no program on the job's search path, or a mapped image's job has none.
    """
    command, path = spec.container["command"], environment.get("PATH")
    if folder := environment_of(images, spec.container["image"]):
        return _mapped_argv(command, path, folder)
    if image_name(spec.container["image"]) in AWS_CLI_IMAGES:
        return [sys.executable, "-m", "awscli", *command]
    path = path or os.pathsep.join((*PYTHON_FOLDERS, SEARCH_PATH))
    return [_program(command[0] if command else "python", path, sys.executable), *command[1:]]


def _mapped_argv(command: list[str], path: str | None, folder: Path) -> list[str]:
    """The command line in an environment that stands for an image, and may have the image's files."""
    if not command:
        raise FileNotFoundError("the job has none, and the CMD of the image is not known here")
    python = folder / "bin" / "python"
    words = [file_of(folder, word) for word in command]
    return [_program(words[0], path or search_path(python.parent), str(python)), *words[1:]]


@lru_cache
def _program(name: str, path: str, python: str) -> str:
    """The program of this name. `python` stands for the Python that an image has in one of PYTHON_FOLDERS."""
    for folder in path.split(os.pathsep):
        if Path(folder, name) in PYTHON_PROGRAMS:
            return python
        if program := shutil.which(name, path=folder):
            return program
    raise FileNotFoundError(name)  # which is not remembered


def docker_argv(docker: str, spec: Spec, name: str, environment: dict[str, str]) -> list[str]:
    """`docker run` for a job; the values of its environment are inherited, not shown on the command line."""
    argv = [docker, "run", "--rm", "--name", name, "--network", "host", "--pull", "never"]
    argv += ["--cpus", str(spec.vcpus), "--memory", f"{spec.memory}m"]
    if spec.container.get("linuxParameters", {}).get("initProcessEnabled"):
        argv.append("--init")
    if spec.container.get("privileged"):
        argv.append("--privileged")
    if user := spec.container.get("user"):
        argv += ["--user", user]
    for limit in spec.container["ulimits"]:
        argv += ["--ulimit", f"{limit['name']}={limit['softLimit']}:{limit['hardLimit']}"]
    for variable in environment:
        argv += ["--env", variable]
    return [*argv, spec.container["image"], *spec.container["command"]]


def job_environment(job: Job, compute_environment: str, endpoint_url: str, region: str) -> dict[str, str]:
    """What a container sees: its definition's variables, those of Batch and ECS, and where AWS is.

    Of what ECS sets, ECS_CONTAINER_METADATA_URI_V4 and ECS_AGENT_URI are missing, since nothing would answer there.
    https://docs.aws.amazon.com/batch/latest/userguide/job_env_vars.html
    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4-fargate.html
    """
    environment = {
        "AWS_BATCH_CE_NAME": compute_environment,
        "AWS_BATCH_JOB_ATTEMPT": str(len(job.attempts) + 1),
        "AWS_BATCH_JOB_ID": job.id,
        "AWS_BATCH_JQ_NAME": job.queue.name,
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_EXECUTION_ENV": "AWS_ECS_FARGATE" if job.spec.fargate else "AWS_ECS_EC2",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    if job.parent is not None:
        environment["AWS_BATCH_JOB_ARRAY_INDEX"] = str(job.index)
        environment["AWS_BATCH_JOB_ARRAY_SIZE"] = str(job.parent.size)
    return environment | job.spec.environment


def process_environment(
    environment: dict[str, str], directory: str, key: str, mapped: Path | None = None
) -> dict[str, str]:
    """The environment of a process that stands in for a container: what an image would have set comes first.

    Args:
        mapped: folder of the Python environment that the image is mapped to.
    """
    packages = f"{directory}/.packages"  # what a job installs in a mapped environment is its own, and gone with it
    return {
        **({"PIP_TARGET": packages, "PYTHONPATH": packages} if mapped else {}),
        "PATH": search_path(mapped / "bin") if mapped else SEARCH_PATH,
        "LANG": "C.UTF-8",
        "HOME": directory,
        "TMPDIR": directory,
        **environment,
        "LOCAL_AWS_ATTEMPT": key,  # by which the supervisor knows a job's daemons
    }
