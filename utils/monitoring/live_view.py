"""An execution as it runs."""

from __future__ import annotations

import html
import time
from collections import Counter
from typing import Any, NamedTuple

import boto3
import pandas as pd

from ..config import Config
from ..pipeline import FINAL
from ..queues import message_counts, queue_url
from ..tables import as_html
from .batch_jobs import count_states, describe_jobs, list_jobs
from .logs import last_lines
from .pipeline_steps import steps
from .step_graph import NOT_STARTED, columns_of, dependencies, draw_graph, step_definitions, steps_used

JOB_STATES = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED")
STARTED = ("RUNNING", "SUCCEEDED", "FAILED")  # the states of a job that may have printed something


class Watched(NamedTuple):
    """What `watch` saw.

    Attributes:
        status: the execution's last status.
        samples: the callback queue's messages over time; columns seconds, waiting, hidden.
    """

    status: str
    samples: pd.DataFrame


def watch(
    session: boto3.Session, config: Config, execution: str, *, every: float = 1, seconds: float = 3600
) -> Watched:
    """Show an execution until it has ended: its graph, a progress bar, its jobs by state, the newest lines of a log.

    In JupyterLab the picture changes in place. What stays is the last graph and, below it, a table with a row a step.
    The table is a display of its own, since papermill's log leaves out what only changes another.

    Args:
        every: seconds between two polls. Default: one.
        seconds: how long to watch at most. The execution continues after that. Default: an hour.

    Returns:
        The execution's last status, and the queue's messages over time.

    Raises:
        LookupError: there is no callback queue; run notebook 04 first.
    """
    import matplotlib.pyplot  # noqa: F401  now, since it takes seconds, and the first picture would be as old
    from IPython.display import display

    sagemaker, sqs_url = session.client("sagemaker"), queue_url(session, config.callback_queue)
    definition = step_definitions(session, execution)
    waits_for = dependencies(definition)
    begun, samples = time.monotonic(), []
    view = display({"text/plain": "Loading ..."}, raw=True, display_id=True)
    while True:
        status = sagemaker.describe_pipeline_execution(PipelineExecutionArn=execution)["PipelineExecutionStatus"]
        elapsed = time.monotonic() - begun
        samples.append({"seconds": elapsed, **message_counts(session, sqs_url)})
        table = steps(session, execution)
        if status in FINAL or elapsed > seconds:
            view.update(draw_graph(waits_for, table))
            by_step = count_states(list_jobs(session.client("batch"), config.job_queue, execution))
            last = _last_table(definition, table, by_step)
            display({"text/html": as_html(last), "text/plain": last.to_string()}, raw=True)
            return Watched(status, pd.DataFrame(samples))
        counts, lines = jobs_now(session, config, execution)
        done = steps_done(table, counts) / len(waits_for)
        graph_now = draw_graph(waits_for, table)
        view.update(_live(graph_now, done, counts, lines, f"{status}, {elapsed:.0f} s"), raw=True)
        time.sleep(every)


def jobs_now(session: boto3.Session, config: Config, execution: str) -> tuple[Counter[str], list[str]]:
    """How many jobs are in which state, and the newest lines that a job has printed.

    Args:
        execution: its ARN.
    """
    summaries = list_jobs(session.client("batch"), config.job_queue, execution)
    return sum(count_states(summaries).values(), Counter()), _newest_lines(session, config.job_log_group, summaries)


def _newest_lines(session: boto3.Session, log_group: str, summaries: list[dict[str, Any]]) -> list[str]:
    """The last lines of the job that started last, of those that printed any.

    ListJobs may leave out when a job started if it is asked for jobs by name. DescribeJobs does not.

    https://github.com/boto/boto3/issues/3315
    """
    batch, logs = session.client("batch"), session.client("logs")
    started = [each for each in summaries if each.get("startedAt") or each.get("status") in STARTED]
    # One call describes 100 jobs. Of more, those that run and those that are new are likely to have started last.
    started.sort(key=lambda each: (each.get("status") == "RUNNING", _since(each)), reverse=True)
    newest = sorted(describe_jobs(batch, started[:100]), key=_since, reverse=True)
    for job in newest[:12]:  # at most twelve logs, so that the picture changes every second
        stream = job.get("container", {}).get("logStreamName")
        if stream and (lines := last_lines(logs, log_group, stream)):
            return lines
    return []


def _since(job: dict[str, Any]) -> int:
    """When a job started, as far as known, in milliseconds; otherwise when it was created."""
    return job.get("startedAt") or job.get("createdAt", 0)


def steps_done(table: pd.DataFrame, counts: Counter[str]) -> float:
    """How many steps are done; of a step that waits for jobs, the share of all jobs so far."""
    ended, jobs_ended = table["status"].isin(FINAL).sum(), counts["SUCCEEDED"] + counts["FAILED"]
    return ended + (jobs_ended / counts.total() if jobs_ended < counts.total() else 0)


def _live(picture: Any, done: float, counts: Counter[str], lines: list[str], heading: str) -> dict[str, str]:
    """The page that `watch` shows: in the reader's own colours, light or dark; a line where there is no page."""
    data, _ = picture._repr_mimebundle_()
    bar = f'<progress value="{done:.2f}"></progress>'
    states = ", ".join(f"{counts[state]} {state}" for state in JOB_STATES if counts[state]) or "no jobs yet"
    log = "".join(f"<div>{html.escape(line)}</div>" for line in lines)
    page = (
        f"<div><b>{html.escape(heading)}</b> {bar} {states}</div>"
        f"{data['text/html']}"
        f'<div style="font-family: monospace; opacity: 0.8">{log}</div>'
    )
    return {"text/html": page, "text/plain": f"{heading}: {states}"}


def _last_table(definition: list[dict[str, Any]], table: pd.DataFrame, counts: dict[str, Counter[str]]) -> pd.DataFrame:
    """A row a step, in the graph's order, with nothing in it that differs from run to run.

    Args:
        definition: as `step_definitions` returns it.
        table: as `steps` returns it.
        counts: as `count_states` returns it.
    """
    columns = columns_of(dependencies(definition))
    arguments = {step["Name"]: step["Arguments"] for step in definition}
    statuses = dict(zip(table["step"], table["status"], strict=True))
    rows = []
    for step in sorted(definition, key=lambda step: columns[step["Name"]]):
        # A step that waits for jobs gets their ids from the step that submitted them, which named them after step_name.
        submitted = steps_used(step["Arguments"].get("job_ids"))
        named = {str(arguments[submitter].get("step_name")) for submitter in submitted & arguments.keys()}
        jobs = sum((counts.get(name, Counter()) for name in named), Counter())
        rows.append(
            {
                "step": step["Name"],
                "type": step["Type"],
                "status": statuses.get(step["Name"], NOT_STARTED),
                "jobs": f"{jobs['SUCCEEDED']} of {jobs.total()} succeeded" if jobs else "",
            }
        )
    return pd.DataFrame(rows)
