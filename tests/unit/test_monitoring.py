from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from utils import monitoring

ARN = "arn:aws:sagemaker:us-east-1:000000000000:pipeline/sagemaker-x/execution/abcdefghijkl"
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def step(name, status="Succeeded", kind="Lambda", seconds=None, **fields):
    described = {"StepName": name, "StepStatus": status, "StartTime": BEGIN, "Metadata": {kind: {}}, **fields}
    if seconds is not None:
        described["EndTime"] = BEGIN + timedelta(seconds=seconds)
    return described


def job(
    number, *, step="Submit", ending="", definition="copy", created=0, started=1, stopped=3, status="SUCCEEDED",
    **container,
):  # fmt: skip
    """What DescribeJobs says of a job; times in seconds."""
    times = {"createdAt": created, "startedAt": started, "stoppedAt": stopped}
    return {
        "jobName": f"abcdefghijkl-{step}-{number:02d}{ending}",
        "jobId": f"{step}{number}{ending}",
        "jobDefinition": f"arn:aws:batch:us-east-1:000000000000:job-definition/sagemaker-x-{definition}:3",
        "status": status,
        "statusReason": "Essential container in task exited",
        "attempts": [{}] if started else [],
        "container": {"logStreamName": f"stream-{number}", "exitCode": 0, **container} if started else {},
        **{key: 1_767_225_600_000 + int(value * 1000) for key, value in times.items() if value is not None},
    }


def batch_has(calls, *jobs):
    calls.answer("ListJobs", {"jobSummaryList": [{"jobId": each["jobId"]} for each in jobs]})
    for first in range(0, len(jobs), 100):
        calls.answer("DescribeJobs", {"jobs": list(jobs[first : first + 100])})


def test_steps_are_a_table(session, calls):
    calls.answer(
        "ListPipelineExecutionSteps",
        {"PipelineExecutionSteps": [step("One", seconds=2.5)], "NextToken": "more"},
        {
            "PipelineExecutionSteps": [
                step("Two", "Failed", "Callback", 4, FailureReason="no"),
                step("Three", "Executing"),
            ]
        },
    )
    table = monitoring.steps(session, ARN)
    assert table["step"].tolist() == ["One", "Two", "Three"]
    assert table["type"].tolist() == ["Lambda", "Callback", "Lambda"]
    assert table["seconds"].tolist()[:2] == [2.5, 4.0]
    assert pd.isna(table["seconds"][2])
    assert table["failure"].tolist() == ["", "no", ""]


def test_a_steps_outputs_are_read_by_name(session, calls):
    outputs = [{"Name": "jobIds", "Value": "a b"}, {"Name": "n", "Value": "2"}]
    answer = {"PipelineExecutionSteps": [step("One"), step("Two")]}
    answer["PipelineExecutionSteps"][1]["Metadata"] = {"Lambda": {"Arn": "x", "OutputParameters": outputs}}
    calls.answer("ListPipelineExecutionSteps", answer, answer, answer)
    assert monitoring.step_outputs(session, ARN, "Two") == {"jobIds": "a b", "n": "2"}
    assert monitoring.step_outputs(session, ARN, "One") == {}
    with pytest.raises(LookupError, match='has no step "Three"'):
        monitoring.step_outputs(session, ARN, "Three")


def test_outputs_that_a_failure_prevented_are_missed_with_that_failures_reason(session, calls):
    failed = step("One", status="Failed") | {"FailureReason": "not authorized to invoke"}
    answer = {"PipelineExecutionSteps": [failed]}
    calls.answer("ListPipelineExecutionSteps", answer, answer)
    for name in ("One", "Two"):  # the step that failed, and one that was never reached
        with pytest.raises(LookupError, match=f'"{name}" has no outputs.*"One" failed: not authorized to invoke'):
            monitoring.step_outputs(session, ARN, name)


def test_jobs_are_a_table_in_the_order_of_their_steps_and_numbers(session, calls):
    batch_has(
        calls,
        job(2, step="Later", definition="aggregate", created=11, started=12, stopped=14),
        job(10, created=2),
        job(1, step="Later", definition="aggregate", created=10, started=12, stopped=14.5),
        job(9, created=1),
        job(11, created=3, started=None, stopped=None, status="RUNNABLE"),
    )
    table = monitoring.jobs(session, "q", ARN)
    assert table["job"].tolist() == ["Submit-09", "Submit-10", "Submit-11", "Later-01", "Later-02"]
    assert table["definition"].unique().tolist() == ["sagemaker-x-copy", "sagemaker-x-aggregate"]
    assert table["seconds"].tolist()[3:] == [2.5, 2.0]
    assert table["attempts"].tolist() == [1, 1, 0, 1, 1]
    waiting = table.loc[2]
    assert (waiting["status"], waiting["log_stream"]) == ("RUNNABLE", "")
    assert pd.isna(waiting["seconds"])
    assert pd.isna(waiting["exit_code"])


