"""Log groups and streams."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterable
from typing import Any

from local_aws import clock
from local_aws.ministack.ports.identity import partition
from local_aws.ministack.ports.log_lines import Lines
from local_aws.ministack.ports.roles import Credentials, is_allowed
from local_aws.ministack.ports.scope import scope
from local_aws.protocol import ApiError


def create_log_group(group: str, account: str, region: str) -> None:
    """Create a log group as the service itself does (AWS Batch makes /aws/batch/job). An existing one is left alone."""
    from ministack.services import cloudwatch_logs

    with scope(account, region):
        if group not in cloudwatch_logs._log_groups:
            cloudwatch_logs._create_log_group({"logGroupName": group})


def put_log_events(
    credentials: Credentials, group: str, stream: str, events: Iterable[tuple[int, str]], account: str, region: str
) -> None:
    """Append lines to a log stream as the role whose credentials are given, creating the stream when it is new.

    Args:
        events: (milliseconds since the epoch, line) in order.

    Raises:
        ApiError: AccessDeniedException without logs:CreateLogStream or logs:PutLogEvents on the stream;
            ResourceNotFoundException when the log group does not exist.
    """
    from ministack.services import cloudwatch_logs

    arn = f"arn:{partition(region)}:logs:{region}:{account}:log-group:{group}:log-stream:{stream}"
    with scope(account, region):
        known = cloudwatch_logs._log_groups.get(group, {"streams": {}})["streams"]
    for action in ("logs:PutLogEvents",) if stream in known else ("logs:CreateLogStream", "logs:PutLogEvents"):
        if refused := is_allowed(credentials, action, arn, region):
            raise ApiError("AccessDeniedException", refused)
    append_log_events(group, stream, events, account, region)


def append_log_events(group: str, stream: str, events: Iterable[tuple[int, str]], account: str, region: str) -> None:
    """put_log_events for a caller that has asked is_allowed itself, and may remember the answer for many streams.

    Raises:
        ApiError: ResourceNotFoundException when the log group does not exist.
    """
    from ministack.services import cloudwatch_logs

    with scope(account, region):
        if group not in cloudwatch_logs._log_groups:
            raise ApiError("ResourceNotFoundException", f"The specified log group does not exist: {group}")
        if stream not in cloudwatch_logs._log_groups[group]["streams"]:
            cloudwatch_logs._create_log_stream({"logGroupName": group, "logStreamName": stream})
        record = cloudwatch_logs._log_groups[group]["streams"][stream]
        for at, lines in itertools.groupby(events, key=operator.itemgetter(0)):
            _append(group, stream, record, at, [line for _, line in lines])


def _append(group: str, stream: str, record: dict[str, Any], at: int, lines: list[str]) -> None:
    """Add lines as MiniStack's PutLogEvents does, a portion at a time rather than a line."""
    from ministack.services import cloudwatch_logs

    now = clock.milliseconds()
    late = record["lastEventTimestamp"] is not None and record["lastEventTimestamp"] > at  # the clock was set back
    if late or any("\n" in line for line in lines):
        events = [{"timestamp": at, "message": line} for line in lines]
        cloudwatch_logs._put_log_events({"logGroupName": group, "logStreamName": stream, "logEvents": events})
        return
    with cloudwatch_logs._log_events_lock:
        if not isinstance(record["events"], Lines):
            record["events"] = Lines(record["events"])
        record["events"].append_lines(at, now, lines)
        record["firstEventTimestamp"] = record["firstEventTimestamp"] or at
        record["lastEventTimestamp"], record["lastIngestionTime"] = at, now
        record["uploadSequenceToken"] = str(int(record["uploadSequenceToken"]) + 1)
    if cloudwatch_logs._log_groups[group].get("subscriptionFilters") or cloudwatch_logs._live_tail_sessions:
        events = [{"timestamp": at, "message": line, "ingestionTime": now} for line in lines]
        cloudwatch_logs._fanout_to_subscription_filters(group, stream, events)
        cloudwatch_logs._fanout_to_live_tail_sessions(group, stream, events)
