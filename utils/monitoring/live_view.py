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
        samples: the callback queue's messages over time, with the columns seconds, waiting, hidden.
    """

    status: str
    samples: pd.DataFrame


def watch(
    session: boto3.Session,
    config: Config,
    execution: str,
    *,
    job_queue: str | None = None,
    every: float = 1,
    seconds: float = 3600,
) -> Watched:
    """Show an execution until it has ended, with its graph, progress bar, jobs by state, and a log's newest lines.

    In JupyterLab the picture changes in place. What stays is the last graph and, below it, a table with a row a step.
    The table is a separate display, because papermill's log leaves out updates of a display.

    Args:
        job_queue: name or ARN of the queue that has the jobs. Default: the kit's.
        every: seconds between two polls. Default: one.
        seconds: how long to watch at most. The execution continues after that. Default: an hour.

    Returns:
        The execution's last status, and the queue's messages over time.

    Raises:
        LookupError: there is no callback queue. Run notebook 04 first.
    """
    import matplotlib.pyplot  # noqa: F401  now, since it takes seconds, and the first picture would be as old
    from IPython.display import display

    sagemaker, sqs_url = session.client("sagemaker"), queue_url(session, config.callback_queue)
    job_queue = job_queue or config.job_queue
    definition = step_definitions(session, execution)
    waits_for = dependencies(definition)
    begun, samples = time.monotonic(), []
    drawn: tuple[Any, Any] = None, None  # what the last graph says, and the graph: to draw it costs a tenth of a second
    view = display({"text/plain": "Loading ..."}, raw=True, display_id=True)
    while True:
        status = sagemaker.describe_pipeline_execution(PipelineExecutionArn=execution)["PipelineExecutionStatus"]
        elapsed = time.monotonic() - begun
        samples.append({"seconds": elapsed, **message_counts(session, sqs_url)})
        table = steps(session, execution)
        if status in FINAL or elapsed > seconds:
            view.update(draw_graph(waits_for, table))
            by_step = count_states(list_jobs(session.client("batch"), job_queue, execution))
            last = _last_table(definition, table, by_step)
            display({"text/html": as_html(last), "text/plain": last.to_string()}, raw=True)
            return Watched(status, pd.DataFrame(samples))
        by_step, lines = jobs_now(session, job_queue, execution)
        counts = sum(by_step.values(), Counter())
        waiting = _jobs_waited_for(definition, by_step)
        ended = {step: f"{_ended(jobs)} jobs" for step, jobs in waiting.items()}
        says = (table.to_json(), ended)
        if says != drawn[0]:
            drawn = says, draw_graph(waits_for, table, ended)._repr_mimebundle_()[0]["text/html"]
        heading = f"{status}, {elapsed:.0f} s"
        view.update(_live(drawn[1], steps_done(table, counts), len(waits_for), counts, lines, heading), raw=True)
        time.sleep(every)


def jobs_now(session: boto3.Session, job_queue: str, execution: str) -> tuple[dict[str, Counter[str]], list[str]]:
    """How many items are in which state, for each step name in their jobs' names, and a job's newest lines.

    Args:
        job_queue: its name or ARN.
        execution: its ARN.
    """
    summaries = list_jobs(session.client("batch"), job_queue, execution)
    return count_states(summaries), _newest_lines(session, summaries)


def _ended(jobs: Counter[str]) -> str:
    """Such as "7 of 12"."""
    return f"{jobs['SUCCEEDED'] + jobs['FAILED']} of {jobs.total()}"


def _newest_lines(session: boto3.Session, summaries: list[dict[str, Any]]) -> list[str]:
    """The last lines of the job that started last, of those that printed any.

    A job of your definition has the log group that this definition names.

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
        if stream and (lines := _lines_of(logs, _log_group(job), stream)):
            return lines
    return []


def _log_group(job: dict[str, Any]) -> str:
    """https://docs.aws.amazon.com/batch/latest/userguide/using_awslogs.html"""
    options = job["container"].get("logConfiguration", {}).get("options", {})
    return options.get("awslogs-group", "/aws/batch/job")


