"""Mappings of queues to functions: what AWS refuses, whom it lets read the queue, and what an answer leaves in it.

https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from .functions import ACCOUNT_ARN, function, messages, queue, refusal, role, statement, until

INVALID = "InvalidParameterValueException"
ANSWER = """
import json, os
def h(event, context):
    answer = json.loads(event["Records"][0]["body"])["answer"]
    if answer == "raise":
        raise ValueError("as asked")
    ids = [record["messageId"] for record in event["Records"]]
    return json.loads(json.dumps(answer).replace("<first>", ids[0]))
"""


@pytest.fixture(scope="module")
def known(aws: Any) -> str:
    """A function whose mappings the tests only create in vain."""
    return function(aws, Timeout=20)


@pytest.mark.parametrize("lacking", ["ReceiveMessage", "DeleteMessage", "GetQueueAttributes"])
def test_a_role_that_may_not_read_the_queue_gets_no_mapping(aws: Any, lacking: str) -> None:
    actions = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"} - {f"sqs:{lacking}"}
    reader = function(aws, Role=role(aws, *actions))
    create = aws.client("lambda").create_event_source_mapping
    code, message = refusal(create, EventSourceArn=queue(aws)[1], FunctionName=reader)
    assert (code, message) == (
        INVALID,
        f"The function execution role does not have permissions to call {lacking} on SQS",
    )


def test_a_queues_own_policy_may_let_the_role_read_it(aws: Any) -> None:
    reader = role(aws, "logs:*")
    url, arn = queue(aws)
    allow = {"Effect": "Allow", "Principal": {"AWS": reader}, "Action": "sqs:*", "Resource": arn}
    aws.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps({"Statement": allow})})
    client = aws.client("lambda")
    mapping = client.create_event_source_mapping(EventSourceArn=arn, FunctionName=function(aws, Role=reader))
    client.delete_event_source_mapping(UUID=mapping["UUID"])


def test_a_role_that_may_no_longer_read_the_queue_is_given_nothing(aws: Any) -> None:
    reader = role(aws, "logs:*", "sqs:*")
    client, iam, sqs = aws.client("lambda"), aws.client("iam"), aws.client("sqs")
    url, arn = queue(aws)
    mapping = client.create_event_source_mapping(EventSourceArn=arn, FunctionName=function(aws, Role=reader))
    sqs.send_message(QueueUrl=url, MessageBody="1")
    until(lambda: messages(aws, url) == 0)
    name = reader.rpartition("/")[2]
    iam.put_role_policy(RoleName=name, PolicyName="no", PolicyDocument=statement("sqs:*", effect="Deny"))
    sqs.send_message(QueueUrl=url, MessageBody="2")
    with pytest.raises(AssertionError):
        until(lambda: messages(aws, url) == 0, seconds=2.5)  # an idle mapping is polled each second
    iam.delete_role_policy(RoleName=name, PolicyName="no")
    until(lambda: messages(aws, url) == 0)
    client.delete_event_source_mapping(UUID=mapping["UUID"])


@pytest.mark.parametrize(
    ("attributes", "arguments", "code", "says"),
    [
        ({"VisibilityTimeout": "19"}, {}, INVALID, "Queue visibility timeout: 19 seconds is less than Function"),
        ({}, {"BatchSize": 11}, INVALID, "Maximum batch window in seconds must be greater than 0"),
        ({}, {"BatchSize": 0}, "ValidationException", "'batchSize' failed to satisfy constraint"),
        ({}, {"BatchSize": 10_001}, "ValidationException", "less than or equal to 10000"),
        ({}, {"MaximumBatchingWindowInSeconds": 301}, "ValidationException", "less than or equal to 300"),
        ({"FifoQueue": "true"}, {"BatchSize": 11, "MaximumBatchingWindowInSeconds": 0}, INVALID, "FIFO"),
        ({"FifoQueue": "true"}, {"MaximumBatchingWindowInSeconds": 1}, INVALID, "not supported for FIFO queues"),
        ({}, {"ScalingConfig": {"MaximumConcurrency": 1}}, "ValidationException", "greater than or equal to 2"),
        ({}, {"ScalingConfig": {"MaximumConcurrency": 1001}}, "ValidationException", "less than or equal to 1000"),
        ({}, {"FunctionResponseTypes": ["Report"]}, "ValidationException", "enum value set"),
        ({}, {"FilterCriteria": {"Filters": [{"Pattern": "{"}]}}, INVALID, "Invalid filter pattern definition."),
        ({}, {"FilterCriteria": {"Filters": [{"Pattern": '{"body": "x"}'}]}}, INVALID, "Invalid filter pattern"),
        ({}, {"FilterCriteria": {"Filters": [{"Pattern": '{"body": ["x"]}'}] * 6}}, INVALID, "5 filters"),
        ({}, {"StartingPosition": "LATEST"}, INVALID, "the member StartingPosition of"),
        ({}, {"ParallelizationFactor": 2}, INVALID, "the member ParallelizationFactor of"),
        ({}, {"ProvisionedPollerConfig": {"MinimumPollers": 2}}, INVALID, "the member ProvisionedPollerConfig."),
        ({}, {"EventSourceArn": ACCOUNT_ARN.format("sqs", "nosuch")}, INVALID, "NonExistentQueue"),
        ({}, {"EventSourceArn": ACCOUNT_ARN.format("kinesis", "stream/s")}, INVALID, "polls queues only"),
        ({}, {"FunctionName": "nosuch"}, "ResourceNotFoundException", "function:nosuch"),
        ({}, {"Tags": {"aws:own": "x"}}, INVALID, "aws:"),
    ],
)  # fmt: skip
def test_what_a_mapping_can_not_be(
    aws: Any, known: str, attributes: dict, arguments: dict, code: str, says: str
) -> None:
    asked = {"EventSourceArn": queue(aws, **attributes)[1], "FunctionName": known} | arguments
    client = aws.client("lambda", parameter_validation=False)
    refused_code, message = refusal(client.create_event_source_mapping, **asked)
    assert refused_code == code
    assert says in message


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"BatchSize": 11}, "Maximum batch window in seconds must be greater than 0"),
        ({"FilterCriteria": {"Filters": [{"Pattern": "[]"}]}}, "Invalid filter pattern definition."),
        ({"FunctionName": "slow"}, "is less than Function timeout: 31 seconds"),
        ({"FunctionName": "denied"}, "does not have permissions to call ReceiveMessage on SQS"),
        ({"FunctionName": "other"}, "already exists. Please update or delete the existing mapping"),
    ],
)
def test_what_a_mapping_can_not_become(aws: Any, arguments: dict, says: str) -> None:
    client, (_, arn) = aws.client("lambda"), queue(aws)
    others = {
        "slow": lambda: function(aws, Timeout=31),
        "denied": lambda: function(aws, Role=role(aws, "logs:*")),
        "other": lambda: function(aws),
    }
    asked = {name: others[value]() if name == "FunctionName" else value for name, value in arguments.items()}
    first = client.create_event_source_mapping(EventSourceArn=arn, FunctionName=function(aws))
    mappings = [first]
    if arguments.get("FunctionName") == "other":
        mappings.append(client.create_event_source_mapping(EventSourceArn=arn, FunctionName=asked["FunctionName"]))
    assert says in refusal(client.update_event_source_mapping, UUID=first["UUID"], **asked)[1]
    for mapping in mappings:
        client.delete_event_source_mapping(UUID=mapping["UUID"])


def test_a_queue_and_a_function_have_one_mapping(aws: Any) -> None:
    client, (_, arn), own = aws.client("lambda"), queue(aws), function(aws)
    mapping = client.create_event_source_mapping(EventSourceArn=arn, FunctionName=own)
    code, message = refusal(client.create_event_source_mapping, EventSourceArn=arn, FunctionName=own)
    assert code == "ResourceConflictException"
    assert message.endswith(f"already exists. Please update or delete the existing mapping with UUID {mapping['UUID']}")
    client.delete_event_source_mapping(UUID=mapping["UUID"])


def test_a_mapping_whose_queue_is_gone_can_be_stopped(aws: Any) -> None:
    client, (url, arn) = aws.client("lambda"), queue(aws)
    mapping = client.create_event_source_mapping(EventSourceArn=arn, FunctionName=function(aws))
    aws.client("sqs").delete_queue(QueueUrl=url)
    assert client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)["State"] == "Disabled"
    client.delete_event_source_mapping(UUID=mapping["UUID"])


SLOW = """
import time
def h(event, context):
    time.sleep(2)
