"""Alarms on what you would not notice otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import boto3

from ..config import Config
from ..support.live_line import live_line
from ..support.waiting import wait

METRICS_NAMESPACE = "sagemaker-batch"  # where check_jobs counts, unless its METRICS_NAMESPACE says otherwise
OLDEST_MESSAGE_SECONDS = 1800


def _alarms(config: Config) -> dict[str, tuple[str, str, dict[str, str], str, int, str]]:
    """Each alarm's namespace, metric, dimensions, statistic, the number above which it goes off, and its description.

    They are listed by the alarms' names. A notification holds the description.
    """
    dead, callbacks = {"QueueName": config.dead_letter_queue}, {"QueueName": config.callback_queue}
    check_log, check = config.lambda_log_group(config.check_jobs_function), config.check_jobs_function
    alarms = {
        f"{config.dead_letter_queue}-not-empty": (
            "AWS/SQS", "ApproximateNumberOfMessagesVisible", dead, "Maximum", 0,
            f"A message that {check} could not handle is in {config.dead_letter_queue}. The log {check_log} says why.",
        ),
        # SQS leaves a message out of this metric after its third delivery, which a waiting step's message has had by
        # then. So what is this old has not been polled: the mapping is off, or the function is throttled.
        f"{config.callback_queue}-not-polled": (
            "AWS/SQS", "ApproximateAgeOfOldestMessage", callbacks, "Maximum", OLDEST_MESSAGE_SECONDS,
            f"A message in {config.callback_queue} has waited for {OLDEST_MESSAGE_SECONDS // 60} minutes. Enable the "
            f"event source mapping of {check}, or raise its concurrency.",
        ),
        f"{check}-answers-denied": (
            METRICS_NAMESPACE, "DeniedAnswers", {"FunctionName": check}, "Sum", 0,
            f"{check} may not answer a pipeline, so a step waits. The log {check_log} names the pipeline. Allow it in "
            "the statement AnswerCallbackSteps of monitor_lambda.json.",
        ),
    }  # fmt: skip
    for function in (config.submit_jobs_function, check):
        why = f"{function} raised an error or timed out. The log {config.lambda_log_group(function)} says why."
        alarms[f"{function}-errors"] = ("AWS/Lambda", "Errors", {"FunctionName": function}, "Sum", 0, why)
    return alarms


def alarm_settings(config: Config) -> dict[str, dict[str, Any]]:
    """The parameters of PutMetricAlarm for each alarm, by its name, without the actions."""
    return {
        name: {
            "AlarmDescription": description,
            "Namespace": namespace,
            "MetricName": metric,
            "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
            "Statistic": statistic,
            "ComparisonOperator": "GreaterThanThreshold",
            "Threshold": threshold,
            "Period": 60,
            "EvaluationPeriods": 1,
            "TreatMissingData": "notBreaching",  # a queue or function without traffic measures nothing
        }
        for name, (namespace, metric, dimensions, statistic, threshold, description) in _alarms(config).items()
    }


def alarm_names(config: Config) -> list[str]:
    """The alarms of a kit, as `ensure_alarms` makes them."""
    return list(_alarms(config))


def ensure_alarms(session: boto3.Session, config: Config, *, notify: Sequence[str] = ()) -> list[str]:
    """Alarms for problems that would go unnoticed, created or brought up to date.

    Args:
        notify: ARNs to notify when an alarm goes off, such as an SNS topic that mails you.

    Returns:
        The alarms' names.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
    """
    alarms = alarm_settings(config)
    cloudwatch = session.client("cloudwatch")
    existing = {
        alarm["AlarmName"]: alarm for alarm in cloudwatch.describe_alarms(AlarmNames=list(alarms))["MetricAlarms"]
    }
    tags = [{"Key": key, "Value": value} for key, value in config.tags.items()]
    for name, settings in alarms.items():
        wanted = {**settings, "AlarmActions": list(notify)}
        there = existing.get(name, {})
        if any(there.get(key) != value for key, value in wanted.items()):
            cloudwatch.put_metric_alarm(AlarmName=name, **wanted, Tags=tags)
        # PutMetricAlarm takes tags for a new alarm only.
        arn = config.arn("cloudwatch", f"alarm:{name}")
        if there and not all(tag in cloudwatch.list_tags_for_resource(ResourceARN=arn)["Tags"] for tag in tags):
            cloudwatch.tag_resource(ResourceARN=arn, Tags=tags)
    return list(alarms)


def wait_for_alarm(session: boto3.Session, name: str, *, state: str = "ALARM", seconds: float = 900) -> dict[str, Any]:
    """Wait until CloudWatch has put an alarm into a state. A line shows its state, and the seconds.

    AWS measures a queue once a minute and evaluates the alarm after that, so it takes a few minutes.

    Args:
        name: the alarm's name.
        state: OK, ALARM or INSUFFICIENT_DATA. Default: ALARM.
        seconds: how long to wait. Default: 15 minutes.

    Returns:
        The alarm, with StateValue and StateReason.

    Raises:
        LookupError: there is no alarm of this name.
        TimeoutError: the alarm is not in this state within `seconds`.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html
    """
    cloudwatch = session.client("cloudwatch")

    with live_line() as show:

        def described() -> dict[str, Any]:
            alarms = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
            if not alarms:
                raise LookupError(f'There is no alarm "{name}". Create it with ensure_alarms.')
            show(alarms[0]["StateValue"])
            return alarms[0]

        return wait(
            described,
            until=lambda alarm: alarm["StateValue"] == state,
            seconds=seconds,
            longest_pause=2,
            otherwise=lambda alarm: (
                f'The alarm "{name}" is not {state} after {seconds:.0f} seconds, but {alarm["StateValue"]}: '
                f"{alarm.get('StateReason', 'CloudWatch gives no reason')}"
            ),
        )
