"""Job definitions: what AWS Batch checks when one is registered, and what a job makes of it when it is submitted.

https://docs.aws.amazon.com/batch/latest/userguide/job_definition_parameters.html
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from local_aws.protocol import ApiError

MAX_DEFINITION_BYTES = 24 * 1024
MAX_OVERRIDES_CHARACTERS = 8192
MAX_RETRY_RULES = 5

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")

# MiB of memory that Fargate offers with each number of vCPUs.
# https://docs.aws.amazon.com/batch/latest/APIReference/API_ResourceRequirement.html
FARGATE_MEMORY: dict[float, range | tuple[int, ...]] = {
    0.25: (512, 1024, 2048),
    0.5: range(1024, 4096 + 1, 1024),
    1: range(2048, 8192 + 1, 1024),
    2: range(4096, 16384 + 1, 1024),
    4: range(8192, 30720 + 1, 1024),
    8: range(16384, 61440 + 1, 4096),
    16: range(32768, 122880 + 1, 8192),
    32: (61440, 122880, 249856),
}

# What neither a process nor MiniStack can do for a job: the definition is refused rather than run wrong.
_NOT_COVERED = {
    "eksProperties": "jobs on Amazon EKS",
    "nodeProperties": "multi-node parallel jobs",
    "ecsProperties": "jobs of several containers",
    "consumableResourceProperties": "consumable resources",
}
_NOT_COVERED_IN_CONTAINER = {
    "volumes": "volumes",
    "mountPoints": "volumes",
    "secrets": "secrets",
    "repositoryCredentials": "private registries",
    "ulimits": "ulimits",
    "user": "another user",
}


def client_error(message: str) -> ApiError:
    """Batch's one code for everything a caller does wrong."""
    return ApiError("ClientException", message)


def not_covered(what: str) -> ApiError:
    """AWS can; the embedded AWS can't, and says so instead of ignoring the request."""
    return client_error(f"The embedded AWS does not cover {what}; AWS Batch does.")


def check_name(name: str, kind: str) -> None:
    if not NAME.fullmatch(name):
        raise client_error(
            f"{kind} {name!r} is not valid: up to 128 letters, numbers, hyphens and underscores, beginning with a "
            "letter or number."
        )


# --- checks that job definitions and submissions share ---------------------------------------------------------------


def check_retry_strategy(strategy: dict[str, Any]) -> None:
    """https://docs.aws.amazon.com/batch/latest/APIReference/API_RetryStrategy.html"""
    attempts = strategy.get("attempts")
    rules = strategy.get("evaluateOnExit", [])
    if attempts is not None and not 1 <= attempts <= 10:
        raise client_error("retryStrategy.attempts must be between 1 and 10.")
    if rules and attempts is None:
        raise client_error("retryStrategy.evaluateOnExit needs retryStrategy.attempts too.")
    if len(rules) > MAX_RETRY_RULES:
        raise client_error(f"retryStrategy.evaluateOnExit takes at most {MAX_RETRY_RULES} rules.")
    for rule in rules:
        if rule["action"].upper() not in ("RETRY", "EXIT"):
            raise client_error("evaluateOnExit.action must be RETRY or EXIT.")
        patterns = {name: rule[name] for name in ("onStatusReason", "onReason", "onExitCode") if name in rule}
        if not patterns:
            raise client_error("A rule of evaluateOnExit needs onStatusReason, onReason or onExitCode.")
        for name, pattern in patterns.items():
            allowed = r"[0-9]*\*?" if name == "onExitCode" else r"[A-Za-z0-9.:\s]*\*?"
            if not pattern or len(pattern) > 512 or not re.fullmatch(allowed, pattern):
                raise client_error(
                    f"evaluateOnExit.{name} {pattern!r} is not valid: up to 512 "
                    + ("digits" if name == "onExitCode" else "letters, numbers, periods, colons and white space")
                    + ", with one asterisk at most, at the end."
                )


def check_timeout(timeout: dict[str, Any]) -> None:
    """https://docs.aws.amazon.com/batch/latest/userguide/job_timeouts.html"""
    if timeout.get("attemptDurationSeconds", 60) < 60:
        raise client_error("timeout.attemptDurationSeconds must be at least 60.")


def check_command(command: list[str]) -> None:
    if any(word == "" for word in command):
        raise client_error("command can't contain an empty string.")


def check_environment(environment: list[dict[str, str]]) -> None:
    for variable in environment:
        if not variable.get("name"):
            raise client_error("An environment variable needs a name.")
        if variable["name"].startswith("AWS_BATCH"):
            raise client_error(
                f"The environment variable {variable['name']} is not valid: names that begin with AWS_BATCH are "
                "reserved for variables that AWS Batch sets."
            )


