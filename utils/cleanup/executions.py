"""Stop the pipeline's executions, and the jobs of its queue."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.exceptions import ClientError

from .. import batch
from ..config import Config
from ..pipeline import FINAL
from .resource import NotDeleted, has_our_tag
from .waiting import last_remaining, until_empty

# How long the functions have to end what a stopped execution does, and how long it may then take without them.
GRACE_SECONDS, LAST_SECONDS = 60, 300


def stop_executions(session: boto3.Session, config: Config, pipeline: str) -> None:
    """Stop a pipeline's executions and wait until they have ended.

    While the functions are still there, they terminate the jobs and answer the steps. Where they don't, because they
    are broken or cut off from their queue, this does: an execution does not stop while a callback step waits for its
    answer.

    Raises:
        NotDeleted: an execution has not stopped.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_StopPipelineExecution.html
    """
    sagemaker = session.client("sagemaker")
    pages = sagemaker.get_paginator("list_pipeline_executions").paginate(PipelineName=pipeline)
    running = {
        summary["PipelineExecutionArn"]: summary["PipelineExecutionStatus"]
        for page in pages
        for summary in page["PipelineExecutionSummaries"]
        if summary["PipelineExecutionStatus"] not in FINAL
    }
    for arn, status in running.items():
        if status != "Stopping":
            sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)

    def still_running() -> list[str]:
        describe = sagemaker.describe_pipeline_execution
        return [arn for arn in running if describe(PipelineExecutionArn=arn)["PipelineExecutionStatus"] not in FINAL]

    def still_running_when_answered() -> list[str]:
        for arn in still_running():
            _answer_steps(sagemaker, arn)
        return still_running()

    if not last_remaining(still_running, GRACE_SECONDS):
        return
    queue = batch.describe(session, "job queue", config.job_queue)
    if queue and has_our_tag(config, queue.get("tags", {})):
        end_jobs(session.client("batch"), config.job_queue)
    for arn in last_remaining(still_running_when_answered, LAST_SECONDS):
        steps = " and ".join(step["StepName"] for step in _unfinished_steps(sagemaker, arn))
        raise NotDeleted(
            f"Its execution {arn} has not stopped, because its step {steps} still runs. When it has ended, run the "
            "cleanup again."
        )


def end_jobs(client: Any, queue: str) -> None:
    """Terminate all jobs of a queue, and wait until they have ended.

    Args:
        client: of AWS Batch.

    Raises:
        TimeoutError: a job has not ended after five minutes.
    """

    def unfinished() -> list[str]:
        return [
            job["jobId"]
            for status in ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING")
            for page in client.get_paginator("list_jobs").paginate(jobQueue=queue, jobStatus=status)
            for job in page["jobSummaryList"]
        ]

    for job in unfinished():
        client.terminate_job(jobId=job, reason="The tutorial is cleaned up.")
    until_empty(unfinished, "jobs are still running")


def _answer_steps(sagemaker: Any, execution: str) -> None:
    """Fail the steps that wait for an answer."""
    for step in _unfinished_steps(sagemaker, execution):
        token = step.get("Metadata", {}).get("Callback", {}).get("CallbackToken")
        if not token:
            continue
        try:
            sagemaker.send_pipeline_execution_step_failure(
                CallbackToken=token, FailureReason="The tutorial is cleaned up."
            )
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if "AccessDenied" in code:
                raise NotDeleted(
                    f"Its execution {execution} can't be stopped, because its step {step['StepName']} waits for an "
                    "answer that you may not give. Get the permission sagemaker:SendPipelineExecutionStepFailure, then "
                    "run the cleanup again."
                ) from None
            if not was_answered(code, error.response["Error"].get("Message", "")):
                raise


def was_answered(code: str, message: str) -> bool:
    """Whether SageMaker refuses an answer because the step has had one meanwhile.

    The model has a code for it. A text was seen too, and not the code it came with.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_SendPipelineExecutionStepFailure.html
    """
    return code in ("ConflictException", "ResourceNotFound") or "already in a terminal status" in message.lower()


def _unfinished_steps(sagemaker: Any, execution: str) -> list[dict[str, Any]]:
    pages = sagemaker.get_paginator("list_pipeline_execution_steps").paginate(PipelineExecutionArn=execution)
    steps = [step for page in pages for step in page["PipelineExecutionSteps"]]
    return [step for step in steps if step["StepStatus"] in ("Starting", "Executing", "Stopping")]
