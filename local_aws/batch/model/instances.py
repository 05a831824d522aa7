"""EC2's instance types: which there are, which are ARM, how many vCPUs and how much memory they bring.

https://docs.aws.amazon.com/ec2/latest/instancetypes/instance-type-names.html
"""

from __future__ import annotations

import re
from functools import lru_cache

import botocore.session

from local_aws.batch.model.definitions import machine
from local_aws.batch.model.errors import not_covered, rejected

CHOSEN_BY_BATCH = ("optimal", "default_x86_64", "default_arm64")

# GiB of memory per vCPU of an instance family, by the letter it begins with; "optimal" chooses from the c, m and r.
_GIB_PER_VCPU = {"c": 2, "m": 4, "t": 4, "r": 8, "x": 16, "z": 8, "i": 8, "d": 8, "h": 4, "a": 2, "g": 4, "p": 8}
_LARGEST_VCPUS = 96


@lru_cache(maxsize=1)
def known_types() -> frozenset[str]:
    """Every instance type of botocore's EC2 model, every family, and what Batch chooses by itself."""
    model = botocore.session.Session().get_component("data_loader").load_service_model("ec2", "service-2")
    types = model["shapes"]["InstanceType"]["enum"]
    return frozenset((*types, *(name.partition(".")[0] for name in types), *CHOSEN_BY_BATCH))


def check(instance_types: list[str]) -> None:
    """Refuse instance types that EC2 does not have, and ARM on a machine that is none.

    AWS's refusal, which lists them all: https://github.com/aws/amazon-genomics-cli/issues/209

    Raises:
        ApiError: ClientException that names the types there are, or what the embedded AWS does not cover.
    """
    if not known_types().issuperset(instance_types):
        raise rejected(f"Instance type can only be one of [{', '.join(sorted(known_types()))}]")
    for name in instance_types:
        if _is_arm(name) and machine() != "ARM64":
            raise not_covered(f"ARM64 on this machine, which is X86_64 (computeResources.instanceTypes {name})")


def _is_arm(instance_type: str) -> bool:
    """Graviton's families have a g right after their number, but for the first. GB200 has Grace's ARM cores."""
    family = instance_type.partition(".")[0]
    return family in ("default_arm64", "a1") or "-gb" in family or bool(re.match(r"[a-z]+\d+g", family))


def gib_per_vcpu(instance_types: list[str]) -> int:
    """The most GiB of memory that a vCPU of these types brings along, 0 without types."""
    families = [shape(name)[0] for name in instance_types]
    return max((_GIB_PER_VCPU.get(letter, 4) for letters in families for letter in letters), default=0)


def fits(instance_type: str, vcpus: float, memory: int) -> bool:
    """Whether the largest instance an entry of instanceTypes stands for has so many vCPUs and MiB of memory."""
    _, largest = shape(instance_type)
    return vcpus <= largest and memory <= gib_per_vcpu([instance_type]) * largest * 1024


def shape(instance_type: str) -> tuple[str, int]:
    """The first letters of the families an entry of instanceTypes stands for, and the vCPUs of its largest instance."""
    if instance_type in CHOSEN_BY_BATCH:
        return "cmr", _LARGEST_VCPUS
    letter, _, size = instance_type[:1], *instance_type.partition(".")[1:]
    if xlarge := re.fullmatch(r"(\d*)xlarge", size):
        return letter, 4 * int(xlarge.group(1) or 1)
    return letter, {"large": 2, "medium": 1, "small": 1, "micro": 1, "nano": 1}.get(size, _LARGEST_VCPUS)
