"""The callback queue, its dead-letter queue and the mapping that wakes the monitor function (notebook 04)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import boto3

from .iam import NameConflict, retry_iam_propagation
from .support.waiting import retry_on, wait

# Every poll of a step's jobs is one delivery of its message. SQS's highest limit is enough for the function's deadline
# to come first; what is left for the dead-letter queue is a message that kills the function.
MAX_RECEIVE_COUNT = 1000
RETENTION_SECONDS = 14 * 24 * 3600
BATCH_SIZE = 10  # messages that one invocation of the function may get
MAXIMUM_CONCURRENCY = 2  # invocations at once
REPORT_ITEMS = "ReportBatchItemFailures"  # the response type with which a function reports single messages

# The statement that lets a rule send to the queue, and its name in the queues of earlier versions.
RULE_SID, FORMER_RULE_SID = "AllowRuleToSend", "LetTheRuleSend"


def ensure_queue(
    session: boto3.Session,
    name: str,
    *,
    visibility_timeout_seconds: int = 900,
    dead_letter_queue: str | None = None,
    tags: dict[str, str],
) -> str:
    """A standard queue, created or brought up to date.

    Args:
        visibility_timeout_seconds: how long a message that was received stays hidden, 0 to 43,200. Default: 900,
            the longest that a function may run. A mapping is refused where its function may run longer than this.
        dead_letter_queue: the ARN of the queue that takes what was received MAX_RECEIVE_COUNT times.

    Returns:
        The queue's URL.

    Raises:
        NameConflict: there is such a queue without these tags.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
    """
    sqs = session.client("sqs")
    attributes = {
        "VisibilityTimeout": str(visibility_timeout_seconds),
        "MessageRetentionPeriod": str(RETENTION_SECONDS),
    }
    if dead_letter_queue:
        policy = {"deadLetterTargetArn": dead_letter_queue, "maxReceiveCount": MAX_RECEIVE_COUNT}
        attributes["RedrivePolicy"] = json.dumps(policy)
    try:
        url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        has = sqs.list_queue_tags(QueueUrl=url).get("Tags", {})
    except sqs.exceptions.QueueDoesNotExist:
        return _create(sqs, QueueName=name, Attributes=attributes, tags=tags)["QueueUrl"]
    if not tags.items() <= has.items():
        raise NameConflict(f'queue "{name}"', "it lacks our tag")
    current = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    if any(_value(current.get(key)) != _value(value) for key, value in attributes.items()):
        sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)
    return url


# A name is free again 60 seconds after its queue was deleted.
@retry_on(
    lambda error: "DeletedRecently" in error.response["Error"]["Code"], seconds=90, first_pause=2, longest_pause=10
)
def _create(sqs: Any, **arguments: Any) -> dict[str, Any]:
    return sqs.create_queue(**arguments)


def _value(attribute: str | None) -> Any:
    """Attributes are text. A redrive policy's is JSON, whose order and number types don't matter."""
    if attribute and attribute.startswith("{"):
        return {key: str(value) for key, value in json.loads(attribute).items()}
    return attribute


def queue_url(session: boto3.Session, name: str) -> str:
    """The URL of a queue that notebook 04 made.

    Raises:
        LookupError: there is no such queue. Run notebook 04 first.
    """
    sqs = session.client("sqs")
    try:
        return sqs.get_queue_url(QueueName=name)["QueueUrl"]
    except sqs.exceptions.QueueDoesNotExist:
        raise LookupError(
            f'There is no queue "{name}". Run notebook 04_sqs_and_mapping with the same prefix first.'
        ) from None


def rule_statement(queue: Any, rule: Any) -> dict[str, Any]:
    """The statement of a queue's policy that lets an EventBridge rule send to it. Both are ARNs."""
    return {
        "Sid": RULE_SID,
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue,
        "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
    }


def allow_rule_to_send(session: boto3.Session, url: str, *, rule: str) -> None:
    """Allow an EventBridge rule (its ARN) to send to a queue. Other statements of the queue's policy stay.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html#eb-sqs-permissions
    """
    statement = rule_statement(queue_arn(session, url), rule)
    sqs = session.client("sqs")
    current = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"]).get("Attributes", {}).get("Policy")
    policy: dict[str, Any] = json.loads(current) if current else {"Version": "2012-10-17", "Statement": []}
    statements = policy["Statement"] if isinstance(policy["Statement"], list) else [policy["Statement"]]
    if statement not in statements:
        kept = [each for each in statements if each.get("Sid") not in (RULE_SID, FORMER_RULE_SID)]
        policy["Statement"] = [*kept, statement]
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})


def queue_arn(session: boto3.Session, url: str) -> str:
    """The ARN of a queue."""
    answer = session.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return answer["Attributes"]["QueueArn"]


def message_counts(session: boto3.Session, url: str) -> dict[str, int]:
    """How many messages wait in a queue, and how many are hidden between two polls (approximately, as SQS says)."""
    names = {"waiting": "ApproximateNumberOfMessages", "hidden": "ApproximateNumberOfMessagesNotVisible"}
    answer = session.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=list(names.values()))
    return {label: int(answer["Attributes"][name]) for label, name in names.items()}


