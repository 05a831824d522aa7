import pandas as pd
import pytest

from utils import monitoring


def described(*states):
    return {"jobs": [{"jobId": str(number), "status": state} for number, state in enumerate(states)]}


@pytest.fixture
def seen(monkeypatch):
    """The tables that a display was given, each as text."""
    shown = []

    class View:
        def update(self, data, **_):
            shown.append(data["text/plain"])

    monkeypatch.setattr("IPython.display.display", lambda *_, **__: View())
    return shown


def test_a_jobs_states_are_shown_as_they_pass_each_once(session, calls, seen):
    states = ("SUBMITTED", "RUNNABLE", "RUNNABLE", "RUNNING", "SUCCEEDED")
    calls.answer("DescribeJobs", *(described(state) for state in states))
    job = monitoring.watch_job(session, "0", every=0.001)
    assert job["status"] == "SUCCEEDED"
    assert [line.split()[-1] for line in seen[-1].splitlines()[1:]] == ["SUBMITTED", "RUNNABLE", "RUNNING", "SUCCEEDED"]


def test_a_job_that_does_not_end_is_named(session, calls, seen):
    calls.answer("DescribeJobs", *[described("RUNNABLE")] * 100)
    with pytest.raises(TimeoutError, match=r"Job 0 is still RUNNABLE after 0 seconds. Watch it again"):
        monitoring.watch_job(session, "0", every=0.001, seconds=0.01)


def counts(waiting, hidden):
    names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
    return {"Attributes": dict(zip(names, (str(waiting), str(hidden)), strict=True))}


def test_a_loop_is_shown_turn_by_turn_until_its_step_is_answered_and_its_message_gone(session, calls, seen):
    turns = [
        (counts(1, 0), described("RUNNING", "RUNNING"), "Executing"),
        (counts(0, 1), described("RUNNING", "SUCCEEDED"), "Executing"),
        (counts(0, 1), described("RUNNING", "SUCCEEDED"), "Executing"),
        (counts(0, 1), described("SUCCEEDED", "SUCCEEDED"), "Succeeded"),
        (counts(0, 0), described("SUCCEEDED", "SUCCEEDED"), "Succeeded"),
    ]
    for messages, jobs, step in turns:
        calls.answer("GetQueueAttributes", messages)
        calls.answer("DescribeJobs", jobs)
        calls.answer("ListPipelineExecutionSteps", {"PipelineExecutionSteps": [{"StepName": "W", "StepStatus": step}]})
    url = "https://sqs.us-east-1.amazonaws.com/000000000000/callbacks"
    loop = monitoring.watch_loop(session, url, "arn", "0 1", every=0.001)
    assert isinstance(loop, pd.DataFrame)
    assert loop[["message", "jobs", "step"]].to_numpy().tolist() == [
        ["visible", "0 of 2 succeeded", "Executing"],
        ["hidden", "1 of 2 succeeded", "Executing"],
        ["hidden", "2 of 2 succeeded", "Succeeded"],
        ["none", "2 of 2 succeeded", "Succeeded"],
    ]
    assert len(seen) == len(loop)


def test_a_step_that_has_ended_is_not_watched_for_ever_because_of_other_messages(session, calls, seen, monkeypatch):
    monkeypatch.setattr("utils.monitoring.loop.SECONDS_AFTER_THE_END", 0.01)
    for _ in range(200):
        calls.answer("GetQueueAttributes", counts(0, 9))
        calls.answer("DescribeJobs", described("SUCCEEDED"))
        calls.answer(
            "ListPipelineExecutionSteps", {"PipelineExecutionSteps": [{"StepName": "W", "StepStatus": "Failed"}]}
        )
    url = "https://sqs.us-east-1.amazonaws.com/000000000000/callbacks"
    loop = monitoring.watch_loop(session, url, "arn", "0", every=0.001, seconds=30)
    assert loop["step"].tolist() == ["Failed"]


@pytest.mark.parametrize(("messages", "step"), [(counts(0, 1), "Executing"), (counts(0, 0), "Starting")])
def test_a_step_counts_as_lost_only_while_it_waits_without_a_message(session, calls, seen, messages, step):
    turns = [(messages, step)] * 50 + [(counts(0, 0), "Executing")] * 50
    for counted, status in turns:
        calls.answer("GetQueueAttributes", counted)
        calls.answer("DescribeJobs", described("RUNNABLE"))
        calls.answer(
            "ListPipelineExecutionSteps", {"PipelineExecutionSteps": [{"StepName": "W", "StepStatus": status}]}
        )
    url = "https://sqs.us-east-1.amazonaws.com/000000000000/callbacks"
    loop = monitoring.watch_loop(session, url, "arn", "0", every=0.001, lost_after=0.01)
    assert loop[["message", "step"]].to_numpy().tolist()[-1] == ["none", "Executing"]
    assert len(loop) == 2
