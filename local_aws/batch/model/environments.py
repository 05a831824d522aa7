"""What AWS Batch checks, keeps and shows of compute environments."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Protocol

from local_aws.batch.model import instances, members
from local_aws.batch.model.checks import check_name, check_tags
from local_aws.batch.model.errors import client_error, not_covered, rejected
from local_aws.batch.model.submissions import Spec

MAX_FARGATE_SUBNETS = 16
MAX_FARGATE_SECURITY_GROUPS = 5
FARGATE_TYPES = ("FARGATE", "FARGATE_SPOT")
SPOT_TYPES = ("SPOT", "FARGATE_SPOT")
# Members of computeResources that mean nothing on Fargate: "Don't specify it", says the API reference.
_NOT_ON_FARGATE = (
    "allocationStrategy", "bidPercentage", "desiredvCpus", "ec2Configuration", "ec2KeyPair", "imageId", "instanceRole",
    "instanceTypes", "launchTemplate", "minvCpus", "placementGroup", "scalingPolicy", "spotIamFleetRole", "tags",
)  # fmt: skip


class Ministack(Protocol):
    """What the checks ask of the account's other services (ministack.py)."""

    def role_exists(self, role_arn: str) -> bool: ...
    def trusts(self, role_arn: str, service: str) -> bool: ...
    def subnet_exists(self, subnet_id: str, account: str, region: str) -> bool: ...
    def security_group_exists(self, group_id: str, account: str, region: str) -> bool: ...
    def instance_profile_role(self, profile: str, account: str) -> str | None: ...


@dataclass(eq=False)
class ComputeEnvironment:
    """A compute environment, and how much of it is in use."""

    arn: str
    detail: dict[str, Any]  # as DescribeComputeEnvironments shows it
    used_vcpus: float = 0.0
    used_memory: int = 0
    running: int = 0

    @property
    def name(self) -> str:
        return self.detail["computeEnvironmentName"]

    @property
    def type(self) -> str:
        return self.detail.get("computeResources", {}).get("type", "UNMANAGED")

    @property
    def fargate(self) -> bool:
        return self.type in FARGATE_TYPES

    @property
    def cluster(self) -> str:
        return self.detail["ecsClusterArn"].rpartition("/")[2]

    @property
    def max_vcpus(self) -> int:
        return self.detail.get("computeResources", {}).get("maxvCpus", 0)

    @property
    def instance_types(self) -> list[str]:
        return self.detail.get("computeResources", {}).get("instanceTypes", [])

    @property
    def max_memory(self) -> int:
        """MiB: what maxvCpus of its instances bring along. Fargate's sizes bring at most 8 GiB with a vCPU."""
        per_vcpu = 8 if self.fargate else instances.gib_per_vcpu(self.instance_types) or 1
        return int(self.max_vcpus * per_vcpu * 1024)

    @property
    def accepts_jobs(self) -> bool:
        return self.detail["state"] == "ENABLED" and self.detail["status"] in ("VALID", "UPDATING")

    def refusal(self, spec: Spec) -> str | None:
        """Why a job can never run here: "kind", "vcpus" (the environment's maximum) or "instance"; None if it can."""
        if self.detail["type"] == "UNMANAGED" or spec.fargate != self.fargate:
            return "kind"
        if spec.vcpus > self.max_vcpus:
            return "vcpus"
        if self.fargate or any(instances.fits(name, spec.vcpus, spec.memory) for name in self.instance_types):
            return None
        return "instance"


