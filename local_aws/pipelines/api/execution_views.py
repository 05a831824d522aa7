"""The operations that show executions and their steps."""

from __future__ import annotations

from typing import Any

from local_aws.pipelines import views
from local_aws.pipelines.api.resources import Resources
from local_aws.pipelines.model.expressions import to_text
from local_aws.protocol import Request


class ExecutionViews(Resources):
    """Describe and list executions, their steps, their parameters and their definitions."""

    def describe_pipeline_execution(self, request: Request) -> dict[str, Any]:
        """An execution and how it stands."""
        execution = self.execution(request, "sagemaker:DescribePipelineExecution")
        return {
            "PipelineArn": execution.pipeline_arn,
            "PipelineExecutionArn": execution.arn,
            "PipelineExecutionDisplayName": execution.display_name,
            "PipelineExecutionStatus": execution.status,
            "PipelineExecutionDescription": execution.description,
            "PipelineExperimentConfig": self.experiment(execution),
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
        pipeline = self.pipeline(request, "sagemaker:ListPipelineExecutions")
        params = request.params
        listed = [execution for execution in self.executions_of(pipeline) if views.within(execution.created, params)]
        by_arn = params.get("SortBy") == "PipelineExecutionArn"
        page, token = views.page(listed, lambda e: (e.arn,) if by_arn else (e.created.timestamp(), e.arn), params)
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
        """The steps that have started, the latest first. A step not taken, or not yet started, is not shown."""
        execution = self.execution(request, "sagemaker:ListPipelineExecutionSteps")
        definition = self.definition_of(execution)
        order = {name: index for index, name in enumerate(execution.runs)}
        page, token = views.page(list(execution.runs.values()), lambda run: (order[run.name],), request.params)
        return {"PipelineExecutionSteps": [views.execution_step(run, definition) for run in page], "NextToken": token}

    def list_pipeline_parameters_for_execution(self, request: Request) -> dict[str, Any]:
        """The value of every parameter in an execution, those by default included."""
        execution = self.execution(request, "sagemaker:ListPipelineParametersForExecution")
        listed = [{"Name": name, "Value": to_text(value)} for name, value in sorted(execution.parameters.items())]
        page, token = views.page(listed, lambda parameter: (parameter["Name"],), request.params, descending=False)
        return {"PipelineParameters": page, "NextToken": token}

    def describe_pipeline_definition_for_execution(self, request: Request) -> dict[str, Any]:
        """The definition an execution runs, which later updates do not change."""
        execution = self.execution(request, "sagemaker:DescribePipelineDefinitionForExecution")
        pipeline = self.pipelines[execution.pipeline_arn]
        return {"PipelineDefinition": self.definition_of(execution).text, "CreationTime": pipeline.created}
