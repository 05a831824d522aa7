"""Try a message again when something goes wrong with it, or end its step.

Nothing here raises, since other messages wait too.
"""

import time

from batch_jobs import read_job_ids, terminate_jobs
from callback import answer
from dead_letters import move_to_dlq
from errors import AnswerDenied, InvalidMessage, PollLater, UnconfirmedError
from log import add_to_log_context, log, log_unexpected
from message import read_body, read_what_is_left, token_of
from model import StepResult, Try
from polling import poll
from schedule import poll_later
from settings import setting
from tries import end, join
from wording import shorten

GRACE_SECONDS = 900  # how long after a step's deadline a poll may go wrong before the step is ended without it
POISON_SECONDS = 86_400  # and how long until no poll is tried: this function is cut off in each, perhaps
POLLS_IN_RESERVE = 50  # after MAX_POLLS, for a step that must be ended. The queue's redrive policy comes after them
FINAL_TRIES = 3


def retry_or_fail(record, step, error):
    """After a poll that went wrong, or an answer that was refused: True when SQS may delete the message."""
    if not isinstance(error, PollLater):
        log_unexpected(error)
    if step and retries_exhausted(step, error):
        return final_attempt(record, step, error)
    poll_later(record, step, error)
    return False


def retries_exhausted(step, error):
    """SageMaker refuses the answer, or what is needed for an answer fails long after the deadline."""
    confirmed = step.polls >= setting("POLLS_TO_CONFIRM_ERROR")
    if isinstance(error, UnconfirmedError):
        return confirmed
    if getattr(error, "settling", False):
        return False
    return no_polls_left(step) or (confirmed and step.age(time.time()) > step.deadline_seconds + GRACE_SECONDS)


def is_poison(step):
    """Whether polls go on without a caught error, because the time or memory of each invocation runs out."""
    late = step.age(time.time()) > step.deadline_seconds + POISON_SECONDS
    return (late and step.polls >= setting("POLLS_TO_CONFIRM_ERROR")) or no_polls_left(step)


def no_polls_left(step):
    return step.polls >= setting("MAX_POLLS") + POLLS_IN_RESERVE


def final_attempt(record, step, error):
    """Poll three times more, in case it was only a bad moment. Then end the step."""
    result = None
    for _ in range(FINAL_TRIES):
        time.sleep(2)
        try:
            result = poll(step)
            answer(step, result)
            return True
        except Exception as again:  # noqa: BLE001 - whatever it is, the step must end
            error = again
    if result and isinstance(error, PollLater) and not isinstance(error, AnswerDenied) and not no_polls_left(step):
        poll_later(record, step, error)  # the jobs are known, only SageMaker can't be reached now
        return False
    return fail_step(record, step, error)


def fail_step(record, step, error):
    """As a last resort, terminate the jobs past the deadline, fail the step, and keep the message for a person."""
    why = shorten(f"Gave up after {step.polls} polls: {error}")
    this = join_if_possible(step)
    try:
        if step.is_past_deadline(time.time()):
            terminate_if_possible(step, why, [job["id"] for job in this.replaced.values()])
        answer(step, StepResult(failure=why))
    except Exception as trouble:  # noqa: BLE001 - as in final_attempt
        if isinstance(trouble, PollLater) and not isinstance(trouble, AnswerDenied) and not no_polls_left(step):
            poll_later(record, step, trouble)
            return False
        log("could not fail the step", level="ERROR", error=repr(trouble))
    return move_to_dlq(record, why)


def join_if_possible(step):
    """The step's Try, which ends here, so that a retry is known as one."""
    try:
        return end(join(step))
    except Exception as trouble:  # noqa: BLE001 - as in final_attempt
        log("could not record the try", level="ERROR", error=repr(trouble))
        return Try()


def fail_invalid(record, error):
    """Keep an invalid message for a person, and fail its step if it has a token. Returns False when SQS must keep it.

    No step will wait for its jobs, and no deadline will end them. So those that can be read are terminated.
    """
    why = shorten(str(error))
    log("invalid message", level="ERROR", reason=why)
    try:
        body = read_body(record)
    except InvalidMessage:
        return move_to_dlq(record, why)
    if token_of(body):
        step = read_what_is_left(record, body)
        add_to_log_context(execution=step.execution_arn)
        try:
            terminate_if_possible(step, why)
            answer(step, StepResult(failure=why))
        except (PollLater, UnconfirmedError) as trouble:
            if not retries_exhausted(step, trouble):
                poll_later(record, step, trouble)
                return False
            log("could not fail the step", level="ERROR", error=str(trouble))
    return move_to_dlq(record, why)


def terminate_if_possible(step, why, more_ids=()):
    """Terminate a step's jobs, and log what Batch refuses. For an hour, errors that may pass raise PollLater."""
    try:
        terminate_jobs([*read_job_ids(step.job_ids), *more_ids], why)
    except Exception as trouble:
        if isinstance(trouble, PollLater) and step.age(time.time()) < step.deadline_seconds + 4 * GRACE_SECONDS:
            raise
        log("could not terminate the jobs", level="ERROR", error=repr(trouble))
