"""Why an execution failed."""

from __future__ import annotations

import re
from typing import Any

import boto3
import pandas as pd

from .batch_jobs import jobs
from .logs import job_log
from .pipeline_steps import steps


def explain(session: boto3.Session, execution: str, job_queue: str, log_group: str) -> dict[str, Any]:
    """Why an execution failed, from its status down to the log of the job behind it.

    Returns:
        status, step, reason (of the step), job, exit_code and log (its last ten lines). What does not apply is None. A
        job that failed to start has no exit code, and an empty log. job_in_step is the job's name without the
        execution's id, and last_line the log's.

    Raises:
        LookupError: there is no such log group.
    """
    answer: dict[str, Any] = dict.fromkeys(
        ("status", "step", "reason", "job", "job_in_step", "exit_code", "log", "last_line")
    )
    described = session.client("sagemaker").describe_pipeline_execution(PipelineExecutionArn=execution)
    answer["status"] = described["PipelineExecutionStatus"]
    table = steps(session, execution)
    failed_steps = table[table["status"] == "Failed"]
    if failed_steps.empty:
        return answer
    answer["step"], answer["reason"] = failed_steps.iloc[0][["step", "failure"]]
    run = jobs(session, job_queue, execution)
    failed_jobs = run[run["status"] == "FAILED"]
    if not failed_jobs.empty:
        # After a retry the first try's failed jobs are there too. The step's reason names the one it failed for.
        names = list(failed_jobs["name"])
        named = re.match(r"Job ([\w-]+)", answer["reason"])
        job = failed_jobs.iloc[names.index(named[1]) if named and named[1] in names else 0]
        answer["job"], answer["job_in_step"] = job["name"], job["name"].partition("-")[2]
        answer["exit_code"] = None if pd.isna(job["exit_code"]) else int(job["exit_code"])
        answer["log"] = job_log(session, log_group, job["log_stream"])[-10:] if job["log_stream"] else []
        answer["last_line"] = answer["log"][-1] if answer["log"] else None
    return answer
