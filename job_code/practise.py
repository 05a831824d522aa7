# /// script
# dependencies = ["boto3==1.43.106"]
# ///
"""Work for some seconds, or fail, as the item says. A Batch job to practise on, not to take home.

    python -c "<this text>"

Its item is line AWS_BATCH_JOB_ARRAY_INDEX of the manifest that MANIFEST_URI names. All of these are optional:

    seconds    how long to work, a number or a list with one for each attempt
    needs      the key of an object in the manifest's bucket without which the job fails
    exit_code  how the job ends
"""

import json
import os
import sys
import time

import boto3


def read_item(s3, bucket, key):
    """This job's line of the manifest. All lines have the same length, so it reads no other line."""
    index = int(os.environ.get("AWS_BATCH_JOB_ARRAY_INDEX", "0"))
    width = int(os.environ["MANIFEST_LINE_BYTES"])
    span = f"bytes={index * width}-{(index + 1) * width - 1}"
    return json.loads(s3.get_object(Bucket=bucket, Key=key, Range=span)["Body"].read())


if __name__ == "__main__":
    client = boto3.client("s3")
    manifest_bucket, _, manifest_key = os.environ["MANIFEST_URI"].removeprefix("s3://").partition("/")
    item = read_item(client, manifest_bucket, manifest_key)
    seconds = item.get("seconds", 0)
    time.sleep(seconds[int(os.environ["AWS_BATCH_JOB_ATTEMPT"]) - 1] if isinstance(seconds, list) else seconds)
    if "needs" in item:
        try:
            client.get_object(Bucket=manifest_bucket, Key=item["needs"])
        except client.exceptions.ClientError:
            # A role that may not list the bucket is told AccessDenied of an object that is not there.
            sys.exit(f"cannot read {item['needs']}")
    sys.exit(item.get("exit_code", 0))
