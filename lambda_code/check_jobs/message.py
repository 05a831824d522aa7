"""Read a message of the callback queue.

https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-steps-types.html
"""

import json
import re
import time

from errors import InvalidMessage
from model import PendingStep
from settings import setting
from wording import shorten

LONGEST_DEADLINE_SECONDS = 13 * 86_400  # SQS forgets a message after 14 days at most, and then nothing answers


def read_body(record):
    """Return the message's JSON object. Raises InvalidMessage."""
    try:
        body = json.loads(record["body"])
    except (ValueError, RecursionError) as error:
        raise InvalidMessage(f"The message is not JSON: {error}.") from error
    if not isinstance(body, dict):
        raise InvalidMessage("The message is not a JSON object.")
    return body


def read_step(record, body):
    """Return the PendingStep of a CallbackStep's message. Raises InvalidMessage."""
    if not token_of(body):
        raise InvalidMessage(f"The message has no callback token of 10 letters and digits: {body.get('token')!r}.")
    if not isinstance(body.get("pipelineExecutionArn"), str):
        raise InvalidMessage("The message has no pipelineExecutionArn. Send it by a CallbackStep.")
    arguments = body.get("arguments")
    if not job_ids_of(arguments):
        raise InvalidMessage("The callback step's inputs lack job_ids. Pass the submitting step's output jobIds.")
    report_uri = arguments.get("report_uri") or ""
    if not re.fullmatch("(s3://[^/]+/.+)?", str(report_uri)):
        raise InvalidMessage(f"report_uri must have the form s3://bucket/key, but it is {report_uri!r}.")
    deadline = number_of(arguments, "deadline_seconds", 1, LONGEST_DEADLINE_SECONDS)
    return PendingStep(
        token=body["token"],
        execution_arn=body["pipelineExecutionArn"],
        job_ids=arguments["job_ids"],
        # AWS's guide has an example with "status", and calls it "Status" in its prose.
        stopping="Stopping" in (body.get("status"), body.get("Status")),
        deadline_seconds=deadline or setting("DEADLINE_SECONDS"),
        tolerated_failure_percentage=number_of(arguments, "tolerated_failure_percentage", 0, 100),
        report_uri=report_uri,
        output_uri=str(arguments.get("output_uri") or ""),
        succeeded_before=int(number_of(arguments, "succeeded_before", 0, 1_000) or 0),
        polls=deliveries_of(record),
        max_polls=setting("MAX_POLLS"),
        sent=sent_of(record),
    )


def read_what_is_left(record, body):
    """A PendingStep of an invalid message whose token can be read, to fail its step and terminate its jobs."""
    return PendingStep(
        token=body["token"],
        execution_arn=str(body.get("pipelineExecutionArn")),
        job_ids=job_ids_of(body.get("arguments")) or "none",
        deadline_seconds=setting("DEADLINE_SECONDS"),
        polls=deliveries_of(record),
        sent=sent_of(record),
    )


def token_of(body):
    token = body.get("token")
    return token if isinstance(token, str) and re.fullmatch("[A-Za-z0-9]{10}", token) else None


def job_ids_of(arguments):
    job_ids = arguments.get("job_ids") if isinstance(arguments, dict) else None
    return job_ids if isinstance(job_ids, str) else None


def deliveries_of(record):
    """How often SQS has delivered the message, this time included."""
    return int(record.get("attributes", {}).get("ApproximateReceiveCount", 1))


def sent_of(record):
    """When SQS got the message, in seconds since 1970."""
    return int(record.get("attributes", {}).get("SentTimestamp", time.time() * 1000)) / 1000


def number_of(arguments, name, low, high):
    """Return an argument as a number, or None when it isn't given. A pipeline passes numbers as strings too."""
    value = arguments.get(name)
    if value in (None, ""):
        return None
    try:
        number = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not low <= number <= high:
        shown = shorten(repr(value), 80)
        raise InvalidMessage(f"{name} must be a number from {low} to {high:,.0f}, but it is {shown}.")
    return number
