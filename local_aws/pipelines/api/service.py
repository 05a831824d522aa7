"""The SageMaker API of Pipelines, with one method per operation, as botocore's model describes it.

Model: botocore, service "sagemaker" (2017-07-24), https://docs.aws.amazon.com/sagemaker/latest/APIReference/.
Resources of the IAM checks: "Actions, resources, and condition keys for Amazon SageMaker" (Service Authorization
Reference). Where AWS documents no error for a case, the comment says what is picked.
"""

from __future__ import annotations

from local_aws.pipelines.api.callbacks import CallbackOperations
from local_aws.pipelines.api.execution_views import ExecutionViews
from local_aws.pipelines.api.executions import ExecutionOperations
from local_aws.pipelines.api.pipelines import PipelineOperations
from local_aws.pipelines.api.processing_jobs import ProcessingJobOperations
from local_aws.pipelines.api.tags import TagOperations
from local_aws.pipelines.api.versions import VersionOperations


class PipelinesService(
    PipelineOperations,
    VersionOperations,
    ExecutionOperations,
    ExecutionViews,
    CallbackOperations,
    TagOperations,
    ProcessingJobOperations,
):
    """SageMaker Pipelines for the embedded AWS."""

    name = "sagemaker"

    async def start(self) -> None:
        """Bring back what the store has, and go on with it."""
        self.pipelines = self.storage.pipelines()
        self.context.ministack.register_tags("sagemaker", self.tagged)
        self.orchestrator.load()
        for execution in self.orchestrator.executions.values():
            if execution.start_token:
                self.started[execution.pipeline_arn, execution.start_token.rpartition(" ")[0]] = execution.arn

    async def stop(self) -> None:
        """Stop working. Waiting executions go on after a restart with the same store."""
        await self.orchestrator.stop()
