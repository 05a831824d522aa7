"""The operations on pipelines."""

from __future__ import annotations

from typing import Any

from local_aws.pipelines import views
from local_aws.pipelines.api.definition_text import definition_text, given_definition_text
from local_aws.pipelines.api.resources import Resources, caller, fingerprint_of, parallel
from local_aws.pipelines.execution.role_calls import SERVICE
from local_aws.pipelines.state import ENDED_EXECUTION, Pipeline, Version, now
from local_aws.protocol import ApiError, Request


class PipelineOperations(Resources):
    """Create, update, describe, delete and list pipelines."""

    async def create_pipeline(self, request: Request) -> dict[str, Any]:
        """Check a definition and make a pipeline of it, its version 1.

        Raises:
            ApiError: ValidationException for a wrong definition, a used name, or a role that SageMaker can't assume.
        """
        params = request.params
        arn = self.arn_of(request, params["PipelineName"])
        request.authorize("sagemaker:CreatePipeline", arn)
        if params.get("Tags"):
            request.authorize("sagemaker:AddTags", arn)
        request.authorize_pass_role(params["RoleArn"], SERVICE)
        tags = views.tag_map(params.get("Tags") or [])
        fingerprint = fingerprint_of(params)
        known = self.pipelines.get(arn)
        if known and known.create_token == [params["ClientRequestToken"], fingerprint]:
            return {"PipelineArn": arn}
        text = await definition_text(request, self.context, self.orchestrator.calls)
        definition = self.parse(text, request)
        self.check_role(params["RoleArn"], arn)
        if arn in self.pipelines:
            # The code and the words AWS answers, on which the SDK's upsert() relies.
            raise ApiError(
                "ValidationException",
                "Pipeline names must be unique within an AWS account and region. "
                f"Pipeline with name ({params['PipelineName']}) already exists.",
            )
        who = caller(request)
        pipeline = Pipeline(
            name=params["PipelineName"],
            arn=arn,
            account=request.account,
            region=request.region,
            role_arn=params["RoleArn"],
            display_name=params.get("PipelineDisplayName"),
            description=params.get("PipelineDescription"),
            max_parallel=parallel(params),
            created_by=who,
            modified_by=who,
            tags=tags,
            create_token=[params["ClientRequestToken"], fingerprint],
            versions={1: Version(1, text)},
        )
        self.definitions[arn, 1] = definition
        self.pipelines[arn] = pipeline
        self.storage.save_pipeline(pipeline)
        return {"PipelineArn": arn}

    async def update_pipeline(self, request: Request) -> dict[str, Any]:
        """Change a pipeline. A definition makes a new version. Executions that run go on with theirs.

        Raises:
            ApiError: ResourceNotFound, or ValidationException as CreatePipeline.
        """
        params = request.params
        arn = self.arn_of(request, params["PipelineName"])
        request.authorize("sagemaker:UpdatePipeline", arn)
        if "RoleArn" in params:
            request.authorize_pass_role(params["RoleArn"], SERVICE)
        pipeline = self.pipeline(request)
        text = await given_definition_text(request, self.context, self.orchestrator.calls)
        definition = self.parse(text, request) if text else None
        if "RoleArn" in params:
            self.check_role(params["RoleArn"], arn)
        pipeline = self.pipeline(request)  # it may have been deleted while the definition was read
        pipeline.role_arn = params.get("RoleArn", pipeline.role_arn)
        pipeline.display_name = params.get("PipelineDisplayName", pipeline.display_name)
        pipeline.description = params.get("PipelineDescription", pipeline.description)
        pipeline.max_parallel = parallel(params) or pipeline.max_parallel
        pipeline.modified, pipeline.modified_by = now(), caller(request)
        if text and definition:
            # Whether an update without a definition makes a version is not documented; here only a definition does.
            version = Version(pipeline.latest.id + 1, text)
            pipeline.versions[version.id] = version
            self.definitions[arn, version.id] = definition
        self.storage.save_pipeline(pipeline)
        return {"PipelineArn": arn, "PipelineVersionId": pipeline.latest.id}

    def describe_pipeline(self, request: Request) -> dict[str, Any]:
        """A pipeline, with the definition of its latest version or of the one asked for."""
        pipeline = self.pipeline(request, "sagemaker:DescribePipeline")
        version = self.version(pipeline, request.params.get("PipelineVersionId"))
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
            ApiError: ResourceNotFound, or ConflictException while an execution runs.
        """
        arn = self.arn_of(request, request.params["PipelineName"])
        request.authorize("sagemaker:DeletePipeline", arn)
        if self.deleted.get(request.params["ClientRequestToken"]) == arn and arn not in self.pipelines:
            return {"PipelineArn": arn}
        pipeline = self.pipeline(request)
        executions = self.executions_of(pipeline)
        running = [execution for execution in executions if execution.status not in ENDED_EXECUTION]
        if running:
            raise ApiError(
                "ConflictException",
                f"Pipeline {pipeline.name} has {len(running)} running executions. Stop them with StopPipelineExecution "
                f"and wait for their end before deleting it. The first is {running[0].arn}.",
            )
        for execution in executions:
            self.orchestrator.forget(execution)
        for version in pipeline.versions:
            self.definitions.pop((arn, version), None)
        del self.pipelines[arn]
        self.storage.delete_pipeline(arn)
        self.deleted[request.params["ClientRequestToken"]] = arn
        return {"PipelineArn": arn}

    def list_pipelines(self, request: Request) -> dict[str, Any]:
        """The pipelines of the account and Region, the newest first unless asked otherwise."""
        request.authorize("sagemaker:ListPipelines")
        params = request.params
        listed = [
            pipeline
            for pipeline in self.pipelines.values()
            if (pipeline.account, pipeline.region) == (request.account, request.region)
            and pipeline.name.startswith(params.get("PipelineNamePrefix", ""))
            and views.within(pipeline.created, params)
        ]
        by_name = params.get("SortBy") == "Name"
        page, token = views.page(listed, lambda p: (p.name if by_name else p.created.timestamp(), p.arn), params)
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
