"""Show jobs as JobDetail, as JobSummary and in the detail of their events.

https://docs.aws.amazon.com/batch/latest/APIReference/API_JobDetail.html
https://docs.aws.amazon.com/batch/latest/userguide/batch_job_events.html
"""

from __future__ import annotations

from typing import Any

from local_aws.batch.state.jobs import Array, Attempt, Job


def _without_none(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return _without_none(
        {
            "container": _without_none(
                {
                    "taskArn": attempt.task_arn,
                    "exitCode": attempt.exit_code,
                    "reason": attempt.reason,
                    "logStreamName": attempt.log_stream if attempt.started_at else None,
                    "networkInterfaces": [],
                }
            ),
            "startedAt": attempt.started_at,
            "stoppedAt": attempt.stopped_at,
            "statusReason": attempt.status_reason,
        }
    )


def _array(job: Job) -> dict[str, Any] | None:
    if isinstance(job, Array):
        return {"statusSummary": job.counts, "size": job.size, "statusSummaryLastUpdatedAt": job.summary_at}
    return {"index": job.index} if job.parent else None


def _array_detail(job: Job) -> dict[str, Any] | None:
    array = _array(job)
    return {"statusSummary": {}, **array} if array else None


def _container(job: Job) -> dict[str, Any]:
    """The definition's container, with how its latest attempt fares."""
    attempt = job.current or (job.attempts[-1] if job.attempts else None)
    container = {**job.spec.container, "networkInterfaces": []}
    if attempt:
        container["taskArn"] = attempt.task_arn
        if attempt.started_at:
            container["logStreamName"] = attempt.log_stream
        if attempt.exit_code is not None:
            container["exitCode"] = attempt.exit_code
        if attempt.reason is not None:
            container["reason"] = attempt.reason
    return container


def job_detail(job: Job) -> dict[str, Any]:
    """One entry of DescribeJobs, with the members that recordings of AWS's answers have.

    Lists are there when they are empty, switches only when they are on:
    https://github.com/meta-pytorch/torchx/blob/main/torchx/schedulers/test/aws_batch_scheduler_test.py
    """
    detail = {
        "jobArn": job.arn,
        "jobName": job.name,
        "jobId": job.id,
        "jobQueue": job.queue.arn,
        "status": job.status,
        "statusReason": job.status_reason,
        "attempts": [_attempt(attempt) for attempt in job.attempts],
        "createdAt": job.created_at,
        "startedAt": job.started_at,
        "stoppedAt": job.stopped_at,
        "dependsOn": job.depends_on,
        **job.spec.described,
        "container": _container(job),
        "arrayProperties": _array_detail(job),
        "shareIdentifier": job.share,
        "tags": job.tags,
        "eksAttempts": [],
        "isCancelled": job.cancelled or None,
        "isTerminated": job.terminated or None,
    }
    return _without_none(detail)


def job_summary(job: Job) -> dict[str, Any]:
    """One entry of ListJobs."""
    last = job.attempts[-1] if job.attempts else None
    container = _without_none({"exitCode": last.exit_code, "reason": last.reason}) if last else None
    return _without_none(
        {
            "jobArn": job.arn,
            "jobId": job.id,
            "jobName": job.name,
            "createdAt": job.created_at,
            "status": job.status,
            "statusReason": job.status_reason,
            "startedAt": job.started_at,
            "stoppedAt": job.stopped_at,
            "container": container or None,
            "arrayProperties": _array(job),
            "jobDefinition": job.spec.definition_arn,
            "shareIdentifier": job.share,
            "capacityUsage": [{"capacityUnit": "VCPU", "quantity": job.spec.vcpus}],
            "isCancelled": job.cancelled or None,  # "only present when the value is true"
            "isTerminated": job.terminated or None,
        }
    )


def event_detail(job: Job) -> dict[str, Any]:
    """The detail of "Batch Job State Change": JobDetail, with the job's ARN among its tags."""
    return {**job_detail(job), "tags": {"resourceArn": job.arn, **job.tags}}
