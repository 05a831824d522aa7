"""Objects on S3."""

import contextlib

from botocore.exceptions import ClientError

from aws import client


def split(uri):
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


@contextlib.contextmanager
def naming(uri):
    """Add an object's URI to what S3 says, which doesn't name it."""
    try:
        yield
    except ClientError as error:
        text = f"{error.response['Error'].get('Message', '')} ({uri})"
        named = {**error.response, "Error": {**error.response["Error"], "Message": text}}
        raise ClientError(named, error.operation_name) from error


def get(uri):
    bucket, key = split(uri)
    with naming(uri):
        return client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()


def get_if_there(uri):
    """An object, or None. Where the bucket may not be listed, S3 says AccessDenied of what is not there."""
    try:
        return get(uri)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("NoSuchKey", "AccessDenied"):
            raise
        return None


def put(uri, text, **conditions):
    bucket, key = split(uri)
    with naming(uri):
        client("s3").put_object(
            Bucket=bucket, Key=key, Body=text.encode(), ContentType="application/json", **conditions
        )
