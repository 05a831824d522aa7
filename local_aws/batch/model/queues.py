"""What AWS Batch checks, keeps and shows of job queues and scheduling policies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from local_aws.batch.model.checks import MAX_SHARES, check_share
from local_aws.batch.model.environments import ComputeEnvironment
from local_aws.batch.model.errors import client_error

MAX_ENVIRONMENTS_PER_QUEUE = 3
# Of the reasons why a job is stuck, those that a queue may act upon.
TIME_LIMIT_REASONS = (
    "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY",
    "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE",
    "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT",
)


@dataclass(eq=False)
class JobQueue:
    arn: str
    detail: dict[str, Any]  # as DescribeJobQueues shows it

    @property
    def name(self) -> str:
        return self.detail["jobQueueName"]

    @property
    def priority(self) -> int:
        return self.detail["priority"]

    @property
    def policy_arn(self) -> str | None:
        return self.detail.get("schedulingPolicyArn")

    @property
    def environment_arns(self) -> list[str]:
        ordered = sorted(self.detail["computeEnvironmentOrder"], key=lambda entry: entry["order"])
        return [entry["computeEnvironment"] for entry in ordered]

    @property
    def time_limits(self) -> list[dict[str, Any]]:
        return self.detail.get("jobStateTimeLimitActions", [])


@dataclass(eq=False)
class SchedulingPolicy:
    arn: str
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def _fair(self) -> dict[str, Any]:
        return self.detail.get("fairsharePolicy", {})

    @property
    def decay_seconds(self) -> int:
        return self._fair.get("shareDecaySeconds") or 600  # "zero indicates the default minimum time window"

    @property
    def reservation(self) -> float:
        return self._fair.get("computeReservation", 0) / 100

    def weight(self, share: str) -> float:
        """The weight factor of a share identifier, or of its prefix, else 1."""
        for entry in self._fair.get("shareDistribution", []):
            name = entry["shareIdentifier"]
            if name == share or (name.endswith("*") and share.startswith(name[:-1])):
                return entry.get("weightFactor", 1.0)
        return 1.0


def check_environment_order(order: list[dict[str, Any]], resolved: list[ComputeEnvironment | None]) -> None:
    """The environments of a queue exist, are VALID and of one kind.

    https://docs.aws.amazon.com/batch/latest/APIReference/API_CreateJobQueue.html
    """
    if not order:
        raise client_error("computeEnvironmentOrder needs at least one compute environment.")
    if len(order) > MAX_ENVIRONMENTS_PER_QUEUE:
        raise client_error(f"A job queue can have at most {MAX_ENVIRONMENTS_PER_QUEUE} compute environments.")
    if len({entry["order"] for entry in order}) < len(order):
        raise client_error("The orders in computeEnvironmentOrder must differ.")
    environments = []
    for entry, environment in zip(order, resolved, strict=True):
        if environment is None:
            raise client_error(f"{entry['computeEnvironment']} does not exist")
        if environment.detail["status"] not in ("VALID", "UPDATING"):
            raise client_error(f"{environment.arn} must be valid before attaching to a job queue")
        environments.append(environment)
    if len({environment.arn for environment in environments}) < len(environments):
        raise client_error("computeEnvironmentOrder names a compute environment twice.")
    if len({environment.fargate for environment in environments}) > 1:
        raise client_error("EC2 and Fargate compute environments can't be mixed in a job queue.")


def check_priority(priority: int) -> None:
    if not 0 <= priority <= 1000:
        raise client_error("priority must be between 0 and 1000.")


def check_time_limits(actions: list[dict[str, Any]]) -> None:
    """https://docs.aws.amazon.com/batch/latest/userguide/job_stuck_in_runnable_time_limit_actions.html"""
    for action in actions:
        if action["reason"] not in TIME_LIMIT_REASONS:
            raise client_error(f"jobStateTimeLimitActions.reason must be one of {', '.join(TIME_LIMIT_REASONS)}.")
        if not 600 <= action["maxTimeSeconds"] <= 86400:
            raise client_error("jobStateTimeLimitActions.maxTimeSeconds must be between 600 and 86400.")
        if action["action"] != "CANCEL":
            raise client_error("jobStateTimeLimitActions.action must be CANCEL for a queue of compute environments.")


def check_fairshare(policy: dict[str, Any]) -> None:
    """https://docs.aws.amazon.com/batch/latest/APIReference/API_FairsharePolicy.html"""
    if not 0 <= policy.get("shareDecaySeconds", 0) <= 604800:
        raise client_error("fairsharePolicy.shareDecaySeconds must be between 0 and 604800.")
    if not 0 <= policy.get("computeReservation", 0) <= 99:
        raise client_error("fairsharePolicy.computeReservation must be between 0 and 99.")
    names = [entry["shareIdentifier"] for entry in policy.get("shareDistribution", [])]
    if len(names) > MAX_SHARES:
        raise client_error(f"fairsharePolicy.shareDistribution takes at most {MAX_SHARES} share identifiers.")
    for entry in policy.get("shareDistribution", []):
        check_share(entry["shareIdentifier"])
        if not 0.0001 <= entry.get("weightFactor", 1.0) <= 999.9999:
            raise client_error("weightFactor must be between 0.0001 and 999.9999.")
    for index, name in enumerate(names):
        for other in names[index + 1 :]:
            if _overlap(name, other):
                raise client_error(f"The share identifiers {name} and {other} overlap.")


def _overlap(one: str, other: str) -> bool:
    if one == other:
        return True
    shorter, longer = sorted((one, other), key=lambda name: len(name.rstrip("*")))
    return shorter.endswith("*") and longer.startswith(shorter[:-1])
