"""Carry out a decision. Terminate jobs, report failures, and put the result into words."""

import time

from batch_jobs import terminate_jobs
from decision import EXPIRE, FAIL, MISTAKE, STOP, UNKNOWN, WAIT
from errors import PollLater, UnconfirmedError
from failed_jobs import first_failed, log_failed, report_failures
from job_detail import DEADLINE_PASSED, EXECUTION_STOPPED
from log import log
from model import StepResult
from wording import deadline_reason, failure_reason, mistake_reason, outputs_of, stopped_reason, unknown_reason


def carry_out(step, decision, pushed=False):
    """Do what a decision says.

    Args:
        pushed: an event will report the jobs' end.

    Returns:
        The StepResult.

    Raises:
        PollLater: the decision is to wait, or the jobs can't be terminated or reported now.
        UnconfirmedError: Batch doesn't know a job.
    """
    if decision.settling:
        raise PollLater("an array has ended, but not all of its children are counted yet", settling=True)
    if decision.outcome == WAIT:
        raise PollLater("jobs are unfinished", pushed)
    if decision.outcome == MISTAKE:
        return StepResult(failure=mistake_reason(decision.counts.jobs[decision.failed[0]]))
    if decision.outcome == STOP:
        return stop(decision)
    if decision.outcome == EXPIRE:
        return expire(step, decision)
    if decision.outcome == UNKNOWN:
        raise UnconfirmedError(unknown_reason(decision.counts), unfinished=decision.terminate)
    return finish(step, decision)


def stop(decision):
    counts = decision.counts
    terminate_jobs(decision.terminate, f"{EXECUTION_STOPPED}.")
    if counts.unknown:
        raise UnconfirmedError(f"{unknown_reason(counts)} They may not have been terminated.")
    return StepResult(failure=stopped_reason(counts))


def expire(step, decision):
    """End the jobs. Their items are reported too, so that a next run can take them up."""
    counts, late = decision.counts, decision.late
    terminate_jobs(decision.terminate, DEADLINE_PASSED)
    if step.tolerated_failure_percentage is not None:
        try:
            failed = [job for id, job in counts.jobs.items() if job["status"] == "FAILED" or id in late]
            report_failures(step.report_uri, failed)
        except (PollLater, UnconfirmedError) as trouble:  # the deadline is more important
            log("could not write the report", level="ERROR", error=str(trouble))
    return StepResult(failure=deadline_reason(step, counts, late, time.time()))


def finish(step, decision):
    """End a step whose jobs have succeeded or failed. Jobs that still run go on, because their outputs can be used."""
    counts, report_uri = decision.counts, ""
    jobs_ended = last_end(counts)
    if counts.failed:
        first = first_failed([counts.jobs[id] for id in decision.failed])
        log_failed([first])
        if step.tolerated_failure_percentage is not None:
            report_uri = step.report_uri
            failed = [job for job in counts.jobs.values() if job["status"] == "FAILED"]
            report_failures(report_uri, failed, logged=first["jobId"])
        if decision.outcome == FAIL:
            return StepResult(failure=failure_reason(first, counts), jobs_ended=jobs_ended)
    return StepResult(outputs=outputs_of(counts, report_uri, step.output_uri), jobs_ended=jobs_ended)


def last_end(counts):
    """When the last job ended, in seconds since 1970. Batch has it in milliseconds."""
    return max((job.get("stoppedAt") or 0 for job in counts.jobs.values()), default=0) / 1000 or None
