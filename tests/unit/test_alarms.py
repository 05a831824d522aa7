"""What tells of trouble by itself: alarms and dashboard, which watch what exists and which cleanup deletes; the log."""

import dataclasses
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import botocore.exceptions
import pandas as pd
import pytest

from utils import cleanup, monitoring, queues

CHECK_JOBS = Path(__file__).parents[2] / "lambda_code" / "check_jobs"


def alarms(session, config):
    listed = session.client("cloudwatch").describe_alarms(AlarmNamePrefix=f"{config.prefix}-")["MetricAlarms"]
    return {alarm["AlarmName"]: alarm for alarm in listed}


def watched(alarm):
    dimensions = {dimension["Name"]: dimension["Value"] for dimension in alarm["Dimensions"]}
    return alarm["Namespace"], alarm["MetricName"], dimensions, alarm["ComparisonOperator"], alarm["Threshold"]


def test_dead_letters_old_messages_denied_answers_and_errors_set_an_alarm_off(session, config):
    names = monitoring.ensure_alarms(session, config, notify=["arn:aws:sns:us-east-1:000000000000:mail-me"])
    created = alarms(session, config)
    assert sorted(created) == sorted(names)
    above = "GreaterThanThreshold"
    dead, callbacks = {"QueueName": config.dead_letter_queue}, {"QueueName": config.callback_queue}
    submit, check = ({"FunctionName": name} for name in (config.submit_jobs_function, config.check_jobs_function))
    expected = [
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible", dead, above, 0),
        ("AWS/SQS", "ApproximateAgeOfOldestMessage", callbacks, above, 1800),
        ("sagemaker-batch", "DeniedAnswers", check, above, 0),
        ("AWS/Lambda", "Errors", submit, above, 0),
        ("AWS/Lambda", "Errors", check, above, 0),
    ]
    assert sorted(map(watched, created.values()), key=repr) == sorted(expected, key=repr)
    for alarm in created.values():
        assert alarm["TreatMissingData"] == "notBreaching"
        assert alarm["AlarmActions"] == ["arn:aws:sns:us-east-1:000000000000:mail-me"]
    # A notification names the log to read, and what a denied answer lacks.
    described = created[f"{config.check_jobs_function}-answers-denied"]["AlarmDescription"]
    statement = "AnswerCallbackSteps"
    assert f"{statement} of monitor_lambda.json" in described
    assert statement in (Path(monitoring.__file__).parents[1] / "policies/monitor_lambda.json").read_text()
    for function in (config.submit_jobs_function, config.check_jobs_function):
        assert f"/aws/lambda/{function}" in created[f"{function}-errors"]["AlarmDescription"]


def test_a_dead_letter_sets_off_its_alarm(session, config):
    queue = queues.ensure_queue(session, config.dead_letter_queue, tags=config.tags)
    monitoring.ensure_alarms(session, config)
    session.client("sqs").send_message(QueueUrl=queue, MessageBody="a drill")
    alarm = monitoring.wait_for_alarm(session, f"{config.dead_letter_queue}-not-empty", seconds=60)
    assert alarm["StateValue"] == "ALARM"
    assert "threshold" in alarm["StateReason"].lower()


def test_a_denied_answer_sets_off_its_alarm(session, config):
    name = f"{config.check_jobs_function}-answers-denied"
    monitoring.ensure_alarms(session, config)
    dimensions = [{"Name": "FunctionName", "Value": config.check_jobs_function}]
    counted = {"MetricName": "DeniedAnswers", "Value": 1, "Unit": "Count", "Dimensions": dimensions}
    session.client("cloudwatch").put_metric_data(Namespace="sagemaker-batch", MetricData=[counted])
    assert monitoring.wait_for_alarm(session, name, seconds=60)["StateValue"] == "ALARM"


def test_an_alarm_that_stays_quiet_is_reported_with_its_state(session, config):
    monitoring.ensure_alarms(session, config)
    with pytest.raises(TimeoutError, match=r"is not ALARM after 0 seconds, but (OK|INSUFFICIENT_DATA): "):
        monitoring.wait_for_alarm(session, f"{config.dead_letter_queue}-not-empty", seconds=0)
    with pytest.raises(LookupError, match='There is no alarm "missing"'):
        monitoring.wait_for_alarm(session, "missing", seconds=0)


def test_a_second_time_nothing_is_written(session, config, calls):
    for _ in range(2):
        calls.made.clear()
        monitoring.ensure_alarms(session, config)
        monitoring.ensure_dashboard(session, config)
    assert calls.writes == []


