"""How many vCPUs and how much memory a container asks for, and whether Batch offers that.

https://docs.aws.amazon.com/batch/latest/APIReference/API_ResourceRequirement.html
"""

from __future__ import annotations

import re
from typing import Any

from local_aws.batch.model.errors import client_error, not_covered, rejected

# MiB of memory that Fargate offers with each number of vCPUs.
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

OLD_NAMES = {"vcpus": "VCPU", "memory": "MEMORY"}  # of EC2's definitions, before there was resourceRequirements
_WHOLE = re.compile(r"[0-9]{1,9}")
_DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


def by_type(container: dict[str, Any]) -> dict[str, str]:
    """{"VCPU": …, "MEMORY": …} of a container's resourceRequirements."""
    wanted: dict[str, str] = {}
    for requirement in container.get("resourceRequirements", []):
        if requirement["type"] in wanted:
            raise client_error(f"resourceRequirements names {requirement['type']} twice.")
        wanted[requirement["type"]] = requirement["value"]
    return wanted


def overridden(container: dict[str, Any], overrides: dict[str, Any], fargate: bool) -> dict[str, Any]:
    """The definition's container with a submission's vCPUs and memory.

    The older vcpus and memory override only themselves. On a definition that has resourceRequirements they have no
    effect: https://docs.aws.amazon.com/batch/latest/APIReference/API_ContainerOverrides.html
    """
    if fargate:
        check_old_names(overrides)
    container = dict(container)
    new = by_type(overrides)
    for old, kind in OLD_NAMES.items():
        if kind in new:
            container.pop(old, None)
        elif old in container and old in overrides:
            container[old] = overrides[old]
    wanted = by_type(container) | new
    container["resourceRequirements"] = [{"type": kind, "value": value} for kind, value in wanted.items()]
    return container


def check_old_names(container: dict[str, Any]) -> None:
    for old in OLD_NAMES:
        if old in container:
            raise client_error(f"{old} is not applicable for Fargate. Use resource requirements instead.")


def check_resources(container: dict[str, Any], fargate: bool) -> tuple[float, int]:
    """vCPUs and MiB of memory of a container, when a compute environment of its kind can offer them."""
    wanted = by_type(container)
    if fargate:
        check_old_names(container)
    for old, kind in OLD_NAMES.items():
        if old in container and kind in wanted:
            raise client_error(f"A container can't have both {old} and {kind} in resourceRequirements.")
    if "GPU" in wanted:
        raise (
            client_error("GPU is not applicable for Fargate.")
            if fargate
            else not_covered("GPUs (GPU in resourceRequirements)")
        )
    wanted |= {kind: str(container[old]) for old, kind in OLD_NAMES.items() if old in container}
    for kind, name in (("VCPU", "vCPU"), ("MEMORY", "Memory")):
        if kind not in wanted:
            raise rejected(f"{name} is not provided.")
        # Fargate's parts of a vCPU need decimals. On EC2 even 1.0 is refused:
        # https://github.com/kestra-io/plugin-aws/issues/504
        if not (_DECIMAL if fargate and kind == "VCPU" else _WHOLE).fullmatch(wanted[kind]):
            raise rejected(
                f"Value {wanted[kind]} for type {kind} in resourceRequirement is not valid. "
                "Please provide a numeric value."
            )
    vcpus, memory = float(wanted["VCPU"]), int(wanted["MEMORY"])
    if fargate:
        _check_fargate_size(vcpus, memory)
    elif vcpus < 1:
        raise client_error(f"VCPU {wanted['VCPU']} is not valid on EC2. Use a whole number of at least 1.")
    elif memory < 4:
        raise client_error(f"MEMORY {memory} is not valid. A job needs at least 4 MiB.")
    return vcpus, memory


def _check_fargate_size(vcpus: float, memory: int) -> None:
    offered = FARGATE_MEMORY.get(vcpus, ())
    if memory in offered:
        return
    hint = f"With {vcpus:g} vCPU, use one of {', '.join(map(str, offered))} MiB."
    if not offered:
        hint = f"Use one of {', '.join(f'{size:g}' for size in FARGATE_MEMORY)} vCPU."
    raise client_error(f"Fargate resource requirements ({vcpus:.2f} vCPU, {memory} MiB) not valid. {hint}")
