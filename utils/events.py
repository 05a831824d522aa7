"""EventBridge rules that call the monitor function at once (notebook going_further/event_driven_callback)."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import boto3

from utils.config import Config
from utils.iam import NotOurs


def rule_names(config: Config) -> list[str]:
    """The rules of a kit with push."""
    return [f"{config.prefix}-job-ended", f"{config.prefix}-execution-stopped"]


def job_ended(job_queue: str) -> dict[str, Any]:
    """The pattern of a job's end in a queue (its ARN). An array's children are left out: the array's own end counts.

    https://docs.aws.amazon.com/batch/latest/userguide/batch_job_events.html
    """
    return {
        "source": ["aws.batch"],
        "detail-type": ["Batch Job State Change"],
        "detail": {
            "status": ["SUCCEEDED", "FAILED"],
            "jobQueue": [job_queue],
            "arrayProperties": {"index": [{"exists": False}]},
        },
    }


def execution_stopped(pipeline: str) -> dict[str, Any]:
    """The pattern of a stopped execution of a pipeline (its ARN): jobs may be left that no callback step waited for.

    https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html
    """
    return {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Model Building Pipeline Execution Status Change"],
        "detail": {
            "currentPipelineExecutionStatus": ["Stopped"],
            "pipelineExecutionArn": [{"prefix": f"{pipeline}/execution/"}],
        },
    }


def ensure_rule(
    session: boto3.Session, name: str, pattern: dict[str, Any], *, function: str, tags: dict[str, str]
) -> str:
    """A rule on the default event bus that calls a function, created or brought up to date.

    Args:
        pattern: such as `job_ended` makes it.
        function: the function's ARN.

    Returns:
        The rule's ARN.

    Raises:
        NotOurs: there is such a rule without these tags.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html
    """
    events, functions = session.client("events"), session.client("lambda")
    tag_list = [{"Key": key, "Value": value} for key, value in tags.items()]
    found = _rule(events, name)
    if found:
        has = events.list_tags_for_resource(ResourceARN=found["Arn"])["Tags"]
        if not all(tag in has for tag in tag_list):
            raise NotOurs(f'event rule "{name}"', "it lacks our tag")
    # A new rule has its tags from its first moment. Of one that is there PutRule ignores them.
    new = {} if found else {"Tags": tag_list}
    arn = events.put_rule(Name=name, EventPattern=json.dumps(pattern), State="ENABLED", **new)["RuleArn"]
    with contextlib.suppress(functions.exceptions.ResourceConflictException):  # it has this permission already
        functions.add_permission(
            FunctionName=function,
            StatementId=name,
            Action="lambda:InvokeFunction",
            Principal="events.amazonaws.com",
            SourceArn=arn,
        )
    failed = events.put_targets(Rule=name, Targets=[{"Id": "function", "Arn": function}])["FailedEntries"]
    if failed:
        raise RuntimeError(f'The rule "{name}" could not be given its function: {failed[0]["ErrorMessage"]}')
    return arn


def _rule(events: Any, name: str) -> dict[str, Any] | None:
    """A rule of the default event bus, or None."""
    pages = events.get_paginator("list_rules").paginate(NamePrefix=name)
    return next((rule for page in pages for rule in page["Rules"] if rule["Name"] == name), None)
