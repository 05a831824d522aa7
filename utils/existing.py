"""Existing queues, definitions, buckets, keys and roles, used beside the kit's, and never changed or deleted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import boto3
from botocore.exceptions import ClientError

from . import batch
from .config import Config

NOT_FOUND = ("404", "NoSuchEntity", "NotFound", "NotFoundException")  # S3's, IAM's, SNS's and KMS's codes


class ResourceNotFound(LookupError):
    """Resources that you have named don't exist."""


def require(
    session: boto3.Session,
    config: Config,
    *,
    roles: Sequence[str] = (),
    topics: Sequence[str] = (),
    boundaries: Sequence[str] = (),
) -> None:
    """Check that the existing queues, definitions, buckets and keys of a configuration are there.

    What you may not see counts as there, since the functions may see it. A pipeline may be made later, so it is not
    asked for.

    Args:
        roles: names of roles that must exist, too.
        topics: ARNs of SNS topics.
        boundaries: ARNs of the policies that are permissions boundaries.

    Raises:
        ResourceNotFound: some don't exist. The message has a line for each, which says where it was searched.

    https://docs.aws.amazon.com/batch/latest/APIReference/API_DescribeJobQueues.html
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html
    https://docs.aws.amazon.com/kms/latest/APIReference/API_DescribeKey.html
    https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetRole.html
    https://docs.aws.amazon.com/sns/latest/api/API_GetTopicAttributes.html
    """
    where = f"was not found in {config.region}. Check the name and the region."
    named: list[tuple[Sequence[str], Callable[[boto3.Session, str], bool], str]] = [
        (config.job_queues, _queue_exists, f"The job queue `{{}}` {where}"),
        (
            config.job_definitions,
            _definition_exists,
            f"The job definition `{{}}` has no active revision in {config.region}. Check the name and the region.",
        ),
        (config.buckets, _bucket_exists, "The bucket `{}` was not found. Check its name."),
        (config.kms_keys, _key_exists, "The KMS key `{}` was not found. Check its ARN."),
        (roles, _role_exists, "The role `{}` was not found. Check its name."),
        (topics, _topic_exists, "The SNS topic `{}` was not found. Check its ARN."),
        (boundaries, _policy_exists, "The permissions boundary `{}` was not found. Check its ARN."),
    ]
    missing = [
        sentence.format(name) for names, ask, sentence in named for name in names if not _exists(ask, session, name)
    ]
    if missing:
        raise ResourceNotFound("\n".join(missing))


def _exists(ask: Callable[[boto3.Session, str], bool], session: boto3.Session, name: str) -> bool:
    """Whether there is such a resource, or you may not see it."""
    try:
        return ask(session, name)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in NOT_FOUND:
            return False
        # The embedded AWS has no keys, and says so.
        if code in ("403", "AuthorizationError", "NotImplementedException") or "AccessDenied" in code:
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
    session.client("s3").head_bucket(Bucket=name.rpartition(":")[2])
    return True


def _role_exists(session: boto3.Session, name: str) -> bool:
    session.client("iam").get_role(RoleName=name)
    return True


def _key_exists(session: boto3.Session, arn: str) -> bool:
    session.client("kms", region_name=_region_of(arn)).describe_key(KeyId=arn)
    return True


def _topic_exists(session: boto3.Session, arn: str) -> bool:
    session.client("sns", region_name=_region_of(arn)).get_topic_attributes(TopicArn=arn)
    return True


def _policy_exists(session: boto3.Session, arn: str) -> bool:
    session.client("iam").get_policy(PolicyArn=arn)
    return True


def _region_of(arn: str) -> str:
    return arn.split(":")[3]
