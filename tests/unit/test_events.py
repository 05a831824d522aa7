import json

import pytest

from utils import events, iam, lambdas


def test_a_rule_calls_the_function_and_may_be_made_again(session, config):
    role = iam.ensure_roles(session, config)["monitor_lambda"]
    function = lambdas.ensure_function(
        session,
        config.check_jobs_function,
        code=lambdas.package("check_jobs"),
        role=role,
        timeout_seconds=60,
        tags=config.tags,
    )
    name = f"{config.prefix}-job-ended"
    pattern = events.job_ended(config.arn("batch", f"job-queue/{config.job_queue}"))
    for _ in range(2):
        arn = events.ensure_rule(session, name, pattern, function=function, tags=config.tags)
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


def test_a_target_that_is_refused_is_an_error(session, config, calls):
    role = iam.ensure_roles(session, config)["monitor_lambda"]
    function = lambdas.ensure_function(
        session,
        config.check_jobs_function,
        code=lambdas.package("check_jobs"),
        role=role,
        timeout_seconds=60,
        tags=config.tags,
    )
    refused = {"FailedEntryCount": 1, "FailedEntries": [{"TargetId": "function", "ErrorMessage": "not now"}]}
    calls.answer("PutTargets", refused)
    with pytest.raises(RuntimeError, match="could not be given its function: not now"):
        events.ensure_rule(session, f"{config.prefix}-r", events.execution_stopped("p"), function=function, tags={})


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
