"""Terminate a stopped execution's jobs that no callback step waits for, upon an event in the callback queue.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_StopPipelineExecution.html
"""

import random
from datetime import datetime

from aws import call_aws, client
from batch_jobs import list_jobs_named, terminate_jobs
from dead_letters import move_to_dlq
from errors import InvalidMessage, PollLater, UnconfirmedError
from job_detail import STOPPED_TAG, TERMINAL, array_of, first_name, stopped_because
from log import log, log_context
from message import deliveries_of
from schedule import poll_later
from settings import job_queues, setting
from wording import shorten

SECONDS_UNTIL_LISTED = 30  # AWS doesn't document how far ListJobs may be behind SubmitJob
EVENT_TIME_SECONDS = 2  # an event's time is in whole seconds, rounded down. Batch's clock may be a little ahead


def is_execution_event(body):
    return body.get("source") == "aws.sagemaker"


def clear_stopped_execution(record, event):
    """Terminate the jobs of a stopped execution. Try again what goes wrong, and keep what is refused for a person.

    Returns:
        True when SQS may delete the message.

    Raises:
        InvalidMessage: the event is not one of a pipeline execution.
    """
    try:
        stopped, execution = was_stopped(event["detail"]), event["detail"]["pipelineExecutionArn"]
        happened = datetime.fromisoformat(event["time"])
        log_context(execution=execution)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidMessage(f"The event is not one of a pipeline execution: {error!r}.") from error
    if not stopped:
        return True
    deliveries = deliveries_of(record)
    trouble: PollLater | UnconfirmedError
    try:
        terminate_leftover_jobs(execution, happened)
        if deliveries > 1:
            return True
        trouble = PollLater("jobs that were submitted a moment ago may not be listed yet")
    except UnconfirmedError as error:
        if deliveries >= setting("POLLS_TO_CONFIRM_ERROR"):
            return move_to_dlq(record, shorten(f"Could not terminate a stopped execution's jobs: {error}"))
        trouble = error
    except PollLater as reason:
        trouble = reason
    # Further and further apart: the thousand deliveries that a queue may allow last for days then.
    delay = round(min(SECONDS_UNTIL_LISTED * deliveries, 900) * random.uniform(1.0, 1.2))
    poll_later(record, None, trouble, delay)
    return False


def was_stopped(detail):
    """Whether the event ends a stop. The execution is Failed if the submitting step's function timed out meanwhile."""
    now, before = detail["currentPipelineExecutionStatus"], detail.get("previousPipelineExecutionStatus")
    return now == "Stopped" or (now == "Failed" and before == "Stopping")


def terminate_leftover_jobs(execution_arn, happened):
    """Terminate the jobs that a stopped execution has left in JOB_QUEUES.

    Args:
        happened: when it stopped. Events may be late, and the jobs that a retry of the execution has submitted since
            then go on.
    """
    queues, errors = job_queues(), []
    time = happened.isoformat()
    if not queues:
        log("no JOB_QUEUES are set: what a stopped execution has left goes on", level="WARNING")
    for job_queue in queues:
        try:
            jobs = [
                job
                for job in list_jobs_named(execution_arn.rsplit("/", 1)[-1], job_queue)
                if job["status"] not in TERMINAL and was_there(job, happened.timestamp())
            ]
            for array in (job for job in jobs if array_of(job)[0] > 1):  # so that a retry knows why it ended
                call_aws(client("batch").tag_resource, resourceArn=array["jobArn"], tags={STOPPED_TAG: time})
            left = [job["jobId"] for job in jobs]
            terminate_jobs(left, stopped_because(time))
        except UnconfirmedError as error:  # a queue that was deleted, perhaps: the others are cleared all the same
            errors.append(error)
        else:
            log("jobs of a stopped execution terminated", job_queue=job_queue, job_ids=" ".join(left))
    if errors:
        raise errors[0]


def was_there(job, happened):
    """Whether a job had been submitted when the execution stopped.

    A job that was submitted again is in doubt the retry's. A step waits for it, which is told of a stop by a message.
    """
    allowance = EVENT_TIME_SECONDS if first_name(job) == job["jobName"] else 0
    return job["createdAt"] / 1000 < happened + allowance
