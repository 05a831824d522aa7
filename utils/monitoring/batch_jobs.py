"""The Batch jobs of an execution."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import boto3
import pandas as pd

from ..support.live_line import live_line
from ..support.waiting import wait


def jobs(session: boto3.Session, job_queue: str, execution: str) -> pd.DataFrame:
    """The Batch jobs of an execution, as a table.

    Returns:
        One row a job: job (its step and number), definition, status, attempts, seconds, exit_code, reason, log_stream,
        created, started, stopped, name and id. Steps are in the order they submitted. Without jobs, an empty table
        with the first three columns.
    """
    rows = [_row(job) for job in described_jobs(session, job_queue, execution)]
    if not rows:
        return pd.DataFrame(columns=["job", "definition", "status"])
    table = pd.DataFrame(rows)
    # Steps in the order they submitted, and the jobs of each by number.
    table["of_step"] = table["job"].map(step_of)
    table["since"] = table.groupby("of_step")["created"].transform("min")
    return table.sort_values(["since", "job"], ignore_index=True).drop(columns=["of_step", "since"])


def step_of(job: str) -> str:
    """The step's name in a job's, such as Days of Days-02. Days-02-try2 is the job that a retry has submitted again."""
    return re.sub(r"-\d+$", "", split_try(job)[0])


def split_try(job: str) -> tuple[str, int]:
    """A job's first name and its try, such as Days-02 and 2 of Days-02-try2."""
    first, number = re.findall(r"^(.*?)(?:-try(\d+))?$", job)[0]
    return first, int(number or 1)


def described_jobs(session: boto3.Session, job_queue: str, execution: str) -> list[dict[str, Any]]:
    """The Batch jobs of an execution, as DescribeJobs answers them.

    https://docs.aws.amazon.com/batch/latest/APIReference/API_ListJobs.html
    """
    batch = session.client("batch")
    return describe_jobs(batch, list_jobs(batch, job_queue, execution))


def list_jobs(batch: Any, job_queue: str, execution: str) -> list[dict[str, Any]]:
    """ListJobs' summaries of an execution's jobs, whose names begin with the execution's id."""
    names = [{"name": "JOB_NAME", "values": [f"{execution.rsplit('/', 1)[1]}*"]}]
    pages = batch.get_paginator("list_jobs").paginate(jobQueue=job_queue, filters=names)
    return [summary for page in pages for summary in page["jobSummaryList"]]


def describe_jobs(batch: Any, summaries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """DescribeJobs' details of the jobs that ListJobs returned."""
    ids = [summary["jobId"] for summary in summaries]
    return [
        job
        for first in range(0, len(ids), 100)  # DescribeJobs takes 100 ids at most
        for job in batch.describe_jobs(jobs=ids[first : first + 100])["jobs"]
    ]


def wait_for_jobs(session: boto3.Session, job_queue: str, execution: str, *, seconds: float = 300) -> pd.DataFrame:
    """The jobs of an execution, as `jobs` returns them, as soon as there are some.

    Until then a line counts the seconds.

    Raises:
        TimeoutError: there are none after `seconds`.
    """
    with live_line() as show:

        def listed() -> pd.DataFrame:
            show("no jobs yet")
            return jobs(session, job_queue, execution)

        return wait(
            listed,
            until=lambda table: not table.empty,
            seconds=seconds,
            longest_pause=2,
            otherwise=lambda _: f"{execution} has no job in {job_queue} after {seconds:.0f} seconds. Check its steps.",
        )


def _row(job: dict[str, Any]) -> dict[str, Any]:
    container = job.get("container", {})
    started, stopped = job.get("startedAt"), job.get("stoppedAt")
    return {
        "job": job["jobName"].partition("-")[2],
        "definition": job["jobDefinition"].rsplit("/", 1)[1].rsplit(":", 1)[0],
        "status": job["status"],
        "attempts": len(job.get("attempts", [])),
        "seconds": (stopped - started) / 1000 if started and stopped else None,
        "exit_code": container.get("exitCode"),
        "reason": container.get("reason") or job.get("statusReason", ""),
        "log_stream": container.get("logStreamName", ""),
        "created": _time(job.get("createdAt")),
        "started": _time(started),
        "stopped": _time(stopped),
        "name": job["jobName"],
        "id": job["jobId"],
    }


def _time(milliseconds: int | None) -> pd.Timestamp:
    return pd.to_datetime(milliseconds, unit="ms", utc=True) if milliseconds else pd.NaT


def count_states(summaries: Iterable[dict[str, Any]]) -> dict[str, Counter[str]]:
    """The number of items in each state, per step name in the jobs' names. An array's children count singly.

    An item that a retry has submitted again counts once, in the state of its latest try. Of two jobs with one name, the
    first counts, because `submit_jobs` terminates the other.

    https://docs.aws.amazon.com/batch/latest/APIReference/API_ArrayPropertiesSummary.html
    """
    tries: dict[str, dict[int, dict[str, int]]] = defaultdict(dict)
    for summary in sorted(summaries, key=lambda each: each.get("createdAt", 0)):
        first, number = split_try(summary["jobName"].partition("-")[2])
        array = summary.get("arrayProperties", {})
        children = array.get("statusSummary") or {summary["status"]: array.get("size", 1)}
        tries[first].setdefault(number, children)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for first, numbered in tries.items():
        latest = numbered.pop(max(numbered))
        # A later try runs again what has not succeeded in an earlier one.
        earlier = sum(children.get("SUCCEEDED", 0) for children in numbered.values())
        counts[step_of(first)].update(latest)
        counts[step_of(first)].update(SUCCEEDED=earlier)
    return {step: +states for step, states in counts.items()}  # without states of no job