def check_scheduling_priority(priority: int | None) -> None:
    if priority is not None and not 0 <= priority <= 9999:
        raise client_error("schedulingPriority must be between 0 and 9999.")


def check_tags(tags: dict[str, str]) -> None:
    """https://docs.aws.amazon.com/batch/latest/userguide/using-tags.html"""
    for key, value in tags.items():
        if not 1 <= len(key) <= 128 or len(value) > 256:
            raise client_error(f"The tag {key!r} is not valid: keys have 1 to 128 characters, values up to 256.")
        if key.lower().startswith("aws:"):
            raise client_error(f"The tag {key!r} is not valid: keys that begin with aws: are reserved.")
    if len(tags) > 50:
        raise client_error("A resource can have at most 50 tags.")


def requirements(container: dict[str, Any]) -> dict[str, str]:
    """{"VCPU": …, "MEMORY": …, "GPU": …} of a container, from resourceRequirements or the older vcpus and memory."""
    found: dict[str, str] = {}
    for requirement in container.get("resourceRequirements", []):
        if requirement["type"] in found:
            raise client_error(f"resourceRequirements names {requirement['type']} twice.")
        found[requirement["type"]] = requirement["value"]
    for old, new in (("vcpus", "VCPU"), ("memory", "MEMORY")):
        if old in container and new not in found:
            found[new] = str(container[old])
    return found


def check_resources(container: dict[str, Any], fargate: bool) -> tuple[float, int, int]:
    """vCPUs, MiB of memory and GPUs of a container, when a compute environment of its kind can offer them."""
    wanted = requirements(container)
    for kind in ("VCPU", "MEMORY"):
        if kind not in wanted:
            raise client_error(f"containerProperties must have {kind} in resourceRequirements.")
    try:
        vcpus, memory, gpus = float(wanted["VCPU"]), int(wanted["MEMORY"]), int(wanted.get("GPU", "0"))
    except ValueError:
        raise client_error(f"The values of resourceRequirements must be numbers, not {wanted}.") from None
    if fargate:
        if gpus:
            raise client_error("GPU is not supported for jobs on Fargate resources.")
        if "vcpus" in container or "memory" in container:
            raise client_error("vcpus and memory are not supported on Fargate; use resourceRequirements.")
        if vcpus not in FARGATE_MEMORY:
            raise client_error(
                f"VCPU {wanted['VCPU']} is not valid on Fargate; use one of {', '.join(map(str, FARGATE_MEMORY))}."
            )
        if memory not in FARGATE_MEMORY[vcpus]:
            offered = FARGATE_MEMORY[vcpus]
            raise client_error(
                f"MEMORY {memory} is not valid on Fargate with VCPU {wanted['VCPU']}; "
                f"use one of {', '.join(map(str, offered))}."
            )
    else:
        if vcpus < 1 or not vcpus.is_integer():
            raise client_error(f"VCPU {wanted['VCPU']} is not valid on EC2; use a whole number of at least 1.")
        if memory < 4:
            raise client_error(f"MEMORY {memory} is not valid; a job needs at least 4 MiB.")
        if gpus < 0:
            raise client_error("GPU must be at least 0.")
    return vcpus, memory, gpus


# --- registering -----------------------------------------------------------------------------------------------------


def checked_definition(params: dict[str, Any]) -> dict[str, Any]:
    """The members of a JobDefinition that a RegisterJobDefinition request asks for.

    Raises:
        ApiError: ClientException for what AWS refuses, and for what the embedded AWS does not cover.
    """
    check_name(params["jobDefinitionName"], "jobDefinitionName")
    if len(json.dumps(params, separators=(",", ":"))) > MAX_DEFINITION_BYTES:
        raise client_error("A job definition can have at most 24 KiB.")
    for member, what in _NOT_COVERED.items():
        if member in params:
            raise not_covered(f"{what} ({member})")
    if params["type"] != "container":
        raise not_covered("multi-node parallel jobs (type multinode)")
    if "containerProperties" not in params:
        raise client_error("A job definition of type container needs containerProperties.")
    capabilities = params.get("platformCapabilities") or ["EC2"]
    if len(capabilities) != 1:
        raise client_error("platformCapabilities takes one value, EC2 or FARGATE.")
    if capabilities[0] == "MANAGED_INSTANCES":
        raise not_covered("Amazon ECS Managed Instances")
    fargate = capabilities[0] == "FARGATE"
    check_retry_strategy(params.get("retryStrategy", {}))
    check_timeout(params.get("timeout", {}))
    check_scheduling_priority(params.get("schedulingPriority"))
    check_tags(params.get("tags", {}))
    container = _checked_container(params["containerProperties"], fargate)
    definition = {
        "type": "container",
        "parameters": params.get("parameters", {}),
        "containerProperties": container,
        "platformCapabilities": capabilities,
        "containerOrchestrationType": "ECS",
        "propagateTags": params.get("propagateTags", False),
        "tags": dict(params.get("tags", {})),
    }
    for optional in ("schedulingPriority", "timeout"):
        if optional in params:
            definition[optional] = params[optional]
    if "retryStrategy" in params:
        definition["retryStrategy"] = {"evaluateOnExit": [], **params["retryStrategy"]}
    return definition


