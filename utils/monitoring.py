"""Read a run: its steps, its jobs, their logs, and why it failed (notebook 06). Public APIs only, on either target."""

from __future__ import annotations

from typing import Any

import boto3
import pandas as pd

COLORS = {"copy": "#4c8eda", "aggregate": "#e07b39"}


def steps(session: boto3.Session, execution: str) -> pd.DataFrame:
    """An execution's steps in the order they began.

    Returns:
        Columns step, type, status, seconds, failure.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ListPipelineExecutionSteps.html
    """
    pages = session.client("sagemaker").get_paginator("list_pipeline_execution_steps")
    found = [
        step
        for page in pages.paginate(PipelineExecutionArn=execution, SortOrder="Ascending")
        for step in page["PipelineExecutionSteps"]
    ]
    return pd.DataFrame(
        {
            "step": [step["StepName"] for step in found],
            "type": [next(iter(step.get("Metadata", {})), "") for step in found],
            "status": [step["StepStatus"] for step in found],
            "seconds": [_seconds(step.get("StartTime"), step.get("EndTime")) for step in found],
            "failure": [step.get("FailureReason", "") for step in found],
        }
    )


def step_outputs(session: boto3.Session, execution: str, step: str) -> dict[str, str]:
    """What a Lambda or Callback step gave to the steps after it."""
    pages = session.client("sagemaker").get_paginator("list_pipeline_execution_steps")
    for page in pages.paginate(PipelineExecutionArn=execution):
        for found in page["PipelineExecutionSteps"]:
            if found["StepName"] == step:
                metadata = next(iter(found.get("Metadata", {}).values()), {})
                return {output["Name"]: output["Value"] for output in metadata.get("OutputParameters", [])}
    raise LookupError(f'The execution {execution} has no step "{step}".')


def jobs(session: boto3.Session, job_queue: str, execution: str) -> pd.DataFrame:
    """The Batch jobs of an execution. They are found by their names, which begin with its id.

    Returns:
        One row a job: job (its step and number), definition, status, attempts, seconds, exit_code, reason, log_stream,
        created, started, stopped, name and id; steps in the order they submitted.

    https://docs.aws.amazon.com/batch/latest/APIReference/API_ListJobs.html
    """
    batch = session.client("batch")
    names = [{"name": "JOB_NAME", "values": [f"{execution.rsplit('/', 1)[1]}*"]}]
    listed = batch.get_paginator("list_jobs").paginate(jobQueue=job_queue, filters=names)
    ids = [summary["jobId"] for page in listed for summary in page["jobSummaryList"]]
    found = [
        job
        for first in range(0, len(ids), 100)  # DescribeJobs takes 100 ids at most
        for job in batch.describe_jobs(jobs=ids[first : first + 100])["jobs"]
    ]
    rows = [_row(job) for job in found]
    if not rows:
        return pd.DataFrame(columns=["job", "definition", "status"])
    table = pd.DataFrame(rows)
    # Steps in the order they submitted, and the jobs of each by number.
    table["of_step"] = table["job"].str.rsplit("-", n=1).str[0]
    table["since"] = table.groupby("of_step")["created"].transform("min")
    return table.sort_values(["since", "job"], ignore_index=True).drop(columns=["of_step", "since"])


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


def job_log(session: boto3.Session, log_group: str, log_stream: str) -> list[str]:
    """The lines one job attempt printed.

    https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html
    """
    logs = session.client("logs")
    lines, token = [], None
    while True:
        more = {"nextToken": token} if token else {}
        answer = logs.get_log_events(logGroupName=log_group, logStreamName=log_stream, startFromHead=True, **more)
        lines += [event["message"] for event in answer["events"]]
        if answer["nextForwardToken"] == token:  # the same token again: that was the end
            return lines
        token = answer["nextForwardToken"]


def explain(session: boto3.Session, execution: str, job_queue: str, log_group: str) -> dict[str, Any]:
    """Why an execution failed, from its status down to the log of the job behind it.

    Returns:
        status, step, reason (of the step), job, exit_code and log (its last ten lines); what does not apply is None.
    """
    answer: dict[str, Any] = dict.fromkeys(("status", "step", "reason", "job", "exit_code", "log"))
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
        job = failed_jobs.iloc[0]
        answer["job"] = job["name"]
        answer["exit_code"] = None if pd.isna(job["exit_code"]) else int(job["exit_code"])
        if job["log_stream"]:
            answer["log"] = job_log(session, log_group, job["log_stream"])[-10:]
    return answer


def gantt(table: pd.DataFrame):
    """A chart of when each job waited and ran.

    Args:
        table: as `jobs` returns it.

    Returns:
        A matplotlib figure; its `alt` attribute says in words what it shows.
    """
    import matplotlib.pyplot as plt

    run = table.dropna(subset=["started", "stopped"])
    zero = run["created"].min()
    created, started, stopped = (
        (run[column] - zero).dt.total_seconds() for column in ("created", "started", "stopped")
    )
    figure, axes = plt.subplots(figsize=(9, 0.24 * len(run) + 1.2), layout="constrained")
    axes.barh(run.index, started - created, left=created, color="#b8bec6", height=0.35, label="waiting")
    for kind, color in COLORS.items():
        mine = run["definition"].str.endswith(kind)
        axes.barh(
            run.index[mine],
            (stopped - started)[mine],
            left=started[mine],
            color=color,
            height=0.75,
            label=f"{kind} runs",
        )
    axes.set_yticks(run.index, run["job"], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("seconds since the first job was submitted")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower left")
    figure.alt = f"Gantt chart of {len(run)} jobs over {stopped.max():.0f} seconds, waiting and running."
    plt.close(figure)  # shown once, by the cell that returns it
    return figure


def delays(summary: dict[str, Any]):
    """The answer as a picture: mean arrival delay by scheduled hour.

    Args:
        summary: what the pipeline's last step wrote.
    """
    import matplotlib.pyplot as plt

    hours = pd.DataFrame(summary["by_hour"]).dropna(subset=["mean_arr_delay"])
    figure, axes = plt.subplots(figsize=(9, 3.2), layout="constrained")
    axes.bar(hours["hour"], hours["mean_arr_delay"], color="#4c8eda")
    axes.axhline(0, color="#7a828c", linewidth=0.8)
    axes.set_xlabel("scheduled hour of departure")
    axes.set_ylabel("mean arrival delay (min)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.alt = "Bar chart: the later in the day a flight is scheduled, the later it arrives."
    plt.close(figure)
    return figure


def _seconds(start: Any, end: Any) -> float | None:
    return (end - start).total_seconds() if start and end else None


def _time(milliseconds: int | None) -> pd.Timestamp:
    return pd.to_datetime(milliseconds, unit="ms", utc=True) if milliseconds else pd.NaT
