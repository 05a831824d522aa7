"""Count the pipeline's input files, as the first step of the existing pipeline. A LambdaStep calls it.

The event is {"input_uri": "s3://bucket/prefix"}, optionally with "suffix" (default ".json").
Returns {"statusCode": 200, "inputCount": n, "inputBytes": n}. Raises ValueError when there is nothing to work on.

Permissions of its role: s3:ListBucket on the bucket, logs:CreateLogGroup, logs:CreateLogStream, logs:PutLogEvents.
"""

import contextlib
import functools
import json
import re

import boto3
from botocore.exceptions import ClientError


@functools.cache
def s3():
    return boto3.client("s3")


def lambda_handler(event, _context):
    input_uri = str(event.get("input_uri", "")).rstrip("/")
    suffix = event.get("suffix", ".json")
    if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.+)?", input_uri):
        raise ValueError(f"input_uri must have the form s3://bucket/prefix, but it is {input_uri!r}.")
    bucket, _, folder = input_uri.removeprefix("s3://").partition("/")

    with naming(f"{input_uri}/"):
        paginator = s3().get_paginator("list_objects_v2")
        pages = list(paginator.paginate(Bucket=bucket, Prefix=f"{folder}/" if folder else ""))
    sizes = [item["Size"] for page in pages for item in page.get("Contents", []) if item["Key"].endswith(suffix)]
    if not sizes:
        raise ValueError(f"There are no {suffix} objects under {input_uri}/. Upload the input files first.")

    result = {"statusCode": 200, "inputCount": len(sizes), "inputBytes": sum(sizes)}
    print(json.dumps({"message": "inputs counted", "input_uri": input_uri, **result}))
    return result


@contextlib.contextmanager
def naming(uri):
    """Add a URI to what S3 says, which names no object."""
    try:
        yield
    except ClientError as error:
        text = f"{error.response['Error'].get('Message', '')} ({uri})"
        named = {**error.response, "Error": {**error.response["Error"], "Message": text}}
        raise ClientError(named, error.operation_name) from error
