"""What SNS does not take of topics and subscriptions is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .functions import name, queue, refusal, statement


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({"Policy": "{"}, "Invalid parameter: Policy Error: null"),
        ({"Policy": "{}"}, "Invalid parameter: Policy Error: null"),
        ({"Policy": statement("sns:Publish")}, "Invalid parameter: Policy Error: null"),  # without a principal
        ({"Colour": "red"}, "Invalid parameter: Attributes Reason: Unknown attribute: Colour"),
        ({"KmsMasterKeyId": "k"}, "does not have the attribute KmsMasterKeyId"),
    ],
)
def test_a_topic_that_can_not_be(aws: Any, attributes: dict[str, str], says: str) -> None:
    code, message = refusal(aws.client("sns").create_topic, Name=name("topic"), Attributes=attributes)
    assert code == "InvalidParameter"
    assert says in message


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({"Colour": "red"}, "Unknown attribute: Colour"),
        ({"RedrivePolicy": "{}"}, "does not have the attribute RedrivePolicy"),
        ({"FilterPolicy": "{"}, "Attributes Reason: FilterPolicy: failed to parse JSON."),
        ({"FilterPolicy": "[]"}, "FilterPolicy: "),
        ({"FilterPolicy": '{"a": "b"}'}, 'FilterPolicy: "a" must be an object or an array'),
        ({"FilterPolicy": '{"a": []}'}, "FilterPolicy: Empty arrays are not allowed"),
        ({"FilterPolicy": '{"a": {"b": ["c"]}}'}, "does not support nested filter policy"),
        ({"FilterPolicyScope": "Message"}, "FilterPolicyScope: Invalid value [Message]."),
        ({"RawMessageDelivery": "yes"}, "RawMessageDelivery: Invalid value [yes]. Must be true or false."),
    ],
)
def test_a_subscription_that_can_not_be(aws: Any, attributes: dict[str, str], says: str) -> None:
    sns = aws.client("sns")
    topic = sns.create_topic(Name=name("topic"))["TopicArn"]
    subscription = {"TopicArn": topic, "Protocol": "sqs", "Endpoint": queue(aws)[1]}
    code, message = refusal(sns.subscribe, **subscription, Attributes=attributes)
    assert code == "InvalidParameter"
    assert says in message
    assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []


def test_what_a_subscription_filters_by_is_what_it_gets(aws: Any) -> None:
    sns, sqs, (url, arn) = aws.client("sns"), aws.client("sqs"), queue(aws)
    own = name("topic")
    publish = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": ["sns:Publish", "sns:Subscribe"]}
    policy = {"Statement": [{**publish, "Resource": f"arn:aws:sns:us-east-1:{'0' * 12}:{own}"}]}
    topic = sns.create_topic(Name=own, Attributes={"DisplayName": "d", "Policy": json.dumps(policy)})["TopicArn"]
    let = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
    attributes = {"Policy": json.dumps({"Statement": [{**let, "Resource": arn}]})}
    sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)
    by = {"FilterPolicyScope": "MessageBody", "FilterPolicy": '{"a": {"b": ["c"]}}', "RawMessageDelivery": "true"}
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=by)
    for message in ('{"a": {"b": "d"}}', '{"a": {"b": "c"}}'):
        sns.publish(TopicArn=topic, Message=message)
    received = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1)["Messages"]
    assert [message["Body"] for message in received] == ['{"a": {"b": "c"}}']
