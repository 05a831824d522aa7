"""Existing queues, definitions and buckets, used beside the kit's, and never changed or deleted."""

from __future__ import annotations

import boto3
from botocore.exceptions import ClientError

from . import batch
from .config import Config


def require(session: boto3.Session, config: Config) -> None:
    """Check that the existing queues, definitions and buckets of a configuration are there.

    A pipeline may be made later, and a key can't be seen without permissions on it, so neither is asked for.

    Raises:
        LookupError: one does not exist. The message says which, and where it was searched.

    https://docs.aws.amazon.com/batch/latest/APIReference/API_DescribeJobQueues.html
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html
    """
    where = f"in {config.region}. Check the name and the region."
    for name in config.job_queues:
        if batch.describe(session, "job queue", name) is None:
            raise LookupError(f"The job queue `{name}` was not found {where}")
    for name in config.job_definitions:
        if not _definition_exists(session, name):
            raise LookupError(f"The job definition `{name}` has no active revision {where}")
    for name in config.buckets:
        if not _bucket_exists(session, name.rpartition(":")[2]):
            raise LookupError(f"The bucket `{name}` was not found. Check its name.")


def _definition_exists(session: boto3.Session, name: str) -> bool:
    """Whether a definition has an active revision, either the named one or, for a bare name, any."""
    client = session.client("batch")
    last = name.rpartition("/")[2]
    if ":" in last:
        revisions = client.describe_job_definitions(jobDefinitions=[name])["jobDefinitions"]
        return any(revision["status"] == "ACTIVE" for revision in revisions)
    return bool(client.describe_job_definitions(jobDefinitionName=last, status="ACTIVE")["jobDefinitions"])


def _bucket_exists(session: boto3.Session, name: str) -> bool:
    """Whether there is such a bucket. One that you may not see counts as there, since the functions may."""
    try:
        session.client("s3").head_bucket(Bucket=name)
    except ClientError as error:
        if error.response["Error"]["Code"] == "404":
            return False
        if error.response["Error"]["Code"] not in ("403", "AccessDenied"):
            raise
    return True
