"""Existing queues, definitions, buckets and roles, used beside the kit's, and never changed or deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import boto3
from botocore.exceptions import ClientError

from . import batch
from .config import Config


def require(session: boto3.Session, config: Config, *, roles: Sequence[str] = ()) -> None:
    """Check that the existing queues, definitions and buckets of a configuration are there.

    What you may not see counts as there, since the functions may see it. A pipeline may be made later, and a key can't
    be seen without permissions on it, so neither is asked for.

    Args:
        roles: names of roles that must exist, too.

    Raises:
        LookupError: some don't exist. The message has a line for each, which says where it was searched.

    https://docs.aws.amazon.com/batch/latest/APIReference/API_DescribeJobQueues.html
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html
    https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetRole.html
    """
    if missing := list(_missing(session, config, roles)):
        raise LookupError("\n".join(missing))


def _missing(session: boto3.Session, config: Config, roles: Sequence[str]) -> Iterator[str]:
    """One sentence for each that does not exist."""
    where = f"in {config.region}. Check the name and the region."
    for name in config.job_queues:
        if not _exists(_queue_exists, session, name):
            yield f"The job queue `{name}` was not found {where}"
    for name in config.job_definitions:
        if not _exists(_definition_exists, session, name):
            yield f"The job definition `{name}` has no active revision {where}"
    for name in config.buckets:
        if not _exists(_bucket_exists, session, name.rpartition(":")[2]):
            yield f"The bucket `{name}` was not found. Check its name."
    for name in roles:
        if not _exists(_role_exists, session, name):
            yield f"The role `{name}` was not found. Check its name."


def _exists(ask: Callable[[boto3.Session, str], bool], session: boto3.Session, name: str) -> bool:
    """Whether there is such a resource, or you may not see it."""
    try:
        return ask(session, name)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in ("404", "NoSuchEntity"):
            return False
        if code == "403" or "AccessDenied" in code:
            return True
        raise


def _queue_exists(session: boto3.Session, name: str) -> bool:
    return batch.describe(session, "job queue", name) is not None


def _definition_exists(session: boto3.Session, name: str) -> bool:
    """Whether a definition has an active revision, either the named one or, for a bare name, any."""
    client = session.client("batch")
    last = name.rpartition("/")[2]
    if ":" in last:
        revisions = client.describe_job_definitions(jobDefinitions=[name])["jobDefinitions"]
        return any(revision["status"] == "ACTIVE" for revision in revisions)
    return bool(client.describe_job_definitions(jobDefinitionName=last, status="ACTIVE")["jobDefinitions"])


def _bucket_exists(session: boto3.Session, name: str) -> bool:
    session.client("s3").head_bucket(Bucket=name)
    return True


def _role_exists(session: boto3.Session, name: str) -> bool:
    session.client("iam").get_role(RoleName=name)
    return True
