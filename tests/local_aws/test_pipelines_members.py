"""Every member of every request, and of a definition, is honoured, refused, or listed in README as without effect."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import botocore.session
import pytest
from botocore import xform_name

from local_aws.pipelines import PipelinesService
from local_aws.pipelines.model.definition import parse
from local_aws.pipelines.model.refusals import DefinitionError
from local_aws.protocol import ApiError, Request
from local_aws.quotas import QuotasService

from .members import covers, members, with_member
from .pipelines.definitions import (
    EQUALS,
    callback_step,
    condition_step,
    for_each_step,
    lambda_step,
    pipeline,
    processing_step,
)
from .pipelines.fakes import FakeAws

README = (Path(__file__).parents[2] / "local_aws" / "README.md").read_text()


def listed(section: str) -> set[str]:
    """The members that a section of README lists as accepted without effect."""
    text = README.partition(f"\n## {section}")[2].partition("\n## ")[0]
    rows = text.partition("**Accepted without effect**")[2].partition("\n\n**")[0]
    return {path for row in re.findall(r"^\| (`.+?) \|", rows, re.MULTILINE) for path in re.findall("`([^`]+)`", row)}


# --- requests --------------------------------------------------------------------------------------------------------


class Reading(dict):
    """A request's parameters that remember which of them were asked for."""

    def __init__(self, value: dict[str, Any], seen: set[str], path: str = "") -> None:
        super().__init__({key: self._wrapped(item, seen, f"{path}{key}") for key, item in value.items()})
        self.seen, self.path = seen, path

    @staticmethod
    def _wrapped(value: Any, seen: set[str], path: str) -> Any:
        if isinstance(value, dict):
            return Reading(value, seen, f"{path}.")
        return [Reading._wrapped(item, seen, f"{path}[]") for item in value] if isinstance(value, list) else value

    def __getitem__(self, key: str) -> Any:
        self.seen.add(self.path + key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self.seen.add(f"{self.path}{key}")
        return super().__contains__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.seen.add(self.path + key)
        return super().get(key, default)


ACCOUNT = "arn:aws:sagemaker:us-east-1:000000000000"
DEFINITION = json.dumps(pipeline(callback_step("W"), parameters=[{"Name": "x", "Type": "String", "DefaultValue": "d"}]))
EXISTING = {
    "PipelineName": "p", "PipelineArn": f"{ACCOUNT}:pipeline/p", "ResourceArn": f"{ACCOUNT}:pipeline/p",
    "RoleArn": "arn:aws:iam::000000000000:role/r", "PipelineVersionId": 1, "ProcessingJobName": "j", "TagKeys": ["k"],
    "Tags": [], "ClientRequestToken": "t" * 32, "SelectiveExecutionConfig": {"SelectedSteps": [{"StepName": "W"}]},
}  # fmt: skip


def covered(service: str, ours: type) -> list[tuple[str, str]]:
    """Each operation that we cover, with each member of its request."""
    names = botocore.session.Session().get_service_model(service).operation_names
    return [(name, path) for name in names if hasattr(ours, xform_name(name)) for path in members(service, name)]


def request(operation: str, params: dict[str, Any]) -> Request:
    caller = "arn:aws:iam::000000000000:root"
    made = Request(operation, params, "000000000000", "us-east-1", "aws", caller)
    made.authorizer = lambda *_: None
    return made


async def asked_for(name: str, path: str) -> set[str]:
    """The members that the service asks for in a call that has this one, of an account with one waiting execution."""
    aws = FakeAws()
    aws.trusts, aws.register_tags, aws.caller_credentials = lambda *_, **__: True, lambda *_: None, lambda _: None
    service = PipelinesService(
        SimpleNamespace(
            images={}, ministack=aws, store=None, work_dir=Path("unused"), endpoint_url="http://127.0.0.1:4599"
        )
    )

    async def call(operation: str, params: dict[str, Any]) -> Any:
        answer = getattr(service, xform_name(operation))(request(operation, params))
        return await answer if asyncio.iscoroutine(answer) else answer

    await call("CreatePipeline", EXISTING | {"PipelineDefinition": DEFINITION})
    there = EXISTING | await call("StartPipelineExecution", {"PipelineName": "p", "ClientRequestToken": "s" * 32})
    while not aws.messages:
        await asyncio.sleep(0.001)
    there["CallbackToken"] = aws.messages[0]["token"]
    if name == "RetryPipelineExecution":
        await call("SendPipelineExecutionStepFailure", there)
    if name == "CreatePipeline":
        there["PipelineName"] = "new"
    if not path.startswith("PipelineDefinitionS3Location"):
        there["PipelineDefinition"] = DEFINITION
    possible = {member.partition(".")[0].partition("[")[0] for member in members("sagemaker", name)}
    base = {key: value for key, value in there.items() if key in possible}
    seen: set[str] = set()
    with contextlib.suppress(ApiError):  # what it refuses it has asked for, too
        await call(name, Reading(base if path in base else with_member("sagemaker", name, path, base), seen))
    await service.stop()
    return seen


@pytest.mark.parametrize(("name", "path"), covered("sagemaker", PipelinesService))
def test_every_member_of_a_request_is_asked_for_or_listed(name: str, path: str) -> None:
    without_effect = any(covers(one, f"{name}.{path}") for one in listed("SageMaker Pipelines"))
    assert (path.removesuffix("[]") in asyncio.run(asked_for(name, path))) is not without_effect


@pytest.mark.parametrize(("name", "path"), covered("service-quotas", QuotasService))
def test_every_member_of_a_request_for_a_quota_is_asked_for(name: str, path: str) -> None:
    seen: set[str] = set()
    base = {"ServiceCode": "fargate", "QuotaCode": "L-3032A538"}
    params = Reading(with_member("service-quotas", name, path, base), seen)
    with contextlib.suppress(ApiError):
        getattr(QuotasService(), xform_name(name))(request(name, params))
    assert path in seen


# --- definitions -----------------------------------------------------------------------------------------------------

COMMON = ("Name", "Type", "DependsOn", "DisplayName", "Description")
CACHE = ("CacheConfig.Enabled", "CacheConfig.ExpireAfter")
OUTPUTS = ("OutputParameters[].OutputName", "OutputParameters[].OutputType")
RETRIES = tuple(
    f"RetryPolicies[].{name}"
    for name in ("ExceptionType", "IntervalSeconds", "BackoffRate", "MaxAttempts", "ExpireAfterMin")
)
# The members of the published schema, of the step types that run here and of the definition itself, and what SDK v3
# writes besides: https://github.com/aws-sagemaker-mlops/sagemaker-model-building-pipeline-definition-JSON-schema
MEMBERS = {
    "": (
        "Version", "Metadata", "Steps", "PipelineExperimentConfig", "MlflowConfig",
        *(f"Parameters[].{name}" for name in ("Name", "Type", "DefaultValue", "Description", "EnumValues")),
    ),
    "Callback": (*COMMON, *CACHE, *OUTPUTS, "SqsQueueUrl", "Arguments"),
    "Lambda": (*COMMON, *CACHE, *OUTPUTS, "FunctionArn", "Arguments"),
    "Condition": (*COMMON, "Arguments.Conditions", "Arguments.IfSteps", "Arguments.ElseSteps"),
    "Fail": (*COMMON, "Arguments.ErrorMessage"),
    "ForEach": (
        *COMMON,
        *(f"Arguments.{name}" for name in ("IterableItems", "MaxConcurrency", "ForEachBody", "Selector")),
    ),
    "Cleanup": (*COMMON, "Arguments.Resources"),
    "Processing": (
        *COMMON, *CACHE, *RETRIES,
        *(f"PropertyFiles[].{name}" for name in ("PropertyFileName", "OutputName", "FilePath")),
        *(f"Arguments.{path}" for path in members("sagemaker", "CreateProcessingJob")),
    ),
}  # fmt: skip
S3_INPUT = {"S3Uri": "s3://b/i", "S3DataType": "S3Prefix", "S3InputMode": "File", "LocalPath": "/opt/ml/processing/i"}
STEPS = {
    "Callback": callback_step("A", ("o",)) | {"CacheConfig": {}},
    "Lambda": lambda_step("A", outputs=("o",)) | {"CacheConfig": {}},
    "Condition": condition_step("A", [EQUALS]),
    "Fail": {"Name": "A", "Type": "Fail", "Arguments": {}},
    "ForEach": for_each_step("A", [lambda_step("B")]),
    "Cleanup": {
        "Name": "A",
        "Type": "Cleanup",
        "Arguments": {"Resources": {"S3": [{"StepName": "P", "S3Uris": ["s3://b"]}]}},
    },
    "Processing": processing_step("A", CacheConfig={}, RetryPolicies=[{"ExceptionType": [], "MaxAttempts": 1}]),
}
STEPS["Processing"]["RetryPolicies"][0]["ExceptionType"] = ["SageMaker.JOB_INTERNAL_ERROR"]
STEPS["Processing"]["Arguments"]["ProcessingInputs"] = [{"InputName": "i", "S3Input": S3_INPUT}]
NONSENSE = {"no": ["sense"]}  # what no member may be


def with_nonsense(kind: str, path: str) -> dict[str, Any]:
    """A definition in which this member, of the definition or of its one step of this type, is nonsense."""
    document = pipeline(
        STEPS.get(kind, lambda_step("A")), processing_step("P"), parameters=[{"Name": "n", "Type": "String"}]
    )
    document = json.loads(json.dumps(document))
    place: Any = document["Steps"][0] if kind else document
    *way, last = re.findall(r"\w+|\[\]", path)
    for name, following in zip(way, [*way, last][1:], strict=True):
        place = place[0] if name == "[]" else place.setdefault(name, [{}] if following == "[]" else {})
    if last == "[]":
        place[0] = NONSENSE
    else:
        place[last] = NONSENSE
    return document


@pytest.mark.parametrize(("kind", "path"), [(kind, path) for kind, paths in MEMBERS.items() for path in paths])
def test_every_member_of_a_definition_is_checked_or_listed(kind: str, path: str) -> None:
    member = f"{kind}.{path}" if kind else path
    without_effect = any(covers(one, member) for one in listed("SageMaker Pipelines"))
    try:
        parse(json.dumps(with_nonsense(kind, path)), "us-east-1")
    except DefinitionError as error:
        assert str(error).endswith(".")
    else:
        assert without_effect, f"{member} may be anything"


def test_what_is_listed_is_accepted() -> None:
    """Nothing is listed that is refused, and nothing that is not there."""
    for one in listed("SageMaker Pipelines"):
        kind, _, path = one.partition(".")
        paths = MEMBERS[kind] if kind in MEMBERS else MEMBERS[""]
        assert any(covers(path if kind in MEMBERS else one, known) for known in paths), one
