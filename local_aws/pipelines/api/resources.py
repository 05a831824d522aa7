"""Pipelines, versions and executions found for a request, and what all operations share."""

from __future__ import annotations

import functools
import hashlib
import json
from typing import Any

from local_aws.pipelines.execution.orchestrator import Orchestrator
from local_aws.pipelines.execution.role_calls import SERVICE
from local_aws.pipelines.execution.step_values import StepValues
from local_aws.pipelines.model.definition import Definition, parse
from local_aws.pipelines.model.expressions import to_text
from local_aws.pipelines.model.refusals import DefinitionError
from local_aws.pipelines.processing.arguments import runs_here
from local_aws.pipelines.state import Execution, Pipeline, StepRun, Version
from local_aws.protocol import ApiError, Request


class Resources:
    """What there is, for the operations.

    Args:
        context: the server's Context.
    """

    def __init__(self, context: Any) -> None:
        self.context = context
        self.pipelines: dict[str, Pipeline] = {}  # by ARN
        self.orchestrator = Orchestrator(context, self.definition_of)
        self.storage = self.orchestrator.storage
        self.started: dict[tuple[str, str], str] = {}  # pipeline and ClientRequestToken -> execution
        self.deleted: dict[str, str] = {}  # ClientRequestToken -> pipeline
        self.definitions: dict[tuple[str, int], Definition] = {}

    def arn_of(self, request: Request, name_or_arn: str) -> str:
        """The ARN of a pipeline that a request names by its name or its ARN."""
        if name_or_arn.startswith("arn:"):
            return name_or_arn
        return f"arn:{request.partition}:sagemaker:{request.region}:{request.account}:pipeline/{name_or_arn}"

    def pipeline(self, request: Request, action: str | None = None) -> Pipeline:
        """The pipeline of a request's PipelineName, when its caller may do `action` to it.

        Raises:
            ApiError: AccessDeniedException or ResourceNotFound.
        """
        arn = self.arn_of(request, request.params["PipelineName"])
        if action:
            request.authorize(action, arn)
        return self.find(request, arn)

    def find(self, request: Request, arn: str) -> Pipeline:
        """A pipeline of the caller's account and Region.

        Raises:
            ApiError: ResourceNotFound.
        """
        pipeline = self.pipelines.get(arn)
        if pipeline is None or (pipeline.account, pipeline.region) != (request.account, request.region):
            raise ApiError("ResourceNotFound", f"Pipeline '{arn}' does not exist.")
        return pipeline

    def version(self, pipeline: Pipeline, version_id: int | None) -> Version:
        """A version of a pipeline. None is the latest.

        Raises:
            ApiError: ResourceNotFound.
        """
        if version_id is None:
            return pipeline.latest
        if version_id not in pipeline.versions:
            raise ApiError("ResourceNotFound", f"Pipeline '{pipeline.arn}' has no version {version_id}.")
        return pipeline.versions[version_id]

    def execution(self, request: Request, action: str) -> Execution:
        """The execution of a request's PipelineExecutionArn, when its caller may do `action` to it.

        Raises:
            ApiError: AccessDeniedException, ResourceNotFound, or ValidationException without an ARN.
        """
        arn = request.params.get("PipelineExecutionArn")
        if not arn:
            raise ApiError("ValidationException", f"{request.operation} needs a PipelineExecutionArn.")
        request.authorize(action, arn)
        execution = self.orchestrator.executions.get(arn)
        if execution is None or (execution.account, execution.region) != (request.account, request.region):
            raise ApiError("ResourceNotFound", f"Pipeline execution '{arn}' does not exist.")
        return execution

    def executions_of(self, pipeline: Pipeline) -> list[Execution]:
        """Every execution of a pipeline."""
        return [each for each in self.orchestrator.executions.values() if each.pipeline_arn == pipeline.arn]

    def definition_of(self, execution: Execution) -> Definition:
        """The checked definition that an execution runs."""
        pipeline = self.pipelines[execution.pipeline_arn]
        return self.definition(pipeline, pipeline.versions[execution.version])

    def definition(self, pipeline: Pipeline, version: Version) -> Definition:
        """The checked definition of a version, parsed once.

        An earlier server accepted one that was saved. A step whose image is no longer mapped fails when it starts.
        """
        key = (pipeline.arn, version.id)
        if key not in self.definitions:
            self.definitions[key] = parse(version.definition, pipeline.region, lambda _: True)
        return self.definitions[key]

    def parse(self, text: str, request: Request) -> Definition:
        """Check a definition that a request gives.

        Raises:
            ApiError: ValidationException.
        """
        try:
            return parse(text, request.region, functools.partial(runs_here, images=self.context.images))
        except DefinitionError as error:
            raise ApiError("ValidationException", f"Unable to parse pipeline definition. {error}") from None

    def check_role(self, role_arn: str, pipeline_arn: str) -> None:
        """Refuse a role that SageMaker can't assume for a pipeline's executions.

        Raises:
            ApiError: ValidationException.
        """
        # SageMaker's guide has `pipeline/mypipeline/*` as aws:SourceArn: it is an execution that assumes the role.
        if not self.context.ministack.trusts(role_arn, SERVICE, source_arn=f"{pipeline_arn}/execution/any"):
            raise ApiError(
                "ValidationException",
                f"The execution role ARN {role_arn} is invalid. Please ensure that the role exists and that its trust "
                f'relationship policy allows the action "sts:AssumeRole" for the service principal "{SERVICE}".',
            )

    def experiment(self, execution: Execution) -> dict[str, str] | None:
        """An execution's PipelineExperimentConfig, with the values of its expressions."""
        config = self.definition_of(execution).experiment
        if not config:
            return None
        values = StepValues(self.definition_of(execution), execution, StepRun("", ""), self.orchestrator.jobs)
        return {key: to_text(value) for key, value in values.resolve(config).items()}


def parallel(params: dict[str, Any]) -> int | None:
    """How many steps a request lets run at once. None means no limit."""
    return (params.get("ParallelismConfiguration") or {}).get("MaxParallelExecutionSteps")


def caller(request: Request) -> dict[str, Any]:
    """The caller, as CreatedBy and LastModifiedBy show it."""
    return {"IamIdentity": {"Arn": request.caller_arn, "PrincipalId": request.caller_arn.rsplit(":", 1)[-1]}}


def fingerprint_of(params: dict[str, Any]) -> str:
    """What is the same for two requests that differ in their ClientRequestToken only."""
    relevant = {key: value for key, value in params.items() if key != "ClientRequestToken"}
    return hashlib.sha256(json.dumps(relevant, sort_keys=True, default=str).encode()).hexdigest()