"""


def test_a_queue_may_be_deleted_while_the_function_has_its_messages(aws: Any) -> None:
    client, sqs, (url, arn) = aws.client("lambda"), aws.client("sqs"), queue(aws)
    mapping = client.create_event_source_mapping(EventSourceArn=arn, FunctionName=function(aws, SLOW))
    sqs.send_message(QueueUrl=url, MessageBody="1")
    hidden = ["ApproximateNumberOfMessagesNotVisible"]
    until(lambda: sqs.get_queue_attributes(QueueUrl=url, AttributeNames=hidden)["Attributes"][hidden[0]] == "1")
    sqs.delete_queue(QueueUrl=url)
    until(lambda: client.get_event_source_mapping(UUID=mapping["UUID"])["LastProcessingResult"] == "OK")
    client.delete_event_source_mapping(UUID=mapping["UUID"])


# What the function answers for a batch of two, and how many messages stay in the queue.
ANSWERS = {
    "an empty list": ({"batchItemFailures": []}, 0),
    "a null list": ({"batchItemFailures": None}, 0),
    "an empty answer": ({}, 0),
    "no answer": (None, 0),
    "one of the two": ({"batchItemFailures": [{"itemIdentifier": "<first>"}]}, 1),
    "a message that is not there": ({"batchItemFailures": [{"itemIdentifier": "nosuch"}]}, 2),
    "one that is there and one that is not": (
        {"batchItemFailures": [{"itemIdentifier": "<first>"}, {"itemIdentifier": "nosuch"}]},
        2,
    ),
    "an empty identifier": ({"batchItemFailures": [{"itemIdentifier": ""}]}, 2),
    "a null identifier": ({"batchItemFailures": [{"itemIdentifier": None}]}, 2),
    "another key": ({"batchItemFailures": [{"messageId": "<first>"}]}, 2),
    "an item that is no object": ({"batchItemFailures": ["<first>"]}, 2),
    "a list that is none": ({"batchItemFailures": "<first>"}, 2),
    "a text": ('{"batchItemFailures": []}', 2),
    "a list": ([], 2),
    "an exception": ("raise", 2),
}


@pytest.fixture(scope="module")
def answering(aws: Any) -> str:
    return function(aws, ANSWER)


@pytest.mark.parametrize(("answer", "stay"), ANSWERS.values(), ids=ANSWERS)
def test_what_an_answer_leaves_in_the_queue(aws: Any, answering: str, answer: Any, stay: int) -> None:
    client, sqs = aws.client("lambda"), aws.client("sqs")
    url, arn = queue(aws, VisibilityTimeout="600")
    body = json.dumps({"answer": answer})
    entries = [{"Id": str(number), "MessageBody": body} for number in range(2)]
    sqs.send_message_batch(QueueUrl=url, Entries=entries)
    mapping = client.create_event_source_mapping(
        EventSourceArn=arn, FunctionName=answering, FunctionResponseTypes=["ReportBatchItemFailures"]
    )

    def processed() -> bool:
        now = client.get_event_source_mapping(UUID=mapping["UUID"])
        return now["LastProcessingResult"] != "No records processed"

    until(processed)
    client.delete_event_source_mapping(UUID=mapping["UUID"])
    assert messages(aws, url) == stay


def test_without_partial_answers_whatever_is_returned_is_success(aws: Any, answering: str) -> None:
    client, (url, arn) = aws.client("lambda"), queue(aws)
    answer = {"batchItemFailures": [{"itemIdentifier": "<first>"}]}
    aws.client("sqs").send_message(QueueUrl=url, MessageBody=json.dumps({"answer": answer}))
    mapping = client.create_event_source_mapping(EventSourceArn=arn, FunctionName=answering)
    until(lambda: messages(aws, url) == 0)
    client.delete_event_source_mapping(UUID=mapping["UUID"])
