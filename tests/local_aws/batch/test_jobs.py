"""Jobs that really run: what they see, what becomes of them, what is told of them."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from .conftest import LOGS, Account, refusal, wait


def test_the_aws_cli_image_runs_the_cli_with_the_job_roles_credentials(account: Account, queue: str) -> None:
    role = account.role({"Effect": "Allow", "Action": "s3:*", "Resource": "*"})
    s3, bucket = account.client("s3"), account.name("bucket")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="in", Body=b"flights")
    definition = account.definition(
        "s3", "cp", "Ref::from", "Ref::to", parameters={"to": f"s3://{bucket}/nowhere"},
        container={"image": "public.ecr.aws/aws-cli/aws-cli", "jobRoleArn": role},
    )  # fmt: skip
    parameters = {"from": f"s3://{bucket}/in", "to": f"s3://{bucket}/out"}
    job = account.job_is(account.submit(queue, definition, parameters=parameters))
    assert job["status"] == "SUCCEEDED", account.lines(job)
    assert s3.get_object(Bucket=bucket, Key="out")["Body"].read() == b"flights"
    assert job["container"]["command"] == ["s3", "cp", parameters["from"], parameters["to"]]


def test_a_job_is_its_role_and_nothing_more(account: Account, queue: str) -> None:
    script = (
        "import boto3\nprint(boto3.client('sts').get_caller_identity()['Arn'], flush=True)\n"
        "boto3.client('s3').list_buckets()\n"
    )
    role = account.role()
    job = account.run(queue, "python", "-c", script, container={"jobRoleArn": role})
    lines = account.lines(job)
    assert lines[0].startswith(role.replace(":iam:", ":sts:").replace(":role/", ":assumed-role/"))
    assert (job["status"], "AccessDenied" in lines[-1]) == ("FAILED", True)


def test_a_job_without_a_role_has_no_credentials(account: Account, queue: str) -> None:
    job = account.run(queue, "python", "-c", "import boto3; boto3.client('sts').get_caller_identity()")
    assert "NoCredentialsError" in account.lines(job)[-1]


def test_a_jobs_environment(account: Account, queue: str, aws: Any) -> None:
    container = {"environment": [{"name": "MINE", "value": "definition"}, {"name": "KEPT", "value": "yes"}]}
    overrides = {"environment": [{"name": "MINE", "value": "override"}]}
    script = "import os, json; print(json.dumps(dict(os.environ))); print(os.getcwd())"
    job = account.run(queue, "python", "-c", script, container=container, containerOverrides=overrides)
    text, directory = account.lines(job)
    seen = json.loads(text)
    assert (seen["MINE"], seen["KEPT"]) == ("override", "yes")
    assert seen["AWS_BATCH_JOB_ID"] == job["jobId"]
    assert (seen["AWS_BATCH_JOB_ATTEMPT"], seen["AWS_BATCH_JQ_NAME"]) == ("1", queue)
    assert seen["AWS_BATCH_CE_NAME"].startswith("ce-test-")
    assert (seen["AWS_REGION"], seen["AWS_ENDPOINT_URL"]) == ("us-east-1", aws.endpoint_url)
    assert seen["HOME"] == directory
    allowed = {"PATH", "LANG", "LC_CTYPE", "HOME", "TMPDIR", "MINE", "KEPT", "LOCAL_AWS_ATTEMPT"}
    assert {name for name in seen if not name.startswith("AWS_")} <= allowed
    assert not any("SECRET" in name or "ACCESS_KEY" in name for name in seen)
    assert not Path(directory).exists()


def test_credentials_are_for_the_jobs_own_token(aws: Any) -> None:
    for token in ("", "guess"):
        request = urllib.request.Request(f"{aws.endpoint_url}/_local_aws/credentials", headers={"Authorization": token})
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request)
        assert caught.value.code == 403


def test_a_job_that_succeeds_in_full(account: Account, queue: str) -> None:
    job_id = account.submit(queue, account.definition("sh", "-c", "echo one; echo two >&2"), tags={"a": "b"})
    job = account.job_is(job_id)
    assert (job["status"], job["statusReason"]) == ("SUCCEEDED", "Essential container in task exited")
    assert job["createdAt"] <= job["startedAt"] <= job["stoppedAt"]
    assert job["tags"] == {"a": "b"}
    assert not {"isCancelled", "isTerminated"} & set(job)  # shown only when they are true
    assert job["jobArn"] == f"arn:aws:batch:us-east-1:000000000000:job/{job_id}"
    container, [attempt] = job["container"], job["attempts"]
    assert (container["exitCode"], attempt["container"]["exitCode"]) == (0, 0)
    name = job["jobDefinition"].rsplit("/", 1)[1].partition(":")[0]
    assert container["logStreamName"] == f"{name}/default/{container['taskArn'].rsplit('/', 1)[1]}"
    assert account.lines(job) == ["one", "two"]


def test_lines_are_in_the_log_while_the_job_runs(account: Account, queue: str) -> None:
    job_id = account.submit(queue, account.definition("sh", "-c", "echo first; sleep 60"))
    account.job_is(job_id, "RUNNING")
    wait(lambda: account.lines(account.job(job_id)) == ["first"])
    account.batch.terminate_job(jobId=job_id, reason="seen")
    assert account.job_is(job_id)["statusReason"] == "seen"


def test_attempts_have_numbers_and_streams_of_their_own(account: Account, queue: str) -> None:
    script = "echo $AWS_BATCH_JOB_ATTEMPT; test $AWS_BATCH_JOB_ATTEMPT = 3"
    job = account.run(queue, "sh", "-c", script, retryStrategy={"attempts": 5})
    assert job["status"] == "SUCCEEDED"
    assert [attempt["container"]["exitCode"] for attempt in job["attempts"]] == [1, 1, 0]
    streams = [attempt["container"]["logStreamName"] for attempt in job["attempts"]]
    assert len(set(streams)) == 3
    assert account.lines(job) == ["3"]


def test_overrides_of_command_and_resources(account: Account, queue: str) -> None:
    overrides = {
        "command": ["sh", "-c", "echo overridden"],
        "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "2048"}],
    }
    job = account.run(queue, "false", containerOverrides=overrides)
    assert account.lines(job) == ["overridden"]
    wanted = {entry["type"]: entry["value"] for entry in job["container"]["resourceRequirements"]}
    assert wanted == {"VCPU": "1", "MEMORY": "2048"}


def test_an_image_that_can_not_be_run(account: Account, queue: str) -> None:
    job = account.run(queue, container={"image": "example.com/no-such/image:1"})
    assert (job["status"], job["statusReason"]) == ("FAILED", "Task failed to start")
    assert job["container"]["reason"].startswith("CannotPullContainerError")
    assert "exitCode" not in job["container"]
    assert "logStreamName" not in job["container"]


def test_more_tags_than_can_be_propagated(account: Account, queue: str) -> None:
    definition = account.definition(tags={f"d{index}": "x" for index in range(30)}, propagateTags=True)
    tags = {f"j{index}": "x" for index in range(30)}
    job = account.job_is(account.submit(queue, definition, tags=tags))
    assert (job["status"], "more than 50 tags" in job["container"]["reason"]) == ("FAILED", True)
    assert account.job_is(account.submit(queue, definition, tags=tags, propagateTags=False))["status"] == "SUCCEEDED"


def test_a_command_that_is_not_in_the_image(account: Account, queue: str) -> None:
    job = account.run(queue, "no-such-command")
    assert (job["status"], job["container"]["exitCode"]) == ("FAILED", 127)
    assert job["container"]["reason"].startswith("CannotStartContainerError")


@pytest.mark.parametrize("which", ["jobRoleArn", "executionRoleArn"])
def test_a_role_that_does_not_trust_ecs_tasks(account: Account, queue: str, which: str) -> None:
    role = account.role(LOGS, service="lambda.amazonaws.com")
    job = account.run(queue, container={which: role})
    assert (job["status"], job["statusReason"]) == ("FAILED", "Task failed to start")
    assert f"unable to assume the role '{role}'" in job["container"]["reason"]


@pytest.mark.parametrize(
    ("source", "trusted"),
    [
        ("arn:aws:ecs:{region}:{account}:*", True),  # as ECS's guide has it
        ("{cluster}/*", True),
        ("arn:aws:ecs:eu-south-2:{account}:*", False),
        ("arn:aws:batch:{region}:{account}:*", False),
    ],
)
def test_a_task_tells_its_own_arn_to_a_roles_trust(account: Account, queue: str, source: str, trusted: bool) -> None:
    """https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html"""
    (described,) = account.batch.describe_job_queues(jobQueues=[queue])["jobQueues"]
    environment = described["computeEnvironmentOrder"][0]["computeEnvironment"]
    (compute,) = account.batch.describe_compute_environments(computeEnvironments=[environment])["computeEnvironments"]
    _, _, _, region, account_id, cluster = compute["ecsClusterArn"].split(":")
    tasks = f"arn:aws:ecs:{region}:{account_id}:{cluster.replace('cluster/', 'task/')}"
    pattern = source.format(region=region, account=account_id, cluster=tasks)
    condition = {"StringEquals": {"aws:SourceAccount": account_id}, "ArnLike": {"aws:SourceArn": pattern}}
    # The job asks for its role's credentials itself, as well.
    script = ["python", "-c", "import boto3; boto3.client('sts', 'us-east-1').get_caller_identity()"]
    roles = {"executionRoleArn": account.role(LOGS, **condition), "jobRoleArn": account.role(**condition)}
    job = account.run(queue, *script, container=roles)
    assert job["status"] == ("SUCCEEDED" if trusted else "FAILED"), job
    assert trusted or "unable to assume the role" in job["container"]["reason"]


def test_an_execution_role_that_may_not_log(account: Account, queue: str) -> None:
    job = account.run(queue, container={"executionRoleArn": account.role()})
    assert job["statusReason"] == "Task failed to start"
    assert "ResourceInitializationError" in job["container"]["reason"]
    assert "logs:CreateLogStream" in job["container"]["reason"]


def test_a_log_group_of_ones_own(account: Account, queue: str) -> None:
    group = f"/aws/batch/{account.name()}"
    log = {"logDriver": "awslogs", "options": {"awslogs-group": group, "awslogs-stream-prefix": "mine"}}
    job = account.run(queue, "echo", "hello", container={"logConfiguration": log})
    assert "does not exist" in job["container"]["reason"]
    account.client("logs").create_log_group(logGroupName=group)
    job = account.run(queue, "echo", "hello", container={"logConfiguration": log})
    assert job["container"]["logStreamName"].startswith("mine/default/")
    assert account.lines(job, group) == ["hello"]


def test_a_log_group_the_job_may_make(account: Account, queue: str) -> None:
    group = f"/aws/batch/{account.name()}"
    log = {"logDriver": "awslogs", "options": {"awslogs-group": group, "awslogs-create-group": "true"}}
    job = account.run(queue, "echo", "hello", container={"logConfiguration": log})
    assert "logs:CreateLogGroup" in job["container"]["reason"]
    role = account.role(LOGS, {"Effect": "Allow", "Action": "logs:CreateLogGroup", "Resource": "*"})
    job = account.run(queue, "echo", "hello", container={"logConfiguration": log, "executionRoleArn": role})
    assert account.lines(job, group) == ["hello"]


def test_terminate_is_a_signal_the_job_may_answer(account: Account, queue: str) -> None:
    script = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    job_id = account.submit(queue, account.definition("sh", "-c", script), retryStrategy={"attempts": 3})
    account.job_is(job_id, "RUNNING")
    wait(lambda: account.lines(account.job(job_id)) == ["ready"])
    account.batch.terminate_job(jobId=job_id, reason="enough")
    job = account.job_is(job_id)
    assert (job["status"], job["statusReason"], job["isTerminated"]) == ("FAILED", "enough", True)
    assert (len(job["attempts"]), account.lines(job)) == (1, ["ready", "bye"])


def test_cancel_and_terminate_of_what_has_ended_or_never_was(account: Account, queue: str) -> None:
    job = account.run(queue)
    for act in (account.batch.cancel_job, account.batch.terminate_job):
        act(jobId=job["jobId"], reason="late")
        act(jobId="00000000-0000-0000-0000-000000000000", reason="nobody")
    assert account.job(job["jobId"])["status"] == "SUCCEEDED"
    assert "1024" in refusal(account.batch.terminate_job, jobId=job["jobId"], reason="x" * 1025)["Message"]


def test_an_array(account: Account, queue: str) -> None:
    script = "echo $AWS_BATCH_JOB_ARRAY_INDEX of $AWS_BATCH_JOB_ARRAY_SIZE; test $AWS_BATCH_JOB_ARRAY_INDEX != 2"
    parent = account.run(queue, "sh", "-c", script, arrayProperties={"size": 5}, tags={"a": "b"})
    assert (parent["status"], parent["statusReason"]) == ("FAILED", "Array Child Job failed")
    summary = parent["arrayProperties"]["statusSummary"]
    assert (summary["SUCCEEDED"], summary["FAILED"], sum(summary.values())) == (4, 1, 5)
    assert parent["arrayProperties"]["size"] == 5
    assert parent["attempts"] == []
    child = account.job(f"{parent['jobId']}:3")
    assert child["arrayProperties"] == {"index": 3, "statusSummary": {}}
    assert (child["tags"], account.lines(child)) == ({"a": "b"}, ["3 of 5"])
    failed = account.batch.list_jobs(arrayJobId=parent["jobId"], jobStatus="FAILED")["jobSummaryList"]
    assert [job["jobId"] for job in failed] == [f"{parent['jobId']}:2"]
    assert failed[0]["container"]["exitCode"] == 1
    assert failed[0]["arrayProperties"] == {"index": 2}


def test_dependencies(account: Account, queue: str) -> None:
    definition = account.definition("true")
    first = account.submit(queue, definition, arrayProperties={"size": 2})
    second = account.submit(
        queue, definition, arrayProperties={"size": 2}, dependsOn=[{"jobId": first, "type": "N_TO_N"}]
    )
    third = account.submit(queue, definition, dependsOn=[{"jobId": second}])
    assert account.job_is(third)["status"] == "SUCCEEDED"
    jobs = {job_id: account.job(job_id) for job_id in (first, f"{second}:1", second, third)}
    assert jobs[third]["startedAt"] >= jobs[second]["stoppedAt"]
    assert jobs[third]["dependsOn"] == [{"jobId": second}]
    failing = account.submit(queue, account.definition("false"))
    waiting = account.submit(queue, definition, dependsOn=[{"jobId": failing}])
    assert account.job_is(waiting)["statusReason"] == "Dependent Job failed"


def test_bulk_terminate_and_cancel(account: Account, queue: str) -> None:
    definition = account.definition("sleep", "60")
    running = [account.submit(queue, definition) for _ in range(2)]
    for job_id in running:
        account.job_is(job_id, "RUNNING")
    unknown = "00000000-0000-0000-0000-000000000000"
    answer = account.batch.cancel_jobs(jobs=[*running, unknown], reason="no")
    assert (answer["successful"], answer["errors"]) == ([*running, unknown], [])
    assert account.job(running[0])["status"] == "RUNNING"
    answer = account.batch.terminate_jobs(jobs=[*running, "nonsense"], reason="all of you")
    assert answer["successful"] == running
    assert [(error["job"], error["code"]) for error in answer["errors"]] == [("nonsense", "ValidationException")]
    assert [account.job_is(job_id)["statusReason"] for job_id in running] == ["all of you"] * 2
    assert (
        "50"
        in refusal(account.batch.terminate_jobs, jobs=[unknown] + [f"x{i}" for i in range(50)], reason="no")["Message"]
    )


def test_events(account: Account, queue: str) -> None:
    events, sqs, name = account.client("events"), account.client("sqs"), account.name("rule")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage",
              "Resource": arn}  # fmt: skip
    attributes = {"Policy": json.dumps({"Version": "2012-10-17", "Statement": [policy]})}
    sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)
    pattern = {"source": ["aws.batch"], "detail-type": ["Batch Job State Change"], "detail": {"jobName": [name]}}
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": arn}])
    try:
        parent = account.run(queue, "true", jobName=name, arrayProperties={"size": 2}, tags={"token": "abc"})
        received: list[dict] = []

        def all_told() -> bool:
            for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
                received.append(json.loads(message["Body"]))
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            return any(
                e["detail"]["jobId"] == parent["jobId"] and e["detail"]["status"] == "SUCCEEDED" for e in received
            )

        wait(all_told, "the parent's last event")
    finally:
        events.remove_targets(Rule=name, Ids=["1"])
        events.delete_rule(Name=name)
    told: dict[str, list[str]] = {}
    for event in sorted(received, key=lambda event: event["time"]):
        told.setdefault(event["detail"]["jobId"], []).append(event["detail"]["status"])
    assert set(told[parent["jobId"]]) == {"PENDING", "SUCCEEDED"}
    for index in range(2):
        assert set(told[f"{parent['jobId']}:{index}"]) == {"RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED"}
    last = next(e for e in received if e["detail"]["jobId"] == parent["jobId"] and e["detail"]["status"] == "SUCCEEDED")
    assert last["resources"] == [parent["jobArn"]]
    assert last["detail"]["tags"] == {"resourceArn": parent["jobArn"], "token": "abc"}
    assert last["detail"]["arrayProperties"]["statusSummary"]["SUCCEEDED"] == 2


def post(aws: Any, path: str, body: Any) -> tuple[int, dict]:
    data, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{aws.endpoint_url}/_local_aws/{path}", data, headers)
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.fixture(scope="module")
def instance_profile(account: Account) -> str:
    iam, name = account.client("iam"), account.name("profile")
    role = account.role(LOGS, service="ec2.amazonaws.com")
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=role.rsplit("/", 1)[1])
    return name


def ec2_queue(account: Account, instance_profile: str, kind: str) -> str:
    name = account.name("ce")
    resources = {
        "type": kind, "minvCpus": 0, "maxvCpus": 4, "instanceTypes": ["optimal"], "subnets": [account.subnet],
        "securityGroupIds": [account.group], "instanceRole": instance_profile,
        "allocationStrategy": "SPOT_CAPACITY_OPTIMIZED" if kind == "SPOT" else "BEST_FIT",
    }  # fmt: skip
    account.batch.create_compute_environment(computeEnvironmentName=name, type="MANAGED", computeResources=resources)
    account.environment_is(name, "VALID")
    return account.queue(name)


def ec2_definition(account: Account, *command: str) -> str:
    container = {"image": "python", "command": list(command), "vcpus": 1, "memory": 128}
    return account.definition(platformCapabilities=["EC2"], containerProperties=container)


def test_on_ec2_the_instances_role_writes_the_log(account: Account, instance_profile: str) -> None:
    queue = ec2_queue(account, instance_profile, "EC2")
    job = account.job_is(account.submit(queue, ec2_definition(account, "echo", "hello")))
    assert (job["status"], account.lines(job)) == ("SUCCEEDED", ["hello"])


def test_a_reclaimed_spot_instance_is_retried_by_its_status_reason(
    account: Account, aws: Any, instance_profile: str
) -> None:
    queue = ec2_queue(account, instance_profile, "SPOT")
    rules = [{"onStatusReason": "Host EC2*", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}]
    script = "test $AWS_BATCH_JOB_ATTEMPT = 2 || sleep 60"
    job_id = account.submit(
        queue, ec2_definition(account, "sh", "-c", script), retryStrategy={"attempts": 3, "evaluateOnExit": rules}
    )
    account.job_is(job_id, "RUNNING")
    assert post(aws, "batch/spot-reclaim", {"jobId": job_id}) == (200, {"reclaimed": [job_id]})
    job = account.job_is(job_id)
    assert job["status"] == "SUCCEEDED"
    first, _ = job["attempts"]
    assert first["statusReason"].startswith("Host EC2 (instance i-")
    assert "exitCode" not in first["container"]


def test_fargate_spot_stops_a_task_with_a_signal(account: Account, aws: Any) -> None:
    queue = account.queue(account.environment(type="FARGATE_SPOT"))
    job_id = account.submit(queue, account.definition("sleep", "60"))
    account.job_is(job_id, "RUNNING")
    post(aws, "batch/spot-reclaim", {"jobId": job_id})
    job = account.job_is(job_id)
    assert (job["statusReason"], job["container"]["exitCode"]) == ("Your Spot Task was interrupted.", 137)


def test_what_can_not_be_reclaimed(account: Account, aws: Any, queue: str) -> None:
    for wrong in ({"jobId": "nobody"}, {"jobId": 5}, {"jobId": ["x"]}, {}, []):
        assert post(aws, "batch/spot-reclaim", wrong)[0] == 400
    job_id = account.submit(queue, account.definition("sleep", "60"))
    account.job_is(job_id, "RUNNING")
    status, answer = post(aws, "batch/spot-reclaim", {"jobId": job_id})
    assert (status, "Only SPOT and FARGATE_SPOT" in answer["message"]) == (400, True)
    account.batch.terminate_job(jobId=job_id, reason="done")
    account.job_is(job_id)
    assert "is FAILED" in post(aws, "batch/spot-reclaim", {"jobId": job_id})[1]["message"]


def test_a_job_too_large_waits_with_its_reason_and_the_snapshot_shows_it(account: Account) -> None:
    queue = account.queue(account.environment(maxvCpus=1))
    large = {"resourceRequirements": [{"type": "VCPU", "value": "2"}, {"type": "MEMORY", "value": "4096"}]}
    job_id = account.submit(queue, account.definition(container=large))
    wait(lambda: "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE" in account.job(job_id).get("statusReason", ""))
    assert account.job(job_id)["status"] == "RUNNABLE"
    snapshot = account.batch.get_job_queue_snapshot(jobQueue=queue)
    assert [job["jobArn"] for job in snapshot["frontOfQueue"]["jobs"]] == [account.job(job_id)["jobArn"]]
    account.batch.cancel_job(jobId=job_id, reason="too large")
    job = account.job(job_id)
    assert (job["status"], job["statusReason"], job["isCancelled"]) == ("FAILED", "too large", True)
    assert account.batch.get_job_queue_snapshot(jobQueue=queue)["frontOfQueue"]["jobs"] == []


def test_the_snapshot_counts_what_is_in_use(account: Account) -> None:
    policy = account.batch.create_scheduling_policy(name=account.name("policy"), fairsharePolicy={})["arn"]
    queue = account.queue(account.environment(), schedulingPolicyArn=policy)
    definition = account.definition("sleep", "60", schedulingPriority=0)
    ids = [account.submit(queue, definition, shareIdentifier=share) for share in ("a", "a", "b")]
    for job_id in ids:
        account.job_is(job_id, "RUNNING")
    utilization = account.batch.get_job_queue_snapshot(jobQueue=queue)["queueUtilization"]
    assert utilization["totalCapacityUsage"] == [{"capacityUnit": "VCPU", "quantity": 0.75}]
    shares = utilization["fairshareUtilization"]
    assert shares["activeShareCount"] == 2
    assert shares["topCapacityUtilization"][0]["shareIdentifier"] == "a"
    account.batch.terminate_jobs(jobs=ids, reason="done")
    for job_id in ids:
        account.job_is(job_id)


def test_deleting_a_queue_ends_its_jobs(account: Account) -> None:
    queue = account.queue(account.environment())
    job_id = account.submit(queue, account.definition("sleep", "60"))
    account.job_is(job_id, "RUNNING")
    account.batch.update_job_queue(jobQueue=queue, state="DISABLED")
    account.queue_is(queue, "VALID")
    account.batch.delete_job_queue(jobQueue=queue)
    account.queue_is(queue, None)
    assert account.job(job_id)["status"] == "FAILED"
