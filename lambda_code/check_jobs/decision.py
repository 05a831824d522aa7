"""Decide what to do about a step, from the step, its jobs and the time. It calls nothing, so you can try it:

>>> from decision import decide
>>> from model import PendingStep
>>> step = PendingStep(token="A1b2C3d4E5", execution_arn="arn:...", job_ids="a b")
>>> decide(step, ["a", "b"], {"a": {"status": "SUCCEEDED"}, "b": {"status": "RUNNING"}}, now=0).outcome
'wait'
"""

from dataclasses import dataclass

from job_detail import (
    DEADLINE_PASSED,
    EXECUTION_TAG,
    TERMINAL,
    array_of,
    is_behind,
    stop_of,
    try_of,
    was_ended_by_stop_event,
)
from model import JobCounts

WAIT = "wait"  # poll again
SUCCEED = "succeed"  # the step succeeds, with its failed jobs tolerated
FAIL = "fail"  # the step fails, since jobs have failed
RESUBMIT = "resubmit"  # the step was retried: submit again what had failed before, and poll again
STOP = "stop"  # the execution is being stopped: terminate the jobs and fail the step
EXPIRE = "expire"  # the deadline has passed: terminate the jobs and fail the step
UNKNOWN = "unknown"  # Batch doesn't know a job: fail the step, once more polls confirm it
MISTAKE = "mistake"  # the jobs are another execution's: fail the step


@dataclass(frozen=True)
class Decision:
    """What to do about a waiting step.

    Args:
        outcome: one of the constants above.
        counts: the jobs it rests on.
        terminate: ids of jobs to terminate.
        late: ids of jobs that the deadline has ended, or ends now.
        failed: ids of jobs that have failed in this try of the step. With MISTAKE, ids of another execution's jobs.
        resubmit: ids of jobs to submit again.
        settling: with WAIT, the jobs have ended and Batch is still counting them.
    """

    outcome: str
    counts: JobCounts
    terminate: tuple[str, ...] = ()
    late: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    resubmit: tuple[str, ...] = ()
    settling: bool = False


def decide(step, ids, jobs, now):
    """Decide what to do about a step.

    Args:
        step: the PendingStep.
        ids: ids of all its jobs, as submit_jobs returned them.
        jobs: {id: JobDetail} of those that Batch knows. Of a job that was submitted again, the last one's.
        now: the time, in seconds since 1970.

    Returns:
        A Decision.
    """
    counts = count_jobs(ids, jobs, step.succeeded_before)
    if others := tuple(id for id, job in jobs.items() if is_of_other_execution(step, job)):
        return Decision(MISTAKE, counts, failed=others)
    unfinished, past_deadline = tuple(counts.unfinished), step.is_past_deadline(now)
    terminate = tuple(jobs[id].get("jobId", id) if id in jobs else id for id in unfinished)
    if step.stopping or any(was_stopped_since(step, job) for job in jobs.values()):
        return Decision(STOP, counts, terminate=terminate)
    earlier = {id for id, job in jobs.items() if is_of_earlier_try(step, job)}
    late = tuple(id for id, job in jobs.items() if was_late(step, job) and (past_deadline or id not in earlier))
    failed = tuple(id for id, job in jobs.items() if count_one(job)[2] and id not in earlier)
    again = tuple(id for id, job in jobs.items() if id in earlier and job["status"] == "FAILED")
    if step.over:  # what a stop has terminated since is for the next try
        failed, again = failed or again, ()
    if past_deadline:  # too late to submit anything
        failed, again = failed or (() if unfinished else again), ()
    if not late and failed and (step.tolerated_failure_percentage is None or not (unfinished or again)):
        return decide_on_failures(step, counts, failed, now)
    if not late and again:
        return Decision(RESUBMIT, counts, resubmit=again)
    if not late and not unfinished:
        return Decision(SUCCEED, counts)
    if late or past_deadline:
        return Decision(EXPIRE, counts, terminate=terminate, late=(*late, *unfinished))
    if counts.unknown:
        return Decision(UNKNOWN, counts, terminate=tuple(id for id in terminate if id not in counts.unknown))
    return Decision(WAIT, counts)


def is_of_other_execution(step, job):
    """Whether another execution has submitted this job, as when a selective execution runs only the waiting step."""
    execution = step.execution_arn.rsplit("/", 1)[-1]
    return (job.get("tags") or {}).get(EXECUTION_TAG, execution) != execution


def was_stopped_since(step, job):
    """Whether the execution was stopped while this step waited. The event may overtake the message with "Stopping"."""
    return job["status"] != "SUCCEEDED" and 0 < step.sent < stop_of(job)


def is_of_earlier_try(step, job):
    """Whether this try of the step has not submitted this job (again), as it does when the job fails."""
    if step.number == 1:
        # A stop before the step began to wait has ended the job, and the execution was retried.
        return try_of(job) == 0 and job["status"] == "FAILED" and was_ended_by_stop_event(job)
    return try_of(job) < step.number


def decide_on_failures(step, counts, failed, now):
    """Without a tolerated percentage the first failure fails the step. With one, all jobs have ended by now."""
    tolerated = step.tolerated_failure_percentage
    if tolerated is None:
        return Decision(FAIL, counts, failed=failed)
    if any(is_behind(job, now) for job in counts.jobs.values() if job["status"] == "FAILED"):
        return Decision(WAIT, counts, settling=True)
    return Decision(SUCCEED if 100 * counts.failed <= tolerated * counts.total else FAIL, counts, failed=failed)


def was_late(step, job):
    """Whether the deadline has ended this job. An earlier poll terminated it, and could not answer the step.

    A job that the deadline of an earlier try of the step has ended is a failed job like any other.
    """
    ended_after = (job.get("stoppedAt") or 0) / 1000 - step.sent
    if job["status"] != "FAILED" or ended_after < 0:
        return False
    # What an array says of its children's termination isn't documented. When it ended is.
    return job.get("statusReason") == DEADLINE_PASSED or (array_of(job)[0] > 1 and ended_after > step.deadline_seconds)


def count_jobs(ids, jobs, succeeded_before=0):
    """The JobCounts of these ids, and of jobs that are known to have succeeded."""
    unknown = [id for id in ids if id not in jobs]
    unfinished = [id for id in ids if id not in jobs or jobs[id]["status"] not in TERMINAL]
    numbers = [count_one(jobs.get(id)) for id in ids]
    total, succeeded, failed = (sum(column) for column in zip(*numbers, strict=True)) if numbers else (0, 0, 0)
    return JobCounts(jobs, unknown, unfinished, total + succeeded_before, succeeded + succeeded_before, failed)


def count_one(job):
    """Count the jobs that a job stands for, those that succeeded and those that failed. None is a job unknown to Batch.

    A job that was submitted again has "firstSize", the size of the first one: what is missing in it had succeeded.
    """
    if job is None:
        return 1, 0, 0
    size, children = array_of(job)
    total = job.get("firstSize", size)
    succeeded = total - size + children.get("SUCCEEDED", 0)
    if job["status"] == "SUCCEEDED":
        return total, total, 0
    if job["status"] == "FAILED":
        # Of a failed array, only the children counted as succeeded have: cancelled early, it may have no children.
        return total, succeeded, total - succeeded
    return total, succeeded, children.get("FAILED", 0)
