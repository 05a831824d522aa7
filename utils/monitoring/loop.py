"""States as they pass, of one job, and of a message in a polling loop."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import boto3
import pandas as pd

from ..batch import DONE
from ..pipeline import FINAL
from ..queues import message_counts
from ..tables import as_html
from .batch_jobs import describe_jobs
from .pipeline_steps import list_steps

# How long a message may still be counted after its step has ended. SQS counts approximately, and other steps' messages
# may be in the queue too.
SECONDS_AFTER_THE_END = 60.0


def watch_job(
    session: boto3.Session, job_id: str, *, every: float | None = None, seconds: float = 900
) -> dict[str, Any]:
    """Show a job's states as they pass, until it has ended.

    Args:
        job_id: id that SubmitJob returned.
        every: seconds between two polls. Default: a tenth, then more and more, up to one.
        seconds: how long to watch at most. Default: 900.

    Returns:
        The job as DescribeJobs returns it.

    Raises:
        TimeoutError: the job is unfinished after `seconds`. It continues. Call again to watch it further.

    https://docs.aws.amazon.com/batch/latest/userguide/job_states.html
    """
    batch = session.client("batch")
    job: dict[str, Any] = {}

    def poll() -> dict[str, Any]:
        job.update(batch.describe_jobs(jobs=[job_id])["jobs"][0])
        return {"status": job["status"], "reason": job.get("statusReason", "")}

    if not _show_changes(poll, lambda row, _: row["status"] in DONE, every, seconds):
        raise TimeoutError(f"Job {job_id} is still {job['status']} after {seconds:.0f} seconds. Watch it again.")
    return job


def watch_loop(
    session: boto3.Session,
    queue_url: str,
    execution: str,
    job_ids: str,
    *,
    every: float | None = None,
    seconds: float = 900,
    lost_after: float | None = None,
) -> pd.DataFrame:
    """Show a polling loop as it turns, with a row for each change of the message, the jobs and the waiting step.

    Args:
        queue_url: of the callback queue.
        execution: ARN of the execution.
        job_ids: of the jobs that its step waits for, joined by spaces.
        every: seconds between two polls. Default: a tenth, then more and more, up to one.
        seconds: how long to watch at most. Default: 900.
        lost_after: seconds after which a step that waits, and has no message, counts as lost. It is watched no longer
            then. Default: never.

    Returns:
        Columns seconds, message, jobs, step.

    Raises:
        TimeoutError: the step waits after `seconds`. It waits on.
    """
    batch = session.client("batch")

    def poll() -> dict[str, Any]:
        counts = message_counts(session, queue_url)
        jobs = Counter(job["status"] for job in describe_jobs(batch, [{"jobId": id} for id in job_ids.split()]))
        step = next(iter(list_steps(session, execution)), {"StepStatus": "Starting"})
        return {
            "message": "hidden" if counts["hidden"] else "visible" if counts["waiting"] else "none",
            "jobs": f"{jobs['SUCCEEDED']} of {jobs.total()} succeeded",
            "step": step["StepStatus"],
        }

    ended: list[float] = []

    def is_last(row: Mapping[str, Any], unchanged: float) -> bool:
        if row["step"] in FINAL:
            ended.append(time.monotonic())
            return row["message"] == "none" or ended[-1] - ended[0] >= SECONDS_AFTER_THE_END
        lost = lost_after is not None and row["step"] == "Executing" and unchanged >= lost_after
        return row["message"] == "none" and lost

    rows = _show_changes(poll, is_last, every, seconds)
    if not rows:
        raise TimeoutError(f"The step of {execution} still waits after {seconds:.0f} seconds. Watch it again.")
    return pd.DataFrame(rows)


def _show_changes(
    poll: Callable[[], Mapping[str, Any]],
    is_last: Callable[[Mapping[str, Any], float], bool],
    every: float | None,
    seconds: float,
) -> list[dict[str, Any]]:
    """Poll, and show a table with a row and a time for each change. Returns the rows, or none at the timeout.

    Args:
        is_last: is given a poll's row and for how many seconds nothing has changed.
    """
    from IPython.display import display

    rows: list[dict[str, Any]] = []
    begun, changed, pause = time.monotonic(), 0.0, every or 0.1
    view = display({"text/plain": "Loading ..."}, raw=True, display_id=True)
    while (elapsed := time.monotonic() - begun) < seconds:
        row = poll()
        if not rows or any(rows[-1][key] != value for key, value in row.items()):
            changed = elapsed
            rows.append({"seconds": round(elapsed, 1), **row})
            table = pd.DataFrame(rows)
            view.update({"text/html": as_html(table), "text/plain": table.to_string()}, raw=True)
        if is_last(row, elapsed - changed):
            return rows
        time.sleep(pause)
        pause = every or min(1, pause * 1.2)
    return []
