"""Read a run: its steps, its jobs, their logs, and why it failed (notebook 06). Public APIs only, on either target."""

from __future__ import annotations

import html
import itertools
import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import boto3
import pandas as pd
from botocore.exceptions import ClientError
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from utils.config import Config
from utils.pipeline import FINAL
from utils.queues import message_counts, queue_url
from utils.tables import as_html

METRICS_NAMESPACE = "sagemaker-batch"  # where check_jobs counts, unless its METRICS_NAMESPACE says otherwise
OLDEST_MESSAGE_SECONDS = 1800
COLORS = ("#4c8eda", "#e07b39", "#7a5cc0", "#3f7d4f")  # of the job definitions, in turn
JOB_STATES = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED")
BRANCHES = ("IfSteps", "ElseSteps")  # the arguments of a Condition step that are steps
NOT_STARTED = "Not started"  # our word: AWS lists only steps that have begun
STATUS_COLORS = {
    "Succeeded": "#bfe3c6",
    "Executing": "#cfe0f7",
    "Starting": "#cfe0f7",
    "Failed": "#f3c0bd",
    "Stopping": "#f5dfb0",
    "Stopped": "#f5dfb0",
}


def steps(session: boto3.Session, execution: str) -> pd.DataFrame:
    """An execution's steps in the order they began.

    Returns:
        Columns step, type, status, seconds, failure.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ListPipelineExecutionSteps.html
    """
    found = _steps(session, execution)
    return pd.DataFrame(
        {
            "step": [step["StepName"] for step in found],
            "type": [next(iter(step.get("Metadata", {})), "") for step in found],
            "status": [step["StepStatus"] for step in found],
            "seconds": [_seconds(step.get("StartTime"), step.get("EndTime")) for step in found],
            "failure": [step.get("FailureReason", "") for step in found],
        }
    )


def _steps(session: boto3.Session, execution: str) -> list[dict[str, Any]]:
    """What ListPipelineExecutionSteps says of an execution's steps, in the order they began."""
    pages = session.client("sagemaker").get_paginator("list_pipeline_execution_steps")
    return [
        step
        for page in pages.paginate(PipelineExecutionArn=execution, SortOrder="Ascending")
        for step in page["PipelineExecutionSteps"]
    ]


def step_outputs(session: boto3.Session, execution: str, step: str) -> dict[str, str]:
    """What a Lambda or Callback step gave to the steps after it.

    Raises:
        LookupError: the step failed, or was not reached because another did, whose reason is told; or it has not begun,
            or there is none.
    """
    begun = _steps(session, execution)
    failed = next((found for found in begun if found["StepStatus"] == "Failed"), None)
    mine = next((found for found in begun if found["StepName"] == step), None)
    if mine and mine["StepStatus"] != "Failed":
        metadata = next(iter(mine.get("Metadata", {}).values()), {})
        return {output["Name"]: output["Value"] for output in metadata.get("OutputParameters", [])}
    if failed:
        cause = mine or failed
        reason = cause.get("FailureReason", "AWS gives no reason")
        raise LookupError(f'"{step}" has no outputs, for "{cause["StepName"]}" failed: {reason}')
    raise LookupError(f'The execution {execution} has no step "{step}", or has not begun it.')


def jobs(session: boto3.Session, job_queue: str, execution: str) -> pd.DataFrame:
    """The Batch jobs of an execution, as a table.

    Returns:
        One row a job: job (its step and number), definition, status, attempts, seconds, exit_code, reason, log_stream,
        created, started, stopped, name and id; steps in the order they submitted. Without jobs, an empty table with the
        first three of these.
    """
    rows = [_row(job) for job in described_jobs(session, job_queue, execution)]
    if not rows:
        return pd.DataFrame(columns=["job", "definition", "status"])
    table = pd.DataFrame(rows)
    # Steps in the order they submitted, and the jobs of each by number.
    table["of_step"] = table["job"].str.rsplit("-", n=1).str[0]
    table["since"] = table.groupby("of_step")["created"].transform("min")
    return table.sort_values(["since", "job"], ignore_index=True).drop(columns=["of_step", "since"])


def described_jobs(session: boto3.Session, job_queue: str, execution: str) -> list[dict[str, Any]]:
    """The Batch jobs of an execution, as DescribeJobs answers them.

    https://docs.aws.amazon.com/batch/latest/APIReference/API_ListJobs.html
    """
    batch = session.client("batch")
    return _described(batch, _listed(batch, job_queue, execution))


