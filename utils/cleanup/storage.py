"""The bucket and the log groups, which hold data."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import boto3
from botocore.exceptions import ClientError

from .. import batch
from ..config import Config
from .functions import function_names
from .resource import Resource, has_our_tag
from .waiting import delete_if_there, in_steps


def find_bucket(session: boto3.Session, config: Config) -> Iterator[Resource]:
    """The bucket, deleted with every version of every object in it."""
    s3 = session.client("s3")
    try:
        tags = s3.get_bucket_tagging(Bucket=config.bucket)["TagSet"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchBucket":
            return
        if error.response["Error"]["Code"] != "NoSuchTagSet":
            raise
        tags = []

    def delete() -> None:
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=config.bucket):
            versions = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            objects = [{"Key": version["Key"], "VersionId": version["VersionId"]} for version in versions]
            if objects:
                answer = s3.delete_objects(Bucket=config.bucket, Delete={"Objects": objects, "Quiet": True})
                _raise_first(config.bucket, answer.get("Errors", []))
        s3.delete_bucket(Bucket=config.bucket)

    arn = f"arn:{config.partition}:s3:::{config.bucket}"
    yield Resource("bucket", config.bucket, arn, in_steps(delete), has_our_tag(config, tags))


def _raise_first(bucket: str, errors: list[dict[str, str]]) -> None:
    """DeleteObjects succeeds even if it could not delete some, or all, of the objects.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
    """
    if errors:
        first = errors[0]
        raise RuntimeError(
            f'{len(errors)} object{"s" if len(errors) > 1 else ""} of the bucket "{bucket}" could not be deleted. The '
            f'first is "{first["Key"]}": {first["Message"]} ({first["Code"]}). '
            "Mend the cause and run the cleanup again."
        )


def find_log_groups(session: boto3.Session, config: Config) -> Iterator[Resource]:
    """The log groups of the jobs and of the functions."""
    logs = session.client("logs")
    for name in [config.job_log_group, *map(config.lambda_log_group, function_names(config))]:
        group = batch.log_group(session, name)
        if group:
            arn = group["arn"].removesuffix(":*")
            tags = logs.list_tags_for_resource(resourceArn=arn).get("tags", {})
            delete = partial(delete_if_there, logs.delete_log_group, logGroupName=name)
            yield Resource("log group", name, arn, delete, has_our_tag(config, tags))
