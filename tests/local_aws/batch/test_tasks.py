"""A job is a task of ECS; who may stop tasks can take it away, the nearest AWS has to a Spot reclaim at will."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_aws.batch.execution.launcher import SPOT_INTERRUPTED

from .conftest import Account, wait

RULES = [{"onStatusReason": "Your Spot Task was interrupted*", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}]
ONCE = "test $AWS_BATCH_JOB_ATTEMPT = 2 || sleep 60"  # the first attempt would take a minute


@pytest.fixture(scope="module")
def spot(account: Account) -> str:
    return account.queue(account.environment(type="FARGATE_SPOT"))


def running(account: Account, queue: str, *command: str, **arguments: Any) -> tuple[str, dict[str, str]]:
    """A job that runs, and what StopTask must be told to stop it."""
    job_id = account.submit(queue, account.definition(*(command or ("sleep", "60"))), **arguments)
    task = account.job_is(job_id, "RUNNING")["container"]["taskArn"]
    return job_id, {"cluster": task.split("/")[1], "task": task}


def refused(client: Any, **arguments: Any) -> dict[str, str]:
    with pytest.raises(ClientError) as refusal:
        client.stop_task(**arguments)
    return refusal.value.response["Error"]


def test_a_stopped_task_is_a_failed_attempt_and_the_retry_strategy_decides(account: Account, spot: str) -> None:
    retry = {"attempts": 3, "evaluateOnExit": RULES}
    job_id, where = running(account, spot, "sh", "-c", ONCE, retryStrategy=retry)
    account.client("ecs").stop_task(**where, reason=SPOT_INTERRUPTED)
    job = account.job_is(job_id)
    assert job["status"] == "SUCCEEDED"
    first, second = job["attempts"]
    assert (first["statusReason"], first["container"]["exitCode"]) == ("Your Spot Task was interrupted.", 137)
    assert first["container"]["taskArn"] == where["task"] != second["container"]["taskArn"]


def test_the_reason_that_is_given_is_what_the_rules_see(account: Account, spot: str) -> None:
    job_id, where = running(account, spot, retryStrategy={"attempts": 3, "evaluateOnExit": RULES})
    account.client("ecs").stop_task(**where, reason="maintenance")
    job = account.job_is(job_id)
    assert (job["status"], job["statusReason"], len(job["attempts"])) == ("FAILED", "maintenance", 1)


def test_the_answer_describes_the_task(account: Account, queue: str) -> None:
    job_id, where = running(account, queue)
    cluster = next(
        environment["ecsClusterArn"]
        for environment in account.batch.describe_compute_environments()["computeEnvironments"]
        if environment["ecsClusterArn"].endswith("/" + where["cluster"])
    )
    # By the cluster's ARN and the task's id, as well as by name and ARN.
    task = account.client("ecs").stop_task(cluster=cluster, task=where["task"].rsplit("/", 1)[1])["task"]
    assert (task["taskArn"], task["clusterArn"]) == (where["task"], cluster)
    assert (task["desiredStatus"], task["stopCode"], task["launchType"]) == ("STOPPED", "UserInitiated", "FARGATE")
    assert account.job_is(job_id)["statusReason"] == task["stoppedReason"]


def test_a_program_that_ends_well_on_the_signal_has_succeeded(account: Account, spot: str) -> None:
    """Seen on AWS: an attempt that exits 0 is not retried, whatever ended it."""
    graceful = "trap 'exit 0' TERM; echo ready; while :; do sleep 0.1; done"
    job_id, where = running(account, spot, "sh", "-c", graceful, retryStrategy={"attempts": 3, "evaluateOnExit": RULES})
    wait(lambda: account.lines(account.job(job_id)))
    account.client("ecs").stop_task(**where, reason=SPOT_INTERRUPTED)
    assert account.job_is(job_id)["status"] == "SUCCEEDED"


def test_what_can_not_be_stopped_is_told(account: Account, queue: str) -> None:
    job_id, where = running(account, queue)
    client = account.client("ecs")
    assert refused(client, task=where["task"])["Code"] == "ClusterNotFoundException"  # of the cluster "default"
    assert refused(client, cluster="nowhere", task=where["task"])["Code"] == "ClusterNotFoundException"
    for task in ("0" * 32, where["task"][:-1] + "x", where["task"].replace(":task/", ":task/other-"), "a/b/c", ""):
        error = refused(client, cluster=where["cluster"], task=task)
        assert (error["Code"], "not found" in error["Message"]) == ("InvalidParameterException", True)
    client.stop_task(**where)
    account.job_is(job_id)
    assert refused(client, **where)["Code"] == "InvalidParameterException"


def test_who_may_stop_a_task(account: Account, queue: str) -> None:
    job_id, where = running(account, queue)

    def as_user(resource: str, **condition: Any) -> Any:
        iam, name = account.client("iam"), account.name("user")
        iam.create_user(UserName=name)
        statement = {"Effect": "Allow", "Action": "ecs:StopTask", "Resource": resource, **condition}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)
        return account.client("ecs", iam.create_access_key(UserName=name)["AccessKey"])

    cluster = where["task"].rsplit("/", 1)[0].replace(":task/", ":cluster/")
    other = {"Condition": {"ArnEquals": {"ecs:cluster": cluster + "x"}}}
    assert refused(as_user(where["task"] + "x"), **where)["Code"] == "AccessDeniedException"
    assert refused(as_user("*", **other), **where)["Code"] == "AccessDeniedException"
    # What isn't there is told only to those who may know.
    assert refused(as_user(where["task"]), cluster="nowhere", task="x")["Code"] == "AccessDeniedException"
    mine = {"Condition": {"ArnEquals": {"ecs:cluster": cluster}}}
    as_user(where["task"].rsplit("/", 1)[0] + "/*", **mine).stop_task(**where)
    assert account.job_is(job_id)["status"] == "FAILED"


def test_other_operations_of_ecs_are_refused_by_name(account: Account) -> None:
    with pytest.raises(ClientError, match="does not cover ecs:ListClusters"):
        account.client("ecs").list_clusters()
