"""The operations that answer callback tokens."""

from __future__ import annotations

from typing import Any

from local_aws.pipelines.api.resources import Resources
from local_aws.protocol import ApiError, Request


class CallbackOperations(Resources):
    """SendPipelineExecutionStepSuccess and SendPipelineExecutionStepFailure."""

    def send_pipeline_execution_step_success(self, request: Request) -> dict[str, Any]:
        """Answer a Callback step with a success and these outputs.

        Raises:
            ApiError: ResourceNotFound for an unknown token, ConflictException for one that was answered, and
                ValidationException for outputs the step does not declare.
        """
        return self._answer(request, "sagemaker:SendPipelineExecutionStepSuccess", "Succeeded")

    def send_pipeline_execution_step_failure(self, request: Request) -> dict[str, Any]:
        """Answer a Callback step with a failure and this reason. The errors are those of a success."""
        return self._answer(request, "sagemaker:SendPipelineExecutionStepFailure", "Failed")

    def _answer(self, request: Request, action: str, verdict: str) -> dict[str, Any]:
        params = request.params
        token = params["CallbackToken"]
        arn, _ = self.orchestrator.callbacks.owners.get(token, (None, None))
        request.authorize(action, *([arn] if arn else []))  # the token of nobody names no resource
        execution, _ = self.orchestrator.callbacks.waiting(token)
        if (execution.account, execution.region) != (request.account, request.region):
            raise ApiError("ResourceNotFound", f"No step of a pipeline execution waits for the callback token {token}.")
        self.orchestrator.callbacks.answer(
            token, params.get("ClientRequestToken"), verdict,
            params.get("OutputParameters") or [], params.get("FailureReason"),
        )  # fmt: skip
        return {"PipelineExecutionArn": execution.arn}
