"""The queue that jobs wait in."""

from __future__ import annotations

from typing import Any

import boto3

from .matching import matches_desired
from .resources import require_valid, settled, settled_ours

# A job that can't start blocks the queue behind it and would wait for ever: after an hour at its head it is cancelled.
# https://docs.aws.amazon.com/batch/latest/userguide/job_stuck_in_runnable.html
TIME_LIMITS = [
    {"reason": reason, "state": "RUNNABLE", "maxTimeSeconds": 3600, "action": "CANCEL"}
    for reason in (
        "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY",
        "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE",
        "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT",
    )
]


def ensure_job_queue(
    session: boto3.Session, name: str, *, compute_environment: str, priority: int = 1, tags: dict[str, str]
) -> dict[str, Any]:
    """A job queue on one compute environment, created or brought up to date, ENABLED and VALID.

    Args:
        compute_environment: its ARN.
        priority: the queue with the higher number is served first.

    Returns:
        The queue as DescribeJobQueues answers it.

    Raises:
        BatchError: it does not become VALID. The message carries its status, and AWS's reason.
        NameConflict: there is such a queue without these tags.

    https://docs.aws.amazon.com/batch/latest/userguide/job_queues.html
    """
    batch = session.client("batch")
    wanted = {
        "state": "ENABLED",
        "priority": priority,
        "computeEnvironmentOrder": [{"order": 1, "computeEnvironment": compute_environment}],
        "jobStateTimeLimitActions": TIME_LIMITS,
    }
    present = settled_ours(session, "job queue", name, tags)
    if present is None:
        batch.create_job_queue(jobQueueName=name, tags=tags, **wanted)
    elif not matches_desired(present, wanted):
        batch.update_job_queue(jobQueue=name, **wanted)
    return require_valid("job queue", name, settled(session, "job queue", name))
