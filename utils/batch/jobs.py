"""Submit one job by hand, wait for it, or interrupt it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import boto3

from ..support.live_line import live_line
from ..support.waiting import wait
from .errors import BatchError

DONE = ("SUCCEEDED", "FAILED")
# What a task of Fargate Spot gives as its reason when AWS took it back.
# https://repost.aws/knowledge-center/fargate-spot-termination-notice
SPOT_INTERRUPTED = "Your Spot Task was interrupted."


def submit_job(
    session: boto3.Session, name: str, *, queue: str, definition: str, parameters: dict[str, str], tags: dict[str, str]
) -> str:
    """Submit one job and return its id."""
    answer = session.client("batch").submit_job(
        jobName=name, jobQueue=queue, jobDefinition=definition, parameters=parameters, tags=tags
    )
    return answer["jobId"]


def wait_for_job(
    session: boto3.Session,
    job_id: str,
    *,
    states: Sequence[str] = DONE,
    seconds: float = 900,
    show: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Poll a job until it is in one of these states, and return it as DescribeJobs answers it.

    Args:
        show: is given the job's state at each poll, such as what `live_line` yields. Default: nothing is shown.

    Raises:
        TimeoutError: it is in none of them after `seconds`. The message names its state and Batch's reason for it.

    https://docs.aws.amazon.com/batch/latest/userguide/job_states.html
    """
    batch = session.client("batch")

    def describe() -> dict[str, Any]:
        jobs = batch.describe_jobs(jobs=[job_id])["jobs"]
        job = jobs[0] if jobs else {"status": "not known to Batch yet"}
        if show:
            show(f"job {job['status']}")
        return job

    return wait(
        describe,
        until=lambda job: job["status"] in states,
        seconds=seconds,
        longest_pause=2 if show else 10,
        otherwise=lambda job: (
            f"Job {job_id} is {job['status']} after {seconds:.0f} seconds ({job.get('statusReason', 'no reason given')}"
            "). See notebook 06 on jobs that don't start."
        ),
    )


def require_success(job: dict[str, Any]) -> dict[str, Any]:
    """Return a job that has succeeded.

    Args:
        job: as DescribeJobs answers it. One that failed before its container started has no start and no exit code.

    Raises:
        BatchError: it has not succeeded. The message has its exit code and Batch's reasons.

    https://docs.aws.amazon.com/batch/latest/APIReference/API_JobDetail.html
    """
    if job["status"] == "SUCCEEDED":
        return job
    container = job.get("container", {})
    exit_code = f", exit code {container['exitCode']}" if "exitCode" in container else ""
    reasons = dict.fromkeys(reason for reason in (job.get("statusReason"), container.get("reason")) if reason)
    why = "; ".join(reasons) or "no reason given"
    raise BatchError(
        f"Job {job['jobName']} ({job['jobId']}) is {job['status']}{exit_code}: {why}. "
        "Mend the cause and submit it again."
    )


def interrupt_job(session: boto3.Session, job_id: str, *, seconds: float = 900) -> str:
    """Take a job's machine away while it works, as Fargate Spot may, to see what its retry strategy makes of it.

    ECS stops the job's task, with the reason that a Spot reclaim gives. A real one only AWS can cause. Its Fault
    Injection Service interrupts tasks in the same way. That Batch shows a task's reason as the attempt's status reason
    is seen with reclaims. AWS does not say whether a reason that we give is shown too.

    Args:
        seconds: how long to wait for the job to run. Meanwhile a line shows its state.

    Returns:
        The ARN of the task that was stopped.

    Raises:
        BatchError: the job has ended, or ended before it could be interrupted.
        TimeoutError: it does not run after `seconds`. The message names its state and Batch's reason for it.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_StopTask.html
    https://docs.aws.amazon.com/fis/latest/userguide/fis-actions-reference.html
    """
    with live_line() as show:
        job = wait_for_job(session, job_id, states=("RUNNING", *DONE), seconds=seconds, show=show)
    if job["status"] in DONE:
        raise BatchError(f"Job {job_id} is {job['status']}. Only a running job can be interrupted.")
    task = job["container"]["taskArn"]
    ecs = session.client("ecs")
    try:
        ecs.stop_task(cluster=task.split("/")[1], task=task, reason=SPOT_INTERRUPTED)
    except (ecs.exceptions.InvalidParameterException, ecs.exceptions.ClusterNotFoundException) as error:
        why = error.response["Error"]["Message"]
        raise BatchError(
            f"Job {job_id} ended before it could be interrupted ({why.rstrip('.')}). Submit it again."
        ) from None
    return task
