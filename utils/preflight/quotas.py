"""Whether the account has room for what the kit makes and runs."""

from __future__ import annotations

from typing import Any

from .. import iam
from ..config import Config
from .asking import Answer, BriefSession

# https://docs.aws.amazon.com/batch/latest/userguide/service_limits.html
MOST_QUEUES = MOST_ENVIRONMENTS = 50

# What the kit's compute environment may use at once (notebook 02, `kit.deploy`): as many as AWS grants a new account.
# https://docs.aws.amazon.com/general/latest/gr/ecs-service.html
MAX_VCPUS = 6
# Calls of functions at once: two of check_jobs, by its mapping (`queues.ensure_mapping`), and one by a pipeline's step.
FUNCTION_CALLS = 3
FUNCTIONS_NEED = f"room for {FUNCTION_CALLS} calls of functions at once"

# Code and name that Service Quotas has for Fargate's vCPUs, by whether they are Spot; and for Lambda's concurrency.
# https://docs.aws.amazon.com/servicequotas/latest/userguide/request-quota-increase.html
FARGATE_QUOTAS = {
    False: ("L-3032A538", "Fargate On-Demand vCPU resource count"),
    True: ("L-36FBB829", "Fargate Spot vCPU resource count"),
}
LAMBDA_QUOTA = ("L-B99A9384", "Concurrent executions")


def batch_room(session: BriefSession, config: Config) -> Answer:
    """Queues and compute environments that the account may still have."""
    client = session.client("batch")
    queues = [q for page in client.get_paginator("describe_job_queues").paginate() for q in page["jobQueues"]]
    environments = [
        environment
        for page in client.get_paginator("describe_compute_environments").paginate()
        for environment in page["computeEnvironments"]
    ]
    others = sum(queue["jobQueueName"] != config.job_queue for queue in queues)
    other = sum(each["computeEnvironmentName"] != config.compute_environment for each in environments)
    if others < MOST_QUEUES and other < MOST_ENVIRONMENTS:
        return True, ""
    return False, f"{others} queues and {other} environments of {MOST_QUEUES} are taken: delete one"


def fargate_need(spot: bool) -> str:
    return f"vCPUs of Fargate{' Spot' * spot} for the jobs"


def fargate(session: BriefSession, max_vcpus: float, job_vcpus: float, spot: bool) -> Answer:
    """Whether a job fits into the account's vCPUs. That fewer fit at once than may run only makes them wait.

    https://docs.aws.amazon.com/servicequotas/2019-06-24/apireference/API_GetServiceQuota.html
    """
    code, name = FARGATE_QUOTAS[spot]
    where = f"Service Quotas, AWS Fargate, {name} ({code})"
    client = session.client("service-quotas")
    try:
        vcpus = client.get_service_quota(ServiceCode="fargate", QuotaCode=code)["Quota"].get("Value")
    except client.exceptions.NoSuchResourceException:
        vcpus = None  # "If the applied quota value is not available for a quota, the quota is not retrieved."
    if vcpus is None:
        return None, f"AWS does not show this account's number: a job takes {job_vcpus:g}, see {where}"
    if vcpus < job_vcpus:
        return False, f"the account has {vcpus:g} and a job takes {job_vcpus:g}: ask for more in {where}"
    at_once, wanted = int(vcpus / job_vcpus), int(max_vcpus / job_vcpus)
    remedy = f"{at_once} of the {wanted} jobs that may run at once will, the others wait. For more ask in {where}"
    return True, remedy if at_once < wanted else ""


def vcpus_of(definition: dict[str, Any]) -> float:
    """What a job of this definition takes."""
    needs = definition["containerProperties"]["resourceRequirements"]
    return next(float(need["value"]) for need in needs if need["type"] == "VCPU")


def function_calls(session: BriefSession) -> Answer:
    """Whether the functions may run beside each other: Lambda's limit, less what is reserved for others.

    New accounts have less than the usual 1,000: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
    """
    free = session.client("lambda").get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]
    if free >= FUNCTION_CALLS:
        return True, ""
    code, name = LAMBDA_QUOTA
    return (
        False,
        f"there is room for {free}: ask for more in Service Quotas, AWS Lambda, {name} ({code}), or reserve less",
    )


def roles_need(config: Config) -> str:
    wanted = len(set(iam.role_names(config).values()))
    return f"room for {wanted} more role{'s' if wanted > 1 else ''}"


def roles(session: BriefSession, config: Config) -> Answer:
    """Roles that the account may still have, those of the kit not counted that are there."""
    wanted = set(iam.role_names(config).values())
    client = session.client("iam")
    summary = client.get_account_summary()["SummaryMap"]
    room = summary["RolesQuota"] - summary["Roles"]
    if room < len(wanted):
        room += sum(_exists(client, name) for name in wanted)
    if room >= len(wanted):
        return True, ""
    return False, f"{summary['Roles']} of {summary['RolesQuota']} roles are taken: delete some"


def _exists(client: Any, role: str) -> bool:
    try:
        client.get_role(RoleName=role)
    except client.exceptions.NoSuchEntityException:
        return False
    return True
