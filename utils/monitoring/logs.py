"""What jobs and functions have logged."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pandas as pd

from .. import batch
from ..config import Config
from ..support.waiting import wait


def job_log(session: boto3.Session, log_group: str, log_stream: str) -> list[str]:
    """The lines that one attempt of a job printed.

    Args:
        log_stream: the job's `logStreamName`, as DescribeJobs returns it.

    Returns:
        The lines, or none without such a stream. A job that failed to start may name a stream that was never created
        (nextstrain/cli#405).

    Raises:
        LookupError: there is no such log group.

    https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html
    https://github.com/nextstrain/cli/issues/405
    """
    logs = session.client("logs")
    lines: list[str] = []
    token: str | None = None
    while True:
        more: dict[str, str] = {"nextToken": token} if token else {}
        try:
            answer = logs.get_log_events(logGroupName=log_group, logStreamName=log_stream, startFromHead=True, **more)
        except logs.exceptions.ResourceNotFoundException:  # which of the two, only a text says
            if batch.log_group(session, log_group) is None:
                raise LookupError(_no_group(session, log_group, "Check its name and the region")) from None
            return lines
        lines += [event["message"] for event in answer["events"]]
        if answer["nextForwardToken"] == token:  # the same token again: that was the end
            return lines
        token = answer["nextForwardToken"]


def _no_group(session: boto3.Session, log_group: str, remedy: str) -> str:
    return f'There is no log group "{log_group}" in {session.region_name}. {remedy}.'


def last_lines(logs: Any, log_group: str, log_stream: str) -> list[str]:
    """The last three lines that a job has printed, or none if its log stream does not exist (yet)."""
    try:
        answer = logs.get_log_events(logGroupName=log_group, logStreamName=log_stream, limit=3)
    except logs.exceptions.ResourceNotFoundException:
        return []
    return [event["message"] for event in answer["events"]]


def answers(
    session: boto3.Session, config: Config, execution: str, *, expect: int = 0, seconds: float = 30
) -> pd.DataFrame:
    """What check_jobs has logged of the steps of an execution that it answered, one row each.

    It knows a step by its jobs, whose names hold the name of the step that submitted them.

    Args:
        expect: wait until the log has so many answers, since a line takes some moments to come. Default: 0.
        seconds: how long to wait. After that the table has what is there. Default: 30 seconds.

    Returns:
        Columns step (whose jobs they are), answer (Success or Failure), path (poll or push), polls and lag: the
        seconds from the last job's end to the answer, None where no job ended it.

    Raises:
        LookupError: check_jobs has no log group. Run notebook 03 first.

    https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
    """
    logs, log_group = session.client("logs"), config.lambda_log_group(config.check_jobs_function)
    search = {"logGroupName": log_group, "filterPattern": '"step answered"'}

    def logged() -> list[dict[str, Any]]:
        pages = logs.get_paginator("filter_log_events").paginate(**search)
        try:
            entries = [json.loads(event["message"]) for page in pages for event in page["events"]]
        except logs.exceptions.ResourceNotFoundException:
            raise LookupError(_no_group(session, log_group, "Run notebook 03 first")) from None
        return [entry for entry in entries if entry["execution"] == execution]

    mine = wait(logged, until=lambda found: len(found) >= expect, seconds=seconds)
    columns = {"step": "step", "answer": "answer", "path": "path", "polls": "polls", "lag": "AnswerLag"}
    return pd.DataFrame({column: [entry.get(key) for entry in mine] for column, key in columns.items()})
