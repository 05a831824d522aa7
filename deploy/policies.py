"""The policies of utils/policies as CloudFormation takes them, so that the stack and the notebooks have the same.

A policy is rendered for a configuration whose names are CloudFormation's variables. Where it names what exists already,
it has a marker such as `<JobQueueArns>`, the parameter with the ARNs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from utils import iam
from utils.config import Config

MARKER = re.compile(r"<(\w+)>")


@dataclass(frozen=True)
class Call:
    """A function of CloudFormation, such as `!Sub text`, `!Ref name`, `!If [...]`."""

    name: str
    value: Any


@dataclass(frozen=True)
class StackNames(Config):
    """The names of a stack's resources, from the notebooks' names and CloudFormation's variables."""

    def __post_init__(self) -> None:
        """Its values are variables, which no rule for names fits."""

    @property
    def partition(self) -> str:
        return "${AWS::Partition}"

    @property
    def pipeline_arns(self) -> tuple[str, ...]:
        return ("<PipelineArns>",)

    @property
    def job_queue_arns(self) -> tuple[str, ...]:
        return ("<JobQueueArns>",)

    @property
    def job_definition_arns(self) -> tuple[str, ...]:
        return ("<JobDefinitionArns>", "<JobDefinitionArns>:*")

    @property
    def bucket_arns(self) -> tuple[str, ...]:
        return ("<BucketArns>",)

    @property
    def count_inputs_function(self) -> str:
        return "<none>"  # a function of the tutorial's pipeline, which no stack has

    @property
    def merge_results_function(self) -> str:
        return "<none>"


NAMES = StackNames("aws", "${AWS::StackName}", "${AWS::Region}", "${AWS::AccountId}", kms_keys=("<KmsKeyArns>",))


def policy(template: str) -> dict[str, Any]:
    """A policy template of utils/policies/ with CloudFormation's functions in the place of names."""
    document = iam.render(template, NAMES)
    document["Statement"] = [_statement(each) for each in document["Statement"]]
    return document


def trust(service: str) -> dict[str, Any]:
    """The trust policy of a role that this service assumes."""
    return iam.render("trust.json", NAMES, service=service)


def text(value: str) -> Any:
    """A text, with `!Sub` if it has variables."""
    return Call("Sub", value) if "${" in value else value


def _statement(statement: dict[str, Any]) -> Any:
    resources = statement["Resource"]
    resources = [resources] if isinstance(resources, str) else resources
    resources = [each for each in resources if "<none>" not in each]
    statement = {**statement, "Resource": _resources(resources)}
    # Without a key the statement would have no resource, which IAM refuses.
    if resources == ["<KmsKeyArns>"]:
        return Call("If", ["HasKmsKeys", statement, Call("Ref", "AWS::NoValue")])
    return statement


def _resources(resources: list[str]) -> Any:
    """The resources of a statement, each ARN of a parameter with what the policy writes behind it."""
    if not any(MARKER.match(each) for each in resources):
        return text(resources[0]) if len(resources) == 1 else [text(each) for each in resources]
    if len(resources) == 1 and MARKER.fullmatch(resources[0]):
        return Call("Ref", resources[0].strip("<>"))
    # A list within a list is no list of ARNs. So all are joined to one text, which is split again.
    return Call("Split", [",", Call("Join", [",", [_joined(each) for each in resources]])])


def _joined(resource: str) -> Any:
    """The ARNs of a parameter, with `:*` or `/*` behind each, as a text that commas divide."""
    marker = MARKER.match(resource)
    if not marker:
        return text(resource)
    suffix = resource[marker.end() :]
    arns = Call("Join", [f"{suffix},", Call("Ref", marker.group(1))])
    return Call("Join", ["", [arns, suffix]]) if suffix else arns
