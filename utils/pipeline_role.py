"""Explain SageMaker's refusal of a pipeline's role that trusts other pipelines only."""

from __future__ import annotations

import fnmatch
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

OPERATIONS = ("CreatePipeline", "UpdatePipeline")


def explain_refusals(session: boto3.Session, client: Any) -> None:
    """Let a SageMaker client say more when CreatePipeline or UpdatePipeline refuses the role.

    AWS's words are that the role doesn't trust SageMaker. If the cause is the condition `aws:SourceArn` of the trust
    policy, the error's message goes on with what that condition has and what to do.

    Args:
        session: asks IAM for the role.
        client: the SageMaker client.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html
    https://docs.aws.amazon.com/boto3/latest/guide/events.html
    """

    def remember(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["pipeline_role"] = (params.get("PipelineName", ""), params.get("RoleArn", ""))

    def add_cause(parsed: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        name, role = context["pipeline_role"]
        error = parsed.get("Error", {})
        message = error.get("Message", "")
        if role and role in message and "trust" in message:
            cause = _cause(session, name, role)
            error["Message"] = f"{message} {cause}".rstrip()

    for operation in OPERATIONS:
        client.meta.events.register(f"before-parameter-build.sagemaker.{operation}", remember)
        client.meta.events.register(f"after-call.sagemaker.{operation}", add_cause)


def _cause(session: boto3.Session, name: str, role: str) -> str:
    """The trust policy's condition that this pipeline does not meet, or "" if that is not the cause or not visible."""
    role_name = role.rsplit("/", 1)[1]
    try:
        policy = session.client("iam").get_role(RoleName=role_name)["Role"]["AssumeRolePolicyDocument"]
    except (ClientError, BotoCoreError):
        return ""  # AWS's own message stays
    patterns = [pattern for statement in policy["Statement"] for pattern in _source_patterns(statement)]
    names = [pattern.partition(":pipeline/")[2] for pattern in patterns]
    if not names or any(fnmatch.fnmatchcase(f"{name}/execution/x", each) for each in names):
        return ""
    trusted = ", ".join(f"`{each}`" for each in dict.fromkeys(each.partition("/")[0] for each in names))
    return (
        f"The role trusts only pipelines named {trusted}. Add {name} to aws:SourceArn in its trust policy. If the role "
        f'is one of the kit, deploy the kit with pipelines=["{name}"].'
    )


def _source_patterns(statement: dict[str, Any]) -> list[str]:
    """The ARNs that a statement of a trust policy takes of SageMaker as aws:SourceArn."""
    services = statement.get("Principal", {}).get("Service", [])
    if "sagemaker.amazonaws.com" not in services:
        return []
    conditions = statement.get("Condition", {})
    for operator in ("ArnLike", "ArnEquals", "StringLike", "StringEquals"):
        patterns = conditions.get(operator, {}).get("aws:SourceArn", [])
        if patterns:
            return [patterns] if isinstance(patterns, str) else patterns
    return []
