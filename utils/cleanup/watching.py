"""Event rules, alarms and the dashboard, which watch the other resources."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import boto3
from botocore.exceptions import ClientError

from .. import events, monitoring
from ..config import Config
from .resource import Resource, has_our_tag
from .waiting import delete_if_there, in_steps


def find_rules(session: boto3.Session, config: Config) -> Iterator[Resource]:
    """Event rules of the prefix that have our tag, and those with one of the kit's names."""
    client, usual = session.client("events"), events.rule_names(config)
    for page in client.get_paginator("list_rules").paginate(NamePrefix=config.prefix):
        for rule in page["Rules"]:
            ours = has_our_tag(config, client.list_tags_for_resource(ResourceARN=rule["Arn"]).get("Tags", []))
            if ours or rule["Name"] in usual:
                yield Resource("event rule", rule["Name"], rule["Arn"], _rule_deleter(client, rule["Name"]), ours)


def _rule_deleter(client: Any, name: str) -> Callable[[], None]:
    def delete() -> None:
        targets = [target["Id"] for target in client.list_targets_by_rule(Rule=name).get("Targets", [])]
        if targets:
            client.remove_targets(Rule=name, Ids=targets)
        client.delete_rule(Name=name)

    return in_steps(delete)


def find_alarms(session: boto3.Session, config: Config) -> Iterator[Resource]:
    """Alarms of the prefix that have our tag, and those with one of the kit's names."""
    cloudwatch = session.client("cloudwatch")
    for page in cloudwatch.get_paginator("describe_alarms").paginate(AlarmNamePrefix=f"{config.prefix}-"):
        for alarm in page["MetricAlarms"]:
            name, arn = alarm["AlarmName"], alarm["AlarmArn"]
            ours = has_our_tag(config, cloudwatch.list_tags_for_resource(ResourceARN=arn).get("Tags", []))
            if ours or name in monitoring.alarm_names(config):
                yield Resource("alarm", name, arn, partial(cloudwatch.delete_alarms, AlarmNames=[name]), ours)


def find_dashboard(session: boto3.Session, config: Config) -> Iterator[Resource]:
    """The dashboard. Its text carries our tag, because older versions of boto3 can't tag one."""
    cloudwatch, name = session.client("cloudwatch"), config.dashboard
    try:
        body = cloudwatch.get_dashboard(DashboardName=name)["DashboardBody"]
    except ClientError as error:
        if "NotFound" not in error.response["Error"]["Code"]:
            raise
        return
    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatch.html
    arn = f"arn:{config.partition}:cloudwatch::{config.account}:dashboard/{name}"
    delete = partial(delete_if_there, cloudwatch.delete_dashboards, DashboardNames=[name])
    yield Resource("dashboard", name, arn, delete, config.tag_text in body)
