"""Jobs on EC2 instances, On-Demand or Spot, with or without GPUs. The tutorial's own run on Fargate."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

from .retry_strategies import RETRY_STRATEGIES

_FARGATE_ONLY = ("networkConfiguration", "fargatePlatformConfiguration", "ephemeralStorage", "runtimePlatform")


def instance_resources(
    *,
    instance_types: Sequence[str],
    instance_role: str,
    subnets: list[str],
    security_groups: list[str],
    max_vcpus: int,
    spot: bool = False,
) -> dict[str, Any]:
    """The `computeResources` of an environment of EC2 instances, which has none while no job needs one.

    For types with GPUs Batch takes ECS's image with NVIDIA's drivers, since no image is named here.

    Args:
        instance_types: such as ["m7i.large"], a family such as ["c7i"], or ["g5.xlarge"] for a GPU.
        instance_role: ARN of the instance profile whose role has AmazonEC2ContainerServiceforEC2Role.
        max_vcpus: vCPUs that may run at once. AWS grants them per family of types.
        spot: use Spot instances, which cost less and may be taken back with two minutes' notice.

    https://docs.aws.amazon.com/batch/latest/APIReference/API_ComputeResource.html
    https://docs.aws.amazon.com/batch/latest/userguide/batch-gpu-ami.html
    """
    return {
        "type": "SPOT" if spot else "EC2",
        "allocationStrategy": "SPOT_PRICE_CAPACITY_OPTIMIZED" if spot else "BEST_FIT_PROGRESSIVE",
        "minvCpus": 0,
        "maxvCpus": max_vcpus,
        "instanceTypes": list(instance_types),
        "instanceRole": instance_role,
        "subnets": subnets,
        "securityGroupIds": security_groups,
    }


def on_instances(definition: dict[str, Any], *, gpus: int = 0) -> dict[str, Any]:
    """A copy of a Fargate job definition, such as `python_job` makes it, for EC2 instances.

    Args:
        definition: what RegisterJobDefinition takes. Its vCPUs are rounded up, since EC2 has no parts of one.
        gpus: GPUs of each job, which no other job then has. The embedded AWS refuses them. Default: none.

    https://docs.aws.amazon.com/batch/latest/APIReference/API_ResourceRequirement.html
    """
    definition = copy.deepcopy(definition)
    container = definition["containerProperties"]
    for member in _FARGATE_ONLY:
        container.pop(member, None)
    for requirement in container["resourceRequirements"]:
        if requirement["type"] == "VCPU":
            requirement["value"] = str(math.ceil(float(requirement["value"])))
    if gpus:
        container["resourceRequirements"].append({"type": "GPU", "value": str(gpus)})
    return definition | {"platformCapabilities": ["EC2"], "retryStrategy": RETRY_STRATEGIES["EC2"]}