def compute_environment(
    params: dict[str, Any], prefix: str, account: str, region: str, ministack: Ministack
) -> dict[str, Any]:
    """The detail of the environment that a CreateComputeEnvironment request asks for, CREATING.

    Args:
        prefix: "arn:aws:batch:region:account".

    Raises:
        ApiError: ClientException for what AWS refuses, and for what the embedded AWS does not cover.
    """
    name = params["computeEnvironmentName"]
    check_name(name, "computeEnvironmentName")
    check_tags(params.get("tags", {}))
    members.check("CreateComputeEnvironment", params)
    managed = params["type"] == "MANAGED"
    resources = params.get("computeResources")
    if managed and resources is None:
        raise client_error("computeResources must be specified for a MANAGED compute environment.")
    if managed and "unmanagedvCpus" in params:
        raise client_error("unmanagedvCpus is only for UNMANAGED compute environments.")
    if not managed and resources is not None:
        raise client_error("computeResources is only for MANAGED compute environments.")
    if resources is not None:
        check_compute_resources(resources, account, region, ministack)
    role = params.get("serviceRole")
    partition = prefix.split(":")[1]
    if role:
        role = check_service_role(role, partition, account, ministack)
    else:  # Batch makes its service-linked role when an account has none
        role = f"arn:{partition}:iam::{account}:role/aws-service-role/batch.amazonaws.com/AWSServiceRoleForBatch"
    unique = str(uuid.uuid4())
    detail = {
        "computeEnvironmentName": name,
        "computeEnvironmentArn": f"{prefix}:compute-environment/{name}",
        "ecsClusterArn": f"arn:{partition}:ecs:{region}:{account}:cluster/AWSBatch-{name}-{unique}",
        "tags": dict(params.get("tags", {})),
        "type": params["type"],
        "state": params.get("state", "ENABLED"),
        "status": "CREATING",
        "statusReason": "",
        "serviceRole": role,
        "containerOrchestrationType": "ECS",
        "uuid": unique,
    }
    if resources is not None:
        detail["computeResources"] = _described_resources(resources)
    for optional in ("unmanagedvCpus", "ecsSettings"):
        if optional in params:
            detail[optional] = params[optional]
    return detail


def _described_resources(resources: dict[str, Any]) -> dict[str, Any]:
    """computeResources as Batch shows them: with defaults for what EC2's need, and empty members."""
    if resources["type"] in FARGATE_TYPES:
        return dict(resources)
    defaults = {
        "desiredvCpus": resources["minvCpus"],
        "tags": {},
        "ec2Configuration": [{"imageType": "ECS_AL2023"}],
    }
    shown = {**defaults, **resources}
    if "launchTemplate" in resources:
        shown["launchTemplate"] = {"overrides": [], **resources["launchTemplate"]}
    return shown


def check_service_role(role: str, partition: str, account: str, ministack: Ministack) -> str:
    """The ARN of a service role given by ARN or name, if Batch can assume it."""
    arn = role if role.startswith("arn:") else f"arn:{partition}:iam::{account}:role/{role}"
    if "/aws-service-role/batch.amazonaws.com/" in arn:
        return arn
    if not ministack.role_exists(arn):
        raise client_error(f"The service role {role} does not exist.")
    if not ministack.trusts(arn, "batch.amazonaws.com"):
        raise client_error(f"The service role {role} does not trust batch.amazonaws.com. Correct its trust policy.")
    return arn


def check_compute_resources(resources: dict[str, Any], account: str, region: str, ministack: Ministack) -> None:
    """https://docs.aws.amazon.com/batch/latest/APIReference/API_ComputeResource.html"""
    kind = resources["type"]
    if kind == "ECS_MANAGED_INSTANCES":
        raise not_covered("Amazon ECS Managed Instances")
    if resources["maxvCpus"] < 1:
        raise client_error("computeResources.maxvCpus must be at least 1.")
    subnets, groups = resources.get("subnets", []), resources.get("securityGroupIds", [])
    if not subnets:
        raise client_error("computeResources.subnets needs at least one subnet.")
    if kind in FARGATE_TYPES:
        for member in _NOT_ON_FARGATE:
            if member in resources:
                raise rejected(f"{member} is not applicable for Fargate.")
        if not groups:
            raise client_error("computeResources.securityGroupIds needs at least one security group on Fargate.")
        if len(subnets) > MAX_FARGATE_SUBNETS:
            raise client_error(f"computeResources.subnets takes at most {MAX_FARGATE_SUBNETS} subnets on Fargate.")
        if len(groups) > MAX_FARGATE_SECURITY_GROUPS:
            raise client_error(
                f"computeResources.securityGroupIds takes at most {MAX_FARGATE_SECURITY_GROUPS} groups on Fargate."
            )
    else:
        _check_ec2_resources(resources, account, ministack)
    for subnet in subnets:
        if not ministack.subnet_exists(subnet, account, region):
            raise client_error(f"The subnet {subnet} does not exist.")
    for group in groups:
        if not ministack.security_group_exists(group, account, region):
            raise client_error(f"The security group {group} does not exist.")