def test_a_job_that_a_retry_submitted_is_its_steps(session, calls):
    """In the table behind the job it replaces, in the chart's words with its step's jobs."""
    batch_has(
        calls,
        job(1, step="Later", created=10, started=12, stopped=14),
        job(2, ending="-try2", created=20, started=21, stopped=23),
        job(1),
        job(3),
        job(2, status="FAILED", exitCode=1),
    )
    table = monitoring.jobs(session, "q", ARN)
    assert table["job"].tolist() == ["Submit-01", "Submit-02", "Submit-02-try2", "Submit-03", "Later-01"]
    assert ": 4 of Submit ran from second 1 to 23" in monitoring.gantt(table).alt


def test_more_than_a_hundred_jobs_are_described_in_pieces(session, calls):
    many = [job(number) for number in range(1, 251)]
    batch_has(calls, *many)
    assert len(monitoring.jobs(session, "q", ARN)) == 250
    assert calls.made.count("DescribeJobs") == 3


def test_without_jobs_the_table_is_empty(session, calls):
    batch_has(calls)
    assert monitoring.jobs(session, "q", ARN).empty


def test_a_log_is_read_to_its_end(session, aws, config):
    logs = session.client("logs")
    group = config.job_log_group
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    now = int(datetime.now(UTC).timestamp() * 1000)
    lines = [f"line {number}" for number in range(2500)]
    for first in range(0, len(lines), 500):
        events = [{"timestamp": now, "message": line} for line in lines[first : first + 500]]
        logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=events)
    assert sorted(monitoring.job_log(session, group, "s")) == sorted(lines)


def test_a_failure_is_followed_down_to_the_log(session, calls):
    calls.answer("DescribePipelineExecution", {"PipelineExecutionStatus": "Failed"})
    calls.answer(
        "ListPipelineExecutionSteps",
        {"PipelineExecutionSteps": [step("One"), step("Wait", "Failed", "Callback", FailureReason="Job 7 failed")]},
    )
    batch_has(calls, job(6), job(7, status="FAILED", exitCode=3))
    events = [{"timestamp": 0, "message": f"line {n}", "ingestionTime": 0} for n in range(12)]
    calls.answer(
        "GetLogEvents", *[{"events": events, "nextForwardToken": "f"}, {"events": [], "nextForwardToken": "f"}]
    )
    why = monitoring.explain(session, ARN, "q", "group")
    assert (why["status"], why["step"], why["reason"]) == ("Failed", "Wait", "Job 7 failed")
    assert (why["job"], why["job_in_step"], why["exit_code"]) == ("abcdefghijkl-Submit-07", "Submit-07", 3)
    assert (why["log"], why["last_line"]) == ([f"line {n}" for n in range(2, 12)], "line 11")


def test_of_a_retry_that_failed_too_the_job_is_explained_that_the_step_names(session, calls):
    name = "abcdefghijkl-Submit-02-try2"
    waiting = step("Wait", "Failed", "Callback", FailureReason=f"Job {name} failed, exit code 4: no memory.")
    calls.answer("DescribePipelineExecution", {"PipelineExecutionStatus": "Failed"})
    calls.answer("ListPipelineExecutionSteps", {"PipelineExecutionSteps": [waiting]})
    failed = {"status": "FAILED", "logStreamName": ""}
    batch_has(calls, job(2, **failed, exitCode=3), job(2, ending="-try2", **failed, exitCode=4))
    why = monitoring.explain(session, ARN, "q", "group")
    assert (why["job"], why["exit_code"]) == (name, 4)


