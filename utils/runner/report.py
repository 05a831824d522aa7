"""Report a run of the tutorial, with facts from AWS and one page with all its notebooks."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

import boto3

from ..config import Config
from ..monitoring import described_jobs


def execution_facts(session: boto3.Session, config: Config, since: datetime | None) -> tuple[list[str], bool]:
    """Lines about the pipeline's execution, its jobs and what they wrote, and whether all is as it should be.

    Args:
        since: report the first execution that began after this. None reports the latest that succeeded.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ListPipelineExecutions.html
    """
    execution = _execution(session.client("sagemaker"), config.pipeline, since)
    if execution is None:
        return ["pipeline   no execution found"], False
    status = execution["PipelineExecutionStatus"]
    jobs = described_jobs(session, config.job_queue, execution["PipelineExecutionArn"])
    statuses = Counter(job["status"] for job in jobs)
    kinds = Counter(job["jobDefinition"].rsplit("/", 1)[1].rsplit(":", 1)[0] for job in jobs)

    outputs = [job["parameters"]["s3Output"] for job in jobs if "s3Output" in job.get("parameters", {})]
    sizes = [size for uri in outputs if (size := _size(session, uri)) is not None]
    lines = [
        f"pipeline   {status}",
        f"jobs       {len(jobs)}: " + ", ".join(f"{count} {status}" for status, count in sorted(statuses.items())),
        *(f"           {count:>4} {kind}" for kind, count in sorted(kinds.items())),
        f"outputs    {len(sizes)} of {len(outputs)} objects, {sum(sizes):,} bytes",
    ]
    good = status == "Succeeded" and set(statuses) == {"SUCCEEDED"} and len(sizes) == len(outputs) == len(jobs) > 0
    return lines, good


def _execution(sagemaker, pipeline: str, since: datetime | None) -> dict | None:
    pages = sagemaker.get_paginator("list_pipeline_executions").paginate(
        PipelineName=pipeline, SortBy="CreationTime", SortOrder="Ascending" if since else "Descending"
    )
    for execution in (summary for page in pages for summary in page["PipelineExecutionSummaries"]):
        if execution["StartTime"] >= since if since else execution["PipelineExecutionStatus"] == "Succeeded":
            return execution
    return None


def _size(session: boto3.Session, uri: str) -> int | None:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    objects = session.client("s3").list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("Contents", [])
    return objects[0]["Size"] if objects and objects[0]["Key"] == key else None