def _checked_container(container: dict[str, Any], fargate: bool) -> dict[str, Any]:
    if not container.get("image"):
        raise client_error("containerProperties must have an image.")
    if not re.fullmatch(r"[A-Za-z0-9_:./#@-]{1,255}", container["image"]):
        raise client_error(f"The image {container['image']!r} is not valid.")
    check_command(container.get("command", []))
    check_environment(container.get("environment", []))
    for member in ("jobRoleArn", "executionRoleArn"):
        if member in container and not re.fullmatch(r"arn:[\w-]+:iam::\d{12}:role/[\w+=,.@/-]+", container[member]):
            raise client_error(f"{member} {container[member]!r} is not the ARN of a role.")
    if fargate:
        _check_fargate(container)
    else:
        for member in ("networkConfiguration", "fargatePlatformConfiguration", "ephemeralStorage"):
            if member in container:
                raise client_error(f"{member} is only for jobs on Fargate resources.")
    if "instanceType" in container:
        raise client_error("instanceType is only for multi-node parallel jobs.")
    check_resources(container, fargate)
    log = container.get("logConfiguration")
    if log:
        _check_log_configuration(log, fargate)
    for member, what in _NOT_COVERED_IN_CONTAINER.items():
        if container.get(member):
            raise not_covered(f"{what} in a job ({member})")
    for member in ("privileged", "readonlyRootFilesystem", "enableExecuteCommand"):
        if container.get(member):
            raise not_covered(f"{member} in a job")
    linux = {name: value for name, value in container.get("linuxParameters", {}).items() if value not in ([], None)}
    if set(linux) - {"initProcessEnabled"}:
        raise not_covered(f"linuxParameters.{sorted(set(linux) - {'initProcessEnabled'})[0]} in a job")
    if container.get("runtimePlatform", {}).get("operatingSystemFamily", "LINUX") != "LINUX":
        raise not_covered("Windows containers")
    lists = ("command", "volumes", "environment", "mountPoints", "ulimits", "resourceRequirements", "secrets")
    defaults: dict[str, Any] = {name: [] for name in lists}
    if fargate:
        defaults["networkConfiguration"] = {"assignPublicIp": "DISABLED"}
        defaults["fargatePlatformConfiguration"] = {"platformVersion": "LATEST"}
    return {**defaults, **container}


def _check_fargate(container: dict[str, Any]) -> None:
    if not container.get("executionRoleArn"):
        raise client_error("executionRoleArn is required for jobs on Fargate resources.")
    if container.get("privileged"):
        raise client_error("privileged is not supported for jobs on Fargate resources.")
    if container.get("ulimits"):
        raise client_error("ulimits are not supported for jobs on Fargate resources.")
    for member in ("devices", "sharedMemorySize", "tmpfs", "maxSwap", "swappiness"):
        if container.get("linuxParameters", {}).get(member):
            raise client_error(f"linuxParameters.{member} is not supported for jobs on Fargate resources.")
    if any("host" in volume for volume in container.get("volumes", [])):
        raise client_error("A volume's host is not supported for jobs on Fargate resources.")
    size = container.get("ephemeralStorage", {}).get("sizeInGiB", 21)
    if not 21 <= size <= 200:
        raise client_error("ephemeralStorage.sizeInGiB must be between 21 and 200.")
    platform = container.get("runtimePlatform", {})
    if platform.get("cpuArchitecture", "X86_64") not in ("X86_64", "ARM64"):
        raise client_error("runtimePlatform.cpuArchitecture must be X86_64 or ARM64.")


def _check_log_configuration(log: dict[str, Any], fargate: bool) -> None:
    driver = log["logDriver"]
    if fargate and driver not in ("awslogs", "splunk"):
        raise client_error(f"The log driver {driver} is not supported on Fargate; use awslogs or splunk.")
    if driver != "awslogs":
        raise not_covered(f"the log driver {driver}; it has awslogs")
    if log.get("secretOptions"):
        raise not_covered("secrets in a job (logConfiguration.secretOptions)")
    known = {"awslogs-group", "awslogs-region", "awslogs-stream-prefix", "awslogs-create-group", "mode",
             "max-buffer-size"}  # fmt: skip
    for option in log.get("options", {}):
        if option not in known:
            raise not_covered(f"the awslogs option {option}")


