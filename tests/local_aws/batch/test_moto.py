"""The control plane against moto's Batch, in the same run: a second opinion, and a list of where it differs.

The same calls go to both. Compared is what a client can rely on: the members of each answer, their values where those
are not ours to choose, and the code of each refusal. Where the two differ, DIFFERENCES says why; one that is not listed
fails, and so does one that is listed and no longer there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from .conftest import LOGS, Account, checked, wait

TRUST = {
    "Effect": "Allow",
    "Principal": {"Service": ["batch.amazonaws.com", "ecs-tasks.amazonaws.com"]},
    "Action": "sts:AssumeRole",
}

# "step: path of the member" (a regular expression), and why ours is not as moto's.
DIFFERENCES = {
    r"environment (again|in no|with|without).*: refused":
        "moto answers InvalidParameterValue, which Batch does not have",
    r"definition without image: .*": "moto takes an empty image",
    r"submit with a bad name: .*": "moto takes a space in a job's name",
    r"submit to a disabled queue: .*": "moto lets a disabled queue take jobs",
    r"delete (an environment in use|no such queue|no such environment): .*":
        "moto deletes what is in use, and what is not there",
    r"disable environment: .*": "moto has deleted the environment above",
    r"describe environment: .*(containerOrchestrationType|uuid)": "moto leaves these members out",
    r"describe environment: .*state": "moto leaves out the state that was not given; AWS's default is ENABLED",
    r"describe environment: .*(ecsClusterArn|statusReason)": "words that AWS is free to choose",
    r"describe queue: .*(jobQueueType|jobStateTimeLimitActions|serviceEnvironmentOrder|statusReason)": "moto has none",
    r"describe queue: .*computeEnvironment": "an ARN, says the model; moto gives back the name it was given",
    r"describe definitions: .*(revision|jobDefinitionArn)": "ours come newest first; AWS's order is not documented",
    r"describe (definitions|after deregistering): .*(containerOrchestrationType|propagateTags|assignPublicIp)":
        "defaults that moto leaves out",
    r"describe a revision: .*": "moto does not find a definition by name:revision",
    r"describe \w+: jobs\[0\].container.*": "moto shows little of the container, and its own environment",
    r"describe \w+: jobs\[0\].attempts.*": "moto runs nothing here, and makes up an attempt",
    r"describe \w+: jobs\[0\].(isCancelled|isTerminated|platformCapabilities|propagateTags|retryStrategy"
    r"|statusReason|startedAt|eksAttempts).*": "moto leaves these members out, or gives an array's parent a start",
    r"describe \w+: jobs\[0\].arrayProperties.(statusSummaryLastUpdatedAt|index|statusSummary)":
        "moto leaves these members out",
    r"list (children|jobs|jobs by name): .*(capacityUsage|exitCode|statusReason|arrayProperties).*":
        "moto leaves these members out",
    r"list jobs: .*": "moto lists an array's children among the queue's jobs, oldest first, and the badly named job",
    r"describe policy: .*(computeReservation|shareDecaySeconds)":
        "moto adds defaults; whether AWS does is not documented",
}  # fmt: skip


@dataclass
class Side:
    """One Batch, and what was made in it."""

    batch: Any
    subnet: str
    group: str
    role: str
    execution_role: str
    made: dict[str, str] = field(default_factory=dict)

    def resources(self, **changes: Any) -> dict[str, Any]:
        return {"type": "FARGATE", "maxvCpus": 4, "subnets": [self.subnet], "securityGroupIds": [self.group], **changes}

    def environment(self, name: str, **arguments: Any) -> Any:
        complete = {"type": "MANAGED", "computeResources": self.resources(), "serviceRole": self.role, **arguments}
        return self.batch.create_compute_environment(computeEnvironmentName=name, **complete)

    def container(self, **changes: Any) -> dict[str, Any]:
        requirements = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "2048"}]
        return {
            "image": "python", "command": ["true"], "executionRoleArn": self.execution_role,
            "resourceRequirements": requirements, **changes,
        }  # fmt: skip

    def definition(self, name: str = "moto-d", **changes: Any) -> Any:
        return self.batch.register_job_definition(
            jobDefinitionName=name, type="container", platformCapabilities=["FARGATE"],
            containerProperties=self.container(**changes),
        )  # fmt: skip

    def queue(self, name: str = "moto-q", **arguments: Any) -> Any:
        order = [{"order": 1, "computeEnvironment": "moto-ce"}]
        return self.batch.create_job_queue(
            jobQueueName=name, **{"priority": 1, "state": "ENABLED", "computeEnvironmentOrder": order, **arguments}
        )

    def submit(self, name: str, **arguments: Any) -> Any:
        answer = self.batch.submit_job(jobName=name, **{"jobQueue": "moto-q", "jobDefinition": "moto-d", **arguments})
        self.made[name] = answer["jobId"]
        return answer

    def describe(self, name: str) -> Any:
        """A job once it has ended."""

        def look() -> Any:
            answer = self.batch.describe_jobs(jobs=[self.made[name]])
            return answer if answer["jobs"][0]["status"] in ("SUCCEEDED", "FAILED") else None

        return wait(look)

    def settled(self) -> None:
        def look() -> bool:
            resources = self.batch.describe_compute_environments()["computeEnvironments"]
            resources += self.batch.describe_job_queues()["jobQueues"]
            return all(
                one["status"] == "VALID" for one in resources if one.get("jobQueueName", "moto").startswith("moto")
            )

        wait(look)


Step = tuple[str, Callable[[Side], Any]]

STEPS: list[Step] = [
    ("environment without resources", lambda s: s.batch.create_compute_environment(
        computeEnvironmentName="moto-x", type="MANAGED", serviceRole=s.role)),
    ("environment in no such subnet", lambda s: s.environment(
        "moto-x", computeResources=s.resources(subnets=["subnet-0"]))),
    ("environment without security groups", lambda s: s.environment(
        "moto-x", computeResources=s.resources(securityGroupIds=[]))),
    ("environment with no such role", lambda s: s.environment(
        "moto-x", serviceRole="arn:aws:iam::000000000000:role/no")),
    ("environment with a bad name", lambda s: s.environment("no spaces")),
    ("environment", lambda s: s.environment("moto-ce", tags={"a": "b"})),
    ("environment again", lambda s: s.environment("moto-ce")),
    ("describe environment", lambda s: s.batch.describe_compute_environments(computeEnvironments=["moto-ce"])),
    ("describe no environment", lambda s: s.batch.describe_compute_environments(computeEnvironments=["moto-no"])),
    ("queue of no environments", lambda s: s.queue("moto-x", computeEnvironmentOrder=[])),
    ("queue of no such environment", lambda s: s.queue(
        "moto-x", computeEnvironmentOrder=[{"order": 1, "computeEnvironment": "moto-no"}])),
    ("queue", lambda s: s.queue(tags={"a": "b"})),
    ("queue again", lambda s: s.queue()),
    ("describe queue", lambda s: s.batch.describe_job_queues(jobQueues=["moto-q"])),
    ("definition without image", lambda s: s.definition("moto-x", image="")),
    ("definition without memory", lambda s: s.definition(
        "moto-x", resourceRequirements=[{"type": "VCPU", "value": "1"}])),
    ("definition with too little memory", lambda s: s.definition(
        "moto-x", resourceRequirements=[{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "2"}])),
    ("definition", lambda s: s.definition()),
    ("definition again", lambda s: s.definition()),
    ("describe definitions", lambda s: s.batch.describe_job_definitions(jobDefinitionName="moto-d", status="ACTIVE")),
    ("describe a revision", lambda s: s.batch.describe_job_definitions(jobDefinitions=["moto-d:1"])),
    ("submit with a bad name", lambda s: s.submit("no spaces")),
    ("submit to no such queue", lambda s: s.submit("x", jobQueue="moto-no")),
    ("submit no such definition", lambda s: s.submit("x", jobDefinition="moto-no")),
    ("submit", lambda s: s.submit("one", tags={"a": "b"})),
    ("describe job", lambda s: s.describe("one")),
    ("submit dependent", lambda s: s.submit("two", dependsOn=[{"jobId": s.made["one"]}])),
    ("describe dependent", lambda s: s.describe("two")),
    ("submit array", lambda s: s.submit("array", arrayProperties={"size": 2})),
    ("describe array", lambda s: s.describe("array")),
    ("describe child", lambda s: s.batch.describe_jobs(jobs=[f"{s.made['array']}:1"])),
    ("describe no job", lambda s: s.batch.describe_jobs(jobs=["00000000-0000-0000-0000-000000000000"])),
    ("list children", lambda s: s.batch.list_jobs(arrayJobId=s.made["array"], jobStatus="SUCCEEDED")),
    ("list jobs", lambda s: s.batch.list_jobs(jobQueue="moto-q", jobStatus="SUCCEEDED")),
    ("list jobs by name", lambda s: s.batch.list_jobs(
        jobQueue="moto-q", filters=[{"name": "JOB_NAME", "values": ["one"]}])),
    ("list jobs of no such queue", lambda s: s.batch.list_jobs(jobQueue="moto-no")),
    ("terminate what has ended", lambda s: s.batch.terminate_job(jobId=s.made["one"], reason="late")),
    ("terminate nothing", lambda s: s.batch.terminate_job(jobId="00000000-0000-0000-0000-000000000000", reason="x")),
    ("policy", lambda s: s.made.update(p=s.batch.create_scheduling_policy(
        name="moto-p", fairsharePolicy={"shareDistribution": [{"shareIdentifier": "a"}]})["arn"])),
    ("describe policy", lambda s: s.batch.describe_scheduling_policies(arns=[s.made["p"]])),
    ("update policy", lambda s: s.batch.update_scheduling_policy(
        arn=s.made["p"], fairsharePolicy={"shareDecaySeconds": 60})),
    ("list policies", lambda s: s.batch.list_scheduling_policies()),
    ("delete policy", lambda s: s.batch.delete_scheduling_policy(arn=s.made["p"])),
    ("tags of a queue", lambda s: s.batch.list_tags_for_resource(
        resourceArn=s.batch.describe_job_queues(jobQueues=["moto-q"])["jobQueues"][0]["jobQueueArn"])),
    ("deregister", lambda s: s.batch.deregister_job_definition(jobDefinition="moto-d:2")),
    ("describe after deregistering", lambda s: s.batch.describe_job_definitions(
        jobDefinitionName="moto-d", status="ACTIVE")),
    ("delete an environment in use", lambda s: s.batch.delete_compute_environment(computeEnvironment="moto-ce")),
    ("delete no such queue", lambda s: s.batch.delete_job_queue(jobQueue="moto-no")),
    ("update no such queue", lambda s: s.batch.update_job_queue(jobQueue="moto-no", state="DISABLED")),
    ("disable queue", lambda s: s.batch.update_job_queue(jobQueue="moto-q", state="DISABLED")),
    ("submit to a disabled queue", lambda s: s.submit("x")),
    ("delete queue", lambda s: s.batch.delete_job_queue(jobQueue="moto-q")),
    ("disable environment", lambda s: s.batch.update_compute_environment(
        computeEnvironment="moto-ce", state="DISABLED")),
    ("delete environment", lambda s: s.batch.delete_compute_environment(computeEnvironment="moto-ce")),
    ("delete no such environment", lambda s: s.batch.delete_compute_environment(computeEnvironment="moto-no")),
]  # fmt: skip

# Values that name the side, the moment or a made-up id are compared as what they are.
_OWN = [
    # Before the account, since the end of a made-up id may be twelve digits.
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "UUID"),
    (re.compile(r"\d{12}"), "ACCOUNT"),
    (re.compile(r"(subnet|sg)-\w+"), r"\1-ID"),
    (re.compile(r"role/[\w-]+"), "role/ROLE"),
]


def flat(value: Any, where: str = "") -> dict[str, Any]:
    """An answer as {path of a member: its value}, with what is a side's own made alike."""
    if isinstance(value, dict):
        members: dict[str, Any] = {}
        for name, item in value.items():
            if name != "ResponseMetadata":
                members |= flat(item, f"{where}.{name}" if where else name)
        return members or {where: {}}
    if isinstance(value, list):
        members = {}
        for index, item in enumerate(value):
            members |= flat(item, f"{where}[{index}]")
        return members or {where: []}
    if isinstance(value, str):
        for pattern, name in _OWN:
            value = pattern.sub(name, value)
    elif where.endswith("At"):
        value = "TIME"
    return {where: value}


