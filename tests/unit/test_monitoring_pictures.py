"""The graph, the queue over time and the live view, on answers as AWS gives them."""

import base64
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell

from utils import monitoring
from utils.config import Config
from utils.queues import ensure_queue

ARN = "arn:aws:sagemaker:us-east-1:000000000000:pipeline/sagemaker-x/execution/abcdefghijkl"
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
DEFINITION = {
    "Steps": [
        {"Name": "Count", "Type": "Lambda", "Arguments": {}},
        {"Name": "Submit", "Type": "Lambda", "Arguments": {}, "DependsOn": ["Count"]},
        {
            "Name": "Wait",
            "Type": "Callback",
            "Arguments": {"job_ids": {"Get": "Steps.Submit.OutputParameters['jobIds']"}},
        },
        {"Name": "Beside", "Type": "Lambda", "Arguments": {}},
    ]
}
STEPS = [
    {"StepName": "Count", "StepStatus": "Succeeded", "StartTime": BEGIN, "EndTime": BEGIN + timedelta(seconds=2)},
    {"StepName": "Submit", "StepStatus": "Executing", "StartTime": BEGIN},
]


@pytest.fixture
def config():
    return Config("local", "sagemaker-pictures", "us-east-1", "000000000000")


def answer_a_look(calls, status):
    calls.answer("DescribePipelineExecution", {"PipelineExecutionStatus": status})
    calls.answer("DescribePipelineDefinitionForExecution", {"PipelineDefinition": json.dumps(DEFINITION)})
    calls.answer("ListPipelineExecutionSteps", {"PipelineExecutionSteps": STEPS})


def test_a_step_follows_those_it_names_and_those_whose_outputs_it_uses():
    assert monitoring._edges(DEFINITION["Steps"]) == {
        "Count": set(),
        "Submit": {"Count"},
        "Wait": {"Submit"},
        "Beside": set(),
    }


def test_the_graph_says_each_steps_status_in_words_and_boxes(session, calls):
    answer_a_look(calls, "Executing")
    figure = monitoring.graph(session, ARN)
    assert figure.alt.endswith("Count Succeeded, Submit Executing, Wait Not started, Beside Not started.")
    boxes = {text.get_text(): text for text in figure.axes[0].texts if text.get_text()}
    assert set(boxes) == {"Count\nSucceeded\n2.0 s", "Submit\nExecuting", "Wait\nNot started", "Beside\nNot started"}
    places = {text.split("\n")[0]: box.get_position() for text, box in boxes.items()}
    assert places["Count"][0] < places["Submit"][0] < places["Wait"][0]
    assert places["Beside"][0] == places["Count"][0] and places["Beside"][1] != places["Count"][1]


def test_a_picture_is_shown_as_png_with_its_text(session, calls):
    answer_a_look(calls, "Executing")
    data, metadata = InteractiveShell.instance().display_formatter.format(monitoring.graph(session, ARN))
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert metadata["image/png"]["alt"].startswith("The pipeline as a graph")


def test_the_queue_over_time_says_how_many_there_were():
    samples = pd.DataFrame({"seconds": [0, 1, 2], "waiting": [0, 1, 0], "hidden": [1, 1, 0]})
    assert "2 messages at most" in monitoring.queue_over_time(samples).alt


def test_watching_shows_the_jobs_and_a_log_and_ends_with_the_graph(session, calls, config, monkeypatch):
    shown = []

    monkeypatch.setattr("IPython.display.display", lambda *_, **__: SimpleNamespace(update=shown.append))
    ensure_queue(session, config.callback_queue, tags=config.tags)
    answer_a_look(calls, "Executing")
    summaries = [{"jobId": "1", "jobName": "a", "status": "RUNNING", "startedAt": 5}, {"jobId": "2", "jobName": "b"}]
    calls.answer("ListJobs", {"jobSummaryList": [summaries[0], summaries[1] | {"status": "RUNNABLE"}]})
    calls.answer("DescribeJobs", {"jobs": [{"jobId": "1", "container": {"logStreamName": "s"}}]})
    calls.answer("GetLogEvents", {"events": [{"message": "copy <this>"}], "nextForwardToken": "f"})
    answer_a_look(calls, "Succeeded")
    watched = monitoring.watch(session, config, ARN, every=0)
    assert watched.status == "Succeeded"
    assert watched.samples[["waiting", "hidden"]].to_numpy().tolist() == [[0, 0], [0, 0]]
    live, last = shown
    for part in (
        '<progress value="0.25">',
        "1 RUNNABLE, 1 RUNNING",
        "copy &lt;this&gt;",
        'alt="The pipeline as a graph',
        "Executing",
    ):
        assert part in live.data
    assert last.alt.startswith("The pipeline as a graph")


def test_a_job_that_has_not_printed_yet_has_no_lines(session, calls, config):
    summary = {"jobId": "1", "jobName": "a", "status": "RUNNING", "startedAt": 5}
    calls.answer("ListJobs", {"jobSummaryList": [summary]})
    calls.answer("DescribeJobs", {"jobs": [{"jobId": "1", "container": {"logStreamName": "s"}}]})
    calls.refuse("GetLogEvents", "ResourceNotFoundException")
    counts, lines = monitoring._jobs_now(session, config, ARN)
    assert (counts, lines) == ({"RUNNING": 1}, [])


def test_the_lines_are_the_newest_jobs_that_has_any(session, calls, config):
    begun = [{"jobId": str(n), "jobName": str(n), "status": "RUNNING", "startedAt": n} for n in (1, 2, 3)]
    calls.answer("ListJobs", {"jobSummaryList": [*begun, {"jobId": "4", "jobName": "4", "status": "RUNNABLE"}]})
    streams = [{"jobId": str(n), "container": {"logStreamName": f"s{n}"}} for n in (1, 2, 3)]
    calls.answer("DescribeJobs", {"jobs": streams})
    calls.refuse("GetLogEvents", "ResourceNotFoundException")  # the newest has not printed yet
    calls.answer("GetLogEvents", {"events": [{"message": "the second's"}], "nextForwardToken": "f"})
    assert monitoring._jobs_now(session, config, ARN)[1] == ["the second's"]


@pytest.mark.parametrize(
    ("statuses", "jobs", "done"),
    [
        ([], {}, 0),
        (["Succeeded", "Succeeded", "Executing"], {"RUNNING": 2, "SUCCEEDED": 1, "FAILED": 1}, 2.5),
        (["Succeeded", "Succeeded", "Succeeded", "Executing"], {"SUCCEEDED": 4}, 3),
        (["Succeeded", "Failed"], {}, 2),
    ],
)
def test_the_bar_counts_steps_and_the_share_of_the_jobs_of_a_waiting_one(statuses, jobs, done):
    assert monitoring._done(pd.DataFrame({"status": statuses}), Counter(jobs)) == done


def test_watching_ends_with_its_time_and_the_execution_goes_on(session, calls, config, monkeypatch):
    monkeypatch.setattr("IPython.display.display", lambda *_, **__: SimpleNamespace(update=id))
    ensure_queue(session, config.callback_queue, tags=config.tags)
    answer_a_look(calls, "Executing")
    assert monitoring.watch(session, config, ARN, seconds=-1).status == "Executing"
