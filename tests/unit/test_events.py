import json

import pytest
from botocore.exceptions import ClientError

from utils import events, iam, lambdas, queues


def a_function(session, config):
    return lambdas.ensure_function(
        session,
        config.check_jobs_function,
        code=lambdas.package("check_jobs"),
        role=iam.ensure_roles(session, config)["monitor_lambda"],
        timeout_seconds=60,
        tags=config.tags,
    )


def test_the_end_of_a_job_calls_the_function(session, config):
    function = a_function(session, config)
    name = f"{config.prefix}-job-ended"
    pattern = events.job_ended(config.arn("batch", f"job-queue/{config.job_queue}"))
    for _ in range(2):
        arn = events.ensure_push_rule(session, config, function=function)
    bus = session.client("events")
    assert json.loads(bus.describe_rule(Name=name)["EventPattern"]) == pattern
    assert [target["Arn"] for target in bus.list_targets_by_rule(Rule=name)["Targets"]] == [function]
    assert bus.list_tags_for_resource(ResourceARN=arn)["Tags"] == [
        {"Key": k, "Value": v} for k, v in config.tags.items()
    ]
    policy = json.loads(session.client("lambda").get_policy(FunctionName=config.check_jobs_function)["Policy"])
    (statement,) = policy["Statement"]
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert arn in json.dumps(statement["Condition"]), "no other rule may call it"


@pytest.fixture
def callbacks(session, config):
    return queues.ensure_queue(session, config.callback_queue, tags=config.tags)


def test_the_end_of_a_stopped_execution_is_put_into_the_callback_queue(session, config, callbacks, calls):
    arn = events.ensure_stop_rule(session, config, queue_url=callbacks)
    (target,) = session.client("events").list_targets_by_rule(Rule=arn.rsplit("/", 1)[1])["Targets"]
    assert target["Arn"] == queues.queue_arn(session, callbacks)
    calls.made.clear()
    assert events.ensure_stop_rule(session, config, queue_url=callbacks) == arn
    assert calls.writes == [], "nothing has changed"


def test_the_statement_of_an_earlier_version_is_replaced(session, config, callbacks):
    events.ensure_stop_rule(session, config, queue_url=callbacks)
    sqs = session.client("sqs")
    text = sqs.get_queue_attributes(QueueUrl=callbacks, AttributeNames=["Policy"])["Attributes"]["Policy"]
    policy = json.loads(text)
    earlier = {"Policy": text.replace("AllowRuleToSend", "LetTheRuleSend")}
    sqs.set_queue_attributes(QueueUrl=callbacks, Attributes=earlier)
    events.ensure_stop_rule(session, config, queue_url=callbacks)
    attributes = sqs.get_queue_attributes(QueueUrl=callbacks, AttributeNames=["Policy"])["Attributes"]
    assert json.loads(attributes["Policy"]) == policy


def test_a_rule_that_was_changed_or_disabled_is_put_right(session, config, callbacks):
    bus, (name, _) = session.client("events"), events.rule_names(config)
    events.ensure_stop_rule(session, config, queue_url=callbacks)
    bus.disable_rule(Name=name)
    bus.remove_targets(Rule=name, Ids=["check-jobs"])
    theirs = {"Sid": "Theirs", "Effect": "Deny", "Principal": "*", "Action": "sqs:PurgeQueue", "Resource": "*"}
    policy = {"Policy": json.dumps({"Version": "2012-10-17", "Statement": [theirs]})}
    session.client("sqs").set_queue_attributes(QueueUrl=callbacks, Attributes=policy)
    events.ensure_stop_rule(session, config, queue_url=callbacks)
    assert bus.describe_rule(Name=name)["State"] == "ENABLED"
    assert len(bus.list_targets_by_rule(Rule=name)["Targets"]) == 1
    policy = session.client("sqs").get_queue_attributes(QueueUrl=callbacks, AttributeNames=["Policy"])["Attributes"]
    kept, statement = json.loads(policy["Policy"])["Statement"]
    assert kept == theirs, "what else the policy says stays"
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": config.arn("events", f"rule/{name}")}}


def test_a_rule_is_paused_until_it_is_ensured_again(session, config, callbacks, calls):
    bus, (name, _) = session.client("events"), events.rule_names(config)
    events.pause_stop_rule(session, config)
    assert calls.writes == [], "there is no rule yet"
    events.ensure_stop_rule(session, config, queue_url=callbacks)
    had = bus.describe_rule(Name=name)
    events.pause_stop_rule(session, config)
    paused = bus.describe_rule(Name=name)
    assert (paused["State"], paused["EventPattern"]) == ("DISABLED", had["EventPattern"])
    assert len(bus.list_targets_by_rule(Rule=name)["Targets"]) == 1
    events.ensure_stop_rule(session, config, queue_url=callbacks)
    assert bus.describe_rule(Name=name)["State"] == "ENABLED"


