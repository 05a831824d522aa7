"""Choose when to poll a step again. The clock is a message that stays hidden."""

import functools
import random
import time

from botocore.exceptions import BotoCoreError, ClientError

from aws import client
from log import log
from settings import setting

LONGEST_HIDING_SECONDS = 43_000  # a message may be hidden for 12 hours from its delivery


def poll_later(record, step, reason, delay=None):
    """Hide the message until its next poll. The handler reports it as failed, so SQS keeps it.

    Args:
        record: the message.
        step: its PendingStep, or None if it could not be read.
        reason: the exception that says why, for the log.
        delay: seconds. Default: next_poll_seconds.
    """
    if delay is None:
        delay = next_poll_seconds(step, time.time(), getattr(reason, "pushed", False))
    log("not yet", reason=str(reason), next_poll_seconds=delay)
    try:
        # AWS doesn't document that the mapping leaves this visibility alone. If it did not, the queue's own
        # visibility timeout would hold, and the next poll came later.
        client("sqs").change_message_visibility(
            QueueUrl=queue_url(record["eventSourceARN"]),
            ReceiptHandle=record["receiptHandle"],
            VisibilityTimeout=delay,
        )
    except (ClientError, BotoCoreError) as error:
        log("the next poll waits for the queue's own visibility timeout", level="WARNING", error=str(error))


def next_poll_seconds(step, now, pushed=False):
    """A quarter of the time waited so far, give or take a fifth, so that many steps are not polled all at once."""
    low = setting("PUSH_POLL_SECONDS" if pushed else "POLL_MIN_SECONDS")
    high = setting("POLL_MAX_SECONDS")
    age = step.age(now) if step else 0.0
    if step and step.polls > setting("MAX_POLLS") / 2:
        polls_left = max(1, setting("MAX_POLLS") - step.polls)
        high = max(high, 2 * (step.deadline_seconds - age) / polls_left)  # so the deadline comes before the last poll
    wanted = max(age / 4 * random.uniform(0.8, 1.2), low)
    delay = min(wanted, max(low, high) * random.uniform(0.8, 1.0), LONGEST_HIDING_SECONDS)
    if step and step.deadline_seconds >= age:
        delay = min(delay, step.deadline_seconds - age + 1)  # a poll right after the deadline
    return round(delay)


@functools.cache
def queue_url(queue_arn):
    account, name = queue_arn.split(":")[4:6]
    return client("sqs").get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"]
