"""Probes of SQS and SNS."""

from __future__ import annotations

import json
from typing import Any

from .world import Instead, Look, Probe, Versus, World, allow

TEXT = {"a": {"DataType": "String", "StringValue": "b"}}
BYTES = {"a": {"DataType": "Binary", "BinaryValue": b"b"}}
TRACE = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-5759e988-bd862e3fe1be46a994272793"}}
OTHER_TRACE = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-5759e988-bd862e3fe1be46a994272794"}}
PAGE = {"MaxResults": 1}


def attributes(url: str) -> Look:
    return ("sqs", "GetQueueAttributes", {"QueueUrl": url, "AttributeNames": ["All"]})


def messages(url: str, **more: Any) -> Look:
    every = {"AttributeNames": ["All"], "MessageAttributeNames": ["All"], "MaxNumberOfMessages": 10}
    return ("sqs", "ReceiveMessage", {"QueueUrl": url, **every, **more})


def create_queue(w: World) -> Probe:
    return Probe(
        {"QueueName": "own"},
        {"QueueName": "other", "Attributes": {"DelaySeconds": "5"}, "tags": {"a": "b"}},
        [attributes(w.url("own")), ("sqs", "ListQueueTags", {"QueueUrl": w.url("own")})],
    )


def of_queue(request: dict[str, Any], changes: dict[str, Any], *looks: str) -> Any:
    """A probe of a queue with a tag and a message."""

    def probe(w: World) -> Probe:
        own, other = w.queue(), w.queue("other")
        w.call("sqs", "TagQueue", QueueUrl=own, Tags={"first": "tag"})
        w.call("sqs", "SendMessage", QueueUrl=own, MessageBody="first")
        seen = {
            "attributes": attributes(own),
            "tags": ("sqs", "ListQueueTags", {"QueueUrl": own}),
            "messages": messages(own),
        }
        return Probe({"QueueUrl": own, **request}, {"QueueUrl": other, **changes}, [seen[look] for look in looks])

    return probe


def queue_url(w: World) -> Probe:
    w.queue()
    changes = {"QueueName": "nosuch", "QueueOwnerAWSAccountId": "9" * 12}
    return Probe({"QueueName": "own", "QueueOwnerAWSAccountId": w.account}, changes)


def list_queues(w: World) -> Probe:
    for name in ("a1", "a2", "b"):
        w.queue(name)
    token = w.call("sqs", "ListQueues", MaxResults=2)["NextToken"]
    return Probe({"MaxResults": 2}, {"MaxResults": 1, "QueueNamePrefix": "b", "NextToken": token})


