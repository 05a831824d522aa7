"""Poll once. Ask Batch for a step's jobs, decide, and carry out the decision."""

import time
from dataclasses import replace

from actions import carry_out
from batch_jobs import describe_jobs, read_job_ids, terminate_jobs
from decision import EXPIRE, FAIL, MISTAKE, RESUBMIT, STOP, SUCCEED, UNKNOWN, WAIT, decide
from errors import PollLater, UnconfirmedError
from job_detail import STEP_TAG
from log import add_to_log_context, log
from model import StepResult
from push_token import register_push_token
from resubmission import find_unrecorded, submit_again
from settings import push_is_on, setting
from tries import end, join
from wording import shorten

TRIES = 3
SECONDS_BETWEEN_TRIES = 2


def poll(step, ended=None, tries=TRIES):
    """Poll a step's jobs, and again if something seems wrong. One odd answer must not undo an hour of good polls.

    Args:
        step: the PendingStep.
        ended: {id: JobDetail} of jobs whose end an event has reported.

    Returns:
        The StepResult.

    Raises:
        PollLater: the jobs are unfinished, or nothing can be said about them now.
    """
    try:
        return poll_once(step, ended or {})
    except UnconfirmedError as error:
        if not step.is_past_deadline(time.time()) and step.polls < setting("POLLS_TO_CONFIRM_ERROR"):
            raise PollLater(error) from error
        if tries == 1:
            terminate_jobs(error.unfinished, shorten(str(error)))
            end(join(step))
            return StepResult(failure=str(error))
        log("polling once more before this fails the step", level="WARNING", error=str(error))
    time.sleep(SECONDS_BETWEEN_TRIES)
    return poll(step, ended, tries - 1)


def poll_once(step, ended):
    ids = read_job_ids(step.job_ids)
    decision, first_jobs = decide_now(step, ids, ended)
    pushed = False
    if decision.outcome == WAIT and not decision.settling and push_is_on():
        pushed, is_new = register_push_token(step, ids, first_jobs)
        if is_new:  # the event of a job that ended before the tag was there has had no token to answer
            decision, _ = decide_now(step, ids, ended)
    return carry_out(step, decision, pushed)


def decide_now(step, ids, ended):
    """The Decision, and {id: JobDetail} of the jobs that submit_jobs submitted.

    Raises:
        PollLater: failed jobs were submitted again.
    """
    jobs = first_jobs = describe_jobs(ids, ended)
    decision = decide(step, ids, jobs, time.time())
    if decision.outcome not in (WAIT, SUCCEED, MISTAKE) or decision.counts.failed:
        this = join(step)
        step = replace(step, number=this.number, over=this.over, stopping=step.stopping or this.stopping)
        jobs = latest_jobs(this, ids, first_jobs, ended)
        decision = decide(step, ids, jobs, time.time())
        if decision.outcome == RESUBMIT and ended:  # an event may find the token of a try that is over
            raise PollLater("failed jobs are submitted again by the next poll")
        if decision.outcome == RESUBMIT:
            submit_again(this, decision.resubmit, jobs)
        if decision.outcome in (FAIL, STOP, EXPIRE, UNKNOWN):
            find_unrecorded(this, jobs)
        if decision.outcome == FAIL:
            end(this)
    log_poll(step, decision.counts)
    return decision, first_jobs


def latest_jobs(this, ids, first_jobs, ended):
    """Return {id: JobDetail} of these jobs. For a job that was submitted again, its last JobDetail."""
    later = {id: this.replaced[id] for id in ids if id in this.replaced}
    known = describe_jobs([one["id"] for one in later.values()], ended)
    replaced = {id: {**known[one["id"]], "firstSize": one["size"]} for id, one in later.items() if one["id"] in known}
    return {id: job for id, job in first_jobs.items() if id not in later} | replaced


def log_poll(step, counts):
    add_to_log_context(step=next((job.get("tags", {}).get(STEP_TAG) for job in counts.jobs.values()), None))
    log(
        "polled",
        metrics={"Polls": 1},
        polls=step.polls,
        total=counts.total,
        succeeded=counts.succeeded,
        failed=counts.failed,
        unknown=len(counts.unknown),
        stopping=step.stopping,
    )
