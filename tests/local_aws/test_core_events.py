"""What EventBridge takes, and where an event goes that reaches no target."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from .functions import name, queue, refusal, until


def opened(aws: Any) -> tuple[str, str]:
    """URL and ARN of a queue that EventBridge may send to."""
    url, arn = queue(aws)
    events = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{**events, "Resource": arn}]})
    aws.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    return url, arn


def received(aws: Any, url: str) -> list[dict[str, Any]]:
    answer = aws.client("sqs").receive_message(QueueUrl=url, MessageAttributeNames=["All"], WaitTimeSeconds=1)
    return answer.get("Messages", [])


@pytest.mark.parametrize("target", ["closed", "gone"])
def test_an_event_that_does_not_reach_its_target_goes_to_the_dead_letter_queue(aws: Any, target: str) -> None:
    events, source = aws.client("events"), name("own.source")
    dead, dead_arn = opened(aws)
    _, closed = queue(aws)
    arn, code = {"closed": (closed, "NO_PERMISSIONS"), "gone": (f"{closed}-gone", "NO_RESOURCE")}[target]
    rule = name("rule")
    rule_arn = events.put_rule(Name=rule, EventPattern=json.dumps({"source": [source]}))["RuleArn"]
    events.put_targets(Rule=rule, Targets=[{"Id": "t", "Arn": arn, "DeadLetterConfig": {"Arn": dead_arn}}])
    events.put_events(Entries=[{"Source": source, "DetailType": "d", "Detail": '{"a": 1}'}])
    (message,) = received(aws, dead)
    event = json.loads(message["Body"])
    assert (event["source"], event["detail-type"], event["detail"]) == (source, "d", {"a": 1})
    attributes = {one: value["StringValue"] for one, value in message["MessageAttributes"].items()}
    assert (attributes["RULE_ARN"], attributes["TARGET_ARN"], attributes["ERROR_CODE"]) == (rule_arn, arn, code)
    assert arn in attributes["ERROR_MESSAGE"]


def test_a_dead_letter_queue_gets_only_what_its_policy_lets_in(aws: Any) -> None:
    events, source = aws.client("events"), name("own.source")
    (closed, closed_arn), (url, arn), rule = queue(aws), opened(aws), name("rule")
    events.put_rule(Name=rule, EventPattern=json.dumps({"source": [source]}))
    to_closed = {"Id": "a", "Arn": queue(aws)[1], "DeadLetterConfig": {"Arn": closed_arn}}
    to_open = {"Id": "b", "Arn": arn, "DeadLetterConfig": {"Arn": closed_arn}}
    events.put_targets(Rule=rule, Targets=[to_closed, to_open])
    events.put_events(Entries=[{"Source": source, "DetailType": "d", "Detail": "{}"}])
    assert len(received(aws, url)) == 1
    assert received(aws, closed) == []


def test_an_entry_that_lacks_something_fails_by_itself(aws: Any) -> None:
    events, source = aws.client("events"), name("own.source")
    (url, arn), rule = opened(aws), name("rule")
    events.put_rule(Name=rule, EventPattern=json.dumps({"source": [source]}))
    events.put_targets(Rule=rule, Targets=[{"Id": "t", "Arn": arn}])
    sound = {"Source": source, "DetailType": "d", "Detail": '{"a": 1}'}
    lacking = [{key: value for key, value in sound.items() if key != left_out} for left_out in sound]
    malformed = [{**sound, "Detail": detail} for detail in ("{", "[]", "1", '{"a": NaN}')]
    answer = events.put_events(Entries=[*lacking, sound, *malformed])
    assert answer["FailedEntryCount"] == 7
    codes = [entry.get("ErrorCode") for entry in answer["Entries"]]
    assert codes == ["InvalidArgument"] * 3 + [None] + ["MalformedDetail"] * 4
    assert answer["Entries"][0]["ErrorMessage"] == (
        "Parameter Source is not valid. Reason: Source is a required argument."
    )
    assert answer["Entries"][3]["EventId"]
    (message,) = received(aws, url)
    assert json.loads(message["Body"])["id"] == answer["Entries"][3]["EventId"]


@pytest.mark.parametrize("rate", ["0 minutes", "1 minutes", "2 hour", "-1 days", "00 days", "1 week", "1 day) "])
def test_a_rate_that_is_none_is_refused(aws: Any, rate: str) -> None:
    refused = refusal(aws.client("events").put_rule, Name=name("rule"), ScheduleExpression=f"rate({rate})")
    assert refused == ("ValidationException", "Parameter ScheduleExpression is not valid.")


@pytest.mark.parametrize("rate", ["1 minute", "2 minutes", "10 hours", "1 day"])
def test_a_rate_in_its_singular_or_plural_is_taken(aws: Any, rate: str) -> None:
    assert aws.client("events").put_rule(Name=name("rule"), ScheduleExpression=f"rate({rate})")["RuleArn"]


def test_an_event_has_the_time_of_its_entry(aws: Any) -> None:
    events, source = aws.client("events"), name("own.source")
    (url, arn), rule = opened(aws), name("rule")
    events.put_rule(Name=rule, EventPattern=json.dumps({"source": [source]}))
    events.put_targets(Rule=rule, Targets=[{"Id": "t", "Arn": arn}])
    moment = dt.datetime(2020, 2, 29, 12, 30, 45, tzinfo=dt.UTC)
    entry = {"Source": source, "DetailType": "d", "Detail": "{}"}
    answer = events.put_events(Entries=[{**entry, "Time": moment}, {**entry, "Source": "aws.s3"}, entry])
    assert answer["FailedEntryCount"] == 1
    assert [sorted(each) for each in answer["Entries"]] == [["EventId"], ["ErrorCode", "ErrorMessage"], ["EventId"]]
    bodies: list[dict[str, Any]] = []
    until(lambda: bodies.extend(json.loads(each["Body"]) for each in received(aws, url)) or len(bodies) == 2)
    times = sorted(body["time"] for body in bodies)
    assert times[0] == "2020-02-29T12:30:45Z"
    assert times[1] > "2025"
