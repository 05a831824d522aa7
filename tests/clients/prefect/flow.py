"""A Prefect flow: flow.py QUEUE DEFINITION SECONDS prints the ids of its jobs, or fails when the last of them does."""

import json
import sys

from prefect import flow
from prefect_aws import AwsCredentials
from prefect_aws.batch import batch_submit
from prefect_aws.client_waiter import client_waiter

# prefect-aws waits with boto3's waiters; Batch has none, so a flow describes its own.
ENDED = {
    "version": 2,
    "waiters": {
        "JobComplete": {
            "operation": "DescribeJobs",
            "delay": 1,
            "maxAttempts": 90,
            "acceptors": [
                {"state": "success", "matcher": "pathAll", "argument": "jobs[].status", "expected": "SUCCEEDED"},
                {"state": "failure", "matcher": "pathAny", "argument": "jobs[].status", "expected": "FAILED"},
            ],
        }
    },
}


@flow
def jobs(queue: str, definition: str, *names: str) -> list[str]:
    credentials = AwsCredentials(region_name="us-east-1")
    commands = {
        "works": ["sh", "-c", "echo hello"],
        "array": ["sh", "-c", "echo child $AWS_BATCH_JOB_ARRAY_INDEX"],
        "fails": ["sh", "-c", "echo why; exit 3"],
    }
    ids = []
    for name in names:
        overrides = {"containerOverrides": {"command": commands[name]}}
        if name == "array":
            overrides["arrayProperties"] = {"size": 3}
        ids.append(batch_submit(name, queue, definition, credentials, **overrides))
    client_waiter("batch", "JobComplete", credentials, ENDED, jobs=ids)
    return ids


if __name__ == "__main__":
    print(json.dumps(jobs(*sys.argv[1:])))
