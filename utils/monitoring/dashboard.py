"""The CloudWatch dashboard."""

from __future__ import annotations

import json
from typing import Any

import boto3
from botocore.exceptions import ClientError

from ..config import Config
from .alarms import METRICS_NAMESPACE


def ensure_dashboard(session: boto3.Session, config: Config) -> str:
    """A CloudWatch dashboard of the queues, the functions and what check_jobs counts, created or brought up to date.

    Returns:
        Its name.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
    """
    submit, check = config.submit_jobs_function, config.check_jobs_function
    queues = [("AWS/SQS", "QueueName", name) for name in (config.callback_queue, config.dead_letter_queue)]
    functions = {
        label: ("AWS/Lambda", "FunctionName", name) for label, name in (("submit_jobs", submit), ("check_jobs", check))
    }
    ours = (METRICS_NAMESPACE, "FunctionName", check)

    def graph(title: str, statistic: str, *lines: tuple[str, tuple[str, str, str], str]) -> dict[str, Any]:
        metrics = [
            [namespace, metric, key, value, {"label": label}] for metric, (namespace, key, value), label in lines
        ]
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
            "Messages in the queues",
            "Maximum",
            ("ApproximateNumberOfMessagesVisible", queues[0], "waiting to be polled"),
            ("ApproximateNumberOfMessagesNotVisible", queues[0], "hidden until the next poll"),
            ("ApproximateNumberOfMessagesVisible", queues[1], "dead letters"),
        ),
        graph("Invocations", "Sum", *[("Invocations", each, label) for label, each in functions.items()]),
        graph("Errors", "Sum", *[("Errors", each, label) for label, each in functions.items()]),
        graph(
            "Steps answered",
            "Sum",
            ("StepsSucceeded", ours, "succeeded"),
            ("StepsFailed", ours, "failed"),
            ("DeadLetters", ours, "dead letters"),
        ),
        graph("Polls", "Sum", ("Polls", ours, "polls")),
        graph("Seconds from the last job to the answer", "p99", ("AnswerLag", ours, "lag")),
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
