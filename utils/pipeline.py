"""Build, start and follow a pipeline (notebook 05).

The SageMaker SDK is imported only where it is used, because that takes seconds.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import Any

import boto3

from . import pipeline_role
from .support.aws_session import lend_region
from .support.waiting import wait

# The SDK's own wait() knows only Succeeded and Failed and never ends on the other two.
FINAL = ("Succeeded", "Failed", "Stopped", "CompletedWithFailures")


def sdk_session(session: boto3.Session, bucket: str) -> Any:
    """The SageMaker SDK's session around a boto3 session. With it, a processor's `run` describes a step's job.

    Where AWS refuses a pipeline's role, the error also says which pipelines the role trusts.

    Args:
        bucket: where the SDK puts a definition that is too large for a request, instead of its default bucket.

    https://sagemaker.readthedocs.io/en/stable/
    """
    # The SDK greets on stderr with its settings; only its warnings are of interest here.
    for name in ("sagemaker", "sagemaker.config", "sagemaker.core", "botocore.credentials"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # It also warns that it won't update a function that it is only told the ARN of, which is what we want.
    warnings.filterwarnings("ignore", message="Lambda function won't be updated")
    # And that a processor's run starts no job, and that the pipeline names the job, as it should be.
    warnings.filterwarnings("ignore", message="Running within a PipelineSession")
    logging.getLogger("sagemaker.core.workflow.utilities").setLevel(logging.ERROR)
    lend_region(session)
    from sagemaker.core.workflow.pipeline_context import PipelineSession

    client = session.client("sagemaker")
    pipeline_role.explain_refusals(session, client)
    return PipelineSession(
        boto_session=session,
        sagemaker_client=client,
        default_bucket=bucket,
        # The SDK tells AWS of its use unless it is told not to.
        sagemaker_config={"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}},
    )


def wait_for_execution(
    session: boto3.Session, arn: str, *, seconds: float = 3600, show: Callable[[dict[str, Any]], None] | None = None
) -> dict[str, Any]:
    """Poll an execution until it has ended, and return it as DescribePipelineExecution answers it.

    Args:
        show: is given each answer while the execution goes on. Default: nothing is shown. `monitoring.follow` shows a
            line.

    Raises:
        TimeoutError: it has not ended after `seconds`. It keeps running. Call again to keep waiting.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribePipelineExecution.html
    """
    sagemaker = session.client("sagemaker")

    def describe() -> dict[str, Any]:
        execution = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
        if show and execution["PipelineExecutionStatus"] not in FINAL:
            show(execution)
        return execution

    return wait(
        describe,
        until=lambda execution: execution["PipelineExecutionStatus"] in FINAL,
        seconds=seconds,
        longest_pause=1 if show else 10,
        otherwise=lambda execution: (
            f"The execution {arn} is still {execution['PipelineExecutionStatus']} after {seconds:.0f} seconds. "
            "Wait for it again."
        ),
    )


def latest_execution(session: boto3.Session, pipeline: str, status: str | None = None) -> str | None:
    """The ARN of a pipeline's newest execution (with `status`, if given), or None if there is none."""
    pages = session.client("sagemaker").get_paginator("list_pipeline_executions")
    for page in pages.paginate(PipelineName=pipeline, SortBy="CreationTime", SortOrder="Descending"):
        for summary in page["PipelineExecutionSummaries"]:
            if status in (None, summary["PipelineExecutionStatus"]):
                return summary["PipelineExecutionArn"]
    return None


def last_success(session: boto3.Session, pipeline: str) -> str:
    """The ARN of a pipeline's newest execution that succeeded.

    Raises:
        LookupError: there is none. Run notebook 05 first.
    """
    sagemaker = session.client("sagemaker")
    try:
        execution = latest_execution(session, pipeline, status="Succeeded")
    except sagemaker.exceptions.ResourceNotFound:
        execution = None
    if execution is None:
        raise LookupError(
            f'The pipeline "{pipeline}" has no execution that succeeded. Run notebook 05_pipeline_build with the same '
            "prefix first."
        )
    return execution