# --- submitting ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Spec:
    """What a job runs, with the submission's overrides applied; an array's children share their parent's."""

    definition_arn: str
    definition_name: str
    container: dict[str, Any]
    environment: dict[str, str]
    vcpus: float
    memory: int
    gpus: int
    fargate: bool
    attempts: int
    rules: tuple[dict[str, str], ...]
    timeout_seconds: int | None
    scheduling_priority: int
    parameters: dict[str, str]
    propagate_tags: bool
    definition_tags: dict[str, str]
    described: dict[str, Any] = field(repr=False)  # the members of JobDetail that never change


def substitute(command: list[str], parameters: dict[str, str]) -> list[str]:
    """Replace each word `Ref::name` by the parameter of that name; a name without a value stays as it is.

    AWS documents placeholders that are whole words; whether it looks inside words is not documented, so this does not.
    https://docs.aws.amazon.com/batch/latest/userguide/job_definition_parameters.html#parameters
    """
    return [parameters.get(word[5:], word) if word.startswith("Ref::") else word for word in command]


def resolve(definition: dict[str, Any], params: dict[str, Any]) -> Spec:
    """Merge a job definition and a SubmitJob request, whose values win.

    Raises:
        ApiError: ClientException for overrides that AWS refuses.
    """
    overrides = params.get("containerOverrides", {})
    for member in ("nodeOverrides", "eksPropertiesOverride", "ecsPropertiesOverride",
                   "consumableResourcePropertiesOverride"):  # fmt: skip
        if params.get(member):
            raise not_covered(member)
    if len(json.dumps(overrides, separators=(",", ":"))) > MAX_OVERRIDES_CHARACTERS:
        raise client_error(f"Container Overrides length must be at most {MAX_OVERRIDES_CHARACTERS}")
    check_command(overrides.get("command", []))
    check_environment(overrides.get("environment", []))
    check_retry_strategy(params.get("retryStrategy", {}))
    check_timeout(params.get("timeout", {}))
    check_scheduling_priority(params.get("schedulingPriorityOverride"))
    if "instanceType" in overrides:
        raise client_error("instanceType is only for multi-node parallel jobs.")

    fargate = definition["platformCapabilities"] == ["FARGATE"]
    container = dict(definition["containerProperties"])
    if fargate and ("vcpus" in overrides or "memory" in overrides):
        raise client_error("vcpus and memory can't be overridden on Fargate; use resourceRequirements.")
    wanted = requirements(container) | requirements(overrides)
    container.pop("vcpus", None)
    container.pop("memory", None)
    container["resourceRequirements"] = [{"type": kind, "value": value} for kind, value in wanted.items()]
    vcpus, memory, gpus = check_resources(container, fargate)

    parameters = {**definition["parameters"], **params.get("parameters", {})}
    container["command"] = substitute(overrides.get("command") or container["command"], parameters)
    environment = {
        variable["name"]: variable.get("value", "")
        for variable in [*container["environment"], *overrides.get("environment", [])]
    }
    container["environment"] = [{"name": name, "value": value} for name, value in environment.items()]
    retry = params.get("retryStrategy") or definition.get("retryStrategy") or {}
    retry = {"attempts": retry.get("attempts", 1), "evaluateOnExit": retry.get("evaluateOnExit", [])}
    timeout = params.get("timeout") or definition.get("timeout")
    propagate = params.get("propagateTags", definition["propagateTags"])
    described = {
        "retryStrategy": retry,
        "parameters": parameters,
        "propagateTags": propagate,
        "platformCapabilities": definition["platformCapabilities"],
        "jobDefinition": definition["jobDefinitionArn"],
        **({"timeout": timeout} if timeout else {}),
    }
    priority = params.get("schedulingPriorityOverride", definition.get("schedulingPriority"))
    if priority is not None:
        described["schedulingPriority"] = priority
    return Spec(
        definition_arn=definition["jobDefinitionArn"],
        definition_name=definition["jobDefinitionName"],
        container=container,
        environment=environment,
        vcpus=vcpus,
        memory=memory,
        gpus=gpus,
        fargate=fargate,
        attempts=retry["attempts"],
        rules=tuple(retry["evaluateOnExit"]),
        timeout_seconds=timeout.get("attemptDurationSeconds") if timeout else None,
        scheduling_priority=priority or 0,
        parameters=parameters,
        propagate_tags=propagate,
        definition_tags=dict(definition["tags"]),
        described=described,
    )
