"""Probes of CloudWatch Logs."""

from __future__ import annotations

from typing import Any

from .world import Instead, Look, Probe, World

OWN = {"logGroupName": "/own"}
STREAM = {**OWN, "logStreamName": "s1"}
BEGIN = 1_600_000_000_000
GROUPS: Look = ("logs", "DescribeLogGroups", {})
STREAMS: Look = ("logs", "DescribeLogStreams", OWN)


def create_group(w: World) -> Probe:
    look = ("logs", "ListTagsForResource", {"resourceArn": w.arn("logs", "log-group:/own")})
    return Probe(OWN, {"logGroupName": "/other", "tags": {"a": "b"}}, [GROUPS, look])


def written(w: World) -> None:
    """A group with two streams of lines, another one of another class, and an empty one."""
    w.call("logs", "CreateLogGroup", **OWN, tags={"first": "tag"})
    w.call("logs", "CreateLogGroup", logGroupName="/rare", logGroupClass="INFREQUENT_ACCESS")
    for number, stream in enumerate(("s1", "s2", "t")):
        w.call("logs", "CreateLogStream", **OWN, logStreamName=stream)
        lines = [{"timestamp": BEGIN + 10 * at - number, "message": f"{stream} line {at}"} for at in range(3)]
        w.call("logs", "PutLogEvents", **OWN, logStreamName=stream, logEvents=lines)
    w.call("logs", "CreateLogStream", logGroupName="/rare", logStreamName="s1")


def after(request: dict[str, Any], changes: dict[str, Any], *looks: Look) -> Any:
    def probe(w: World) -> Probe:
        written(w)
        return Probe(request, changes, list(looks))

    return probe


def groups(w: World) -> Probe:
    written(w)
    token = w.call("logs", "DescribeLogGroups", limit=1)["nextToken"]
    return Probe(
        {},
        {
            "logGroupNamePrefix": "/r", "logGroupNamePattern": "ra", "nextToken": token, "limit": 1,
        },
    )  # fmt: skip


def streams(w: World) -> Probe:
    written(w)
    token = w.call("logs", "DescribeLogStreams", **OWN, limit=1)["nextToken"]
    return Probe(
        OWN,
        {
            "logGroupName": "/rare", "logGroupIdentifier": Instead(logGroupName=None, logGroupIdentifier="/rare"),
            "logStreamNamePrefix": "t", "orderBy": "LastEventTime", "descending": True, "nextToken": token, "limit": 1,
        },
    )  # fmt: skip


def put(w: World) -> Probe:
    written(w)
    line = {"timestamp": BEGIN, "message": "new"}
    read = [("logs", "FilterLogEvents", {"logGroupName": name}) for name in ("/own", "/rare")]
    return Probe(
        {**STREAM, "logEvents": [line]},
        {"logGroupName": "/rare", "logStreamName": "s2", "logEvents": [{**line, "message": "newer"}]},
        read,
    )


RANGE = {
    "logGroupName": "/rare", "logGroupIdentifier": Instead(logGroupName=None, logGroupIdentifier="/rare"),
    "startTime": BEGIN + 5, "endTime": BEGIN + 5, "limit": 1,
}  # fmt: skip


def get(w: World) -> Probe:
    written(w)
    token = w.call("logs", "GetLogEvents", **STREAM, startFromHead=True, limit=2)["nextForwardToken"]
    changes = {**RANGE, "startTime": BEGIN + 15, "logStreamName": "s2", "nextToken": token, "startFromHead": True}
    return Probe({**STREAM, "limit": 2}, changes)


def search(w: World) -> Probe:
    written(w)
    token = w.call("logs", "FilterLogEvents", **OWN, limit=1)["nextToken"]
    return Probe(
        OWN,
        {
            **RANGE, "nextToken": token, "startFromHead": False, "logStreamNames": ["s2"], "logStreamNamePrefix": "t",
            "filterPattern": "t",
        },
    )  # fmt: skip


def of_tags(request: dict[str, Any], changes: dict[str, Any]) -> Any:
    def probe(w: World) -> Probe:
        written(w)
        own, other = (w.arn("logs", f"log-group:{name}") for name in ("/own", "/rare"))
        look = ("logs", "ListTagsForResource", {"resourceArn": own})
        return Probe({"resourceArn": own, **request}, {"resourceArn": other, **changes}, [look])

    return probe


PROBES: dict[str, dict[str, Any]] = {
    "logs": {
        "CreateLogGroup": create_group,
        "DeleteLogGroup": after(OWN, {"logGroupName": "/rare"}, GROUPS),
        "DescribeLogGroups": groups,
        "PutRetentionPolicy": after({**OWN, "retentionInDays": 1}, {"logGroupName": "/rare"}, GROUPS),
        "CreateLogStream": after(
            {**OWN, "logStreamName": "new"}, {"logGroupName": "/rare", "logStreamName": "newer"}, STREAMS
        ),
        "DescribeLogStreams": streams,
        "PutLogEvents": put,
        "GetLogEvents": get,
        "FilterLogEvents": search,
        "TagResource": of_tags({"tags": {"a": "b"}}, {"tags": {"a": "c"}}),
        "UntagResource": of_tags({"tagKeys": ["first"]}, {"tagKeys": ["second"]}),
        "ListTagsForResource": of_tags({}, {}),
    },
}
