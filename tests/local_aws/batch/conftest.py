"""An account with roles, an environment and a queue, and a Batch client that checks every response it gets."""

from __future__ import annotations

import dataclasses
import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.model import Shape
from botocore.validate import ParamValidator

import local_aws

TASKS = "ecs-tasks.amazonaws.com"
LOGS = {"Effect": "Allow", "Action": ["logs:CreateLogStream", "logs:PutLogEvents"], "Resource": "*"}
WAIT_SECONDS = 90


def checked(client: Any) -> Any:
    """Make a client fail on any response that its service's model does not describe."""

    def check(http_response: Any, parsed: dict, model: Any, **_: Any) -> None:
        if http_response.status_code >= 300 or model.output_shape is None:
            return
        members = {name: value for name, value in parsed.items() if name != "ResponseMetadata"}
        if model.name == "DescribeJobs":  # required by the model, but a job that has not started has none on AWS
            members = {"jobs": [{"startedAt": 0, **job} for job in members["jobs"]]}
        report = ParamValidator().validate(members, model.output_shape)
        assert not report.has_errors(), f"{model.name}: {report.generate_report()}"
        assert not list(unknown(json.loads(http_response.content), model.output_shape, model.name))

    client.meta.events.register("after-call.batch", check)
    return client


def unknown(value: Any, shape: Shape, where: str) -> Iterator[str]:
    """Members on the wire that the model does not have, and that a parser would drop in silence."""
    if shape.type_name == "structure":
        for name, item in value.items():
            if name not in shape.members:
                yield f"{where}.{name}"
            else:
                yield from unknown(item, shape.members[name], f"{where}.{name}")
    elif shape.type_name == "list":
        for item in value:
            yield from unknown(item, shape.member, where)
    elif shape.type_name == "map":
        for item in value.values():
            yield from unknown(item, shape.value, where)


def wait(look: Callable[[], Any], what: str = "it") -> Any:
    """The first true value `look` returns."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not (value := look()):
        assert time.monotonic() < deadline, f"{what} did not happen in {WAIT_SECONDS} s"
        time.sleep(0.01)
    return value


@dataclass
class Account:
    """The account's resources, and short ways to use them."""

    aws: Any
    batch: Any
    subnet: str
    group: str
    execution_role: str
    names: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def client(self, name: str, credentials: dict | None = None) -> Any:
        client = self.aws.client(name, credentials, retries={"total_max_attempts": 1})
        return checked(client) if name == "batch" else client

    def name(self, kind: str = "batch") -> str:
        return f"{kind}-test-{next(self.names)}"

    def role(self, *statements: dict, service: str = TASKS, **condition: dict) -> str:
        iam, name = self.client("iam"), self.name("role")
        principal = {"Service": service}
        trust = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", "Condition": condition}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
        if statements:
            document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
            iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=document)
        return arn

    def user(self, *statements: dict) -> Any:
        """A Batch client of a user with these statements."""
        iam, name = self.client("iam"), self.name("user")
        iam.create_user(UserName=name)
        if statements:
            document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
            iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)
        return self.client("batch", iam.create_access_key(UserName=name)["AccessKey"])

    def fargate(self, **changes: Any) -> dict[str, Any]:
        return {
            "type": "FARGATE",
            "maxvCpus": 16,
            "subnets": [self.subnet],
            "securityGroupIds": [self.group],
            **changes,
        }

    def environment(self, **resources: Any) -> str:
        name = self.name("ce")
        self.batch.create_compute_environment(
            computeEnvironmentName=name, type="MANAGED", computeResources=self.fargate(**resources)
        )
        self.environment_is(name, "VALID")
        return name

    def environment_is(self, name: str, status: str | None) -> dict[str, Any]:
        return self._is(self.batch.describe_compute_environments, "computeEnvironments", name, status)

    def queue(self, *environments: str, **arguments: Any) -> str:
        name = self.name("queue")
        order = [{"order": index, "computeEnvironment": name} for index, name in enumerate(environments)]
        arguments = {"priority": 1, "computeEnvironmentOrder": order, **arguments}
        self.batch.create_job_queue(jobQueueName=name, **arguments)
        self.queue_is(name, "VALID")
        return name

    def queue_is(self, name: str, status: str | None) -> dict[str, Any]:
        return self._is(self.batch.describe_job_queues, "jobQueues", name, status)

    def _is(self, describe: Callable[..., Any], kind: str, name: str, status: str | None) -> dict[str, Any]:
        """The resource when it has this status; None stands for none, when it is gone."""

        def look() -> Any:
            resources = describe(**{kind: [name]})[kind]
            return (
                (not resources) if status is None else resources and resources[0]["status"] == status and resources[0]
            )

        return wait(look, f"{name} {status}")

    def container(self, *command: str, **changes: Any) -> dict[str, Any]:
        return {
            "image": "public.ecr.aws/docker/library/python:3.13",
            "command": list(command) or ["true"],
            "executionRoleArn": self.execution_role,
            "resourceRequirements": [{"type": "VCPU", "value": "0.25"}, {"type": "MEMORY", "value": "512"}],
            **changes,
        }

    def definition(self, *command: str, container: dict | None = None, **arguments: Any) -> str:
        name = self.name("definition")
        properties = {**self.container(*command), **(container or {})}
        arguments = {"platformCapabilities": ["FARGATE"], "containerProperties": properties, **arguments}
        return self.batch.register_job_definition(jobDefinitionName=name, type="container", **arguments)[
            "jobDefinitionArn"
        ]

    def submit(self, queue: str, definition: str, **arguments: Any) -> str:
        arguments = {"jobName": "job", **arguments}
        return self.batch.submit_job(jobQueue=queue, jobDefinition=definition, **arguments)["jobId"]

    def job(self, job_id: str) -> dict[str, Any]:
        return self.batch.describe_jobs(jobs=[job_id])["jobs"][0]

    def job_is(self, job_id: str, *statuses: str) -> dict[str, Any]:
        def look() -> Any:
            job = self.job(job_id)
            return job if job["status"] in (statuses or ("SUCCEEDED", "FAILED")) else None

        return wait(look, f"job {job_id} {statuses}")

    def run(self, queue: str, *command: str, container: dict | None = None, **arguments: Any) -> dict[str, Any]:
        """Register, submit, wait for the end."""
        return self.job_is(self.submit(queue, self.definition(*command, container=container), **arguments))

    def lines(self, job: dict[str, Any], group: str = "/aws/batch/job") -> list[str]:
        stream = job["container"]["logStreamName"]
        events = self.client("logs").get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)
        return [event["message"] for event in events["events"]]


