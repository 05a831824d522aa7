"""The operations that start, stop, retry and change executions."""

from __future__ import annotations

import secrets
import string
from typing import Any

from local_aws.pipelines import starting
from local_aws.pipelines.api.resources import Resources, caller, fingerprint_of, parallel
from local_aws.pipelines.state import ENDED_EXECUTION, Execution, now
from local_aws.protocol import ApiError, Request


class ExecutionOperations(Resources):
    """Start, stop, retry and update executions."""

    def start_pipeline_execution(self, request: Request) -> dict[str, Any]:
        """Start an execution of the latest version, or of the one asked for, whole or of selected steps.

        Raises:
            ApiError: ResourceNotFound, ValidationException for parameters, selected steps or a role that don't do,
                ConflictException for a ClientRequestToken that was used for something else.
        """
        params = request.params
        pipeline = self.pipeline(request, "sagemaker:StartPipelineExecution")
        token = f"{params['ClientRequestToken']} {fingerprint_of(params)}"
        earlier = self.orchestrator.executions.get(self.started.get((pipeline.arn, params["ClientRequestToken"]), ""))
        if earlier and earlier.start_token == token:
            return {"PipelineExecutionArn": earlier.arn}
        if earlier:
            raise ApiError("ConflictException", "The ClientRequestToken was used for another execution already.")
        if "MlflowExperimentName" in params:
            raise ApiError("ValidationException", "MlflowExperimentName needs an MLflow server, which is not here.")
        version = self.version(pipeline, params.get("PipelineVersionId"))
        definition = self.definition(pipeline, version)
        self.check_role(pipeline.role_arn, pipeline.arn)
        identifier = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(12))
        started, who = now(), caller(request)
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
            max_parallel=parallel(params) or pipeline.max_parallel,
            selective=params.get("SelectiveExecutionConfig"),
            start_token=token,
        )
        if execution.selective:
            starting.take_over(execution, definition, self.orchestrator.executions)
        pipeline.last_run, version.last_execution = started, execution.arn
        self.storage.save_pipeline(pipeline)
        self.started[pipeline.arn, params["ClientRequestToken"]] = execution.arn
        self.orchestrator.begin(execution)
        return {"PipelineExecutionArn": execution.arn}

    def stop_pipeline_execution(self, request: Request) -> dict[str, Any]:
        """Ask an execution to stop. A second call changes nothing.

        Raises:
            ApiError: ResourceNotFound, or ConflictException when it has ended.
        """
        execution = self.execution(request, "sagemaker:StopPipelineExecution")
        if execution.stop_token == request.params["ClientRequestToken"]:
            return {"PipelineExecutionArn": execution.arn}
        if execution.status in ENDED_EXECUTION:
            raise ApiError("ConflictException", f"{execution.arn} has ended ({execution.status}). It can't be stopped.")
        if not execution.stop_requested:
            execution.stop_token, execution.modified_by = request.params["ClientRequestToken"], caller(request)
            self.orchestrator.request_stop(execution)
        return {"PipelineExecutionArn": execution.arn}

    def retry_pipeline_execution(self, request: Request) -> dict[str, Any]:
        """Run again what did not succeed, under the same ARN.

        Raises:
            ApiError: ResourceNotFound, or ConflictException unless it is Failed or Stopped.
        """
        params = request.params
        execution = self.execution(request, "sagemaker:RetryPipelineExecution")
        if execution.retry_token == params["ClientRequestToken"]:
            return {"PipelineExecutionArn": execution.arn}
        if execution.status not in ("Failed", "Stopped"):
            raise ApiError(
                "ConflictException",
                f"{execution.arn} is {execution.status}. Only an execution that is Failed or Stopped can be retried.",
            )
        execution.max_parallel = parallel(params) or execution.max_parallel
        execution.retry_token, execution.modified_by = params["ClientRequestToken"], caller(request)
        self.orchestrator.retry(execution)
        return {"PipelineExecutionArn": execution.arn}

    def update_pipeline_execution(self, request: Request) -> dict[str, Any]:
        """Name, describe or widen an execution. A wider one starts more steps at once."""
        params = request.params
        execution = self.execution(request, "sagemaker:UpdatePipelineExecution")
        execution.description = params.get("PipelineExecutionDescription", execution.description)
        execution.display_name = params.get("PipelineExecutionDisplayName", execution.display_name)
        execution.max_parallel = parallel(params) or execution.max_parallel
        execution.modified_by = caller(request)
        self.orchestrator.save(execution)
        self.orchestrator.advance(execution)  # more steps may run at once now
        return {"PipelineExecutionArn": execution.arn}