def outcome(step: Callable[[Side], Any], side: Side) -> dict[str, Any]:
    try:
        return flat(step(side))
    except ClientError as error:
        return {"refused": error.response["Error"]["Code"]}


REGION = "eu-central-1"  # where no other test has made anything


def make_side(client: Callable[[str], Any]) -> Side:
    ec2, iam = client("ec2"), client("iam")
    document = json.dumps({"Version": "2012-10-17", "Statement": [TRUST]})
    roles = [
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
        for name in ("moto-service", "moto-execution")
    ]
    logs = json.dumps({"Version": "2012-10-17", "Statement": [LOGS]})
    iam.put_role_policy(RoleName="moto-execution", PolicyName="logs", PolicyDocument=logs)
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    return Side(checked(client("batch")), subnet, group, *roles)


@pytest.fixture(scope="module")
def sides(account: Account) -> Iterator[tuple[Side, Side]]:
    url = account.aws.endpoint_url
    ours = make_side(lambda name: account.aws.session.client(name, region_name=REGION, endpoint_url=url))
    with mock_aws(config={"batch": {"use_docker": False}}):
        session = boto3.Session("test", "test", region_name=REGION)
        theirs = make_side(session.client)
        theirs.batch = session.client("batch")  # what moto answers is not checked against the model
        yield ours, theirs


@pytest.mark.thorough
def test_the_differences_to_moto_are_those_we_know(sides: tuple[Side, Side]) -> None:
    differences: dict[str, str] = {}
    for name, step in STEPS:
        ours, theirs = (outcome(step, side) for side in sides)
        for path in sorted(set(ours) | set(theirs)):
            if ours.get(path, "-") != theirs.get(path, "-"):
                differences[f"{name}: {path}"] = f"ours {ours.get(path, '-')!r}, moto's {theirs.get(path, '-')!r}"
        for side in sides:
            side.settled()
    new = {
        what: how for what, how in differences.items() if not any(re.fullmatch(known, what) for known in DIFFERENCES)
    }
    assert new == {}
    gone = [known for known in DIFFERENCES if not any(re.fullmatch(known, what) for what in differences)]
    assert gone == []