def _lines_of(logs: Any, log_group: str, stream: str) -> list[str]:
    """The last lines of a log. The group may be another team's, and a log that can't be read ends no view."""
    try:
        return last_lines(logs, log_group, stream)
    except logs.exceptions.ClientError as error:
        if "AccessDenied" not in error.response["Error"]["Code"]:
            raise
        return [f"You may not read the log group {log_group}. Ask for logs:GetLogEvents on it."]


def _since(job: dict[str, Any]) -> int:
    """When a job started, in milliseconds. If that is not known, when it was created."""
    return job.get("startedAt") or job.get("createdAt", 0)


def steps_done(table: pd.DataFrame, counts: Counter[str]) -> float:
    """The number of finished steps, plus the share of finished jobs for a step that waits."""
    ended, jobs_ended = table["status"].isin(FINAL).sum(), counts["SUCCEEDED"] + counts["FAILED"]
    return ended + (jobs_ended / counts.total() if jobs_ended < counts.total() else 0)


def states_in_words(counts: Counter[str]) -> str:
    """Such as "1 RUNNING, 11 SUCCEEDED"."""
    return ", ".join(f"{counts[state]} {state}" for state in JOB_STATES if counts[state]) or "no jobs yet"


def _live(picture: str, done: float, of: int, counts: Counter[str], lines: list[str], heading: str) -> dict[str, str]:
    """The page that `watch` shows: in the reader's own colours, light or dark, or a line of text elsewhere."""
    label = f"{int(done)} of {of} steps"
    bar = f'<progress value="{done / of:.2f}" aria-label="{label}"></progress> {label};'
    states = states_in_words(counts)
    log = "".join(f"<div>{html.escape(line)}</div>" for line in lines)
    page = (
        f"<div><b>{html.escape(heading)}</b> {bar} {states}</div>"
        f"{picture}"
        f'<div style="font-family: monospace; opacity: 0.8">{log}</div>'
    )
    return {"text/html": page, "text/plain": f"{heading}: {states}"}


def _jobs_waited_for(definition: list[dict[str, Any]], counts: dict[str, Counter[str]]) -> dict[str, Counter[str]]:
    """The jobs of each step that waits for some.

    It gets their ids from the step that submitted them, which named them after its step_name, and a trial after that.
    """
    arguments = {step["Name"]: step["Arguments"] for step in definition}
    waited = {}
    for step in definition:
        submitted = steps_used(step["Arguments"].get("job_ids"))
        named = {_job_step(arguments[submitter]) for submitter in submitted & arguments.keys()}
        if jobs := sum((counts.get(name, Counter()) for name in named), Counter()):
            waited[step["Name"]] = jobs
    return waited


def _job_step(submitting: dict[str, Any]) -> str:
    """The step's name in the names of the jobs that a step with these arguments submits."""
    trial = str(submitting.get("only_trial")).lower() == "true"
    return f"{submitting.get('step_name')}-Trial" if trial else str(submitting.get("step_name"))


def _last_table(definition: list[dict[str, Any]], table: pd.DataFrame, counts: dict[str, Counter[str]]) -> pd.DataFrame:
    """A row per step, in the graph's order.

    Args:
        definition: as `step_definitions` returns it.
        table: as `steps` returns it.
        counts: as `count_states` returns it.
    """
    columns = columns_of(dependencies(definition))
    known, waited = table.set_index("step"), _jobs_waited_for(definition, counts)
    rows = []
    for step in sorted(definition, key=lambda step: columns[step["Name"]]):
        name, jobs = step["Name"], waited.get(step["Name"])
        seconds = known.at[name, "seconds"] if name in known.index else None
        rows.append(
            {
                "step": name,
                "type": step["Type"],
                "status": known.at[name, "status"] if name in known.index else NOT_STARTED,
                "seconds": "" if seconds is None or pd.isna(seconds) else f"{seconds:.1f}",
                "jobs": f"{jobs['SUCCEEDED']} of {jobs.total()} succeeded" if jobs else "",
            }
        )
    return pd.DataFrame(rows)
