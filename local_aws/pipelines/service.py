"""The SageMaker API of Pipelines: one method an operation, as botocore's model describes it.

Model: botocore, service "sagemaker" (2017-07-24), https://docs.aws.amazon.com/sagemaker/latest/APIReference/.
Resources of the IAM checks: "Actions, resources, and condition keys for Amazon SageMaker" (Service Authorization
Reference). Where AWS documents no error for a case, the comment says what is picked.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import secrets
import string
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import botocore.exceptions

from local_aws.pipelines import expressions, starting, views
from local_aws.pipelines.definition import Definition, parse
from local_aws.pipelines.engine import SERVICE, Engine
from local_aws.pipelines.execution import ENDED_EXECUTION, Execution, StepRun, now
from local_aws.pipelines.refusals import DefinitionError
from local_aws.protocol import ApiError, Request

MAX_TAGS = 50
# AWS's words, as moto has them: https://github.com/getmoto/moto/blob/master/moto/sagemaker/models.py
NO_DEFINITION = "Either Pipeline Definition or Pipeline Definition S3 location should be provided"
TWO_DEFINITIONS = "Both Pipeline Definition and Pipeline Definition S3 Location shouldn't be present"
MAX_PIPELINE_CHARACTERS = 1024 * 1024


@dataclass
class Version:
    """One version of a pipeline: its definition, and what UpdatePipelineVersion says of it."""

    id: int
    definition: str
    created: Any = field(default_factory=now)
    display_name: str | None = None
    description: str | None = None
    last_execution: str | None = None


@dataclass
class Pipeline:
    """A pipeline and all its versions; `versions` is by version id, the newest last."""

    name: str
    arn: str
    account: str
    region: str
    role_arn: str
    display_name: str | None = None
    description: str | None = None
    max_parallel: int | None = None
    created: Any = field(default_factory=now)
    modified: Any = field(default_factory=now)
    last_run: Any = None
    created_by: dict[str, Any] = field(default_factory=dict)
    modified_by: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    create_token: list[str] | None = None
    versions: dict[int, Version] = field(default_factory=dict)

    @property
    def latest(self) -> Version:
        return self.versions[max(self.versions)]


class PipelinesService:
    """SageMaker Pipelines for the embedded AWS."""

    name = "sagemaker"

    def __init__(self, context: Any) -> None:
        self.context = context
        self.pipelines: dict[str, Pipeline] = {}  # by ARN
        self.engine = Engine(context, self._definition_of)
        self._definitions: dict[tuple[str, int], Definition] = {}
        self._started: dict[tuple[str, str], str] = {}  # pipeline and ClientRequestToken -> execution
        self._deleted: dict[str, str] = {}  # ClientRequestToken -> pipeline

    async def start(self) -> None:
        """Bring back what the store has, and go on with it."""
        if self.context.store:
            for arn, record in self.context.store.all("pipeline").items():
                versions = {int(key): Version(**value) for key, value in record.pop("versions").items()}
                self.pipelines[arn] = Pipeline(**record, versions=versions)
        self.context.ministack.register_tags("sagemaker", self._tagged)
        self.engine.load()
        for execution in self.engine.executions.values():
            if execution.start_token:
                self._started[execution.pipeline_arn, execution.start_token.rpartition(" ")[0]] = execution.arn

    async def stop(self) -> None:
        """Stop working; waiting executions go on after a restart with the same store."""
        await self.engine.stop()

    # --- pipelines -------------------------------------------------------------------------------------------------

    async def create_pipeline(self, request: Request) -> dict[str, Any]:
        """Check a definition and make a pipeline of it, its version 1.

        Raises:
            ApiError: ValidationException for a wrong definition, a used name, or a role that SageMaker can't assume.
        """
        params = request.params
        arn = self._arn(request, params["PipelineName"])
        request.authorize("sagemaker:CreatePipeline", arn)
        if params.get("Tags"):
            request.authorize("sagemaker:AddTags", arn)
        request.authorize_pass_role(params["RoleArn"], SERVICE)
        tags = views.tag_map(params.get("Tags") or [])
        fingerprint = _fingerprint(params)
        known = self.pipelines.get(arn)
        if known and known.create_token == [params["ClientRequestToken"], fingerprint]:
            return {"PipelineArn": arn}
        text = await self._definition_text(request)
        definition = self._parse(text, request)
        self._check_role(params["RoleArn"], arn)
        if arn in self.pipelines:
            # The code and the words AWS answers, on which the SDK's upsert() relies.
            raise ApiError(
                "ValidationException",
                "Pipeline names must be unique within an AWS account and region. "
                f"Pipeline with name ({params['PipelineName']}) already exists.",
            )
        who = _who(request)
        pipeline = Pipeline(
            name=params["PipelineName"],
            arn=arn,
            account=request.account,
            region=request.region,
            role_arn=params["RoleArn"],
            display_name=params.get("PipelineDisplayName"),
            description=params.get("PipelineDescription"),
            max_parallel=_parallel(params),
            created_by=who,
            modified_by=who,
            tags=tags,
            create_token=[params["ClientRequestToken"], fingerprint],
            versions={1: Version(1, text)},
        )
        self._definitions[arn, 1] = definition
        self.pipelines[arn] = pipeline
        self._save(pipeline)
        return {"PipelineArn": arn}

    async def update_pipeline(self, request: Request) -> dict[str, Any]:
        """Change a pipeline; a definition makes a new version. Executions that run go on with theirs.

        Raises:
            ApiError: ResourceNotFound; ValidationException as CreatePipeline.
        """
        params = request.params
        arn = self._arn(request, params["PipelineName"])
        request.authorize("sagemaker:UpdatePipeline", arn)
        if "RoleArn" in params:
            request.authorize_pass_role(params["RoleArn"], SERVICE)
        pipeline = self._pipeline(request)
        text = await self._definition_text(request, needed=False)
        definition = self._parse(text, request) if text else None
        if "RoleArn" in params:
            self._check_role(params["RoleArn"], arn)
        pipeline = self._pipeline(request)  # it may have been deleted while the definition was read
        pipeline.role_arn = params.get("RoleArn", pipeline.role_arn)
        pipeline.display_name = params.get("PipelineDisplayName", pipeline.display_name)
        pipeline.description = params.get("PipelineDescription", pipeline.description)
        pipeline.max_parallel = _parallel(params) or pipeline.max_parallel
        pipeline.modified, pipeline.modified_by = now(), _who(request)
        if text and definition:
            # Whether an update without a definition makes a version is not documented; here only a definition does.
            version = Version(pipeline.latest.id + 1, text)
            pipeline.versions[version.id] = version
            self._definitions[arn, version.id] = definition
        self._save(pipeline)
        return {"PipelineArn": arn, "PipelineVersionId": pipeline.latest.id}

    def describe_pipeline(self, request: Request) -> dict[str, Any]:
        """A pipeline, with the definition of its latest version or of the one asked for."""
        pipeline = self._pipeline(request, "sagemaker:DescribePipeline")
        version = self._version(pipeline, request.params.get("PipelineVersionId"))
        return {
            "PipelineArn": pipeline.arn,
            "PipelineName": pipeline.name,
            "PipelineDisplayName": pipeline.display_name or pipeline.name,
            "PipelineDefinition": version.definition,
            "PipelineDescription": pipeline.description,
            "RoleArn": pipeline.role_arn,
            "PipelineStatus": "Active",
            "CreationTime": pipeline.created,
            "LastModifiedTime": pipeline.modified,
            "LastRunTime": pipeline.last_run,
            "CreatedBy": pipeline.created_by,
            "LastModifiedBy": pipeline.modified_by,
            "ParallelismConfiguration": views.parallelism(pipeline.max_parallel),
            "PipelineVersionDisplayName": version.display_name,
            "PipelineVersionDescription": version.description,
        }

    def delete_pipeline(self, request: Request) -> dict[str, Any]:
        """Delete a pipeline, its versions and its executions.

        Raises:
            ApiError: ResourceNotFound; ConflictException while an execution runs.
        """
        arn = self._arn(request, request.params["PipelineName"])
        request.authorize("sagemaker:DeletePipeline", arn)
        if self._deleted.get(request.params["ClientRequestToken"]) == arn and arn not in self.pipelines:
            return {"PipelineArn": arn}
        pipeline = self._pipeline(request)
        executions = self._executions(pipeline)
        running = [execution for execution in executions if execution.status not in ENDED_EXECUTION]
        if running:
            raise ApiError(
                "ConflictException",
                f"Pipeline {pipeline.name} has {len(running)} running executions; stop them with StopPipelineExecution "
                f"and wait for their end before deleting it. The first is {running[0].arn}.",
            )
        for execution in executions:
            self.engine.forget(execution)
        for version in pipeline.versions:
            self._definitions.pop((arn, version), None)
        del self.pipelines[arn]
        if self.context.store:
            self.context.store.delete("pipeline", arn)
        self._deleted[request.params["ClientRequestToken"]] = arn
        return {"PipelineArn": arn}

    def list_pipelines(self, request: Request) -> dict[str, Any]:
        """The pipelines of the account and Region, the newest first unless asked otherwise."""
        request.authorize("sagemaker:ListPipelines")
        params = request.params
        found = [
            pipeline
            for pipeline in self.pipelines.values()
            if (pipeline.account, pipeline.region) == (request.account, request.region)
            and pipeline.name.startswith(params.get("PipelineNamePrefix", ""))
            and views.within(pipeline.created, params)
        ]
        by_name = params.get("SortBy") == "Name"
        page, token = views.page(found, lambda p: (p.name if by_name else p.created.timestamp(), p.arn), params)
        summaries = [
            {
                "PipelineArn": pipeline.arn,
                "PipelineName": pipeline.name,
                "PipelineDisplayName": pipeline.display_name or pipeline.name,
                "PipelineDescription": pipeline.description,
                "RoleArn": pipeline.role_arn,
                "CreationTime": pipeline.created,
                "LastModifiedTime": pipeline.modified,
                "LastExecutionTime": pipeline.last_run,
            }
            for pipeline in page
        ]
        return {"PipelineSummaries": summaries, "NextToken": token}

    def list_pipeline_versions(self, request: Request) -> dict[str, Any]:
        """The versions of a pipeline, the newest first unless asked otherwise."""
        pipeline = self._pipeline(request, "sagemaker:ListPipelineVersions")
        found = [version for version in pipeline.versions.values() if views.within(version.created, request.params)]
        page, token = views.page(found, lambda version: (version.id,), request.params)
        summaries = [
            {
                "PipelineArn": pipeline.arn,
                "PipelineVersionId": version.id,
                "CreationTime": version.created,
                "PipelineVersionDescription": version.description,
                "PipelineVersionDisplayName": version.display_name,
                "LastExecutionPipelineExecutionArn": version.last_execution,
            }
            for version in page
        ]
        return {"PipelineVersionSummaries": summaries, "NextToken": token}

    def update_pipeline_version(self, request: Request) -> dict[str, Any]:
        """Name and describe a version."""
        params = request.params
        request.authorize("sagemaker:UpdatePipelineVersion", params["PipelineArn"])
        pipeline = self._find(request, params["PipelineArn"])
        version = self._version(pipeline, params["PipelineVersionId"])
        version.display_name = params.get("PipelineVersionDisplayName", version.display_name)
        version.description = params.get("PipelineVersionDescription", version.description)
        self._save(pipeline)
        return {"PipelineArn": pipeline.arn, "PipelineVersionId": version.id}

    # --- executions ------------------------------------------------------------------------------------------------

    def start_pipeline_execution(self, request: Request) -> dict[str, Any]:
        """Start an execution of the latest version, or of the one asked for, whole or of selected steps.

        Raises:
            ApiError: ResourceNotFound; ValidationException for parameters, selected steps or a role that don't do;
                ConflictException for a ClientRequestToken that was used for something else.
        """
        params = request.params
        pipeline = self._pipeline(request, "sagemaker:StartPipelineExecution")
        token = f"{params['ClientRequestToken']} {_fingerprint(params)}"
        earlier = self.engine.executions.get(self._started.get((pipeline.arn, params["ClientRequestToken"]), ""))
        if earlier and earlier.start_token == token:
            return {"PipelineExecutionArn": earlier.arn}
        if earlier:
            raise ApiError("ConflictException", "The ClientRequestToken was used for another execution already.")
        if "MlflowExperimentName" in params:
            raise ApiError("ValidationException", "MlflowExperimentName needs an MLflow server, which is not here.")
        version = self._version(pipeline, params.get("PipelineVersionId"))
        definition = self._definition(pipeline, version)
        self._check_role(pipeline.role_arn, pipeline.arn)
        identifier = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(12))
        started, who = now(), _who(request)
        execution = Execution(
            arn=f"{pipeline.arn}/execution/{identifier}",
            pipeline_arn=pipeline.arn,
            pipeline_name=pipeline.name,
            version=version.id,
            account=request.account,
            region=request.region,
            partition=request.partition,
            role_arn=pipeline.role_arn,
            created=started,
            created_by=who,
            modified_by=who,
            display_name=params.get("PipelineExecutionDisplayName") or f"execution-{int(started.timestamp() * 1000)}",
            description=params.get("PipelineExecutionDescription"),
            parameters=starting.parameters(definition, params.get("PipelineParameters") or []),
            max_parallel=_parallel(params) or pipeline.max_parallel,
            selective=params.get("SelectiveExecutionConfig"),
            start_token=token,
        )
        if execution.selective:
            starting.take_over(execution, definition, self.engine.executions)
        pipeline.last_run, version.last_execution = started, execution.arn
        self._save(pipeline)
        self._started[pipeline.arn, params["ClientRequestToken"]] = execution.arn
        self.engine.begin(execution)
        return {"PipelineExecutionArn": execution.arn}

    def stop_pipeline_execution(self, request: Request) -> dict[str, Any]:
        """Ask an execution to stop; a second time changes nothing.

        Raises:
            ApiError: ResourceNotFound; ConflictException when it has ended.
        """
        execution = self._execution(request, "sagemaker:StopPipelineExecution")
        if execution.stop_token == request.params["ClientRequestToken"]:
            return {"PipelineExecutionArn": execution.arn}
        if execution.status in ENDED_EXECUTION:
            raise ApiError("ConflictException", f"{execution.arn} has ended ({execution.status}); it can't be stopped.")
        if not execution.stop_requested:
            execution.stop_token, execution.modified_by = request.params["ClientRequestToken"], _who(request)
            self.engine.request_stop(execution)
        return {"PipelineExecutionArn": execution.arn}

    def retry_pipeline_execution(self, request: Request) -> dict[str, Any]:
        """Run again what did not succeed, under the same ARN.

        Raises:
            ApiError: ResourceNotFound; ConflictException unless it is Failed or Stopped.
        """
        params = request.params
        execution = self._execution(request, "sagemaker:RetryPipelineExecution")
        if execution.retry_token == params["ClientRequestToken"]:
            return {"PipelineExecutionArn": execution.arn}
        if execution.status not in ("Failed", "Stopped"):
            raise ApiError(
                "ConflictException",
                f"{execution.arn} is {execution.status}; only an execution that is Failed or Stopped can be retried.",
            )
        execution.max_parallel = _parallel(params) or execution.max_parallel
        execution.retry_token, execution.modified_by = params["ClientRequestToken"], _who(request)
        self.engine.retry(execution)
        return {"PipelineExecutionArn": execution.arn}

    def update_pipeline_execution(self, request: Request) -> dict[str, Any]:
        """Name, describe or widen an execution; a wider one starts more steps at once."""
        params = request.params
        execution = self._execution(request, "sagemaker:UpdatePipelineExecution")
        execution.description = params.get("PipelineExecutionDescription", execution.description)
        execution.display_name = params.get("PipelineExecutionDisplayName", execution.display_name)
        execution.max_parallel = _parallel(params) or execution.max_parallel
        execution.modified_by = _who(request)
        self.engine.save(execution)
        self.engine.advance(execution)  # more steps may run at once now
        return {"PipelineExecutionArn": execution.arn}

    def describe_pipeline_execution(self, request: Request) -> dict[str, Any]:
        """An execution and how it stands."""
        execution = self._execution(request, "sagemaker:DescribePipelineExecution")
        return {
            "PipelineArn": execution.pipeline_arn,
            "PipelineExecutionArn": execution.arn,
            "PipelineExecutionDisplayName": execution.display_name,
            "PipelineExecutionStatus": execution.status,
            "PipelineExecutionDescription": execution.description,
            "PipelineExperimentConfig": self._experiment(execution),
            "FailureReason": execution.reason,
            "CreationTime": execution.created,
            "LastModifiedTime": execution.modified,
            "CreatedBy": execution.created_by,
            "LastModifiedBy": execution.modified_by,
            "ParallelismConfiguration": views.parallelism(execution.max_parallel),
            "SelectiveExecutionConfig": execution.selective,
            "PipelineVersionId": execution.version,
        }

    def list_pipeline_executions(self, request: Request) -> dict[str, Any]:
        """The executions of a pipeline, the newest first unless asked otherwise."""
        pipeline = self._pipeline(request, "sagemaker:ListPipelineExecutions")
        params = request.params
        found = [execution for execution in self._executions(pipeline) if views.within(execution.created, params)]
        by_arn = params.get("SortBy") == "PipelineExecutionArn"
        page, token = views.page(found, lambda e: (e.arn,) if by_arn else (e.created.timestamp(), e.arn), params)
        summaries = [
            {
                "PipelineExecutionArn": execution.arn,
                "StartTime": execution.created,
                "PipelineExecutionStatus": execution.status,
                "PipelineExecutionDescription": execution.description,
                "PipelineExecutionDisplayName": execution.display_name,
                "PipelineExecutionFailureReason": execution.reason,
            }
            for execution in page
        ]
        return {"PipelineExecutionSummaries": summaries, "NextToken": token}

    def list_pipeline_execution_steps(self, request: Request) -> dict[str, Any]:
        """The steps that have started, the latest first; a step not taken, or not yet started, is not shown."""
        execution = self._execution(request, "sagemaker:ListPipelineExecutionSteps")
        definition = self._definition_of(execution)
        order = {name: index for index, name in enumerate(execution.runs)}
        page, token = views.page(list(execution.runs.values()), lambda run: (order[run.name],), request.params)
        return {"PipelineExecutionSteps": [views.execution_step(run, definition) for run in page], "NextToken": token}

    def list_pipeline_parameters_for_execution(self, request: Request) -> dict[str, Any]:
        """The value of every parameter in an execution, those by default included."""
        execution = self._execution(request, "sagemaker:ListPipelineParametersForExecution")
        found = [
            {"Name": name, "Value": expressions.to_text(value)} for name, value in sorted(execution.parameters.items())
        ]
        page, token = views.page(found, lambda parameter: (parameter["Name"],), request.params, descending=False)
        return {"PipelineParameters": page, "NextToken": token}

    def describe_pipeline_definition_for_execution(self, request: Request) -> dict[str, Any]:
        """The definition an execution runs, which later updates do not change."""
        execution = self._execution(request, "sagemaker:DescribePipelineDefinitionForExecution")
        pipeline = self.pipelines[execution.pipeline_arn]
        return {"PipelineDefinition": self._definition_of(execution).text, "CreationTime": pipeline.created}

    # --- callbacks -------------------------------------------------------------------------------------------------

    def send_pipeline_execution_step_success(self, request: Request) -> dict[str, Any]:
        """Answer a Callback step: it succeeded, with these outputs.

        Raises:
            ApiError: ResourceNotFound for an unknown token, ConflictException for one that was answered, and
                ValidationException for outputs the step does not declare.
        """
        return self._answer(request, "sagemaker:SendPipelineExecutionStepSuccess", "Succeeded")

    def send_pipeline_execution_step_failure(self, request: Request) -> dict[str, Any]:
        """Answer a Callback step: it failed, for this reason. Errors: as for a success."""
        return self._answer(request, "sagemaker:SendPipelineExecutionStepFailure", "Failed")

    def _answer(self, request: Request, action: str, verdict: str) -> dict[str, Any]:
        params = request.params
        token = params["CallbackToken"]
        arn, _ = self.engine.tokens.get(token, (None, None))
        request.authorize(action, *([arn] if arn else []))  # the token of nobody names no resource
        execution, _ = self.engine.waiting(token)
        if (execution.account, execution.region) != (request.account, request.region):
            raise ApiError("ResourceNotFound", f"No step of a pipeline execution waits for the callback token {token}.")
        self.engine.answer(
            token, params.get("ClientRequestToken"), verdict,
            params.get("OutputParameters") or [], params.get("FailureReason"),
        )  # fmt: skip
        return {"PipelineExecutionArn": execution.arn}

    # --- tags ------------------------------------------------------------------------------------------------------

    def add_tags(self, request: Request) -> dict[str, Any]:
        """Add tags to a pipeline, or replace their values."""
        pipeline = self._tagged_pipeline(request, "sagemaker:AddTags")
        tags = pipeline.tags | views.tag_map(request.params["Tags"])
        if len(tags) > MAX_TAGS:
            raise ApiError("ValidationException", f"Pipeline {pipeline.name} can't have more than {MAX_TAGS} tags.")
        pipeline.tags = tags
        self._save(pipeline)
        return {"Tags": views.tag_list(tags)}

    def list_tags(self, request: Request) -> dict[str, Any]:
        """The tags of a pipeline."""
        pipeline = self._tagged_pipeline(request, "sagemaker:ListTags")
        tags = views.tag_list(pipeline.tags)
        page, token = views.page(tags, lambda tag: (tag["Key"],), request.params, descending=False)
        return {"Tags": page, "NextToken": token}

    def delete_tags(self, request: Request) -> dict[str, Any]:
        """Remove tags of a pipeline; those it does not have are no error."""
        pipeline = self._tagged_pipeline(request, "sagemaker:DeleteTags")
        for key in request.params["TagKeys"]:
            pipeline.tags.pop(key, None)
        self._save(pipeline)
        return {}

    def _tagged_pipeline(self, request: Request, action: str) -> Pipeline:
        arn = request.params["ResourceArn"]
        request.authorize(action, arn)
        if arn not in self.pipelines:
            raise ApiError(
                "ResourceNotFound", f"'{arn}' does not exist, or is no pipeline; only pipelines have tags here."
            )
        return self._find(request, arn)

    def _tagged(self, account: str, region: str) -> Iterable[tuple[str, dict[str, str]]]:
        for pipeline in self.pipelines.values():
            if (pipeline.account, pipeline.region) == (account, region):
                yield pipeline.arn, pipeline.tags

    # --- processing jobs -------------------------------------------------------------------------------------------

    def describe_processing_job(self, request: Request) -> dict[str, Any]:
        """A processing job that a Processing step ran."""
        return self._job(request, "sagemaker:DescribeProcessingJob")

    def stop_processing_job(self, request: Request) -> dict[str, Any]:
        """Ask a running processing job to stop; one that has ended stays as it is."""
        self.engine.jobs.terminate(self._job(request, "sagemaker:StopProcessingJob")["ProcessingJobArn"])
        return {}

    def _job(self, request: Request, action: str) -> dict[str, Any]:
        name = request.params["ProcessingJobName"]
        arn = f"arn:{request.partition}:sagemaker:{request.region}:{request.account}:processing-job/{name}"
        request.authorize(action, arn)
        if arn not in self.engine.jobs.records:
            raise ApiError("ValidationException", f"Could not find requested job with name: {name}")
        return self.engine.jobs.records[arn]

    # --- finding things --------------------------------------------------------------------------------------------

    def _arn(self, request: Request, name_or_arn: str) -> str:
        if name_or_arn.startswith("arn:"):
            return name_or_arn
        return f"arn:{request.partition}:sagemaker:{request.region}:{request.account}:pipeline/{name_or_arn}"

    def _pipeline(self, request: Request, action: str | None = None) -> Pipeline:
        arn = self._arn(request, request.params["PipelineName"])
        if action:
            request.authorize(action, arn)
        return self._find(request, arn)

    def _find(self, request: Request, arn: str) -> Pipeline:
        pipeline = self.pipelines.get(arn)
        if pipeline is None or (pipeline.account, pipeline.region) != (request.account, request.region):
            raise ApiError("ResourceNotFound", f"Pipeline '{arn}' does not exist.")
        return pipeline

    def _version(self, pipeline: Pipeline, version_id: int | None) -> Version:
        if version_id is None:
            return pipeline.latest
        if version_id not in pipeline.versions:
            raise ApiError("ResourceNotFound", f"Pipeline '{pipeline.arn}' has no version {version_id}.")
        return pipeline.versions[version_id]

    def _execution(self, request: Request, action: str) -> Execution:
        arn = request.params.get("PipelineExecutionArn")
        if not arn:
            raise ApiError("ValidationException", f"{request.operation} needs a PipelineExecutionArn.")
        request.authorize(action, arn)
        execution = self.engine.executions.get(arn)
        if execution is None or (execution.account, execution.region) != (request.account, request.region):
            raise ApiError("ResourceNotFound", f"Pipeline execution '{arn}' does not exist.")
        return execution

    def _executions(self, pipeline: Pipeline) -> list[Execution]:
        return [each for each in self.engine.executions.values() if each.pipeline_arn == pipeline.arn]

    # --- definitions -----------------------------------------------------------------------------------------------

    def _definition_of(self, execution: Execution) -> Definition:
        pipeline = self.pipelines[execution.pipeline_arn]
        return self._definition(pipeline, pipeline.versions[execution.version])

    def _definition(self, pipeline: Pipeline, version: Version) -> Definition:
        key = (pipeline.arn, version.id)
        if key not in self._definitions:
            self._definitions[key] = parse(version.definition, pipeline.region)
        return self._definitions[key]

    def _parse(self, text: str, request: Request) -> Definition:
        try:
            return parse(text, request.region)
        except DefinitionError as error:
            raise ApiError("ValidationException", f"Unable to parse pipeline definition. {error}") from None

    async def _definition_text(self, request: Request, *, needed: bool = True) -> str | None:
        """The definition a call gives, or the object it names, read as the caller."""
        params = request.params
        place = params.get("PipelineDefinitionS3Location")
        if place is None:
            if "PipelineDefinition" not in params and needed:
                raise ApiError("ValidationException", NO_DEFINITION)
            return params.get("PipelineDefinition")
        if "PipelineDefinition" in params:
            raise ApiError("ValidationException", TWO_DEFINITIONS)
        where = f"s3://{place['Bucket']}/{place['ObjectKey']}"
        arguments = {"Bucket": place["Bucket"], "Key": place["ObjectKey"]}
        if "VersionId" in place:
            arguments["VersionId"] = place["VersionId"]
        credentials = self.context.ministack.caller_credentials(request)

        def read() -> bytes:
            client = self.context.ministack.client("s3", credentials, request.region)
            return client.get_object(**arguments)["Body"].read(4 * MAX_PIPELINE_CHARACTERS + 1)

        try:
            return (await self.engine.in_thread(read)).decode()
        except botocore.exceptions.ClientError as error:
            details = error.response.get("Error", {}).get("Message") or str(error)
            raise ApiError("ValidationException", f"The pipeline definition {where} can't be read: {details}") from None
        except UnicodeDecodeError:
            raise ApiError("ValidationException", f"The pipeline definition {where} is not UTF-8 text.") from None

    def _check_role(self, role_arn: str, pipeline_arn: str) -> None:
        # SageMaker's guide has `pipeline/mypipeline/*` as aws:SourceArn: it is an execution that assumes the role.
        if not self.context.ministack.trusts(role_arn, SERVICE, source_arn=f"{pipeline_arn}/execution/any"):
            raise ApiError(
                "ValidationException",
                f"The execution role ARN {role_arn} is invalid. Please ensure that the role exists and that its trust "
                f'relationship policy allows the action "sts:AssumeRole" for the service principal "{SERVICE}".',
            )

    def _experiment(self, execution: Execution) -> dict[str, str] | None:
        config = self._definition_of(execution).experiment
        if not config:
            return None
        lookup = functools.partial(self.engine._lookup, execution, StepRun("", ""))
        resolved = expressions.resolve(config, lookup, lambda _: None)
        return {key: expressions.to_text(value) for key, value in resolved.items()}

    def _save(self, pipeline: Pipeline) -> None:
        if self.context.store:
            self.context.store.put("pipeline", pipeline.arn, dataclasses.asdict(pipeline))


def _parallel(params: dict[str, Any]) -> int | None:
    return (params.get("ParallelismConfiguration") or {}).get("MaxParallelExecutionSteps")


def _who(request: Request) -> dict[str, Any]:
    return {"IamIdentity": {"Arn": request.caller_arn, "PrincipalId": request.caller_arn.rsplit(":", 1)[-1]}}


def _fingerprint(params: dict[str, Any]) -> str:
    relevant = {key: value for key, value in params.items() if key != "ClientRequestToken"}
    return hashlib.sha256(json.dumps(relevant, sort_keys=True, default=str).encode()).hexdigest()