def _check_ec2_resources(resources: dict[str, Any], account: str, ministack: Ministack) -> None:
    if not resources.get("instanceRole"):
        raise rejected("Instance role is required.")
    if ministack.instance_profile_role(resources["instanceRole"], account) is None:
        raise client_error(f"The instance profile {resources['instanceRole']} does not exist or has no role.")
    if not resources.get("instanceTypes"):
        raise client_error("computeResources.instanceTypes needs at least one instance type.")
    instances.check(resources["instanceTypes"])
    if "minvCpus" not in resources:
        raise rejected("Resource minvCpus is required.")
    low, high = resources["minvCpus"], resources["maxvCpus"]
    if not 0 <= low <= high:
        raise client_error("computeResources.minvCpus must be between 0 and maxvCpus.")
    if not low <= resources.get("desiredvCpus", low) <= high:
        raise client_error("computeResources.desiredvCpus must be between minvCpus and maxvCpus.")
    spot = resources["type"] == "SPOT"
    strategy = resources.get("allocationStrategy", "BEST_FIT")
    if strategy.startswith("SPOT_") and not spot:
        raise client_error(f"computeResources.allocationStrategy {strategy} is only for SPOT.")
    if spot and strategy == "BEST_FIT" and not resources.get("spotIamFleetRole"):
        raise client_error("computeResources.spotIamFleetRole is required for SPOT with the BEST_FIT strategy.")
    if not spot and ("bidPercentage" in resources or "spotIamFleetRole" in resources):
        raise client_error("computeResources.bidPercentage and spotIamFleetRole are only for SPOT.")
    if not 1 <= resources.get("bidPercentage", 100) <= 100:
        raise client_error("computeResources.bidPercentage must be between 1 and 100.")
    if not resources.get("securityGroupIds") and "launchTemplate" not in resources:
        raise client_error("computeResources needs securityGroupIds, or a launchTemplate with security groups.")


# What UpdateComputeEnvironment may change here: all of it for EC2, and for Fargate what Fargate has.
_UPDATABLE_ON_FARGATE = ("maxvCpus", "subnets", "securityGroupIds", "type")


def update_compute_environment(
    environment: ComputeEnvironment, params: dict[str, Any], account: str, region: str, ministack: Ministack
) -> dict[str, Any]:
    """The changed members of the environment's detail."""
    old = environment.detail
    members.check("UpdateComputeEnvironment", params)
    changes: dict[str, Any] = {}
    if "state" in params:
        changes["state"] = params["state"]
    if "unmanagedvCpus" in params:
        if old["type"] == "MANAGED":
            raise client_error("unmanagedvCpus is only for UNMANAGED compute environments.")
        changes["unmanagedvCpus"] = params["unmanagedvCpus"]
    if "serviceRole" in params:
        partition = environment.arn.split(":")[1]
        changes["serviceRole"] = check_service_role(params["serviceRole"], partition, account, ministack)
    if "updatePolicy" in params:
        if environment.fargate or old["type"] == "UNMANAGED":
            raise client_error("updatePolicy is only for compute environments of EC2 instances.")
        defaults = {"terminateJobsOnUpdate": False, "jobExecutionTimeoutMinutes": 30}
        changes["updatePolicy"] = {**defaults, **old.get("updatePolicy", {}), **params["updatePolicy"]}
    if "ecsSettings" in params:
        changes["ecsSettings"] = params["ecsSettings"]
    update = dict(params.get("computeResources", {}))
    if update:
        if old["type"] == "UNMANAGED":
            raise client_error("computeResources is only for MANAGED compute environments.")
        if environment.fargate:
            for member in update:
                if member not in _UPDATABLE_ON_FARGATE:
                    raise rejected(f"{member} is not applicable for Fargate.")
            if update.get("type", environment.type) not in FARGATE_TYPES:
                raise client_error("A Fargate compute environment can't become one of EC2 instances.")
            # "providing an empty list will be handled as if this parameter wasn't specified"
            update = {name: value for name, value in update.items() if value != []}
        else:
            update.pop("updateToLatestImageVersion", None)  # there is no image here to be updated
            if update.get("type", environment.type) in FARGATE_TYPES:
                raise client_error("A compute environment of EC2 instances can't become one of Fargate.")
        merged = {**old["computeResources"], **update}
        check_compute_resources(merged, account, region, ministack)
        changes["computeResources"] = _described_resources(merged)
    return changes