def sent(url: str, fifo: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    request = {"MessageBody": "x", "MessageAttributes": TEXT}
    changes: dict[str, Any] = {
        "MessageBody": "y",
        "MessageAttributes{}.StringValue": "c",
        "MessageAttributes{}.BinaryValue": BYTES,
        "MessageAttributes{}.DataType": "String.own",
    }
    if fifo:
        request |= {"MessageGroupId": "g", "MessageDeduplicationId": "d"}
        changes |= {"MessageGroupId": "h", "MessageDeduplicationId": "e"}
    else:
        changes |= {"DelaySeconds": 9}
    return request, changes


def send_message(w: World) -> Probe:
    """To a queue of first in, first out, where a message may not have its own delay."""
    url = w.queue("own.fifo", FifoQueue="true")
    request, changes = sent(url, fifo=True)
    plain = w.queue("plain")
    to_plain = {"QueueUrl": plain, "MessageGroupId": None, "MessageDeduplicationId": None}
    changes["MessageAttributes{}.BinaryValue"] = Instead(MessageAttributes=BYTES)
    changes["DelaySeconds"] = Versus(Instead(**to_plain), Instead(**to_plain, DelaySeconds=9))
    changes |= {
        "QueueUrl": plain, "MessageSystemAttributes{}.StringValue": Instead(MessageSystemAttributes=OTHER_TRACE),
        "MessageSystemAttributes{}.DataType": Instead(
            MessageSystemAttributes={"AWSTraceHeader": {**TRACE["AWSTraceHeader"], "DataType": "Number"}}
        ),
    }  # fmt: skip
    return Probe(
        {"QueueUrl": url, **request, "MessageSystemAttributes": TRACE}, changes, [messages(url), attributes(plain)]
    )


def send_batch(w: World) -> Probe:
    url, plain = w.queue("own.fifo", FifoQueue="true"), w.queue("plain")
    entry, changes = sent(url, fifo=True)
    changes = {f"Entries[].{member}": value for member, value in changes.items()}
    changes["Entries[].MessageAttributes{}.BinaryValue"] = Instead(
        Entries=[{"Id": "i", **entry, "MessageAttributes": BYTES}]
    )
    plainly = {"Id": "i", "MessageBody": "x"}
    changes["Entries[].DelaySeconds"] = Versus(
        Instead(QueueUrl=plain, Entries=[plainly]), Instead(QueueUrl=plain, Entries=[{**plainly, "DelaySeconds": 9}])
    )
    return Probe(
        {"QueueUrl": url, "Entries": [{"Id": "i", **entry}]},
        {"QueueUrl": w.url("nosuch"), "Entries[].Id": "j", **changes},
        [messages(url), attributes(plain)],
    )


def receive(w: World) -> Probe:
    own, empty = w.queue(), w.queue("empty")
    for number in range(2):
        w.call(
            "sqs", "SendMessage", QueueUrl=own, MessageBody=str(number), MessageAttributes=TEXT,
            MessageSystemAttributes=TRACE,
        )  # fmt: skip

    def waited(world: World, answer: Any) -> bool:
        return world.elapsed > 0.9

    return Probe(
        {"QueueUrl": own},
        {
            "QueueUrl": empty, "AttributeNames": ["SenderId"], "MessageSystemAttributeNames": ["AWSTraceHeader"],
            "MessageAttributeNames": ["a"], "MaxNumberOfMessages": 2, "VisibilityTimeout": 0,
            "WaitTimeSeconds": Versus(Instead(QueueUrl=empty), Instead(QueueUrl=empty, WaitTimeSeconds=1)),
        },
        [waited, attributes(own)],
    )  # fmt: skip


def of_received(request: Any, changes: Any) -> Any:
    """A probe of a message that was received."""

    def probe(w: World) -> Probe:
        own, other = w.queue(), w.queue("other")
        for url in (own, other):
            w.call("sqs", "SendMessage", QueueUrl=url, MessageBody="x")
        handle = w.call("sqs", "ReceiveMessage", QueueUrl=own)["Messages"][0]["ReceiptHandle"]
        nowhere = {"QueueUrl": w.url("nosuch")}
        return Probe({"QueueUrl": own, **request(handle)}, {**nowhere, **changes(handle)}, [attributes(own)])

    return probe


def entries(handle: str, **more: Any) -> dict[str, Any]:
    return {"Entries": [{"Id": "i", "ReceiptHandle": handle, **more}]}


# --- SNS -------------------------------------------------------------------------------------------------------------


def create_topic(w: World) -> Probe:
    arn = {"TopicArn": w.arn("sns", "own")}
    return Probe(
        {"Name": "own"},
        {"Name": "other", "Attributes": {"DisplayName": "d"}, "Tags": [{"Key": "a", "Value": "b"}]},
        [("sns", "GetTopicAttributes", arn), ("tagging", "GetResources", {})],
    )


def of_topic(request: dict[str, Any], changes: dict[str, Any], *looks: Look) -> Any:
    def probe(w: World) -> Probe:
        own = w.call("sns", "CreateTopic", Name="own")["TopicArn"]
        return Probe({"TopicArn": own, **request}, {"TopicArn": w.arn("sns", "nosuch"), **changes}, list(looks))

    return probe


def list_topics(w: World) -> Probe:
    for number in range(101):
        w.call("sns", "CreateTopic", Name=f"own-{number:03}")
    return Probe({}, {"NextToken": w.call("sns", "ListTopics")["NextToken"]})


def subscribe(w: World) -> Probe:
    topic, other = (w.call("sns", "CreateTopic", Name=name)["TopicArn"] for name in ("own", "other"))
    queue, function = w.open_queue(service="sns.amazonaws.com"), w.function()

    def attributes_of(world: World, answer: dict[str, Any]) -> Any:
        world.call("sns", "Publish", TopicArn=topic, Message="x")
        return [world.call("sns", "ListSubscriptionsByTopic", TopicArn=arn)["Subscriptions"] for arn in (topic, other)]

    return Probe(
        {"TopicArn": topic, "Protocol": "sqs", "Endpoint": queue},
        {
            "TopicArn": other, "Protocol": Instead(Protocol="lambda", Endpoint=function),
            "Endpoint": w.open_queue("second", service="sns.amazonaws.com"),
            "Attributes": {"RawMessageDelivery": "true"},
        },
        [attributes_of, messages(w.url("own"), WaitTimeSeconds=1)],
    )  # fmt: skip


def subscribed(w: World, topic: str) -> str:
    queue = w.open_queue(service="sns.amazonaws.com")
    return w.call("sns", "Subscribe", TopicArn=topic, Protocol="sqs", Endpoint=queue)["SubscriptionArn"]


def unsubscribe(w: World) -> Probe:
    topic = w.call("sns", "CreateTopic", Name="own")["TopicArn"]
    return Probe(
        {"SubscriptionArn": subscribed(w, topic)},
        {"SubscriptionArn": f"{topic}:1f4b3b1e-0000-4000-8000-000000000000"},
        [("sns", "ListSubscriptionsByTopic", {"TopicArn": topic})],
    )


def subscriptions(w: World) -> Probe:
    topic, other = (w.call("sns", "CreateTopic", Name=name)["TopicArn"] for name in ("own", "other"))
    subscribed(w, topic)
    return Probe({"TopicArn": topic}, {"TopicArn": other})


def publish(w: World) -> Probe:
    """To a topic with a queue, and one of first in, first out with such a queue."""
    topic = w.call("sns", "CreateTopic", Name="own")["TopicArn"]
    other = w.call("sns", "CreateTopic", Name="other")["TopicArn"]
    fifo = w.call("sns", "CreateTopic", Name="own.fifo", Attributes={"FifoTopic": "true"})["TopicArn"]
    subscribed(w, topic)
    arn = w.arn("sqs", "own.fifo")
    policy = allow("sqs:SendMessage", resource=arn, Principal={"Service": "sns.amazonaws.com"})
    url = w.queue("own.fifo", FifoQueue="true", Policy=policy)
    w.call("sns", "Subscribe", TopicArn=fifo, Protocol="sqs", Endpoint=arn)
    several = json.dumps({"default": "d", "sqs": "of queues"})
    first = {"TopicArn": fifo, "MessageGroupId": "g", "MessageDeduplicationId": "d"}
    w.call("sns", "Publish", Message="before", **first)
    second = {**first, "MessageDeduplicationId": "e"}
    return Probe(
        {"TopicArn": topic, "Message": several},
        {
            "TopicArn": other, "TargetArn": Instead(TopicArn=None, TargetArn=other), "Message": "y", "Subject": "s",
            "MessageStructure": "json", "MessageAttributes": TEXT,
            "MessageDeduplicationId": Versus(Instead(**first), Instead(**{**first, "MessageDeduplicationId": "e"})),
            "MessageGroupId": Versus(Instead(**second), Instead(**{**second, "MessageGroupId": "h"})),
        },
        [messages(w.url("own"), WaitTimeSeconds=1), messages(url, WaitTimeSeconds=1)],
    )  # fmt: skip


def _changed_batch(handle: str) -> dict[str, Any]:
    return {"Entries": entries(handle, VisibilityTimeout=60)["Entries"]}


PROBES: dict[str, dict[str, Any]] = {
    "sqs": {
        "CreateQueue": create_queue,
        "DeleteQueue": of_queue({}, {}, "attributes"),
        "GetQueueUrl": queue_url,
        "ListQueues": list_queues,
        "GetQueueAttributes": of_queue({}, {"AttributeNames": ["DelaySeconds"]}),
        "SetQueueAttributes": of_queue(
            {"Attributes": {"DelaySeconds": "1"}}, {"Attributes": {"DelaySeconds": "2"}}, "attributes"
        ),
        "TagQueue": of_queue({"Tags": {"a": "b"}}, {"Tags": {"a": "c"}}, "tags"),
        "UntagQueue": of_queue({"TagKeys": ["first"]}, {"TagKeys": ["second"]}, "tags"),
        "ListQueueTags": of_queue({}, {}),
        "PurgeQueue": of_queue({}, {}, "messages"),
        "SendMessage": send_message,
        "SendMessageBatch": send_batch,
        "ReceiveMessage": receive,
        "DeleteMessage": of_received(lambda handle: {"ReceiptHandle": handle}, lambda _: {"ReceiptHandle": "none"}),
        "DeleteMessageBatch": of_received(entries, lambda _: {"Entries": [{"Id": "i", "ReceiptHandle": "none"}]}),
        "ChangeMessageVisibility": of_received(
            lambda handle: {"ReceiptHandle": handle, "VisibilityTimeout": 0},
            lambda _: {"ReceiptHandle": "none", "VisibilityTimeout": 60},
        ),
        "ChangeMessageVisibilityBatch": of_received(
            lambda handle: entries(handle, VisibilityTimeout=0), _changed_batch
        ),
    },
    "sns": {
        "CreateTopic": create_topic,
        "DeleteTopic": of_topic({}, {}, ("sns", "ListTopics", {})),
        "ListTopics": list_topics,
        "GetTopicAttributes": of_topic({}, {}),
        "Subscribe": subscribe,
        "Unsubscribe": unsubscribe,
        "ListSubscriptionsByTopic": subscriptions,
        "Publish": publish,
    },
}
