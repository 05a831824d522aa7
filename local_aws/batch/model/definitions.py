"""What AWS Batch checks when a job definition is registered, and how it shows it.

https://docs.aws.amazon.com/batch/latest/userguide/job_definition_parameters.html
"""

from __future__ import annotations

import json
import platform
import re
from typing import Any

from local_aws.batch.model import checks, members, requirements
from local_aws.batch.model.errors import client_error, not_covered, rejected

MAX_DEFINITION_BYTES = 24 * 1024
ARM_MACHINES = ("arm64", "aarch64")
ROOT = ("0", "root", "0:0", "root:root")  # the user that images have when they name none


def machine() -> str:
    """The architecture of this machine as ECS calls it."""
    return "ARM64" if platform.machine().lower() in ARM_MACHINES else "X86_64"


def checked_definition(params: dict[str, Any]) -> dict[str, Any]:
    """The members of a JobDefinition that a RegisterJobDefinition request asks for.

    Raises:
        ApiError: ClientException for what AWS refuses, and for what the embedded AWS does not cover.
    """
    checks.check_name(params["jobDefinitionName"], "jobDefinitionName")
    if len(json.dumps(params, separators=(",", ":"))) > MAX_DEFINITION_BYTES:
        raise client_error("A job definition can have at most 24 KiB.")
    capabilities = params.get("platformCapabilities", [])
    if len(capabilities) > 1:
        raise client_error("platformCapabilities takes one value, EC2 or FARGATE.")
    fargate = capabilities == ["FARGATE"]
    if "containerProperties" in params:
        _check_platform(params["containerProperties"], fargate)
    members.check("RegisterJobDefinition", params)
    if params["type"] != "container":
        raise not_covered("multi-node parallel jobs (type multinode)")
    if capabilities == ["MANAGED_INSTANCES"]:
        raise not_covered("Amazon ECS Managed Instances (platformCapabilities)")
    if "containerProperties" not in params:
        raise client_error("A job definition of type container needs containerProperties.")
    checks.check_retry_strategy(params.get("retryStrategy"))
    checks.check_timeout(params.get("timeout", {}))
    checks.check_scheduling_priority(params.get("schedulingPriority"))
    checks.check_tags(params.get("tags", {}))
    # As recorded of AWS, propagateTags, platformCapabilities and retryStrategy are shown only when they were given.
    definition = {
        "type": "container",
        "parameters": params.get("parameters", {}),
        "containerProperties": _checked_container(params["containerProperties"], fargate),
        "containerOrchestrationType": "ECS",
        "tags": dict(params.get("tags", {})),
    }
    for optional in ("schedulingPriority", "timeout", "propagateTags"):
        if optional in params:
            definition[optional] = params[optional]
    if capabilities:
        definition["platformCapabilities"] = capabilities
    if "retryStrategy" in params:
        definition["retryStrategy"] = checks.described_retry_strategy(params["retryStrategy"])
    return definition


def _check_platform(container: dict[str, Any], fargate: bool) -> None:
    """What only the other kind of compute environment has."""
    if not fargate:
        for member in ("networkConfiguration", "fargatePlatformConfiguration", "ephemeralStorage"):
            if member in container:
                raise rejected(f"{member} not applicable for EC2.")
        return
    for member in ("privileged", "ulimits"):
        if container.get(member):
            raise client_error(f"{member} is not applicable for Fargate.")
    for member in ("devices", "sharedMemorySize", "tmpfs", "maxSwap", "swappiness"):
        if container.get("linuxParameters", {}).get(member):
            raise client_error(f"linuxParameters.{member} is not applicable for Fargate.")
    if any("host" in volume for volume in container.get("volumes", [])):
        raise client_error("A volume's host is not applicable for Fargate.")
    if not container.get("executionRoleArn"):
        raise client_error("executionRoleArn is required for jobs on Fargate resources.")
    if not 21 <= container.get("ephemeralStorage", {}).get("sizeInGiB", 21) <= 200:
        raise client_error("ephemeralStorage.sizeInGiB must be between 21 and 200.")


def _checked_container(container: dict[str, Any], fargate: bool) -> dict[str, Any]:
    if not container.get("image"):
        raise client_error("containerProperties must have an image.")
    if not re.fullmatch(r"[A-Za-z0-9_.:/#@-]{1,255}", container["image"]):
        raise client_error(f"The image {container['image']!r} is not valid.")
    checks.check_command(container.get("command", []))
    checks.check_environment(container.get("environment", []))
    for member in ("jobRoleArn", "executionRoleArn"):
        if member in container and not re.fullmatch(r"arn:[\w-]+:iam::\d{12}:role/[\w+=,.@/-]+", container[member]):
            raise client_error(f"{member} {container[member]!r} is not the ARN of a role.")
    if container.get("user", "root") not in ROOT:
        raise not_covered("another user than root (containerProperties.user)")
    _check_runtime(container.get("runtimePlatform", {}))
    requirements.check_resources(container, fargate)
    if "logConfiguration" in container:
        _check_log_configuration(container["logConfiguration"], fargate)
    return _described_container(container, fargate)


def _check_runtime(platform: dict[str, Any]) -> None:
    """A job is a process of this machine. What its image would have run on an x86 machine runs on any."""
    if platform.get("operatingSystemFamily", "LINUX") != "LINUX":
        raise not_covered("Windows containers (runtimePlatform.operatingSystemFamily)")
    architecture = platform.get("cpuArchitecture", "X86_64")
    if architecture not in ("X86_64", "ARM64"):
        raise client_error("runtimePlatform.cpuArchitecture must be X86_64 or ARM64.")
    if architecture == "ARM64" != machine():
        raise not_covered("ARM64 on this machine, which is X86_64 (runtimePlatform.cpuArchitecture)")


def _check_log_configuration(log: dict[str, Any], fargate: bool) -> None:
    driver = log["logDriver"]
    if fargate and driver not in ("awslogs", "splunk"):
        raise client_error(f"The log driver {driver} is not supported on Fargate. Use awslogs or splunk.")
    if driver != "awslogs":
        raise not_covered(f"a log driver other than awslogs, such as {driver}")
    for option in log.get("options", {}):
        if option not in members.LOG_OPTIONS:
            raise not_covered(f"the awslogs option {option}")


def _described_container(container: dict[str, Any], fargate: bool) -> dict[str, Any]:
    """A container as Batch shows it: with empty lists for what it lacks, and without variables that have no value.

    https://github.com/hashicorp/terraform-provider-aws/pull/29820
    """
    lists = ("command", "volumes", "environment", "mountPoints", "ulimits", "resourceRequirements", "secrets")
    shown: dict[str, Any] = {**{name: [] for name in lists}, **container}
    shown["environment"] = [variable for variable in shown["environment"] if variable.get("value")]
    if "logConfiguration" in container:
        shown["logConfiguration"] = {"options": {}, "secretOptions": [], **container["logConfiguration"]}
    if "linuxParameters" in container:
        shown["linuxParameters"] = {"devices": [], "tmpfs": [], **container["linuxParameters"]}
    if fargate:
        shown = {"fargatePlatformConfiguration": {"platformVersion": "LATEST"}, **shown}
    return shown
