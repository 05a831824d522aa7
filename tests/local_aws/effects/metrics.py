"""Probes of CloudWatch."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from .world import Instead, Look, Probe, Versus, World

ALARM = {
    "AlarmName": "own", "MetricName": "m", "Namespace": "N", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 2,
    "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold", "ActionsEnabled": True,
}  # fmt: skip
DESCRIBE: Look = ("monitoring", "DescribeAlarms", {})
DIMENSION = {"Name": "d", "Value": "v"}
METRIC = {"Namespace": "N", "MetricName": "m"}
BEGIN = dt.datetime.now(dt.UTC).replace(minute=0, second=0, microsecond=0) - dt.timedelta(hours=2)


def stat(name: str = "m", period: int = 60, statistic: str = "Sum") -> dict[str, Any]:
    return {"Metric": {"Namespace": "N", "MetricName": name}, "Period": period, "Stat": statistic}


def put_alarm(w: World) -> Probe:
    topic = w.call("sns", "CreateTopic", Name="own")["TopicArn"]
    arn = w.arn("cloudwatch", "alarm:own")
    return Probe(
        ALARM,
        {
            "AlarmName": "other", "ActionsEnabled": False, "MetricName": "n", "Namespace": "O", "Statistic": "Average",
            "ExtendedStatistic": Instead(Statistic=None, ExtendedStatistic="p99"), "Dimensions": [DIMENSION],
            "Period": 300, "Unit": "Count", "OKActions": [topic], "AlarmActions": [topic],
            "InsufficientDataActions": [topic], "EvaluationPeriods": 3, "DatapointsToAlarm": 1, "Threshold": 2.0,
            "ComparisonOperator": "LessThanThreshold", "TreatMissingData": "breaching",
            "Tags": [{"Key": "a", "Value": "b"}],
        },
        [DESCRIBE, ("monitoring", "ListTagsForResource", {"ResourceARN": arn})],
    )  # fmt: skip


def alarms(w: World) -> None:
    for name in ("own", "own-2", "other"):
        w.call("monitoring", "PutMetricAlarm", **{**ALARM, "AlarmName": name})
    w.call("monitoring", "PutCompositeAlarm", AlarmName="both", AlarmRule="ALARM(own) OR ALARM(other)")


def describe_alarms(w: World) -> Probe:
    alarms(w)
    token = w.call("monitoring", "DescribeAlarms", MaxRecords=1)["NextToken"]
    return Probe(
        {},
        {
            "AlarmNames": ["own"], "AlarmNamePrefix": "ow", "AlarmTypes": ["CompositeAlarm"], "StateValue": "ALARM",
            "MaxRecords": 1, "NextToken": token,
        },
    )  # fmt: skip


def delete_alarms(w: World) -> Probe:
    alarms(w)
    return Probe({"AlarmNames": ["own-2"]}, {"AlarmNames": ["nosuch"]}, [DESCRIBE])


def body(text: str) -> str:
    widget = {"type": "text", "x": 0, "y": 0, "width": 6, "height": 3, "properties": {"markdown": text}}
    return json.dumps({"widgets": [widget]})


OWN = {"DashboardName": "own"}


def of_dashboard(request: dict[str, Any], changes: dict[str, Any]) -> Any:
    def probe(w: World) -> Probe:
        w.call("monitoring", "PutDashboard", **OWN, DashboardBody=body("first"))
        arn = f"arn:aws:cloudwatch::{w.account}:dashboard/new"
        tags = ("monitoring", "ListTagsForResource", {"ResourceARN": arn})
        return Probe(request, changes, [("monitoring", "GetDashboard", OWN), tags])

    return probe


def measured(w: World) -> None:
    """A metric with and without a dimension, over two minutes, and another one."""
    for minute in range(2):
        for dimensions in ([], [DIMENSION]):
            for value in (1.0, 3.0 + len(dimensions)):
                data = {
                    "MetricName": "m", "Dimensions": dimensions, "Value": value, "Unit": "Count",
                    "Timestamp": BEGIN + dt.timedelta(minutes=minute),
                }  # fmt: skip
                w.call("monitoring", "PutMetricData", Namespace="N", MetricData=[data])
    for namespace, name in (("O", "m"), ("N", "n")):
        data = {"MetricName": name, "Value": 7.0, "Timestamp": BEGIN}
        w.call("monitoring", "PutMetricData", Namespace=namespace, MetricData=[data])


TIMES = {"StartTime": BEGIN, "EndTime": BEGIN + dt.timedelta(minutes=5)}
LATER = {"StartTime": BEGIN + dt.timedelta(minutes=1), "EndTime": BEGIN + dt.timedelta(minutes=1)}


def statistics(w: World) -> Probe:
    measured(w)
    return Probe(
        {**METRIC, **TIMES, "Period": 60, "Statistics": ["Sum"]},
        {
            "Namespace": "O", "MetricName": "n", "Dimensions": [DIMENSION], **LATER, "Period": 300,
            "Statistics": ["Average"], "ExtendedStatistics": Instead(Statistics=None, ExtendedStatistics=["p50"]),
        },
    )  # fmt: skip


def data(w: World) -> Probe:
    measured(w)
    metric = "MetricDataQueries[].MetricStat"
    return Probe(
        {**TIMES, "MetricDataQueries": [{"Id": "a", "MetricStat": stat()}]},
        {
            **LATER, "MetricDataQueries[].Id": "b", "MetricDataQueries[].Label": "l",
            "MetricDataQueries[].ReturnData": False, f"{metric}.Metric": {"Namespace": "N", "MetricName": "n"},
            f"{metric}.Period": 300, f"{metric}.Stat": "Average",
        },
    )  # fmt: skip


def put_data(w: World) -> Probe:
    every = ["Sum", "SampleCount", "Minimum", "Maximum"]

    def points(world: World, answer: Any) -> Any:
        got = world.call("monitoring", "GetMetricStatistics", **METRIC, **TIMES, Period=60, Statistics=every)
        return [{**point, "Timestamp": (point["Timestamp"] - BEGIN).seconds} for point in got["Datapoints"]]

    own = {"Value": 1.0, "Timestamp": BEGIN, "MetricName": "m"}
    several = {**{key: own[key] for key in ("Timestamp", "MetricName")}, "Values": [1.0, 2.0], "Counts": [2.0, 1.0]}
    counted = {"SampleCount": 2.0, "Sum": 5.0, "Minimum": 1.0, "Maximum": 4.0}

    def instead(**more: Any) -> Instead:
        return Instead(MetricData=[{**several, **more}])

    return Probe(
        {"Namespace": "N", "MetricData": [own]},
        {
            "Namespace": "O", "MetricData[].MetricName": "n", "MetricData[].Dimensions": [DIMENSION],
            "MetricData[].Timestamp": BEGIN + dt.timedelta(minutes=2), "MetricData[].Value": 2.0,
            "MetricData[].StatisticValues": Instead(
                MetricData=[{"Timestamp": BEGIN, "MetricName": "m", "StatisticValues": counted}]
            ),
            "MetricData[].Values": Versus(instead(), instead(Values=[1.0, 3.0])),
            "MetricData[].Counts": Versus(instead(), instead(Counts=[3.0, 1.0])),
            "MetricData[].Unit": "Count",
        },
        [points, ("monitoring", "ListMetrics", {})],
    )  # fmt: skip


def of_tags(request: dict[str, Any], changes: dict[str, Any]) -> Any:
    def probe(w: World) -> Probe:
        alarms(w)
        own, other = (w.arn("cloudwatch", f"alarm:{name}") for name in ("own", "other"))
        w.call("monitoring", "TagResource", ResourceARN=own, Tags=[{"Key": "first", "Value": "tag"}])
        look = ("monitoring", "ListTagsForResource", {"ResourceARN": own})
        return Probe({"ResourceARN": own, **request}, {"ResourceARN": other, **changes}, [look])

    return probe


PROBES: dict[str, dict[str, Any]] = {
    "monitoring": {
        "PutMetricAlarm": put_alarm,
        "DescribeAlarms": describe_alarms,
        "DeleteAlarms": delete_alarms,
        "PutDashboard": of_dashboard(
            {**OWN, "DashboardBody": body("a")},
            {
                "DashboardName": "other", "DashboardBody": body("b"),
            },
        ),
        "GetDashboard": of_dashboard(OWN, {"DashboardName": "nosuch"}),
        "DeleteDashboards": of_dashboard({"DashboardNames": ["own"]}, {"DashboardNames": ["nosuch"]}),
        "GetMetricStatistics": statistics,
        "GetMetricData": data,
        "PutMetricData": put_data,
        "TagResource": of_tags({"Tags": [{"Key": "a", "Value": "b"}]}, {"Tags": [{"Key": "a", "Value": "c"}]}),
        "UntagResource": of_tags({"TagKeys": ["first"]}, {"TagKeys": ["second"]}),
        "ListTagsForResource": of_tags({}, {}),
    },
}  # fmt: skip
