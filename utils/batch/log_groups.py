"""Create log groups, for the jobs and for everything else that writes a log."""

from __future__ import annotations

from typing import Any

import boto3

from ..support.paging import paginate


def ensure_log_group(session: boto3.Session, name: str, *, retention_days: int = 14, tags: dict[str, str]) -> None:
    """A log group, created or brought up to date.

    Its lines are deleted after `retention_days`. A group that a service makes by itself keeps them for ever, and they
    cost for ever.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/Working-with-log-groups-and-streams.html
    """
    logs, group = session.client("logs"), log_group(session, name)
    if group is None:
        logs.create_log_group(logGroupName=name, tags=tags)
    else:
        arn = group["arn"].removesuffix(":*")
        if not tags.items() <= logs.list_tags_for_resource(resourceArn=arn)["tags"].items():
            logs.tag_resource(resourceArn=arn, tags=tags)
    if group is None or group.get("retentionInDays") != retention_days:
        logs.put_retention_policy(logGroupName=name, retentionInDays=retention_days)


def log_group(session: boto3.Session, name: str) -> dict[str, Any] | None:
    """A log group as DescribeLogGroups answers it, or None."""
    pages = paginate(session.client("logs"), "describe_log_groups", logGroupNamePrefix=name)
    groups = (group for page in pages for group in page["logGroups"])
    return next((group for group in groups if group["logGroupName"] == name), None)