def test_somebody_elses_rule_is_not_paused(session, config):
    bus, (name, _) = session.client("events"), events.rule_names(config)
    bus.put_rule(Name=name, EventPattern='{"source": ["theirs"]}')
    events.pause_stop_rule(session, config)
    assert bus.describe_rule(Name=name)["State"] == "ENABLED"


@pytest.mark.parametrize(
    ("status", "pipeline", "told"),
    [
        ("Stopped", "", True),
        ("Failed", "", True),  # perhaps while it was being stopped: the function looks
        ("Succeeded", "", False),
        ("Stopping", "", False),
        ("Stopped", "sagemaker-other-flights", False),
    ],
)
def test_only_ends_of_executions_of_the_prefix_are_told(session, config, status, pipeline, told):
    event = {
        "id": "1",
        "source": "aws.sagemaker",
        "detail-type": "SageMaker Model Building Pipeline Execution Status Change",
        "account": config.account,
        "time": "2026-01-01T00:00:00Z",
        "region": config.region,
        "resources": [],
        "detail": {
            "currentPipelineExecutionStatus": status,
            "pipelineExecutionArn": config.arn("sagemaker", f"pipeline/{pipeline or config.pipeline}/execution/a1b2c3"),
        },
    }
    pattern = events.execution_ended(config.arn("sagemaker", f"pipeline/{config.prefix}-"))
    answer = session.client("events").test_event_pattern(EventPattern=json.dumps(pattern), Event=json.dumps(event))
    assert answer["Result"] is told


def test_a_rule_has_its_tags_from_its_first_moment_and_keeps_them(session, config, calls):
    """Killed after PutRule it must not be there untagged: nobody would find it."""
    name, tags = f"{config.prefix}-r", [{"Key": k, "Value": v} for k, v in config.tags.items()]
    queue = config.arn("sqs", "q")
    calls.refuse("PutTargets", "InternalException", "killed here")
    with pytest.raises(ClientError, match="killed here"):
        events.ensure_rule(session, name, events.job_ended("q"), target=queue, tags=config.tags)
    arn = config.arn("events", f"rule/{name}")
    assert session.client("events").list_tags_for_resource(ResourceARN=arn)["Tags"] == tags
    assert "TagResource" not in calls.made
    given = []
    session.events.register("provide-client-params.events.PutRule", lambda params, **_: given.append(params))
    events.ensure_rule(session, name, events.job_ended("changed"), target=queue, tags=config.tags)
    assert "Tags" not in given[0], "of a rule that is there AWS ignores them"
    assert session.client("events").list_tags_for_resource(ResourceARN=arn)["Tags"] == tags


def test_somebody_elses_rule_is_refused(session, config, calls):
    name, bus = f"{config.prefix}-job-ended", session.client("events")
    bus.put_rule(Name=name, EventPattern='{"source": ["theirs"]}')
    calls.made.clear()
    with pytest.raises(
        iam.NameConflict, match=f'The event rule "{name}" exists and is not this kit\'s, since it lacks our'
    ):
        events.ensure_rule(session, name, events.job_ended("q"), target="f", tags=config.tags)
    assert calls.writes == []


def test_a_target_that_is_refused_is_an_error(session, config, calls):
    refused = {"FailedEntryCount": 1, "FailedEntries": [{"TargetId": "check-jobs", "ErrorMessage": "not now"}]}
    calls.answer("PutTargets", refused)
    with pytest.raises(RuntimeError, match=r"could not be given its target .+: not now"):
        events.ensure_rule(session, f"{config.prefix}-r", events.execution_ended("p"), target="f", tags={})


@pytest.mark.parametrize(
    ("detail", "wakes"),
    [
        ({"status": "SUCCEEDED", "jobQueue": "q"}, True),
        ({"status": "FAILED", "jobQueue": "q", "arrayProperties": {"size": 3}}, True),
        ({"status": "RUNNING", "jobQueue": "q"}, False),
        ({"status": "SUCCEEDED", "jobQueue": "other"}, False),
        ({"status": "SUCCEEDED", "jobQueue": "q", "arrayProperties": {"index": 2}}, False),
    ],
)
def test_only_ends_of_this_queues_jobs_wake_the_function(session, detail, wakes):
    event = {
        "id": "1",
        "source": "aws.batch",
        "detail-type": "Batch Job State Change",
        "account": "000000000000",
        "time": "2013-01-01T00:00:00Z",
        "region": "us-east-1",
        "resources": [],
        "detail": detail,
    }
    answer = session.client("events").test_event_pattern(
        EventPattern=json.dumps(events.job_ended("q")), Event=json.dumps(event)
    )
    assert answer["Result"] is wakes
