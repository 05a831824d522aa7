"""The line that says what is waited for, and what waits with it."""

import re
import sys

import pytest

from utils import batch, monitoring
from utils.config import Config
from utils.support.live_line import NOTHING, live_line

ARN = "arn:aws:sagemaker:us-east-1:000000000000:pipeline/sagemaker-x/execution/abcdefghijkl"


@pytest.fixture
def config():
    return Config("local", "sagemaker-line", "us-east-1", "000000000000")


@pytest.fixture
def shown(monkeypatch):
    """What the line showed in a notebook, one after the other."""
    lines = []

    class View:
        def update(self, data, **_):
            lines.append(data)

    def display(data, **_):
        lines.append(data)
        return View()

    monkeypatch.setattr("IPython.get_ipython", lambda: object())
    monkeypatch.setattr("IPython.display.display", display)
    return lines


def texts(shown):
    """The lines, whatever seconds a busy machine took."""
    return [re.sub(r"\d+ s$", "0 s", line["text/plain"]) for line in shown]


def test_it_begins_and_ends_empty_so_that_saved_outputs_are_the_same(shown):
    with live_line() as show:
        show("<ALARM>")
    assert shown[0] == shown[-1] == NOTHING
    assert shown[1] == {"text/html": "<div>&lt;ALARM&gt;, 0 s</div>", "text/plain": "<ALARM>, 0 s"}


def test_where_no_notebook_is_it_needs_no_ipython(monkeypatch):
    for name in ("IPython", "IPython.display"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    with live_line() as show:
        show("SUBMITTED")


def test_it_ends_empty_after_an_error_too(shown):
    with pytest.raises(TimeoutError), live_line() as show:
        show("RUNNING")
        raise TimeoutError
    assert texts(shown) == ["", "RUNNING, 0 s", ""]


def test_outside_a_notebook_it_prints_nothing(capsys):
    with live_line() as show:
        show("RUNNING")
    assert capsys.readouterr() == ("", "")


def job(number, status):
    return {"jobId": f"{number}", "jobName": f"abcdefghijkl-Items-{number:02d}", "status": status}


def test_an_execution_is_followed_with_its_jobs_by_state(session, calls, config, shown):
    for jobs in ([], [job(1, "RUNNING"), job(2, "SUCCEEDED"), job(3, "SUCCEEDED")]):
        calls.answer("DescribePipelineExecution", {"PipelineExecutionStatus": "Executing"})
        calls.answer("ListJobs", {"jobSummaryList": jobs})
    calls.answer("DescribePipelineExecution", {"PipelineExecutionStatus": "Failed"})
    asked = []
    session.events.register(
        "before-parameter-build.batch.ListJobs", lambda params, **_: asked.append(params["jobQueue"])
    )
    assert monitoring.follow(session, config, ARN, job_queue="mine")["PipelineExecutionStatus"] == "Failed"
    assert asked == ["mine", "mine"]
    assert texts(shown) == ["", "Executing: no jobs yet, 0 s", "Executing: 1 RUNNING, 2 SUCCEEDED, 0 s", ""]


def test_an_execution_that_does_not_end_is_named(session, calls, config, shown):
    calls.answer("DescribePipelineExecution", {"PipelineExecutionStatus": "Stopping"})
    calls.answer("ListJobs", {"jobSummaryList": []})
    with pytest.raises(TimeoutError, match=r"is still Stopping after 0 seconds\. Wait for it again\."):
        monitoring.follow(session, config, ARN, seconds=0)


def test_waiting_for_the_first_jobs_counts_the_seconds(session, calls, config, shown):
    calls.answer("ListJobs", {"jobSummaryList": []}, {"jobSummaryList": [job(1, "RUNNING")]})
    details = job(1, "RUNNING") | {"jobDefinition": "arn:aws:batch:us-east-1:0:job-definition/x:1"}
    calls.answer("DescribeJobs", {"jobs": [details]})
    assert list(monitoring.wait_for_jobs(session, config.job_queue, ARN)["id"]) == ["1"]
    assert set(texts(shown)) == {"", "no jobs yet, 0 s"}


def test_a_job_that_is_to_be_interrupted_is_shown_until_it_runs(session, calls, shown):
    calls.answer("DescribeJobs", *({"jobs": [job(1, state)]} for state in ("RUNNABLE", "STARTING", "FAILED")))
    with pytest.raises(batch.BatchError, match="Only a running job can be interrupted"):
        batch.interrupt_job(session, "1")
    assert texts(shown) == ["", "job RUNNABLE, 0 s", "job STARTING, 0 s", "job FAILED, 0 s", ""]


def test_an_alarms_state_is_shown(session, calls, shown):
    states = ("INSUFFICIENT_DATA", "ALARM")
    calls.answer("DescribeAlarms", *({"MetricAlarms": [{"StateValue": state}]} for state in states))
    monitoring.wait_for_alarm(session, "drill")
    assert texts(shown) == ["", "INSUFFICIENT_DATA, 0 s", "ALARM, 0 s", ""]
