"""Support for running a notebook again, for calls that create, and for what an interrupted run has left."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.exceptions import ClientError

from .batch import DONE
from .iam import is_not_assumable_yet
from .pipeline import FINAL
from .queues import message_counts

# What a creating call gets when there is a resource of this name. AWS Batch and SageMaker say it in the message.
EXISTS = (
    "EntityAlreadyExists",
    "ResourceConflictException",
    "QueueAlreadyExists",
    "QueueNameExists",
    "QueueDeletedRecently",
)


@contextmanager
def unless_it_exists() -> Iterator[None]:
    """Leave the block when a creating call is refused because the resource exists, or because its role is too new.

    Call the `ensure_...` of the resource afterwards. It waits for the role, and corrects an existing resource.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html
    """
    try:
        yield
    except ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
        exists = any(known in code for known in EXISTS) or "already exists" in message.lower()
        if not exists and not is_not_assumable_yet(error):
            raise


def end_earlier_jobs(session: boto3.Session, job_queue: str, name: str) -> None:
    """Terminate the unfinished jobs of a name, which a run that was interrupted has left.

    Args:
        job_queue: name of the queue.
        name: the jobs' whole name.
    """
    batch = session.client("batch")
    filters = [{"name": "JOB_NAME", "values": [name]}]
    for page in batch.get_paginator("list_jobs").paginate(jobQueue=job_queue, filters=filters):
        for job in page["jobSummaryList"]:
            if job["status"] not in DONE:
                batch.terminate_job(jobId=job["jobId"], reason="It is left from an earlier run.")


def delete_earlier_messages(session: boto3.Session, queue_url: str, pipeline: str, *, seconds: float = 6) -> int:
    """Delete the messages about executions of a pipeline that have ended. A run that was interrupted has left them.

    Nobody waits for an answer to them, and a function that can't handle one raises at it again and again. Other
    messages stay.

    Args:
        queue_url: URL of the callback queue.
        pipeline: the pipeline's name.
        seconds: how long to wait for messages that are hidden, in seconds. Default: 6, for a visibility timeout of 5.

    Returns:
        How many it has deleted.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
    """
    sqs, sagemaker = session.client("sqs"), session.client("sagemaker")
    deleted, deadline = 0, time.monotonic() + seconds
    while any(message_counts(session, queue_url).values()) and time.monotonic() < deadline:
        received = sqs.receive_message(
            QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=1, VisibilityTimeout=2
        )
        for message in received.get("Messages", []):
            execution = _execution(message["Body"])
            if f":pipeline/{pipeline}/".lower() not in execution.lower():
                continue
            if _has_ended(sagemaker, execution):
                sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
                deleted += 1
    return deleted


def _has_ended(sagemaker: Any, execution: str) -> bool:
    """Whether an execution has ended, or is gone with its pipeline, as after a cleanup that was interrupted."""
    try:
        described = sagemaker.describe_pipeline_execution(PipelineExecutionArn=execution)
    except sagemaker.exceptions.ResourceNotFound:
        return True
    return described["PipelineExecutionStatus"] in FINAL


def _execution(body: str) -> str:
    """The ARN of the execution that a callback step's message, or an event about an execution, is about; or ""."""
    try:
        message: Any = json.loads(body)
        detail = message.get("detail", {})
        return str(message.get("pipelineExecutionArn") or detail.get("pipelineExecutionArn") or "")
    except (ValueError, AttributeError):
        return ""
