"""Probes of EventBridge."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from .queues import messages
from .world import Instead, Look, Probe, World

PATTERN = json.dumps({"source": ["own"]})
RULE = {"Name": "own"}
DESCRIBE: Look = ("events", "DescribeRule", RULE)
BUS = {"EventBusName": "bus"}


def put_rule(w: World) -> Probe:
    w.call("events", "CreateEventBus", Name="bus")
    arn = w.arn("events", "rule/own")
    return Probe(
        {**RULE, "EventPattern": PATTERN},
        {
            "Name": "other", "ScheduleExpression": "rate(5 minutes)", "EventPattern": json.dumps({"source": ["b"]}),
            "State": "DISABLED", "Description": "d", "Tags": [{"Key": "a", "Value": "b"}], "EventBusName": "bus",
        },
        [DESCRIBE, ("events", "ListTagsForResource", {"ResourceARN": arn})],
    )  # fmt: skip


def ruled(w: World) -> None:
    """A bus with a rule of the default bus's name, whose target is another one, and some more rules."""
    w.call("events", "CreateEventBus", Name="bus")
    w.open_queue()
    w.open_queue("second")
    for bus, target in (("default", "own"), ("bus", "second")):
        w.call("events", "PutRule", Name="own", EventPattern=PATTERN, EventBusName=bus, State="ENABLED")
        targets = [{"Id": name, "Arn": w.arn("sqs", target)} for name in ("t1", "t2")]
        w.call("events", "PutTargets", Rule="own", EventBusName=bus, Targets=targets)
    w.call("events", "PutRule", Name="next", EventPattern=PATTERN)


TARGETS = [("events", "ListTargetsByRule", {"Rule": "own"}), ("events", "ListTargetsByRule", {"Rule": "own", **BUS})]


def of_rule(request: dict[str, Any], changes: dict[str, Any], looks: list[Look], **none: Any) -> Any:
    def probe(w: World) -> Probe:
        ruled(w)
        if "Force" in request:
            w.call("events", "RemoveTargets", Rule="own", Ids=["t1", "t2"])
            w.call("events", "RemoveTargets", Rule="own", **BUS, Ids=["t1", "t2"])
        return Probe(request, changes, looks)

    return probe


def list_rules(w: World) -> Probe:
    ruled(w)
    token = w.call("events", "ListRules", Limit=1)["NextToken"]
    return Probe({}, {"NamePrefix": "n", "EventBusName": "bus", "NextToken": token, "Limit": 1})


def list_targets(w: World) -> Probe:
    ruled(w)
    return Probe({"Rule": "own"}, {"Rule": "next", "EventBusName": "bus"})


def put_targets(w: World) -> Probe:
    ruled(w)
    fifo = {"Arn": w.arn("sqs", "own.fifo"), "Id": "t"}
    w.queue("own.fifo", FifoQueue="true")
    transformed = {"InputPathsMap": {"s": "$.source"}, "InputTemplate": '"<s>"'}
    arn = w.arn("sqs", "own")
    return Probe(
        {"Rule": "own", "Targets": [{"Id": "t", "Arn": arn}]},
        {
            "Rule": "next", "EventBusName": "bus", "Targets[].Id": "u", "Targets[].Arn": w.arn("sqs", "second"),
            "Targets[].Input": '{"a": 1}', "Targets[].InputPath": "$.detail",
            "Targets[].InputTransformer": transformed,
            "Targets[].SqsParameters": Instead(Targets=[{**fifo, "SqsParameters": {"MessageGroupId": "g"}}]),
            "Targets[].DeadLetterConfig": {"Arn": w.arn("sqs", "second")},
        },
        TARGETS,
    )  # fmt: skip


def put_events(w: World) -> Probe:
    ruled(w)
    own = {"Source": "own", "DetailType": "d", "Detail": "{}"}
    moment = dt.datetime(2020, 2, 29, tzinfo=dt.UTC)

    def received(world: World, answer: Any) -> Any:
        got = [world.call(*messages(world.url(name))[:2], **messages(world.url(name))[2]) for name in ("own", "second")]
        bodies = [json.loads(one["Body"]) for each in got for one in each.get("Messages", [])]
        return [(len(each.get("Messages", []))) for each in got], [
            {**body, "id": "", "time": body["time"][:4]} for body in bodies
        ]

    return Probe(
        {"Entries": [own]},
        {
            "Entries[].Time": moment, "Entries[].Source": "other", "Entries[].Resources": ["r"],
            "Entries[].DetailType": "e", "Entries[].Detail": '{"a": 1}', "Entries[].EventBusName": "bus",
        },
        [received],
    )  # fmt: skip


def of_tags(request: dict[str, Any], changes: dict[str, Any]) -> Any:
    def probe(w: World) -> Probe:
        ruled(w)
        own, other = w.arn("events", "rule/own"), w.arn("events", "rule/next")
        w.call("events", "TagResource", ResourceARN=own, Tags=[{"Key": "first", "Value": "tag"}])
        look = ("events", "ListTagsForResource", {"ResourceARN": own})
        return Probe({"ResourceARN": own, **request}, {"ResourceARN": other, **changes}, [look])

    return probe


BUSES = [("events", "ListRules", {}), ("events", "ListRules", BUS)]
PROBES: dict[str, dict[str, Any]] = {
    "events": {
        "PutRule": put_rule,
        "DescribeRule": of_rule(RULE, {"Name": "next", **BUS}, []),
        "DeleteRule": of_rule({**RULE, "Force": False}, {"Name": "next", **BUS}, BUSES),
        "ListRules": list_rules,
        "PutTargets": put_targets,
        "RemoveTargets": of_rule({"Rule": "own", "Ids": ["t1"]}, {"Rule": "next", **BUS, "Ids": ["t2"]}, TARGETS),
        "ListTargetsByRule": list_targets,
        "PutEvents": put_events,
        "TagResource": of_tags({"Tags": [{"Key": "a", "Value": "b"}]}, {"Tags": [{"Key": "a", "Value": "c"}]}),
        "UntagResource": of_tags({"TagKeys": ["first"]}, {"TagKeys": ["second"]}),
        "ListTagsForResource": of_tags({}, {}),
    },
}