def _listed(batch: Any, job_queue: str, execution: str) -> list[dict[str, Any]]:
    """What ListJobs says of an execution's jobs, which are found by their names: these begin with its id."""
    names = [{"name": "JOB_NAME", "values": [f"{execution.rsplit('/', 1)[1]}*"]}]
    pages = batch.get_paginator("list_jobs").paginate(jobQueue=job_queue, filters=names)
    return [summary for page in pages for summary in page["jobSummaryList"]]


def _described(batch: Any, summaries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """What DescribeJobs says of the jobs that ListJobs told of."""
    ids = [summary["jobId"] for summary in summaries]
    return [
        job
        for first in range(0, len(ids), 100)  # DescribeJobs takes 100 ids at most
        for job in batch.describe_jobs(jobs=ids[first : first + 100])["jobs"]
    ]


def wait_for_jobs(session: boto3.Session, job_queue: str, execution: str, *, seconds: float = 300) -> pd.DataFrame:
    """The jobs of an execution, as `jobs` returns them, as soon as there are some.

    Raises:
        TimeoutError: there are none after `seconds`.
    """

    def give_up(_) -> None:
        raise TimeoutError(f"{execution} has no job in {job_queue} after {seconds:.0f} seconds; look at its steps.")

    return Retrying(
        retry=retry_if_result(lambda table: table.empty),
        wait=wait_fixed(1),
        stop=stop_after_delay(seconds),
        retry_error_callback=give_up,
    )(jobs, session, job_queue, execution)


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


def answers(session: boto3.Session, config: Config, execution: str) -> pd.DataFrame:
    """What check_jobs has logged of the steps of an execution that it answered, one row each.

    It knows a step by its jobs, whose names hold the name of the step that submitted them.

    Returns:
        Columns step (whose jobs they are), answer (Success or Failure), path (poll or push), looks and lag: the
        seconds from the last job's end to the answer, None where no job ended it.

    https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
    """
    pages = session.client("logs").get_paginator("filter_log_events")
    group = config.lambda_log_group(config.check_jobs_function)
    entries = [
        json.loads(event["message"])
        for page in pages.paginate(logGroupName=group, filterPattern='"step answered"')
        for event in page["events"]
    ]
    mine = [entry for entry in entries if entry["execution"] == execution]
    columns = {"step": "step", "answer": "answer", "path": "path", "looks": "looks", "lag": "AnswerLag"}
    return pd.DataFrame({column: [entry.get(key) for entry in mine] for column, key in columns.items()})


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
        every: seconds between two looks.
        seconds: how long to watch at most; the execution goes on after that.

    Returns:
        The execution's last status, and the queue's messages over time.

    Raises:
        LookupError: there is no callback queue; run notebook 04 first.
    """
    import matplotlib.pyplot  # noqa: F401  now, since it takes seconds, and the first picture would be as old
    from IPython.display import display

    sagemaker, sqs_url = session.client("sagemaker"), queue_url(session, config.callback_queue)
    definition = _definition(session, execution)
    waits_for = _edges(definition)
    begun, samples = time.monotonic(), []
    view = display({"text/plain": "Looking ..."}, raw=True, display_id=True)
    while True:
        status = sagemaker.describe_pipeline_execution(PipelineExecutionArn=execution)["PipelineExecutionStatus"]
        elapsed = time.monotonic() - begun
        samples.append({"seconds": elapsed, **message_counts(session, sqs_url)})
        table = steps(session, execution)
        if status in FINAL or elapsed > seconds:
            view.update(_draw_graph(waits_for, table))
            counts = _counts(_listed(session.client("batch"), config.job_queue, execution))
            last = _last_table(definition, table, counts)
            display({"text/html": as_html(last), "text/plain": last.to_string()}, raw=True)
            return Watched(status, pd.DataFrame(samples))
        counts, lines = _jobs_now(session, config, execution)
        done = _done(table, counts) / len(waits_for)
        graph_now = _draw_graph(waits_for, table)
        view.update(_live(graph_now, done, counts, lines, f"{status}, {elapsed:.0f} s"), raw=True)
        time.sleep(every)


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


def _alarms(config: Config) -> dict[str, tuple[str, str, dict[str, str], str, int]]:
    """Each alarm's namespace, metric, dimensions, statistic, and the number above which it goes off, by its name."""
    dead, callbacks = {"QueueName": config.dead_letter_queue}, {"QueueName": config.callback_queue}
    alarms = {
        f"{config.dead_letter_queue}-not-empty": ("AWS/SQS", "ApproximateNumberOfMessagesVisible", dead, "Maximum", 0),
        # SQS leaves a message out of this metric after its third delivery, which a waiting step's message has had by
        # then. So what is this old has not been looked at: the mapping is off, or the function is throttled.
        f"{config.callback_queue}-not-looked-at": (
            "AWS/SQS", "ApproximateAgeOfOldestMessage", callbacks, "Maximum", OLDEST_MESSAGE_SECONDS
        ),
    }  # fmt: skip
    for function in (config.submit_jobs_function, config.check_jobs_function):
        alarms[f"{function}-errors"] = ("AWS/Lambda", "Errors", {"FunctionName": function}, "Sum", 0)
    return alarms


def alarm_names(config: Config) -> list[str]:
    """The alarms of a kit, as `ensure_alarms` makes them."""
    return list(_alarms(config))


def ensure_alarms(session: boto3.Session, config: Config, *, notify: Sequence[str] = ()) -> list[str]:
    """Alarms on what nobody would notice otherwise, created or brought up to date.

    Args:
        notify: what is told when an alarm goes off, such as the ARN of an SNS topic that mails you.

    Returns:
        The alarms' names.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
    """
    alarms = _alarms(config)
    cloudwatch = session.client("cloudwatch")
    found = {alarm["AlarmName"]: alarm for alarm in cloudwatch.describe_alarms(AlarmNames=list(alarms))["MetricAlarms"]}
    tags = [{"Key": key, "Value": value} for key, value in config.tags.items()]
    for name, (namespace, metric, dimensions, statistic, threshold) in alarms.items():
        wanted = {
            "Namespace": namespace,
            "MetricName": metric,
            "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
            "Statistic": statistic,
            "ComparisonOperator": "GreaterThanThreshold",
            "Threshold": threshold,
            "Period": 60,
            "EvaluationPeriods": 1,
            "TreatMissingData": "notBreaching",  # a queue or function without traffic measures nothing
            "AlarmActions": list(notify),
        }
        there = found.get(name, {})
        if any(there.get(key) != value for key, value in wanted.items()):
            cloudwatch.put_metric_alarm(AlarmName=name, **wanted, Tags=tags)
        # PutMetricAlarm takes tags for a new alarm only.
        arn = config.arn("cloudwatch", f"alarm:{name}")
        if there and not all(tag in cloudwatch.list_tags_for_resource(ResourceARN=arn)["Tags"] for tag in tags):
            cloudwatch.tag_resource(ResourceARN=arn, Tags=tags)
    return list(alarms)


def ensure_dashboard(session: boto3.Session, config: Config) -> str:
    """A CloudWatch dashboard of the queues, the functions and what check_jobs counts, created or brought up to date.

    Returns:
        Its name.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
    """
    submit, check = config.submit_jobs_function, config.check_jobs_function
    queues = [("AWS/SQS", "QueueName", name) for name in (config.callback_queue, config.dead_letter_queue)]
    functions = [("AWS/Lambda", "FunctionName", name) for name in (submit, check)]
    ours = (METRICS_NAMESPACE, "FunctionName", check)

    def graph(title: str, statistic: str, *lines: tuple[str, tuple[str, str, str]]) -> dict[str, Any]:
        metrics = [[namespace, metric, key, value] for metric, (namespace, key, value) in lines]
        properties = {"title": title, "region": config.region, "stat": statistic, "period": 60, "metrics": metrics}
        return {"type": "metric", "width": 8, "height": 6, "properties": properties}

    widgets = [
        {"type": "text", "width": 24, "height": 1, "properties": {"markdown": f"Made by the tutorial: {config.mark}"}},
        graph(
            "Messages: steps that wait, and dead letters",
            "Maximum",
            ("ApproximateNumberOfMessagesNotVisible", queues[0]),
            ("ApproximateNumberOfMessagesVisible", queues[0]),
            ("ApproximateNumberOfMessagesVisible", queues[1]),
        ),
        graph("Invocations", "Sum", *[("Invocations", function) for function in functions]),
        graph("Errors", "Sum", *[("Errors", function) for function in functions]),
        graph("Steps answered", "Sum", ("StepsSucceeded", ours), ("StepsFailed", ours), ("DeadLetters", ours)),
        graph("Looks at jobs", "Sum", ("Looks", ours)),
        graph("From the last job's end to the answer, in seconds", "p99", ("AnswerLag", ours)),
    ]
    cloudwatch = session.client("cloudwatch")
    try:
        there = json.loads(cloudwatch.get_dashboard(DashboardName=config.dashboard)["DashboardBody"])
    except ClientError as error:
        if "NotFound" not in error.response["Error"]["Code"]:
            raise
        there = None
    if there != (wanted := {"widgets": widgets}):
        cloudwatch.put_dashboard(DashboardName=config.dashboard, DashboardBody=json.dumps(wanted))
    return config.dashboard


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
    figure, axes = plt.subplots(figsize=(9, 0.17 * len(run) + 1), layout="constrained")  # a screen for 24 jobs
    axes.barh(run.index, started - created, left=created, color="#b8bec6", height=0.35, label="waiting")
    for definition, color in zip(run["definition"].unique(), itertools.cycle(COLORS), strict=False):
        mine = run["definition"] == definition
        axes.barh(
            run.index[mine],
            (stopped - started)[mine],
            left=started[mine],
            color=color,
            height=0.75,
            label=f"{definition.rpartition('-')[2]} runs",
        )
    axes.set_yticks(run.index, run["job"], fontsize=8)
    axes.margins(y=0.01)
    axes.invert_yaxis()
    axes.set_xlabel("seconds since the first job was submitted")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    return picture(figure, _gantt_in_words(run, created, started, stopped))


def _gantt_in_words(run: pd.DataFrame, created: pd.Series, started: pd.Series, stopped: pd.Series) -> str:
    """What the chart shows: each step's jobs, when they ran, how long the last one waited, how many ran at once."""
    of_step = run["job"].str.rsplit("-", n=1).str[0]
    told = []
    for step in of_step.unique():
        mine = of_step == step
        begun, ended = started[mine], stopped[mine]
        at_once = max(int(((begun <= moment) & (ended > moment)).sum()) for moment in begun)
        waited = (begun - created[mine]).max()
        told.append(
            f"{mine.sum()} of {step} ran from second {begun.min():.0f} to {ended.max():.0f}, "
            f"{at_once} at once at most; none waited longer than {waited:.0f} seconds"
        )
    return f"Gantt chart of {len(run)} jobs over {stopped.max():.0f} seconds: {'. Then '.join(told)}."


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
    axes.set_xticks(hours["hour"])
    axes.set_xlabel("scheduled hour of departure")
    axes.set_ylabel("mean arrival delay (min)")
    axes.spines[["top", "right"]].set_visible(False)
    best, worst = (hours.loc[hours["mean_arr_delay"].agg(which)] for which in ("idxmin", "idxmax"))
    told = [f"{each['mean_arr_delay']:.0f} minutes at {each['hour']:.0f} o'clock" for each in (best, worst)]
    return picture(figure, f"Bar chart: the mean arrival delay by scheduled hour, from {told[0]} to {told[1]}.")


def graph(session: boto3.Session, execution: str):
    """An execution as a picture: a box a step with its status and seconds, an arrow where one follows another.

    Returns:
        A matplotlib figure; its `alt` attribute says in words what it shows.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribePipelineDefinitionForExecution.html
    """
    return _draw_graph(_edges(_definition(session, execution)), steps(session, execution))


def queue_over_time(samples: pd.DataFrame):
    """The messages in the callback queue while an execution ran, as `watch` saw them.

    Args:
        samples: columns seconds, waiting, hidden. On AWS, SQS's counts are approximate, and settle within a minute.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 2.2), layout="constrained")
    for column, color, label in (
        ("hidden", "#e07b39", "hidden until the next look"),
        ("waiting", "#4c8eda", "waiting to be looked at"),
    ):
        axes.fill_between(samples["seconds"], samples[column], step="post", color=color, alpha=0.55, label=label)
    axes.set_xlabel("seconds since the watching began")
    axes.set_ylabel("messages")
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    most = int((samples["waiting"] + samples["hidden"]).max())
    return picture(figure, f"Line chart: the callback queue holds {most} message{'s' * (most != 1)} at most.")


def picture(figure: Any, alt: str) -> Any:
    """The figure, with a text that says what it shows, shown once: by the cell that returns it.

    JupyterLab and nbconvert take the text of an HTML picture only, and prefer HTML; the PNG is for who does not.
    """
    import matplotlib.pyplot as plt
    from IPython.core.pylabtools import print_figure

    plt.close(figure)
    figure.alt = alt

    def mimebundle(**_: Any) -> tuple[dict[str, str], dict[str, Any]]:
        png = print_figure(figure, base64=True).strip()
        data = {"text/html": _image(png, alt), "image/png": png, "text/plain": repr(figure)}
        return data, {"image/png": {"alt": alt}}

    figure._repr_mimebundle_ = mimebundle
    return figure


def _image(png: str, alt: str) -> str:
    """A picture as HTML, on its own white in the dark too; whoever doesn't see it hears or reads `alt`."""
    style = "background: white; max-width: 100%"
    return f'<img style="{style}" alt="{html.escape(alt)}" src="data:image/png;base64,{png}">'


def _jobs_now(session: boto3.Session, config: Config, execution: str) -> tuple[Counter[str], list[str]]:
    """How many jobs are in which state, and the last lines of the job that began last of those that printed any."""
    batch, logs = session.client("batch"), session.client("logs")
    summaries = _listed(batch, config.job_queue, execution)
    begun = sorted((each for each in summaries if each.get("startedAt")), key=lambda each: each["startedAt"])
    newest = begun[:-13:-1]  # twelve: a look must stay short
    described = {job["jobId"]: job for job in _described(batch, newest)}
    lines: list[str] = []
    for summary in newest:
        stream = described.get(summary["jobId"], {}).get("container", {}).get("logStreamName")
        if stream and (lines := _last_lines(logs, config.job_log_group, stream)):
            break
    return sum(_counts(summaries).values(), Counter()), lines


def _counts(summaries: Iterable[dict[str, Any]]) -> dict[str, Counter[str]]:
    """How many jobs are in which state, for each step name in the jobs' names; an array's children count singly.

    https://docs.aws.amazon.com/batch/latest/APIReference/API_ArrayPropertiesSummary.html
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for summary in summaries:
        array = summary.get("arrayProperties", {})
        children = array.get("statusSummary") or {summary["status"]: array.get("size", 1)}
        counts[summary["jobName"].partition("-")[2].rpartition("-")[0]].update(children)
    return counts


def _last_lines(logs: Any, log_group: str, log_stream: str) -> list[str]:
    try:
        found = logs.get_log_events(logGroupName=log_group, logStreamName=log_stream, limit=3)
    except logs.exceptions.ResourceNotFoundException:
        return []  # it has not printed anything yet
    return [event["message"] for event in found["events"]]


def _done(table: pd.DataFrame, counts: Counter[str]) -> float:
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
        definition: as `_definition` returns it.
        table: as `steps` returns it.
        counts: as `_counts` returns it.
    """
    columns = _columns(_edges(definition))
    arguments = {step["Name"]: step["Arguments"] for step in definition}
    statuses = dict(zip(table["step"], table["status"], strict=True))
    rows = []
    for step in sorted(definition, key=lambda step: columns[step["Name"]]):
        # A step that waits for jobs gets their ids from the step that submitted them, which named them after step_name.
        submitted = _named_in(step["Arguments"].get("job_ids"))
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


def _definition(session: boto3.Session, execution: str) -> list[dict[str, Any]]:
    """The steps of the pipeline definition that this execution runs, those in the branches of conditions too."""
    answer = session.client("sagemaker").describe_pipeline_definition_for_execution(PipelineExecutionArn=execution)
    return list(_with_branches(json.loads(answer["PipelineDefinition"])["Steps"]))


def _with_branches(steps: list[dict[str, Any]], condition: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """These steps and, behind each condition, those of its branches, of which the first wait for it."""
    waits_for = _edges([_alone(step) for step in steps])
    for step in steps:
        after = () if waits_for[step["Name"]] else condition
        yield {**_alone(step), "DependsOn": [*step.get("DependsOn", []), *after]}
        for branch in BRANCHES if step["Type"] == "Condition" else ():
            yield from _with_branches(step["Arguments"].get(branch, []), [step["Name"]])


def _alone(step: dict[str, Any]) -> dict[str, Any]:
    """A step without the steps of its branches."""
    if step["Type"] != "Condition":
        return step
    return {**step, "Arguments": {key: value for key, value in step["Arguments"].items() if key not in BRANCHES}}


def _edges(definition: list[dict[str, Any]]) -> dict[str, set[str]]:
    """For each step of a pipeline definition those it waits for: named in DependsOn, or by using their outputs."""
    names = {step["Name"] for step in definition}
    waits_for = {}
    for step in definition:
        # A step that waits for another's failure names it with that as the trigger.
        named = {each["Step"] if isinstance(each, dict) else each for each in step.get("DependsOn", [])}
        waits_for[step["Name"]] = names & (named | _named_in(step["Arguments"]))
    return waits_for


def _named_in(arguments: Any) -> set[str]:
    """The steps whose outputs these arguments use."""
    return set(re.findall(r'"Get": ?"Steps\.([^.\[]+)', json.dumps(arguments)))


def _columns(waits_for: dict[str, set[str]]) -> dict[str, int]:
    """Each step's column: to the right of all it waits for."""
    columns: dict[str, int] = {}
    while len(columns) < len(waits_for):  # a definition has no cycles
        columns |= {
            step: 1 + max((columns[before] for before in waits), default=-1)
            for step, waits in waits_for.items()
            if step not in columns and waits <= columns.keys()
        }
    return columns


def _draw_graph(waits_for: dict[str, set[str]], table: pd.DataFrame) -> Any:
    """Steps in columns, with arrows between them."""
    import matplotlib.pyplot as plt
    from matplotlib.patches import FancyBboxPatch

    columns = _columns(waits_for)
    places: dict[str, tuple[float, float]] = {}
    for column in range(max(columns.values()) + 1):
        mine = [step for step in waits_for if columns[step] == column]
        places |= {step: (column, (len(mine) - 1) / 2 - row) for row, step in enumerate(mine)}
    rows = 2 * max(y for _, y in places.values()) + 1
    figure, axes = plt.subplots(figsize=(1.5 * (max(columns.values()) + 1), 0.8 * rows + 0.1), layout="constrained")
    known = table.set_index("step")
    wide, high = 0.84, 0.72  # of a box, where columns and rows are 1 apart
    fontsize = min(8.5, 135 / max(map(len, waits_for)))  # the longest name fits
    for step, (x, y) in places.items():
        status = known.at[step, "status"] if step in known.index else NOT_STARTED
        seconds = known.at[step, "seconds"] if step in known.index else None
        told = status if seconds is None or pd.isna(seconds) else f"{status}\n{seconds:.1f} s"
        axes.add_patch(
            FancyBboxPatch(
                (x - wide / 2, y - high / 2),
                wide,
                high,
                boxstyle="round,pad=0,rounding_size=0.06",
                facecolor=STATUS_COLORS.get(status, "#ffffff"),
                edgecolor="#5b636d",
            )
        )
        axes.text(x, y, f"{step}\n{told}", ha="center", va="center", fontsize=fontsize, color="#1b1f24")
        for before in waits_for[step]:
            from_x, from_y = places[before]
            ends = {"xytext": (from_x + wide / 2, from_y), "xy": (x - wide / 2, y)}
            axes.annotate("", **ends, arrowprops={"arrowstyle": "-|>", "color": "#5b636d", "shrinkA": 1, "shrinkB": 1})
    axes.set_xlim(-0.6, max(columns.values()) + 0.6)
    axes.set_ylim(-rows / 2, rows / 2)
    axes.axis("off")
    in_order = sorted(waits_for, key=lambda step: columns[step])
    words = [f"{step} {known.at[step, 'status'] if step in known.index else NOT_STARTED}" for step in in_order]
    return picture(figure, "The pipeline as a graph, its steps in their order: " + ", ".join(words) + ".")


def _seconds(start: Any, end: Any) -> float | None:
    return (end - start).total_seconds() if start and end else None


def _time(milliseconds: int | None) -> pd.Timestamp:
    return pd.to_datetime(milliseconds, unit="ms", utc=True) if milliseconds else pd.NaT
