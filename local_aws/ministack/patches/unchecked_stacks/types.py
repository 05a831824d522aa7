"""The types of resources that a stack may have here, with the permissions that each needs.

The permissions are those of the handlers in the types' schemas, as far as the properties here need them.
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-template-resource-type-ref.html
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def _nothing(_physical_id: str, _props: dict[str, Any]) -> None:
    """MiniStack's handler does all."""


def _keep_boundary(physical_id: str, props: dict[str, Any]) -> None:
    """MiniStack forgets the boundary of a role that a stack makes."""
    from ministack.services import iam

    iam._roles[physical_id]["PermissionsBoundary"] = props.get("PermissionsBoundary")


def _never(_name: str) -> bool:
    return False


def _has_role(name: str) -> bool:
    from ministack.services import iam

    return name in iam._roles


def _has_function(name: str) -> bool:
    from ministack.services import lambda_svc

    return name in lambda_svc._functions


def _has_queue(name: str) -> bool:
    from ministack.services import sqs

    return name in sqs._queue_name_to_url


def _has_rule(name: str) -> bool:
    from ministack.services import eventbridge

    return eventbridge._rule_key(name, "default") in eventbridge._rules


def _has_alarm(name: str) -> bool:
    from ministack.services import cloudwatch

    return name in cloudwatch._alarms


def _has_log_group(name: str) -> bool:
    from ministack.services import cloudwatch_logs

    return name in cloudwatch_logs._log_groups


@dataclass(frozen=True)
class Type:
    """A type of resource.

    Attributes:
        service, resource: the parts of its ARN before its name.
        name: the property that names it. "" if AWS names it.
        create, update, delete: the actions that these need, on its ARN.
        properties: those that are covered.
        exists: whether there is a resource of a name.
        after: what is left to do when it was made or changed.
        longest: how long a name is that a stack gives.
    """

    service: str
    resource: str
    name: str
    create: str
    update: str
    delete: str
    properties: str
    exists: Callable[[str], bool] = _never
    after: Callable[[str, dict[str, Any]], None] = _nothing
    longest: int = 64


TYPES = {
    "AWS::IAM::Role": Type(
        "iam", "role/", "RoleName",
        "iam:CreateRole iam:PutRolePolicy", "iam:UpdateAssumeRolePolicy iam:PutRolePolicy",
        "iam:DeleteRole iam:DeleteRolePolicy",
        "RoleName Path AssumeRolePolicyDocument Policies ManagedPolicyArns Description MaxSessionDuration "
        "PermissionsBoundary Tags",
        _has_role, _keep_boundary,
    ),
    "AWS::IAM::ManagedPolicy": Type(
        "iam", "policy/", "ManagedPolicyName",
        "iam:CreatePolicy", "iam:CreatePolicyVersion", "iam:DeletePolicy",
        "ManagedPolicyName Path Description PolicyDocument Roles", longest=128,
    ),
    "AWS::Lambda::Function": Type(
        "lambda", "function:", "FunctionName",
        "lambda:CreateFunction", "lambda:UpdateFunctionCode lambda:UpdateFunctionConfiguration",
        "lambda:DeleteFunction",
        "FunctionName Role Runtime Handler Timeout MemorySize Code Environment Description Tags",
        _has_function,
    ),
    "AWS::Lambda::EventSourceMapping": Type(
        "lambda", "event-source-mapping:", "",
        "lambda:CreateEventSourceMapping", "lambda:UpdateEventSourceMapping", "lambda:DeleteEventSourceMapping",
        "EventSourceArn FunctionName Enabled BatchSize FilterCriteria ScalingConfig FunctionResponseTypes",
    ),
    "AWS::Lambda::Permission": Type(
        "lambda", "function:", "FunctionName",
        "lambda:AddPermission", "lambda:AddPermission lambda:RemovePermission", "lambda:RemovePermission",
        "Action FunctionName Principal SourceArn SourceAccount",
    ),
    "AWS::SQS::Queue": Type(
        "sqs", "", "QueueName",
        "sqs:CreateQueue", "sqs:SetQueueAttributes", "sqs:DeleteQueue",
        "QueueName VisibilityTimeout MessageRetentionPeriod RedrivePolicy DelaySeconds Tags",
        _has_queue,
    ),
    "AWS::SQS::QueuePolicy": Type(
        "sqs", "", "Queues",
        "sqs:SetQueueAttributes", "sqs:SetQueueAttributes", "sqs:SetQueueAttributes",
        "Queues PolicyDocument",
    ),
    "AWS::Events::Rule": Type(
        "events", "rule/", "Name",
        "events:PutRule events:PutTargets", "events:PutRule events:PutTargets",
        "events:RemoveTargets events:DeleteRule",
        "Name EventPattern State Targets Description Tags", _has_rule,
    ),
    "AWS::CloudWatch::Alarm": Type(
        "cloudwatch", "alarm:", "AlarmName",
        "cloudwatch:PutMetricAlarm", "cloudwatch:PutMetricAlarm", "cloudwatch:DeleteAlarms",
        "AlarmName AlarmDescription ActionsEnabled MetricName Namespace Statistic Dimensions Period EvaluationPeriods "
        "Threshold ComparisonOperator TreatMissingData AlarmActions Tags", _has_alarm,
    ),
    "AWS::Logs::LogGroup": Type(
        "logs", "log-group:", "LogGroupName",
        "logs:CreateLogGroup logs:PutRetentionPolicy", "logs:PutRetentionPolicy", "logs:DeleteLogGroup",
        "LogGroupName RetentionInDays Tags", _has_log_group,
    ),
}  # fmt: skip