@pytest.fixture(scope="session")
def aws(aws: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """An embedded AWS for these tests alone: an account has room for 50 environments and 50 queues."""
    home = tmp_path_factory.mktemp("local-aws-batch")
    yield dataclasses.replace(aws, server=local_aws.start(port=0, home=home), home=home)
    local_aws.stop(home)


def make_account(aws: Any) -> Account:
    ec2 = aws.client("ec2")
    account = Account(
        aws,
        checked(aws.client("batch", retries={"total_max_attempts": 1})),
        ec2.describe_subnets()["Subnets"][0]["SubnetId"],
        ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"],
        "",
    )
    account.execution_role = account.role(LOGS)
    return account


@pytest.fixture(scope="session")
def account(aws: Any) -> Account:
    return make_account(aws)


@pytest.fixture(scope="session")
def queue(account: Account) -> str:
    return account.queue(account.environment())


@pytest.fixture(scope="session")
def timed_job(account: Account, queue: str) -> str:
    """A job that runs into its timeout."""
    timeout = {"attemptDurationSeconds": 60}
    return account.submit(queue, account.definition("sleep", "300"), timeout=timeout, retryStrategy={"attempts": 3})


@pytest.fixture(scope="session")
def stubborn_job(account: Account, queue: str) -> str:
    """A job that was asked to end, and does not."""
    definition = account.definition("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done")
    job_id = account.submit(queue, definition, retryStrategy={"attempts": 3})
    account.job_is(job_id, "RUNNING")
    wait(lambda: account.lines(account.job(job_id)) == ["ready"])
    account.batch.terminate_job(jobId=job_id, reason="enough")
    return job_id


LONG_WAITS = ("timed_job", "stubborn_job")


@pytest.fixture(scope="session", autouse=True)
def long_waits_begin_early(request: pytest.FixtureRequest) -> None:
    """What is waited for in test_timeout.py runs beside all the others."""
    for name in LONG_WAITS:
        if any(name in item.fixturenames for item in request.session.items):
            request.getfixturevalue(name)


def refusal(call: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
    """The error a call is answered with."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value.response["Error"]
