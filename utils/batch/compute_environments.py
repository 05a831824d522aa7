"""The compute environment that jobs run in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import boto3

from ..support.waiting import wait
from .errors import BatchError
from .instances import instance_resources
from .matching import matches_desired
from .resources import require_valid, settled, settled_ours


def ensure_compute_environment(
    session: boto3.Session,
    name: str,
    *,
    subnets: list[str],
    security_groups: list[str],
    max_vcpus: int,
    spot: bool = False,
    instance_types: Sequence[str] = (),
    instance_role: str = "",
    tags: dict[str, str],
) -> dict[str, Any]:
    """A managed compute environment on Fargate or EC2, created or brought up to date, ENABLED and VALID.

    Args:
        max_vcpus: vCPUs that may run at once. AWS grants new accounts 6 on Fargate.
        spot: use Fargate Spot or Spot instances, which cost less and may be taken back with two minutes' notice.
        instance_types: of EC2, such as ["m7i.large"] or ["g5.xlarge"]. Default: none, which is Fargate.
        instance_role: ARN of the instance profile, on EC2.

    Returns:
        The environment as DescribeComputeEnvironments answers it.

    Raises:
        BatchError: it does not become VALID. The message carries its status, and AWS's reason.
        NameConflict: there is such an environment without these tags.

    https://docs.aws.amazon.com/batch/latest/userguide/fargate.html
    """
    batch = session.client("batch")
    place: dict[str, Any] = {
        "max_vcpus": max_vcpus,
        "subnets": subnets,
        "security_groups": security_groups,
        "spot": spot,
    }
    resources = (
        instance_resources(instance_types=instance_types, instance_role=instance_role, **place)
        if instance_types
        else _fargate_resources(**place)
    )
    present = settled_ours(session, "compute environment", name, tags)
    if present is None:
        batch.create_compute_environment(
            computeEnvironmentName=name,
            type="MANAGED",
            state="ENABLED",
            computeResources=resources,
            tags=tags,
        )
        return _usable_environment(session, name)
    changes = {
        key: value
        for key, value in resources.items()
        if not matches_desired(present["computeResources"].get(key), value, key)
    }
    if changes or present["state"] != "ENABLED":
        batch.update_compute_environment(computeEnvironment=name, state="ENABLED", computeResources=changes)
    return _usable_environment(session, name)


def _fargate_resources(*, subnets: list[str], security_groups: list[str], max_vcpus: int, spot: bool) -> dict[str, Any]:
    return {
        "type": "FARGATE_SPOT" if spot else "FARGATE",
        "maxvCpus": max_vcpus,
        "subnets": subnets,
        "securityGroupIds": security_groups,
    }


def _usable_environment(session: boto3.Session, name: str, seconds: float = 60) -> dict[str, Any]:
    """The compute environment when it is VALID.

    In a new account the first one may be INVALID for some seconds, since Batch and ECS can't use the service-linked
    roles that were made with it. AWS says that an update repairs an environment, so it is updated until it is VALID.
    Should Batch check again by itself, that does no harm.

    Raises:
        BatchError: it does not become VALID within `seconds`, or is INVALID for another reason.

    https://docs.aws.amazon.com/batch/latest/userguide/invalid_compute_environment.html
    https://github.com/hashicorp/terraform-provider-aws/issues/37945
    """
    batch = session.client("batch")

    def check() -> dict[str, Any] | None:
        environment = settled(session, "compute environment", name)
        if _lacks_role(environment):
            batch.update_compute_environment(computeEnvironment=name, state="ENABLED")
        return environment

    usable = wait(check, until=lambda each: not _lacks_role(each), seconds=seconds, first_pause=2, longest_pause=10)
    if usable and _lacks_role(usable):
        raise BatchError(
            f'The compute environment "{name}" is INVALID: {usable["statusReason"].rstrip(".")}. A new '
            "service-linked role can take some minutes, so run this again. If that does not help, create ECS's with "
            "`aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com`."
        )
    return require_valid("compute environment", name, usable)


def _lacks_role(environment: dict[str, Any] | None) -> bool:
    """Whether an environment is INVALID since a role of Batch's or ECS's can't be used, or not yet."""
    if not environment or environment["status"] != "INVALID":
        return False
    reason = environment.get("statusReason", "")
    return bool(re.search(r"not authorized to perform|assume|service.linked role", reason, re.IGNORECASE))
