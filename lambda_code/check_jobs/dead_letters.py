"""Fail the step of a message that can't be handled, and keep the message in the dead-letter queue for a person."""

import os

from botocore.exceptions import BotoCoreError, ClientError

from aws import client
from log import log
from schedule import poll_later


def move_to_dlq(record, why):
    """Put a message into the dead-letter queue. Returns True when it may leave the callback queue."""
    dead_letter_queue = os.environ.get("DEAD_LETTER_QUEUE_URL")
    if not dead_letter_queue:
        # The queue's redrive policy, if it has one, moves the message after maxReceiveCount deliveries.
        log("no DEAD_LETTER_QUEUE_URL is set", level="ERROR", reason=why)
        return False
    attributes = {"Reason": why, "SourceQueueArn": record["eventSourceARN"]}
    try:
        client("sqs").send_message(
            QueueUrl=dead_letter_queue,
            MessageBody=record["body"],
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            },
        )
    except (ClientError, BotoCoreError) as error:
        log("could not move the message to the dead-letter queue", level="ERROR", error=str(error))
        poll_later(record, None, error)
        return False
    log("message moved to the dead-letter queue", metrics={"DeadLetters": 1}, level="ERROR", reason=why)
    return True
