"""Run jobs with aioboto3: jobs.py QUEUE DEFINITION prints what became of each as JSON."""

import asyncio
import json
import sys

import aioboto3

QUEUE, DEFINITION = sys.argv[1:]
COMMANDS = {
    "works": ["sh", "-c", "echo hello"],
    "fails": ["sh", "-c", "echo why; exit 3"],
    "array": ["sh", "-c", "echo child $AWS_BATCH_JOB_ARRAY_INDEX"],
}


async def run(batch, logs, name: str) -> dict:
    submitted = await batch.submit_job(
        jobName=name,
        jobQueue=QUEUE,
        jobDefinition=DEFINITION,
        containerOverrides={"command": COMMANDS[name]},
        arrayProperties={"size": 3} if name == "array" else {},
    )
    while (job := await described(batch, submitted["jobId"]))["status"] not in ("SUCCEEDED", "FAILED"):
        await asyncio.sleep(0.1)
    ids = [job["jobId"]]
    if name == "array":
        pages = batch.get_paginator("list_jobs").paginate(arrayJobId=job["jobId"], jobStatus=job["status"])
        ids = [child["jobId"] async for page in pages for child in page["jobSummaryList"]]
    return {
        "status": job["status"],
        "exitCode": job["container"].get("exitCode"),
        "lines": sorted([line for one in ids for line in await lines(logs, await described(batch, one))]),
    }


async def described(batch, job_id: str) -> dict:
    return (await batch.describe_jobs(jobs=[job_id]))["jobs"][0]


async def lines(logs, job: dict) -> list[str]:
    stream = job["container"]["logStreamName"]
    events = await logs.get_log_events(logGroupName="/aws/batch/job", logStreamName=stream, startFromHead=True)
    return [event["message"] for event in events["events"]]


async def main() -> None:
    session = aioboto3.Session()
    async with session.client("batch") as batch, session.client("logs") as logs:
        ended = await asyncio.gather(*(run(batch, logs, name) for name in COMMANDS))
        try:
            await batch.submit_job(jobName="x", jobQueue="no-such-queue", jobDefinition=DEFINITION)
        except batch.exceptions.ClientException as error:
            refused = error.response["Error"]["Message"]
    print(json.dumps(dict(zip(COMMANDS, ended, strict=True)) | {"refused": refused}))


asyncio.run(main())
