# /// script
# dependencies = ["boto3==1.43.106"]
# ///
"""Copy one item's object. Runs as a child of a Batch array job, or as a plain job when there is a single item.

    python -c "<this text>"

Its item is line AWS_BATCH_JOB_ARRAY_INDEX of the manifest that MANIFEST_URI names:
{"input": "s3://bucket/key", "output": "s3://bucket/key"}.
"""

import json
import os

import boto3


def split(uri):
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return {"Bucket": bucket, "Key": key}


def read_item(s3):
    """This job's line of the manifest. All lines have the same length, so it reads no other line."""
    index = int(os.environ.get("AWS_BATCH_JOB_ARRAY_INDEX", "0"))
    width = int(os.environ["MANIFEST_LINE_BYTES"])
    span = f"bytes={index * width}-{(index + 1) * width - 1}"
    return json.loads(s3.get_object(**split(os.environ["MANIFEST_URI"]), Range=span)["Body"].read())


if __name__ == "__main__":
    client = boto3.client("s3")
    item = read_item(client)
    client.copy_object(**split(item["output"]), CopySource=split(item["input"]))
    print(f"{item['input']} -> {item['output']}")
