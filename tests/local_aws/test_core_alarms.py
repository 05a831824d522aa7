"""The embedded CloudWatch measures queues, functions and log lines; the kit's alarms go off by it, and notify."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from utils.config import Config
from utils.monitoring.alarms import alarm_names, ensure_alarms
from utils.session import embedded_session

from .functions import configuration, name, refusal

FAILING = "def h(event, context):\n    raise RuntimeError('broken')\n"
EMBEDDED = """
import json, time
def h(event, context):
    metrics = [{"Name": "Polls", "Unit": "Count"}]
    directive = {"Namespace": "kit", "Dimensions": [["FunctionName"]], "Metrics": metrics}
    metadata = {"Timestamp": round(time.time() * 1000), "CloudWatchMetrics": [directive]}
    print(json.dumps({"_aws": metadata, "FunctionName": context.function_name, "Polls": 3}))
    print('{"_aws": "no metrics"}')
"""


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.2)
    return answer


@pytest.fixture
def config() -> Config:
    return Config(target="local", prefix=name("sagemaker-alarmed"), region="us-east-1", account="0" * 12)


@pytest.fixture
def notified(aws: Any, config: Config) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """The kit's alarms, which notify a topic; what its queue got, as alarms wrote it."""
    sqs, sns = aws.client("sqs"), aws.client("sns")
    topic = sns.create_topic(Name=name("topic"))["TopicArn"]
    url = sqs.create_queue(QueueName=name("told"))["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    send = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
    policy = {"Version": "2012-10-17", "Statement": [{**send, "Resource": arn}]}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    ensure_alarms(embedded_session(aws.endpoint_url), config, notify=[topic])
    messages: list[dict[str, Any]] = []

    def received() -> list[dict[str, Any]]:
        for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            messages.append(json.loads(json.loads(message["Body"])["Message"]))
        return [one for one in messages if one["NewStateValue"] == "ALARM"]

    yield received
    aws.client("cloudwatch").delete_alarms(AlarmNames=alarm_names(config))


def states(aws: Any, config: Config) -> dict[str, str]:
    """The alarms' states by what their names have beside the prefix."""
    alarms = aws.client("cloudwatch").describe_alarms(AlarmNames=alarm_names(config))["MetricAlarms"]
    return {alarm["AlarmName"]: alarm["StateValue"] for alarm in alarms}


def values(aws: Any, namespace: str, metric: str, statistic: str, **dimensions: str) -> list[float]:
    """GetMetricData's values, which are those of GetMetricStatistics."""
    cloudwatch, now = aws.client("cloudwatch"), dt.datetime.now(dt.UTC)
    span = {"StartTime": now - dt.timedelta(minutes=5), "EndTime": now + dt.timedelta(minutes=5)}
    pairs = [{"Name": key, "Value": value} for key, value in dimensions.items()]
    named = {"Namespace": namespace, "MetricName": metric, "Dimensions": pairs}
    query = {"Id": "m", "MetricStat": {"Metric": named, "Period": 60, "Stat": statistic}}
    for _ in range(2):  # a value may come between the two calls
        answer = cloudwatch.get_metric_data(MetricDataQueries=[query], **span)["MetricDataResults"][0]["Values"]
        points = cloudwatch.get_metric_statistics(**named, **span, Period=60, Statistics=[statistic])["Datapoints"]
        if sorted(point[statistic] for point in points) == sorted(answer):
            return answer
    raise AssertionError(f"{answer} is not what {points} say")


def test_a_dead_letter_sets_off_one_alarm_which_notifies(aws: Any, config: Config, notified: Any) -> None:
    until(lambda: set(states(aws, config).values()) == {"OK"})
    sqs = aws.client("sqs")
    other = sqs.create_queue(QueueName=name("other"))["QueueUrl"]
    sqs.send_message(QueueUrl=other, MessageBody="of another queue")
    dead = sqs.create_queue(QueueName=config.dead_letter_queue)["QueueUrl"]
    time.sleep(5)
    assert set(states(aws, config).values()) == {"OK"}
    sqs.send_message(QueueUrl=dead, MessageBody="x")
    alarm = f"{config.dead_letter_queue}-not-empty"
    told = until(notified)
    assert [one["AlarmName"] for one in told] == [alarm]
    assert told[0]["Trigger"]["MetricName"] == "ApproximateNumberOfMessagesVisible"
    assert "was greater than the threshold (0.0)" in told[0]["NewStateReason"]
    assert {key for key, state in states(aws, config).items() if state == "ALARM"} == {alarm}
    visible = values(
        aws, "AWS/SQS", "ApproximateNumberOfMessagesVisible", "Maximum", QueueName=config.dead_letter_queue
    )
    assert max(visible) == 1


def test_an_error_of_a_function_sets_off_its_alarm(aws: Any, config: Config, notified: Any) -> None:
    arguments = configuration(aws, FAILING, FunctionName=config.check_jobs_function)
    client = aws.client("lambda")
    client.create_function(**arguments)
    assert client.invoke(FunctionName=config.check_jobs_function)["FunctionError"]
    assert until(notified)[0]["AlarmName"] == f"{config.check_jobs_function}-errors"
    assert sum(values(aws, "AWS/Lambda", "Errors", "Sum", FunctionName=config.check_jobs_function)) == 1
    assert sum(values(aws, "AWS/Lambda", "Invocations", "Sum", FunctionName=config.check_jobs_function)) == 1


def test_a_function_that_a_mapping_calls_is_measured(aws: Any) -> None:
    own = configuration(aws, FAILING)
    aws.client("lambda").create_function(**own)
    url = aws.client("sqs").create_queue(QueueName=name("mapped"))["QueueUrl"]
    arn = aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    mapping = aws.client("lambda").create_event_source_mapping(EventSourceArn=arn, FunctionName=own["FunctionName"])
    aws.client("sqs").send_message(QueueUrl=url, MessageBody="x")
    until(lambda: values(aws, "AWS/Lambda", "Errors", "Sum", FunctionName=own["FunctionName"]))
    aws.client("lambda").delete_event_source_mapping(UUID=mapping["UUID"])


def test_a_log_line_in_the_embedded_metric_format_is_a_metric(aws: Any) -> None:
    own = configuration(aws, EMBEDDED)
    aws.client("lambda").create_function(**own)
    for _ in range(2):
        assert "FunctionError" not in aws.client("lambda").invoke(FunctionName=own["FunctionName"])
    until(lambda: sum(values(aws, "kit", "Polls", "Sum", FunctionName=own["FunctionName"])) == 6)


@pytest.mark.parametrize(("missing", "state"), [("breaching", "ALARM"), ("notBreaching", "OK")])
def test_missing_data_is_treated_as_the_alarm_says(aws: Any, missing: str, state: str) -> None:
    cloudwatch, own = aws.client("cloudwatch"), name("alarm")
    cloudwatch.put_metric_alarm(
        AlarmName=own, Namespace="n", MetricName="m", Statistic="Sum", Period=60, EvaluationPeriods=2, Threshold=1,
        ComparisonOperator="GreaterThanThreshold", TreatMissingData=missing,
    )  # fmt: skip
    until(lambda: cloudwatch.describe_alarms(AlarmNames=[own])["MetricAlarms"][0]["StateValue"] == state)
    cloudwatch.delete_alarms(AlarmNames=[own])


def test_a_subscription_that_nothing_delivers_to_is_refused(aws: Any) -> None:
    topic = aws.client("sns").create_topic(Name=name("topic"))["TopicArn"]
    for protocol, endpoint in (("email", "a@example.com"), ("http", "http://169.254.169.254/")):
        code, message = refusal(aws.client("sns").subscribe, TopicArn=topic, Protocol=protocol, Endpoint=endpoint)
        assert (code, f"not by {protocol}" in message) == ("InvalidParameter", True)


def test_an_operation_of_sns_that_is_not_covered_is_named(aws: Any) -> None:
    code, message = refusal(aws.client("sns").list_platform_applications)
    assert (code, "does not cover sns:ListPlatformApplications" in message) == ("NotImplementedException", True)
