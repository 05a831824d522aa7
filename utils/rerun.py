"""Support for running a notebook again, for calls that create, and for jobs of an interrupted run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import boto3
from botocore.exceptions import ClientError

from .batch import DONE
from .iam import is_not_assumable_yet

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
