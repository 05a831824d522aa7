"""What jobs run: the job definitions of the tutorial, and one for a program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import boto3

from ..config import PYTHON_IMAGE, Config
from ..iam import retry_iam_propagation
from ..support import programs
from ..support.paging import paginate
from .matching import matches_desired
from .retry_strategies import RETRY_STRATEGIES

AWS_CLI_IMAGE = "public.ecr.aws/aws-cli/aws-cli:latest"
# SageMaker Studio's own image has Python, pandas and boto3. It suits accounts whose jobs can't reach a package index,
# and takes minutes to pull. https://github.com/aws/sagemaker-distribution
SAGEMAKER_IMAGE = "public.ecr.aws/sagemaker/sagemaker-distribution:4.4.1-cpu"
# Fargate's 20 GiB hold an image twice, packed and unpacked. Another image than the default may be too large for that.
# Up to 200 can be asked for. https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-task-storage.html
OTHER_IMAGE_GIB = 50
JOB_CODE = programs.folder("job_code")


def copy_job(config: Config, job_role: str, execution_role: str) -> dict[str, Any]:
    """The article's job definition: `aws s3 cp`, with source and target as parameters."""
    command = ["s3", "cp", "Ref::s3Input", "Ref::s3Output", "--no-progress"]
    return _definition(config, config.copy_job_definition, AWS_CLI_IMAGE, command, job_role, execution_role)


def aggregate_job(config: Config, job_role: str, execution_role: str) -> dict[str, Any]:
    """The job definition that sums up one month, with source and target as parameters."""
    program = (JOB_CODE / "aggregate.py").read_text()
    return python_job(config, program, job_role, execution_role, arguments=["Ref::s3Input", "Ref::s3Output"])


def python_job(
    config: Config,
    program: str,
    job_role: str,
    execution_role: str,
    *,
    arguments: Sequence[str] = (),
    vcpus: float = 1,
    memory_mib: int = 2048,
) -> dict[str, Any]:
    """A job definition that runs a Python program in `config.image`.

    The program travels in the command, so there is no image to build and no code to upload. Program and arguments must
    stay well below 8,192 characters: AWS may count them with the overrides of each job, which have that limit.

    Args:
        config: names the definition, its log group and its image.
        program: text of the program. It names the packages it needs in a line such as `# dependencies = ["boto3"]`, and
            job_code/run.py installs those that the image lacks.
        job_role: ARN of the role that the program has.
        execution_role: ARN of the role that pulls the image and writes the log.
        arguments: of the program, such as "Ref::s3Input" for a parameter of each job. Default: none.
        vcpus: a number that Fargate offers. Default: 1.
        memory_mib: MiB that Fargate offers with these vCPUs. Default: 2,048.

    https://docs.aws.amazon.com/batch/latest/userguide/fargate.html
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskOverride.html
    """
    command = ["python", "-c", (JOB_CODE / "run.py").read_text(), program, *arguments]
    definition = _definition(
        config, config.aggregate_job_definition, config.image, command, job_role, execution_role, vcpus, memory_mib
    )
    if config.image != PYTHON_IMAGE:
        definition["containerProperties"]["ephemeralStorage"] = {"sizeInGiB": OTHER_IMAGE_GIB}
    return definition


def _definition(
    config: Config,
    name: str,
    image: str,
    command: list[str],
    job_role: str,
    execution_role: str,
    vcpus: float = 1,
    memory_mib: int = 2048,
) -> dict[str, Any]:
    return {
        "jobDefinitionName": name,
        "type": "container",
        "platformCapabilities": ["FARGATE"],
        "containerProperties": {
            "image": image,
            "command": command,
            "jobRoleArn": job_role,
            "executionRoleArn": execution_role,
            "resourceRequirements": [
                {"type": "VCPU", "value": f"{vcpus:g}"},
                {"type": "MEMORY", "value": str(memory_mib)},
            ],
            "networkConfiguration": {"assignPublicIp": "ENABLED"},  # to reach the image and S3 from a default VPC
            "runtimePlatform": {"operatingSystemFamily": "LINUX", "cpuArchitecture": "X86_64"},
            "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": config.job_log_group}},
        },
        "retryStrategy": RETRY_STRATEGIES["FARGATE"],
        "timeout": {"attemptDurationSeconds": 600},
        "propagateTags": True,
        "tags": config.tags,
    }


def ensure_job_definition(session: boto3.Session, definition: dict[str, Any]) -> str:
    """Register a job definition, unless its newest active revision says the same already.

    Args:
        definition: what RegisterJobDefinition takes.

    Returns:
        The ARN, with its revision.

    https://docs.aws.amazon.com/batch/latest/userguide/job_definitions.html
    """
    batch = session.client("batch")
    name = definition["jobDefinitionName"]
    active = [
        revision
        for page in paginate(batch, "describe_job_definitions", jobDefinitionName=name, status="ACTIVE")
        for revision in page["jobDefinitions"]
    ]
    if active:
        newest = max(active, key=lambda revision: revision["revision"])
        if matches_desired(newest, definition):
            return newest["jobDefinitionArn"]

    @retry_iam_propagation()
    def register() -> str:
        return batch.register_job_definition(**definition)["jobDefinitionArn"]

    return register()