def receive_one(session: boto3.Session, url: str, *, containing: str = "", seconds: float = 180) -> str:
    """Wait for a message, delete it from the queue and return its body.

    Args:
        url: the queue's URL.
        containing: a text in the message, such as an execution's ARN. Other messages stay. Default: any message.
        seconds: how long to wait. Default: three minutes.

    Raises:
        TimeoutError: none came within `seconds`.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html
    """
    sqs = session.client("sqs")

    def receive() -> list[dict[str, Any]]:
        # Those that are not wanted come back in two seconds, whatever the queue's visibility timeout.
        several = {"MaxNumberOfMessages": 10, "VisibilityTimeout": 2} if containing else {}
        received = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=min(20, int(seconds)), **several)
        return [message for message in received.get("Messages", []) if containing in message["Body"]]

    name = url.rsplit("/", 1)[1]
    messages = wait(
        receive,
        until=bool,
        seconds=seconds,
        otherwise=lambda _: f'No message came to the queue "{name}" within {seconds:.0f} seconds.',
    )
    sqs.delete_message(QueueUrl=url, ReceiptHandle=messages[0]["ReceiptHandle"])
    return messages[0]["Body"]


def ensure_mapping(
    session: boto3.Session,
    *,
    queue: str,
    function: str,
    batch_size: int = BATCH_SIZE,
    maximum_concurrency: int = MAXIMUM_CONCURRENCY,
    response_types: Sequence[str] = (REPORT_ITEMS,),
    tags: dict[str, str],
) -> dict[str, Any]:
    """The event source mapping from a queue to a function, created or brought up to date, and Enabled.

    With ReportBatchItemFailures a message that is not finished is delivered again alone, and is no error.

    Args:
        queue: the queue's ARN.
        function: the function's name.
        batch_size: messages an invocation may get.
        maximum_concurrency: invocations at once, 2 to 1,000.
        response_types: of the function. With none, Lambda ignores which messages it reports, and deletes all of them.

    Returns:
        The mapping as GetEventSourceMapping answers it.

    Raises:
        TimeoutError: Lambda is not done with it within three minutes.

    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
    """
    client = session.client("lambda")
    settings = {
        "BatchSize": batch_size,
        "FunctionResponseTypes": [*response_types],
        "ScalingConfig": {"MaximumConcurrency": maximum_concurrency},
    }
    # While one is being created, updated or deleted, Lambda takes neither a change of it nor another one like it.
    mapping = _settled_mapping(lambda: find_mapping(session, queue=queue, function=function, deleting=True))
    if mapping is None:

        @retry_iam_propagation()  # Lambda checks the role's permissions on the queue, which may be seconds old
        def create() -> str:
            answer = client.create_event_source_mapping(
                EventSourceArn=queue, FunctionName=function, Enabled=True, Tags=tags, **settings
            )
            return answer["UUID"]

        uuid = create()
    else:
        uuid = mapping["UUID"]
        if mapping["State"] == "Disabled" or any(mapping.get(key) != value for key, value in settings.items()):
            client.update_event_source_mapping(UUID=uuid, Enabled=True, **settings)
    return _settled_mapping(lambda: client.get_event_source_mapping(UUID=uuid))


def pause_mapping(session: boto3.Session, *, queue: str, function: str) -> None:
    """Disable the mapping from a queue (ARN) to a function (name), if there is one. `ensure_mapping` enables it again.

    Raises:
        TimeoutError: Lambda is not done with it within three minutes.
    """
    client = session.client("lambda")
    if not (mapping := _settled_mapping(lambda: find_mapping(session, queue=queue, function=function, deleting=True))):
        return
    if mapping["State"] != "Disabled":
        client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
        _settled_mapping(lambda: client.get_event_source_mapping(UUID=mapping["UUID"]))


def _settled_mapping(describe: Callable[[], dict[str, Any] | None]) -> Any:
    """The mapping once it is Enabled or Disabled, or None once it is gone.

    Raises:
        TimeoutError: it is neither within three minutes.
    """

    def still_changes(mapping: dict[str, Any] | None) -> str:
        assert mapping  # one that is gone is settled
        return (
            f"The mapping of {mapping['EventSourceArn']} to {mapping['FunctionArn']} is still {mapping['State']} after "
            "three minutes. Run this again."
        )

    return wait(
        describe,
        until=lambda mapping: not mapping or mapping["State"] in ("Enabled", "Disabled"),
        seconds=180,
        otherwise=still_changes,
    )


def find_mapping(session: boto3.Session, *, queue: str, function: str, deleting: bool = False) -> dict[str, Any] | None:
    """The mapping between a queue (ARN) and a function (name), or None. With `deleting`, also one being deleted."""
    pages = session.client("lambda").get_paginator("list_event_source_mappings").paginate(EventSourceArn=queue)
    for page in pages:
        for mapping in page["EventSourceMappings"]:
            if mapping["FunctionArn"].rsplit(":", 1)[1] == function and (deleting or mapping["State"] != "Deleting"):
                return mapping
    return None
