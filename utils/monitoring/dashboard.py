"""The CloudWatch dashboard."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pandas as pd
from botocore.exceptions import ClientError

from ..config import Config

METRICS_NAMESPACE = "sagemaker-batch"  # where check_jobs counts, unless its METRICS_NAMESPACE says otherwise


def ensure_dashboard(session: boto3.Session, config: Config) -> str:
    """A CloudWatch dashboard of the queues, the functions and what check_jobs counts, created or brought up to date.

    Returns:
        Its name.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
    """
    submit, check = config.submit_jobs_function, config.check_jobs_function
    queues = [("AWS/SQS", "QueueName", name) for name in (config.callback_queue, config.dead_letter_queue)]
    functions = [("AWS/Lambda", "FunctionName", name) for name in (submit, check)]
    ours = (METRICS_NAMESPACE, "FunctionName", check)

    def graph(title: str, statistic: str, *lines: tuple[str, tuple[str, str, str]]) -> dict[str, Any]:
        metrics = [[namespace, metric, key, value] for metric, (namespace, key, value) in lines]
        properties = {"title": title, "region": config.region, "stat": statistic, "period": 60, "metrics": metrics}
        return {"type": "metric", "width": 8, "height": 6, "properties": properties}

    widgets = [
        {
            "type": "text",
            "width": 24,
            "height": 1,
            "properties": {"markdown": f"Made by the tutorial: {config.tag_text}"},
        },
        graph(
            "Messages: steps that wait, and dead letters",
            "Maximum",
            ("ApproximateNumberOfMessagesNotVisible", queues[0]),
            ("ApproximateNumberOfMessagesVisible", queues[0]),
            ("ApproximateNumberOfMessagesVisible", queues[1]),
        ),
        graph("Invocations", "Sum", *[("Invocations", function) for function in functions]),
        graph("Errors", "Sum", *[("Errors", function) for function in functions]),
        graph("Steps answered", "Sum", ("StepsSucceeded", ours), ("StepsFailed", ours), ("DeadLetters", ours)),
        graph("Polls", "Sum", ("Polls", ours)),
        graph("From the last job's end to the answer, in seconds", "p99", ("AnswerLag", ours)),
    ]
    cloudwatch = session.client("cloudwatch")
    try:
        there = json.loads(cloudwatch.get_dashboard(DashboardName=config.dashboard)["DashboardBody"])
    except ClientError as error:
        if "NotFound" not in error.response["Error"]["Code"]:
            raise
        there = None
    if there != (wanted := {"widgets": widgets}):
        cloudwatch.put_dashboard(DashboardName=config.dashboard, DashboardBody=json.dumps(wanted))
    return config.dashboard


def dashboard_table(session: boto3.Session, name: str) -> pd.DataFrame:
    """The graphs of a dashboard, a row for each.

    Returns:
        Columns graph, statistic, metrics.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetDashboard.html
    """
    body = session.client("cloudwatch").get_dashboard(DashboardName=name)["DashboardBody"]
    graphs = [widget["properties"] for widget in json.loads(body)["widgets"] if widget["type"] == "metric"]
    rows = [
        (graph["title"], graph["stat"], ", ".join(dict.fromkeys(metric[1] for metric in graph["metrics"])))
        for graph in graphs
    ]
    return pd.DataFrame(rows, columns=["graph", "statistic", "metrics"])