def test_what_was_changed_by_hand_is_put_right(session, config):
    monitoring.ensure_alarms(session, config)
    before = {name: watched(alarm) for name, alarm in alarms(session, config).items()}
    cloudwatch, name = session.client("cloudwatch"), f"{config.check_jobs_function}-errors"
    arn = config.arn("cloudwatch", f"alarm:{name}")
    cloudwatch.put_metric_alarm(
        AlarmName=name, Namespace="AWS/Lambda", MetricName="Errors", Statistic="Sum", Period=300, EvaluationPeriods=9,
        Threshold=99, ComparisonOperator="LessThanThreshold",
    )  # fmt: skip
    cloudwatch.untag_resource(ResourceARN=arn, TagKeys=list(config.tags))
    monitoring.ensure_alarms(session, config)
    assert {name: watched(alarm) for name, alarm in alarms(session, config).items()} == before
    tags = cloudwatch.list_tags_for_resource(ResourceARN=arn)["Tags"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == config.tags


def test_the_dashboard_draws_what_is_there_to_draw(session, config):
    name = monitoring.ensure_dashboard(session, config)
    assert monitoring.ensure_dashboard(session, config) == name
    body = json.loads(session.client("cloudwatch").get_dashboard(DashboardName=name)["DashboardBody"])
    lines = [line for widget in body["widgets"] for line in widget["properties"].get("metrics", [])]
    of = {namespace: [line for line in lines if line[0] == namespace] for namespace, *_ in lines}
    assert {line[3] for line in of["AWS/SQS"]} == {config.callback_queue, config.dead_letter_queue}
    assert {line[3] for line in of["AWS/Lambda"]} == {config.submit_jobs_function, config.check_jobs_function}
    # Metrics of our own: named as check_jobs counts them.
    source = "".join(path.read_text() for path in sorted(CHECK_JOBS.glob("*.py")))
    counted = set(re.findall(r'"(\w+)": (?:1\b|round)', source)) | {"StepsSucceeded", "StepsFailed"}
    assert {metric for _, metric, *_ in of["sagemaker-batch"]} <= counted
    assert {tuple(line[2:4]) for line in of["sagemaker-batch"]} == {("FunctionName", config.check_jobs_function)}
    assert 'os.environ.get("METRICS_NAMESPACE", "sagemaker-batch")' in source


def test_cleanup_deletes_them(session, config):
    names = monitoring.ensure_alarms(session, config)
    dashboard = monitoring.ensure_dashboard(session, config)
    expected = sorted([*(f"alarm {name}" for name in names), f"dashboard {dashboard}"])
    assert sorted(map(str, cleanup.find_all(session, config))) == expected
    assert sorted(cleanup.delete_all(session, config)) == expected
    assert cleanup.leftovers(session, config) == []
    assert alarms(session, config) == {}
    with pytest.raises(botocore.exceptions.ClientError, match="does not exist"):
        session.client("cloudwatch").get_dashboard(DashboardName=dashboard)


def test_cleanup_leaves_what_only_looks_alike(session, config):
    """Without our tag, without our mark, or of a prefix that begins alike."""
    cloudwatch = session.client("cloudwatch")
    other = dataclasses.replace(config, prefix=f"{config.prefix}-too")
    theirs = monitoring.ensure_alarms(session, other)
    monitoring.ensure_dashboard(session, other)
    cloudwatch.put_dashboard(DashboardName=config.dashboard, DashboardBody='{"widgets": []}')
    cloudwatch.put_metric_alarm(
        AlarmName=f"{config.prefix}-mine", Namespace="AWS/Lambda", MetricName="Errors", Statistic="Sum", Period=60,
        EvaluationPeriods=1, Threshold=1, ComparisonOperator="GreaterThanThreshold",
    )  # fmt: skip
    assert cleanup.delete_all(session, config) == []
    assert set(alarms(session, config)) == {*theirs, f"{config.prefix}-mine"}
    cleanup.delete_all(session, other)
    cloudwatch.delete_alarms(AlarmNames=[f"{config.prefix}-mine"])
    cloudwatch.delete_dashboards(DashboardNames=[config.dashboard])


def test_a_deletion_of_what_is_gone_already_is_no_error(session, config, calls):
    monitoring.ensure_dashboard(session, config)
    [dashboard] = cleanup.find_all(session, config)
    session.client("cloudwatch").delete_dashboards(DashboardNames=[config.dashboard])
    dashboard.delete()


def test_answers_are_those_of_one_execution_from_all_pages_of_the_log(session, config, calls):
    arn = config.arn("sagemaker", f"pipeline/{config.pipeline}/execution/abcdefghijkl")

    def page(*entries, **more):
        events = [{"message": json.dumps({"message": "step answered", **entry}) + "\n"} for entry in entries]
        return {"events": events, "searchedLogStreams": [], **more}

    pushed = {"execution": arn, "step": "One", "answer": "Success", "path": "push", "polls": 1, "AnswerLag": 0.4}
    stopped = {"execution": arn, "step": "Two", "answer": "Failure", "path": "poll", "polls": 7}
    another = {**pushed, "execution": f"{arn[:-1]}x"}
    calls.answer("FilterLogEvents", page(pushed, another, nextToken="more"), page(stopped))
    table = monitoring.answers(session, config, arn)
    assert table["step"].tolist() == ["One", "Two"]
    assert table["polls"].tolist() == [1, 7]
    assert table["lag"][0] == 0.4
    assert pd.isna(table["lag"][1])


def test_an_answer_that_is_not_in_the_log_yet_is_waited_for(session, config, calls):
    line = {
        "message": "step answered",
        "execution": "arn",
        "step": "S",
        "answer": "Failure",
        "path": "push",
        "polls": 1,
    }
    event = {"message": json.dumps(line)}
    calls.answer("FilterLogEvents", {"events": []}, {"events": [event]})
    assert monitoring.answers(session, config, "arn", expect=1)["answer"].tolist() == ["Failure"]
    calls.answer("FilterLogEvents", {"events": []})
    assert monitoring.answers(session, config, "arn", expect=1, seconds=0).empty


def test_no_answers_are_an_empty_table(session, config, calls):
    calls.answer("FilterLogEvents", {"events": [], "searchedLogStreams": []})
    assert monitoring.answers(session, config, "arn").columns.tolist() == ["step", "answer", "path", "polls", "lag"]


def test_the_dashboards_picture_has_the_values_of_each_graph(session, config):
    name = monitoring.ensure_dashboard(session, config)
    empty = monitoring.draw_dashboard(session, name)
    assert {axes.texts[0].get_text() for axes in empty.axes} == {"no values yet"}
    minute = datetime.now(UTC).replace(second=0, microsecond=0)
    dimensions = [{"Name": "FunctionName", "Value": config.check_jobs_function}]
    for ago, polls in ((3, 2), (2, 5), (90, 9)):
        at = {"Timestamp": minute - timedelta(minutes=ago), "Dimensions": dimensions}
        data = [{"MetricName": "Polls", "Value": value, **at} for value in (polls, 1)]
        session.client("cloudwatch").put_metric_data(Namespace="sagemaker-batch", MetricData=data)

    figure = monitoring.draw_dashboard(session, name)
    graphs = {axes.get_title("left"): axes for axes in figure.axes}
    body = json.loads(session.client("cloudwatch").get_dashboard(DashboardName=name)["DashboardBody"])
    assert list(graphs) == [widget["properties"]["title"] for widget in body["widgets"] if widget["type"] == "metric"]
    (line,) = graphs["Polls"].lines
    assert line.get_ydata().tolist() == [3, 6]  # sums of a minute, in the order of time, of the last hour
    assert not graphs["Polls"].texts and graphs["Errors"].texts
    figure.canvas.draw()
    labels = [label.get_text() for label in figure.axes[-1].get_xticklabels()]
    assert labels and len(set(labels)) == len(labels)  # two values in neighbouring minutes
    assert "Polls: polls at most 6." in figure.alt and "Errors: no values yet." in figure.alt


def test_the_dashboards_legends_cover_neither_lines_nor_titles(session, config, calls):
    name = monitoring.ensure_dashboard(session, config)
    minute = datetime.now(UTC).replace(second=0, microsecond=0)
    times = [minute - timedelta(minutes=ago) for ago in range(5)]
    ids = [f"graph{graph}_line{line}" for graph, lines in enumerate((3, 2, 2, 3, 1, 1)) for line in range(lines)]
    results = [{"Id": each, "Timestamps": times, "Values": [1.0, 0.0, 1.0, 1.0, 0.0]} for each in ids]
    calls.answer("GetMetricData", {"MetricDataResults": results})
    figure = monitoring.draw_dashboard(session, name)
    figure._repr_mimebundle_()  # draws it, as a notebook does
    with_legend = [axes for axes in figure.axes if axes.get_legend()]
    assert len(with_legend) == 4
    for axes in with_legend:
        (title,) = (each for each in axes.get_children() if getattr(each, "get_text", str)() == axes.get_title("left"))
        legend, graph, heading = (each.get_window_extent() for each in (axes.get_legend(), axes, title))
        assert graph.y1 <= legend.y0 and legend.y1 <= heading.y0
        assert graph.x0 <= legend.x0 and legend.x1 <= graph.x1
    times_shown = [each for each in figure.axes[-1].get_xticklabels() if each.get_visible()]
    assert 2 <= len(times_shown) <= 6
