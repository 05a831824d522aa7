"""EventBridge rules, which notify the monitor function of stopped executions (notebook 04) and, where there is push, of
ended jobs (notebook going_further/event_driven_callback).
"""

from __future__ import annotations

import contextlib
import json
from typing import Any

import boto3

from . import queues
from .config import Config
from .iam import NameConflict


def rule_names(config: Config) -> list[str]:
    """The rules that a kit may have."""
    return [f"{config.prefix}-execution-stopped", f"{config.prefix}-job-ended"]


def job_ended(*job_queues: str) -> dict[str, Any]:
    """The pattern of a job's end in these queues (ARNs). Children of arrays are left out, as the array's end counts.

    https://docs.aws.amazon.com/batch/latest/userguide/batch_job_events.html
    """
    return {
        "source": ["aws.batch"],
        "detail-type": ["Batch Job State Change"],
        "detail": {
            "status": ["SUCCEEDED", "FAILED"],
            "jobQueue": list(job_queues),
            "arrayProperties": {"index": [{"exists": False}]},
        },
    }


def execution_ended(*executions: str) -> dict[str, Any]:
    """The pattern of an execution that was stopped or failed, of those whose ARN begins with one of these.

    https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html
    """
    return {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Model Building Pipeline Execution Status Change"],
        "detail": {
            "currentPipelineExecutionStatus": ["Stopped", "Failed"],
            "pipelineExecutionArn": [{"prefix": beginning} for beginning in executions],
        },
    }


def ensure_stop_rule(session: boto3.Session, config: Config, *, queue_url: str) -> str:
    """The rule that puts the end of a stopped execution into the callback queue.

    It is for all pipelines of the prefix, and for `config.pipelines`.

    Returns:
        The rule's ARN.

    Raises:
        NameConflict: there is such a rule without our tag.
    """
    name, _ = rule_names(config)
    queue = queues.queue_arn(session, queue_url)
    # First the permission: a rule that may not send loses its events.
    queues.allow_rule_to_send(session, queue_url, rule=config.arn("events", f"rule/{name}"))
    pattern = execution_ended(
        config.arn("sagemaker", f"pipeline/{config.prefix}-"),
        *(f"{arn}/execution/" for arn in config.existing_pipeline_arns),
    )
    return ensure_rule(session, name, pattern, target=queue, tags=config.tags)


def pause_stop_rule(session: boto3.Session, config: Config) -> None:
    """Disable the rule of `ensure_stop_rule`, if there is one with our tag. `ensure_stop_rule` enables it again.

    https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutRule.html
    """
    client, (name, _) = session.client("events"), rule_names(config)
    rule = _rule(client, name)
    if rule and rule["State"] == "ENABLED":
        tags = client.list_tags_for_resource(ResourceARN=rule["Arn"])["Tags"]
        if config.tags.items() <= {tag["Key"]: tag["Value"] for tag in tags}.items():
            client.put_rule(Name=name, EventPattern=rule["EventPattern"], State="DISABLED")


def ensure_push_rule(session: boto3.Session, config: Config, *, function: str) -> str:
    """The rule that calls the monitor function (its ARN) when a job ends, in the kit's queue or in `config.job_queues`.

    Returns:
        The rule's ARN.

    Raises:
        NameConflict: there is such a rule without our tag.
    """
    _, name = rule_names(config)
    pattern = job_ended(*config.job_queue_arns)
    arn = ensure_rule(session, name, pattern, target=function, tags=config.tags)
    functions = session.client("lambda")
    with contextlib.suppress(functions.exceptions.ResourceConflictException):  # it has this permission already
        functions.add_permission(
            FunctionName=function,
            StatementId=name,
            Action="lambda:InvokeFunction",
            Principal="events.amazonaws.com",
            SourceArn=arn,
        )
    return arn


def ensure_rule(
    session: boto3.Session, name: str, pattern: dict[str, Any], *, target: str, tags: dict[str, str]
) -> str:
    """A rule on the default event bus, created or brought up to date. It writes only what differs.

    Args:
        pattern: such as `job_ended` makes it.
        target: the ARN of the function or queue that gets the events. Its policy must allow the rule to send them.

    Returns:
        The rule's ARN.

    Raises:
        NameConflict: there is such a rule without these tags.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html
    """
    events = session.client("events")
    tag_list = [{"Key": key, "Value": value} for key, value in tags.items()]
    rule = _rule(events, name)
    if rule:
        has = events.list_tags_for_resource(ResourceARN=rule["Arn"])["Tags"]
        if not all(tag in has for tag in tag_list):
            raise NameConflict(f'event rule "{name}"', "it lacks our tag")
    if not rule or json.loads(rule["EventPattern"]) != pattern or rule["State"] != "ENABLED":
        # A new rule has its tags from its first moment. Of one that is there PutRule ignores them.
        new = {} if rule else {"Tags": tag_list}
        rule = {"Arn": events.put_rule(Name=name, EventPattern=json.dumps(pattern), State="ENABLED", **new)["RuleArn"]}
    targets = events.list_targets_by_rule(Rule=name)["Targets"]
    if target not in [each["Arn"] for each in targets]:
        failed = events.put_targets(Rule=name, Targets=[{"Id": "check-jobs", "Arn": target}])["FailedEntries"]
        if failed:
            raise RuntimeError(f'The rule "{name}" could not be given its target {target}: {failed[0]["ErrorMessage"]}')
    return rule["Arn"]


def _rule(events: Any, name: str) -> dict[str, Any] | None:
    """A rule of the default event bus, or None."""
    pages = events.get_paginator("list_rules").paginate(NamePrefix=name)
    return next((rule for page in pages for rule in page["Rules"] if rule["Name"] == name), None)
