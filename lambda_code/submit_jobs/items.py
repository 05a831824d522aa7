"""The items of an array, from a manifest or from the objects under a prefix."""

import json

from botocore.exceptions import ClientError

from aws import client
from event import BadEvent
from s3 import get, naming, split

MAX_ITEM_CHARACTERS = 8_192
MANIFEST_ERRORS = {
    "NoSuchKey": "there is no such object, so check manifest_uri",
    "NoSuchBucket": "there is no such bucket, so check manifest_uri",
    "AccessDenied": "there is none, or this function's role lacks s3:GetObject on it or kms:Decrypt on its key",
}


def read_manifest(options):
    """The items of a manifest as JSON texts. A list of failed items is one too, once their failures are left out."""
    uri = options["manifest_uri"]
    try:
        text = get(uri).decode("utf-8-sig")  # some editors begin a file with a byte order mark
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code not in MANIFEST_ERRORS:
            raise
        raise BadEvent(f"The manifest {uri} can't be read: {MANIFEST_ERRORS[code]}.") from error
    except UnicodeDecodeError as error:
        raise BadEvent(f"{uri} is not text in UTF-8: {error}. Save it as UTF-8.") from error
    lines = enumerate(text.split("\n"), 1)
    return [json.dumps(read_item(line.strip(), f"Line {number} of {uri}")) for number, line in lines if line.strip()]


def read_item(line, where):
    try:
        item = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadEvent(f"{where} is not JSON: {error}. Write one JSON object per line.") from error
    if not isinstance(item, dict):
        raise BadEvent(f"{where} is not a JSON object: {line[:80]!r}. Write one JSON object per line.")
    written = len(line)
    if item.pop("batch_failure", None) is not None:  # added by check_jobs: what is left has been accepted before
        written = len(json.dumps(item, ensure_ascii=False, separators=(",", ":")))
    if written > MAX_ITEM_CHARACTERS:
        raise BadEvent(
            f"{where} has {written:,} characters, and {MAX_ITEM_CHARACTERS:,} are allowed. Put long values into "
            "an object, and its URI into the item."
        )
    return item


def list_objects(options):
    """The objects under input_uri as items, in the order of their keys."""
    bucket, folder = split(f"{options['input_uri']}/")
    items = []
    with naming(f"{options['input_uri']}/"):
        pages = list(client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=folder))
    for page in pages:
        for listed in page.get("Contents", []):
            name = listed["Key"].removeprefix(folder)
            if name and not name.endswith("/") and not name.startswith("_jobs/"):
                item = {"input": f"s3://{bucket}/{listed['Key']}", "output": f"{options['output_uri']}/{name}"}
                items.append(json.dumps(item))
    return items
