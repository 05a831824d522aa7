"""Write deploy/template.yaml, by `python -m deploy.render`. A test compares the file with this."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from deploy.policies import Call
from deploy.resources import arn, resources

TEMPLATE = Path(__file__).parent / "template.yaml"
HEAD = """\
# What runs AWS Batch jobs as a step of a SageMaker pipeline. README.md in this folder says how to deploy it.
# Written by `python -m deploy.render` from utils/policies and from the settings that the notebooks use.
"""
ARN_LIST = "CommaDelimitedList"


def parameters() -> dict[str, Any]:
    """The stack's parameters."""
    return {
        "PipelineArns": _list("sagemaker:[a-z0-9-]+:[0-9]{12}:pipeline/.+", "the pipelines whose steps are answered"),
        "JobQueueArns": _list("batch:[a-z0-9-]+:[0-9]{12}:job-queue/.+", "the job queues that jobs are submitted to"),
        "JobDefinitionArns": _list(
            "batch:[a-z0-9-]+:[0-9]{12}:job-definition/.+",
            "the job definitions that jobs may use, with a revision or for all revisions without",
        ),
        "BucketArns": _list("s3:::[a-z0-9.-]+", "the buckets of the inputs and outputs"),
        "KmsKeyArns": _list(
            "kms:[a-z0-9-]+:[0-9]{12}:key/.+", "the keys that encrypt the buckets; none by default", optional=True
        ),
        "PipelineRoleNames": {
            "Type": ARN_LIST,
            "Default": "",
            "Description": "Names of the pipelines' roles, to attach the pipeline policy to; none by default",
        },
        "PermissionsBoundaryArn": _text("arn:[a-z-]+:iam::.+", "ARN of a permissions boundary for the roles"),
        "AlarmTopicArn": _text("arn:[a-z-]+:sns:.+", "ARN of the SNS topic that the alarms notify"),
        "Push": {
            "Type": "String",
            "Default": "false",
            "AllowedValues": ["true", "false"],
            "Description": "Whether EventBridge calls check_jobs when a job ends, beside the polls",
        },
        "PollMinSeconds": {
            "Type": "Number",
            "Default": 10,
            "MinValue": 1,
            "Description": "Least time between two polls of a step's jobs, in seconds",
        },
        "DeadlineSeconds": {
            "Type": "Number",
            "Default": 86_400,
            "MinValue": 1,
            "MaxValue": 13 * 86_400,
            "Description": "How long a step may wait for its jobs, in seconds",
        },
        "CodeBucket": {"Type": "String", "Description": "Bucket that has the packages of the two functions"},
        "SubmitJobsKey": {"Type": "String", "Description": "Key of the package of submit_jobs"},
        "CheckJobsKey": {"Type": "String", "Description": "Key of the package of check_jobs"},
    }


def _list(pattern: str, what: str, optional: bool = False) -> dict[str, Any]:
    wanted = f"arn:[a-z-]+:{pattern}"
    parameter = {
        "Type": ARN_LIST,
        "AllowedPattern": f"^({wanted})?$" if optional else f"^{wanted}$",
        "Description": f"ARNs of {what}",
    }
    return parameter | ({"Default": ""} if optional else {})


def _text(pattern: str, what: str) -> dict[str, Any]:
    return {
        "Type": "String",
        "Default": "",
        "AllowedPattern": f"^({pattern})?$",
        "Description": f"{what}; none by default",
    }


def template() -> dict[str, Any]:
    """The whole template."""
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "AWS Batch jobs as a step of a SageMaker pipeline",
        "Parameters": parameters(),
        "Conditions": {
            "HasKmsKeys": _is_given(Call("Select", [0, Call("Ref", "KmsKeyArns")])),
            "HasPipelineRoles": _is_given(Call("Select", [0, Call("Ref", "PipelineRoleNames")])),
            "HasBoundary": _is_given(Call("Ref", "PermissionsBoundaryArn")),
            "HasAlarmTopic": _is_given(Call("Ref", "AlarmTopicArn")),
            "HasPush": Call("Equals", [Call("Ref", "Push"), "true"]),
        },
        "Resources": resources(),
        "Outputs": {
            "SubmitFunctionArn": {"Value": arn("SubmitJobs"), "Description": "BatchStep's submit_function_arn"},
            "CallbackQueueUrl": {
                "Value": Call("Ref", "CallbackQueue"),
                "Description": "BatchStep's callback_queue_url",
            },
            "PipelinePolicyArn": {
                "Value": Call("Ref", "PipelinePolicy"),
                "Description": "Policy that a pipeline's role needs",
            },
        },
    }


def _is_given(value: Call) -> Call:
    return Call("Not", [Call("Equals", [value, ""])])


class _Dumper(yaml.SafeDumper):
    """YAML with CloudFormation's short forms, and without anchors, which no reader needs."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _represent(dumper: yaml.SafeDumper, call: Call) -> yaml.Node:
    tag = f"!{call.name}"
    if isinstance(call.value, str):
        return dumper.represent_scalar(tag, call.value)
    return dumper.represent_sequence(tag, call.value)


_Dumper.add_representer(Call, _represent)


def render() -> str:
    """The template as text."""
    return HEAD + yaml.dump(template(), Dumper=_Dumper, sort_keys=False, width=120)


if __name__ == "__main__":
    TEMPLATE.write_text(render())
