"""The steps of an execution."""

from __future__ import annotations

from typing import Any

import boto3
import pandas as pd


def steps(session: boto3.Session, execution: str) -> pd.DataFrame:
    """An execution's steps in the order they began.

    Returns:
        Columns step, type, status, seconds, failure.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ListPipelineExecutionSteps.html
    """
    steps = list_steps(session, execution)
    return pd.DataFrame(
        {
            "step": [step["StepName"] for step in steps],
            "type": [next(iter(step.get("Metadata", {})), "") for step in steps],
            "status": [step["StepStatus"] for step in steps],
            "seconds": [_seconds(step.get("StartTime"), step.get("EndTime")) for step in steps],
            "failure": [step.get("FailureReason", "") for step in steps],
        }
    )


def list_steps(session: boto3.Session, execution: str) -> list[dict[str, Any]]:
    """What ListPipelineExecutionSteps says of an execution's steps, in the order they began."""
    pages = session.client("sagemaker").get_paginator("list_pipeline_execution_steps")
    return [
        step
        for page in pages.paginate(PipelineExecutionArn=execution, SortOrder="Ascending")
        for step in page["PipelineExecutionSteps"]
    ]


def step_outputs(session: boto3.Session, execution: str, step: str) -> dict[str, str]:
    """What a Lambda or Callback step gave to the steps after it.

    Raises:
        LookupError: there is no such step, it has not begun, it failed, or another step failed before it. The message
            gives the reason.
    """
    begun = list_steps(session, execution)
    failed = next((each for each in begun if each["StepStatus"] == "Failed"), None)
    mine = next((each for each in begun if each["StepName"] == step), None)
    if mine and mine["StepStatus"] != "Failed":
        metadata: dict[str, Any] = next(iter(mine.get("Metadata", {}).values()), {})
        return {output["Name"]: output["Value"] for output in metadata.get("OutputParameters", [])}
    if failed:
        cause = mine or failed
        reason = cause.get("FailureReason", "AWS gives no reason")
        raise LookupError(f'"{step}" has no outputs, because "{cause["StepName"]}" failed: {reason}')
    raise LookupError(f'The execution {execution} has no step "{step}", or has not begun it. Check the name, or wait.')


def _seconds(start: Any, end: Any) -> float | None:
    return (end - start).total_seconds() if start and end else None
