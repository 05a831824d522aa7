"""Poll the AWS Batch jobs that CallbackSteps wait for, and answer each step once. README.md says how to deploy it.

The input is messages of the callback queue, each from a step that waits. With push, the ends of jobs come too.
`poll` asks Batch for the jobs. `decide` in decision.py then chooses the step's result, or to poll later, from the
step, its jobs and the time alone.
SageMaker gets the success or failure, and SQS gets the list of messages to deliver again.
"""

from aws import limit_time
from callback import answer
from errors import InvalidMessage, PollLater
from job_events import on_job_event
from log import log_context
from message import read_body, read_step
from polling import poll
from retries import fail_invalid, fail_step, is_poison, retry_or_fail
from schedule import poll_later
from stop_events import clear_stopped_execution, is_execution_event

SECONDS_PER_POLL = 15  # with less left before the function's timeout, a message waits for the next invocation


def lambda_handler(event, context):
    """Handle messages of the queue, or the end of a job.

    Args:
        event: {"Records": [...]} from the event source mapping, or an EventBridge event of aws.batch.
        context: Lambda's, for the time left.

    Returns:
        For messages, {"batchItemFailures": [...]} with those that SQS must keep.
    """
    if "Records" in event:
        return {"batchItemFailures": poll_messages(event["Records"], context)}
    if event.get("source") == "aws.batch":
        limit_time(context)
        return on_job_event(event["detail"])
    raise ValueError(f"Neither SQS messages nor an event of aws.batch: {sorted(event)}. Check what calls it.")


def poll_messages(records, context):
    """Handle each message alone. Returns the identifiers of those that SQS must keep and deliver again."""
    kept = []
    for number, record in enumerate(records):
        log_context(message_id=record["messageId"])
        limit_time(context)
        # The first message is handled in any case, or a short function timeout would mean never.
        if number and context.get_remaining_time_in_millis() < SECONDS_PER_POLL * 1000:
            poll_later(record, None, PollLater("no time left in this invocation"))
        elif handle(record):
            continue
        kept.append({"itemIdentifier": record["messageId"]})
    return kept


def handle(record):
    """Poll the jobs of one message's step. Returns True when it is answered and SQS may delete the message.

    It never raises, since the other messages matter too.
    """
    step = None
    try:
        body = read_body(record)
        if is_execution_event(body):
            return clear_stopped_execution(record, body)
        step = read_step(record, body)
        log_context(execution=step.execution_arn, job_ids=step.job_ids)
        if is_poison(step):
            return fail_step(record, step, "no poll has come to an end")
        result = poll(step)  # raises PollLater while the jobs are unfinished
        answer(step, result)
        return True
    except InvalidMessage as error:
        return fail_invalid(record, error)
    except Exception as error:  # noqa: BLE001 - whatever went wrong with one message, the others are handled
        return retry_or_fail(record, step, error)