def test_a_job_that_failed_to_start_is_explained_without_a_log(session, calls, config):
    """It may name a log stream that was never created: https://github.com/nextstrain/cli/issues/405"""
    session.client("logs").create_log_group(logGroupName=config.job_log_group)
    calls.answer("DescribePipelineExecution", {"PipelineExecutionStatus": "Failed"})
    failed = step("Wait", "Failed", "Callback", FailureReason="Task failed to start")
    calls.answer("ListPipelineExecutionSteps", {"PipelineExecutionSteps": [failed]})
    reason = "DockerTimeoutError: Could not transition to created; timed out after waiting 4m0s"
    lost = job(7, status="FAILED", started=None, stopped=4)
    lost["container"] = {"logStreamName": "copy/default/0000", "reason": reason}
    batch_has(calls, lost)
    why = monitoring.explain(session, ARN, "q", config.job_log_group)
    assert (why["step"], why["reason"]) == ("Wait", "Task failed to start")
    assert (why["job"], why["exit_code"]) == ("abcdefghijkl-Submit-07", None)
    assert (why["log"], why["last_line"]) == ([], None)


def test_a_log_group_that_does_not_exist_is_named(session, config):
    with pytest.raises(LookupError) as error:
        monitoring.job_log(session, "/aws/batch/nosuch", "s")
    assert str(error.value) == (
        'There is no log group "/aws/batch/nosuch" in us-east-1. Check its name and the region.'
    )
    with pytest.raises(LookupError, match=f"{config.check_jobs_function}.*. Run notebook 03 first"):
        monitoring.answers(session, config, ARN)


def test_a_failure_without_a_job_and_a_success_are_explained_too(session, calls):
    calls.answer("DescribePipelineExecution", {"PipelineExecutionStatus": "Failed"})
    failed = step("Count", "Failed", FailureReason="There are no .json objects")
    calls.answer("ListPipelineExecutionSteps", {"PipelineExecutionSteps": [failed]})
    batch_has(calls)
    why = monitoring.explain(session, ARN, "q", "group")
    assert (why["step"], why["job"], why["log"]) == ("Count", None, None)

    calls.answer("DescribePipelineExecution", {"PipelineExecutionStatus": "Succeeded"})
    calls.answer("ListPipelineExecutionSteps", {"PipelineExecutionSteps": [step("Count")]})
    why = monitoring.explain(session, ARN, "q", "group")
    assert (why["status"], why["step"]) == ("Succeeded", None)


def test_the_gantt_chart_shows_each_ended_job_and_says_so_in_words(session, calls):
    batch_has(
        calls,
        job(1),
        job(2, created=1, started=3, stopped=9),
        job(3, created=2, started=None, stopped=None, status="RUNNABLE"),
    )
    figure = monitoring.gantt(monitoring.jobs(session, "q", ARN))
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Submit-01", "Submit-02"]
    ran = [bar for bar in axes.patches if bar.get_height() > 0.5]
    assert [(bar.get_x(), bar.get_width()) for bar in ran] == [(1, 2), (3, 6)]
    assert figure.alt == (
        "Gantt chart of 2 jobs over 9 seconds: "
        "2 of Submit ran from second 1 to 9, 1 at once at most, and none waited longer than 2 seconds."
    )


def test_the_gantt_charts_words_tell_of_each_step_in_order(session, calls):
    second = {"step": "Later", "definition": "aggregate"}
    batch_has(
        calls,
        job(1),
        job(2),
        job(1, **second, created=10, started=11, stopped=14),
        job(2, **second, created=10, started=13, stopped=15),
    )
    alt = monitoring.gantt(monitoring.jobs(session, "q", ARN)).alt
    assert "2 of Submit ran from second 1 to 3, 2 at once at most, and none waited longer than 1 seconds. Then" in alt
    assert alt.endswith(
        "2 of Later ran from second 11 to 15, 2 at once at most, and none waited longer than 3 seconds."
    )


def test_the_gantt_chart_draws_the_jobs_of_any_definition_each_in_its_color(session, calls):
    batch_has(calls, job(1, definition="their-resize"), job(2, definition="their-sum"))
    (axes,) = monitoring.gantt(monitoring.jobs(session, "q", ARN)).axes
    ran = [bar for bar in axes.patches if bar.get_height() > 0.5]
    assert len(ran) == 2
    assert len({bar.get_facecolor() for bar in ran}) == 2
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["waiting", "resize runs", "sum runs"]


def test_the_answer_is_a_picture_of_the_hours_that_have_one():
    hours = [
        {"hour": 5, "mean_arr_delay": -4.8},
        {"hour": 1, "mean_arr_delay": None},
        {"hour": 21, "mean_arr_delay": 18},
    ]
    figure = monitoring.delays({"by_hour": hours})
    assert sorted(bar.get_height() for bar in figure.axes[0].patches) == [-4.8, 18]
    assert "from -5 minutes at 5 o'clock to 18 minutes at 21 o'clock" in figure.alt
