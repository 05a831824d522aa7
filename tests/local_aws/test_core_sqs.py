"""SQS's limits, and what it makes of receipt handles that are no longer good.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_Operations.html
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

from .functions import messages, name, queue, refusal
from .test_core_refusals import sent

VALUE, ATTRIBUTE, ATTRIBUTE_VALUE = "InvalidParameterValue", "InvalidAttributeName", "InvalidAttributeValue"
TEXT = {"DataType": "String", "StringValue": "x"}


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ({"QueueName": "x" * 81}, VALUE, "1 to 80 in length"),
        ({"QueueName": "a.b"}, VALUE, "alphanumeric characters, hyphens, or underscores"),
        ({"QueueName": "a b"}, VALUE, "alphanumeric"),
        ({"QueueName": "a.fifo"}, VALUE, "alphanumeric"),
        ({"Attributes": {"NoSuchAttribute": "1"}}, ATTRIBUTE, "Unknown Attribute NoSuchAttribute."),
        ({"Attributes": {"QueueArn": "arn"}}, ATTRIBUTE, "Unknown Attribute QueueArn."),
        ({"Attributes": {"FifoQueue": "false"}}, ATTRIBUTE, "Unknown Attribute FifoQueue."),
        ({"Attributes": {"VisibilityTimeout": "43201"}}, ATTRIBUTE_VALUE, "between 0 and 43200"),
        ({"Attributes": {"MessageRetentionPeriod": "59"}}, ATTRIBUTE_VALUE, "between 60 and 1209600"),
        ({"Attributes": {"SqsManagedSseEnabled": "yes"}}, ATTRIBUTE_VALUE, "SqsManagedSseEnabled"),
        ({"Attributes": {"KmsMasterKeyId": "alias/nosuch"}}, ATTRIBUTE_VALUE, "no KMS"),
        ({"Attributes": {"Policy": "{"}}, ATTRIBUTE_VALUE, "Invalid value for the parameter Policy."),
        ({"Attributes": {"RedrivePolicy": "{"}}, ATTRIBUTE_VALUE, "RedrivePolicy"),
        ({"Attributes": {"RedriveAllowPolicy": "[]"}}, ATTRIBUTE_VALUE, "RedriveAllowPolicy"),
        ({"tags": {str(number): "v" for number in range(51)}}, VALUE, "Maximum 50"),
        ({"tags": {"k": "x" * 257}}, VALUE, "256"),
    ],
)  # fmt: skip
def test_queues_that_can_not_be(aws: Any, arguments: dict, code: str, says: str) -> None:
    create = aws.client("sqs").create_queue
    refused_code, message = refusal(create, **{"QueueName": name("queue"), **arguments})
    assert refused_code == code
    assert says in message


@pytest.mark.parametrize(
    ("call", "arguments", "code", "says"),
    [
        ("set_queue_attributes", {"Attributes": {"FifoQueue": "true"}}, ATTRIBUTE, "Unknown Attribute FifoQueue."),
        ("set_queue_attributes", {"Attributes": {"DelaySeconds": "901"}}, ATTRIBUTE_VALUE, "between 0 and 900"),
        ("get_queue_attributes", {"AttributeNames": ["Nothing"]}, ATTRIBUTE, "Unknown Attribute Nothing."),
        ("receive_message", {"WaitTimeSeconds": 21}, VALUE, "Must be >= 0 and <= 20, if provided."),
        ("receive_message", {"VisibilityTimeout": 43_201}, VALUE, "Must be >= 0 and <= 43200, if provided."),
        ("receive_message", {"MaxNumberOfMessages": 11}, VALUE, "Must be between 1 and 10, if provided."),
        ("receive_message", {"MessageSystemAttributeNames": ["Nothing"]}, ATTRIBUTE, "Unknown Attribute Nothing."),
        ("send_message", {"MessageBody": "x", "DelaySeconds": 901}, VALUE, "Must be >= 0 and <= 900"),
        ("send_message", {"MessageBody": ""}, "MissingParameter", "MessageBody"),
        ("send_message", {}, "MissingParameter", "MessageBody"),
        ("send_message", {"MessageBody": "\x01"}, "InvalidMessageContents", "allowed set"),
        ("send_message", {"MessageBody": "x", "MessageAttributes": {str(n): TEXT for n in range(11)}}, VALUE, "[11]"),
        ("send_message", {"MessageBody": "x", "MessageAttributes": {"a b": TEXT}}, VALUE, "attribute name"),
        ("send_message", {"MessageBody": "x", "MessageAttributes": {"a": {"DataType": "Text"}}}, VALUE, "prefixes"),
        ("send_message", {"MessageBody": "x", "MessageAttributes": {"a": {"DataType": "String"}}}, VALUE, "non-empty"),
        ("tag_queue", {"Tags": {"aws:x": "1"}}, VALUE, "aws:"),
        ("delete_message", {"ReceiptHandle": "no handle"}, "ReceiptHandleIsInvalid", "receipt handle is invalid"),
        ("delete_message", {}, "MissingParameter", "ReceiptHandle"),
        ("list_queues", {"MaxResults": 0}, VALUE, "MaxResults"),
        ("list_queues", {"MaxResults": 1, "NextToken": "no token"}, VALUE, "NextToken"),
    ],
)  # fmt: skip
def test_calls_that_can_not_be(aws: Any, call: str, arguments: dict, code: str, says: str) -> None:
    client = aws.client("sqs", parameter_validation=False)
    target = {} if call == "list_queues" else {"QueueUrl": queue(aws)[0]}
    refused_code, message = refusal(getattr(client, call), **target, **arguments)
    assert refused_code == code
    assert says in message


@pytest.mark.parametrize(
    "parameters", [{"WaitTimeSeconds": "21"}, {"WaitTimeSeconds": "x"}, {"MaxNumberOfMessages": "x"}]
)
def test_the_query_protocol_has_the_same_limits(aws: Any, parameters: dict) -> None:
    form = urlencode({"Action": "ReceiveMessage", "QueueUrl": queue(aws)[0], "Version": "2012-11-05", **parameters})
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    status, answer, _ = sent(aws, "sqs", "/", form.encode(), kind)
    assert status == 400
    assert b"<Code>InvalidParameterValue</Code>" in answer


def test_the_query_protocol_makes_a_tagged_queue(aws: Any) -> None:
    own = name("queue")
    attribute = {"Attribute.1.Name": "DelaySeconds", "Attribute.1.Value": "7"}
    form = {"Action": "CreateQueue", "QueueName": own, "Tag.1.Key": "k", "Tag.1.Value": "v", **attribute}
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    status, answer, _ = sent(aws, "sqs", "/", urlencode(form).encode(), kind)
    assert status == 200, answer
    client = aws.client("sqs")
    url = client.get_queue_url(QueueName=own)["QueueUrl"]
    assert client.list_queue_tags(QueueUrl=url)["Tags"] == {"k": "v"}
    assert client.get_queue_attributes(QueueUrl=url, AttributeNames=["DelaySeconds"])["Attributes"] == {
        "DelaySeconds": "7"
    }


@pytest.fixture
def received_twice(aws: Any) -> tuple[str, str, str]:
    """A queue whose one message was received twice: its URL, the old handle and the new."""
    client, (url, _) = aws.client("sqs"), queue(aws)
    client.send_message(QueueUrl=url, MessageBody="x")
    old = client.receive_message(QueueUrl=url, VisibilityTimeout=0)["Messages"][0]["ReceiptHandle"]
    new = client.receive_message(QueueUrl=url, VisibilityTimeout=600)["Messages"][0]["ReceiptHandle"]
    return url, old, new


def test_an_old_handle_deletes_nothing_and_succeeds(aws: Any, received_twice: tuple[str, str, str]) -> None:
    client, (url, old, new) = aws.client("sqs"), received_twice
    client.delete_message(QueueUrl=url, ReceiptHandle=old)
    assert messages(aws, url) == 1
    client.delete_message(QueueUrl=url, ReceiptHandle=new)
    assert messages(aws, url) == 0
    client.delete_message(QueueUrl=url, ReceiptHandle=new)


def test_an_old_handle_changes_no_visibility(aws: Any, received_twice: tuple[str, str, str]) -> None:
    client, (url, old, new) = aws.client("sqs"), received_twice
    code, message = refusal(client.change_message_visibility, QueueUrl=url, ReceiptHandle=old, VisibilityTimeout=1)
    assert code == "InvalidParameterValue"
    assert message.endswith("Message does not exist or is not available for visibility timeout change.")
    assert (
        refusal(client.change_message_visibility, QueueUrl=url, ReceiptHandle=new, VisibilityTimeout=43_201)[0] == VALUE
    )
    client.change_message_visibility(QueueUrl=url, ReceiptHandle=new, VisibilityTimeout=43_200)


def test_entries_of_a_batch_fail_one_by_one(aws: Any, received_twice: tuple[str, str, str]) -> None:
    client, (url, old, new) = aws.client("sqs"), received_twice

    def outcome(answer: dict) -> tuple[set[str], dict[str, str]]:
        failed = {entry["Id"]: entry["Code"] for entry in answer.get("Failed", [])}
        return {entry["Id"] for entry in answer.get("Successful", [])}, failed

    entries = [
        {"Id": "far", "ReceiptHandle": new, "VisibilityTimeout": 43_201},
        {"Id": "good", "ReceiptHandle": new, "VisibilityTimeout": 300},
        {"Id": "none", "ReceiptHandle": "no handle", "VisibilityTimeout": 300},
    ]
    changed = client.change_message_visibility_batch(QueueUrl=url, Entries=entries)
    assert outcome(changed) == ({"good"}, {"far": VALUE, "none": "ReceiptHandleIsInvalid"})
    entries = [
        {"Id": which, "ReceiptHandle": handle} for which, handle in (("old", old), ("none", "no handle"), ("new", new))
    ]
    deleted = client.delete_message_batch(QueueUrl=url, Entries=entries)
    assert outcome(deleted) == ({"old", "new"}, {"none": "ReceiptHandleIsInvalid"})
    assert messages(aws, url) == 0
    entries = [{"Id": "late", "MessageBody": "x", "DelaySeconds": 901}, {"Id": "good", "MessageBody": "x"}]
    assert outcome(client.send_message_batch(QueueUrl=url, Entries=entries)) == ({"good"}, {"late": VALUE})
