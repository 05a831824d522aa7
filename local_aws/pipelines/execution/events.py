"""The two EventBridge events of SageMaker Pipelines.

https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from local_aws.pipelines.state import Execution, StepRun

EXECUTION = "SageMaker Model Building Pipeline Execution Status Change"
STEP = "SageMaker Model Building Pipeline Execution Step Status Change"


def execution_event(execution: Execution, previous: str | None) -> dict[str, Any]:
    """The event of an execution that has changed its status, for `ministack.publish_event`."""
    detail = {
        "pipelineExecutionDisplayName": execution.display_name,
        "pipelineExecutionDescription": execution.description,
        "currentPipelineExecutionStatus": execution.status,
        "previousPipelineExecutionStatus": previous,
        "executionStartTime": _time(execution.created),
        "executionEndTime": _time(execution.ended),
    }
    return _event(EXECUTION, execution, detail)


def step_event(execution: Execution, run: StepRun, previous: str | None) -> dict[str, Any]:
    """The event of a step that has changed its status, for `ministack.publish_event`."""
    detail = {
        "metadata": _lower_keys(run.metadata),
        "stepName": run.name,
        "stepType": run.type,
        "stepStartTime": _time(run.started),
        "stepEndTime": _time(run.ended),
        "currentStepStatus": run.status,
        "previousStepStatus": previous,
        "failureReason": run.reason,
        "cacheHitResult": {"sourcePipelineExecutionArn": run.cache_source} if run.cache_source else None,
    }
    return _event(STEP, execution, detail)


def _event(detail_type: str, execution: Execution, detail: dict[str, Any]) -> dict[str, Any]:
    arns = {"pipelineArn": execution.pipeline_arn, "pipelineExecutionArn": execution.arn}
    return {
        "source": "aws.sagemaker",
        "detail_type": detail_type,
        "detail": {key: value for key, value in (detail | arns).items() if value is not None},
        "resources": list(arns.values()),
        "account": execution.account,
        "region": execution.region,
    }


def _time(moment: dt.datetime | None) -> str | None:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def _lower_keys(value: Any) -> Any:
    """The members of an API structure as an event names them: processingJob, arn."""
    if isinstance(value, dict):
        return {key[:1].lower() + key[1:]: _lower_keys(item) for key, item in value.items()}
    return [_lower_keys(item) for item in value] if isinstance(value, list) else value
