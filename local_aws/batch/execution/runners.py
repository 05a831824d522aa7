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

from local_aws.batch.model.submissions import Spec
from local_aws.batch.state.jobs import Job
from local_aws.containers.link import SEARCH_PATH

PYTHON_IMAGES = ("python", "sagemaker-distribution")
AWS_CLI_IMAGES = ("aws-cli",)
# Where these images have their Python. There this one stands in for it.
PYTHON_FOLDERS = ("/usr/local/bin", "/opt/conda/bin")


def image_name(image: str) -> str:
    """The last part of an image's name, without tag and digest."""
    return image.partition("@")[0].rsplit("/", 1)[-1].partition(":")[0]


def runs_here(image: str) -> bool:
    """Whether a process of this machine stands in for the image."""
    return image_name(image) in AWS_CLI_IMAGES + PYTHON_IMAGES


def process_argv(spec: Spec, environment: dict[str, str]) -> list[str]:
    """The command line of a job whose image runs here.

    A PATH of the job's environment is where a container's runtime looks for the command.

    Raises:
        FileNotFoundError: the command is no program on the job's search path.
    """
    command = spec.container["command"]
    if image_name(spec.container["image"]) in AWS_CLI_IMAGES:
        return [sys.executable, "-m", "awscli", *command]
    return [_program(command[0] if command else "python", environment.get("PATH")), *command[1:]]


@lru_cache
def _program(name: str, path: str | None) -> str:
    for folder in (path or os.pathsep.join((*PYTHON_FOLDERS, SEARCH_PATH))).split(os.pathsep):
        if name in ("python", "python3") and folder in PYTHON_FOLDERS:
            return sys.executable
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
