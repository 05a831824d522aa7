"""Merge a job's definition and its submission.

https://docs.aws.amazon.com/batch/latest/APIReference/API_SubmitJob.html
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from local_aws.batch.model import checks, requirements
from local_aws.batch.model.errors import client_error

MAX_OVERRIDES_CHARACTERS = 8192
OVERRIDES_TOO_LONG = f"Container Overrides length must be at most {MAX_OVERRIDES_CHARACTERS}"


@dataclass(frozen=True, slots=True)
class Spec:
    """What a job runs, with the submission's overrides applied. An array's children share their parent's."""

    definition_arn: str
    definition_name: str
    container: dict[str, Any]
    environment: dict[str, str]
    vcpus: float
    memory: int
    fargate: bool
    attempts: int
    rules: tuple[dict[str, str], ...]
    timeout_seconds: int | None
    scheduling_priority: int
    parameters: dict[str, str]
    propagate_tags: bool
    definition_tags: dict[str, str]
    described: dict[str, Any] = field(repr=False)  # the members of JobDetail that never change
    cannot_start: str | None = None  # why ECS will refuse every task of the job


def substitute(command: list[str], parameters: dict[str, str]) -> list[str]:
    """Replace each word `Ref::name` by the parameter of that name.

    AWS documents placeholders that are whole words. AWS doesn't document them inside words, so they stay there.
    https://docs.aws.amazon.com/batch/latest/userguide/job_definition_parameters.html#parameters

    Raises:
        ApiError: ClientException for a name without a parameter.
    """
    return [_parameter(word[5:], parameters) if word.startswith("Ref::") else word for word in command]


def _parameter(name: str, parameters: dict[str, str]) -> str:
    if name not in parameters:
        raise client_error(f"Unable to substitute value. No parameter found for reference {name}")
    return parameters[name]


def resolve(definition: dict[str, Any], params: dict[str, Any]) -> Spec:
    """Merge a job definition and a SubmitJob request, whose values win.

    Raises:
        ApiError: ClientException for overrides that AWS refuses.
    """
    overrides = params.get("containerOverrides", {})
    checks.check_command(overrides.get("command", []))
    checks.check_environment(overrides.get("environment", []))
    checks.check_retry_strategy(params.get("retryStrategy"))
    checks.check_timeout(params.get("timeout", {}))
    checks.check_scheduling_priority(params.get("schedulingPriorityOverride"))

    fargate = definition.get("platformCapabilities") == ["FARGATE"]
    container = requirements.overridden(definition["containerProperties"], overrides, fargate)
    vcpus, memory = requirements.check_resources(container, fargate)

    parameters = {**definition["parameters"], **params.get("parameters", {})}
    command = overrides.get("command") or container["command"]
    container["command"] = substitute(command, parameters)
    environment = {
        variable["name"]: variable.get("value", "")
        for variable in [*container["environment"], *overrides.get("environment", [])]
    }
    container["environment"] = [{"name": name, "value": value} for name, value in environment.items()]
    retry = params.get("retryStrategy") or definition.get("retryStrategy")
    retry = checks.described_retry_strategy(retry) if retry else None
    timeout = params.get("timeout") or definition.get("timeout")
    propagate = params.get("propagateTags", definition.get("propagateTags"))
    priority = params.get("schedulingPriorityOverride", definition.get("schedulingPriority"))
    described = {
        "retryStrategy": retry,
        "parameters": parameters,
        "propagateTags": propagate,
        "platformCapabilities": definition.get("platformCapabilities", []),
        "jobDefinition": definition["jobDefinitionArn"],
        "timeout": timeout,
        "schedulingPriority": priority,
    }
    return Spec(
        definition_arn=definition["jobDefinitionArn"],
        definition_name=definition["jobDefinitionName"],
        container=container,
        environment=environment,
        vcpus=vcpus,
        memory=memory,
        fargate=fargate,
        attempts=retry["attempts"] if retry else 1,
        rules=tuple(retry["evaluateOnExit"]) if retry else (),
        timeout_seconds=timeout.get("attemptDurationSeconds") if timeout else None,
        scheduling_priority=priority or 0,
        parameters=parameters,
        propagate_tags=bool(propagate),
        definition_tags=dict(definition["tags"]),
        described={name: value for name, value in described.items() if value is not None},
        cannot_start=_refusal_of_ecs(definition["containerProperties"]["command"], container["command"], overrides),
    )


def _refusal_of_ecs(defined: list[str], command: list[str], overrides: dict[str, Any]) -> str | None:
    """Why no task of the job can start: Batch takes the job, and it fails when ECS is asked to run its task.

    A command into which parameters were filled goes to ECS as an override, too: https://github.com/ASFHyP3/hyp3/issues/3041
    """
    sent: dict[str, Any] = {"name": "default"}
    if command != defined:
        sent["command"] = command
    if overrides.get("environment"):
        sent["environment"] = overrides["environment"]
    characters = len(json.dumps([sent], separators=(",", ":"), ensure_ascii=False))
    return OVERRIDES_TOO_LONG if characters > MAX_OVERRIDES_CHARACTERS else None
