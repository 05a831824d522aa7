"""An account for each client, and processes of the client in the environment that `make test-clients` made for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

import local_aws

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parents[1] / "build" / "clients"
REGION = "us-east-1"
WAIT_SECONDS = 120
RUN_SECONDS = 1800


@dataclass
class Account:
    """What an administrator has set up before the client comes."""

    endpoint_url: str
    environment: Path  # where the client is installed
    home: Path  # the client's own directory
    bucket: str
    queue: str  # on EC2, with the name of its compute environment
    job_role: str

    def client(self, service: str) -> Any:
        return client_of(self.endpoint_url, service)

    def definition(self, name: str, *command: str, **container: Any) -> str:
        """Register a definition for the queue and return its name."""
        self.client("batch").register_job_definition(
            jobDefinitionName=name,
            type="container",
            containerProperties={
                "image": "public.ecr.aws/docker/library/python:3.13",
                "command": list(command),
                "jobRoleArn": self.job_role,
                "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "128"}],
                **container,
            },
        )
        return name

    def job(self, job_id: str) -> dict[str, Any]:
        return self.client("batch").describe_jobs(jobs=[job_id])["jobs"][0]

    def jobs(self) -> list[dict[str, Any]]:
        """Every job of the queue, arrays' children left out."""
        pages = self.client("batch").get_paginator("list_jobs").paginate(
            jobQueue=self.queue, filters=[{"name": "AFTER_CREATED_AT", "values": ["0"]}]
        )  # fmt: skip
        ids = [job["jobId"] for page in pages for job in page["jobSummaryList"]]
        return self.client("batch").describe_jobs(jobs=ids)["jobs"] if ids else []

    def lines(self, job: dict[str, Any]) -> list[str]:
        stream = job["container"]["logStreamName"]
        events = self.client("logs").get_log_events(
            logGroupName="/aws/batch/job", logStreamName=stream, startFromHead=True
        )
        return [event["message"] for event in events["events"]]

    def wait_for(self, job_id: str, *statuses: str) -> dict[str, Any]:
        deadline = time.monotonic() + WAIT_SECONDS
        while (job := self.job(job_id))["status"] not in statuses:
            assert time.monotonic() < deadline, f"job {job_id} is {job['status']} after {WAIT_SECONDS} s"
            time.sleep(0.1)
        return job

    def run(self, program: str, *arguments: Any, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the client's environment, or of the system, with nothing else of this one's."""
        executable = shutil.which(program, path=self.search_path)
        assert executable, f"{program} is neither in {self.environment} nor in the system's directories."
        return subprocess.run(
            [executable, *map(str, arguments)], cwd=self.home, env=self.variables | variables, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=RUN_SECONDS, check=False,
        )  # fmt: skip

    @property
    def search_path(self) -> str:
        return os.pathsep.join((str(self.environment / "bin"), "/usr/local/bin", "/usr/bin", "/bin"))

    @property
    def path_in_container(self) -> str:
        """PATH of jobs that run the client itself: as if it were installed in their image."""
        return os.pathsep.join((str(self.environment / "bin"), str(Path(sys.executable).parent), "/usr/bin", "/bin"))

    @property
    def variables(self) -> dict[str, str]:
        kept = ("LANG", "TZ", "OPENBLAS_CORETYPE")
        return {name: os.environ[name] for name in kept if name in os.environ} | {
            "PATH": self.search_path,
            "HOME": str(self.home),
            "TMPDIR": str(self.home),
            "USER": "stranger",
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@pytest.fixture(scope="module")
def account(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """An embedded AWS for one client alone, with what its jobs need."""
    name = request.module.__name__.rpartition("test_")[2]
    environment = ENVIRONMENTS / name
    assert (environment / ".installed").exists(), f"{name} is not installed: `make test-clients` does it."
    home = tmp_path_factory.mktemp("aws-of-" + name)
    server = local_aws.start(port=0, home=home)
    try:
        yield _set_up(server.endpoint_url, environment, tmp_path_factory.mktemp(name))
    finally:
        local_aws.stop(home)


def client_of(endpoint_url: str, service: str) -> Any:
    return boto3.client(
        service, endpoint_url=endpoint_url, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test"
    )


def _set_up(endpoint_url: str, environment: Path, home: Path) -> Account:
    bucket = "clients-bucket"
    client_of(endpoint_url, "s3").create_bucket(Bucket=bucket)
    logs = {"Effect": "Allow", "Action": "logs:*", "Resource": "*"}
    objects = {"Effect": "Allow", "Action": "s3:*", "Resource": ["arn:aws:s3:::" + bucket, f"arn:aws:s3:::{bucket}/*"]}
    job_role = _role(endpoint_url, "job", "ecs-tasks.amazonaws.com", objects)
    _role(endpoint_url, "instance", "ec2.amazonaws.com", logs)
    iam = client_of(endpoint_url, "iam")
    profile = iam.create_instance_profile(InstanceProfileName="instance")["InstanceProfile"]["Arn"]
    iam.add_role_to_instance_profile(InstanceProfileName="instance", RoleName="instance")
    ec2 = client_of(endpoint_url, "ec2")
    instances = {
        "type": "EC2",
        "minvCpus": 0,
        "maxvCpus": 16,
        "instanceTypes": ["optimal"],
        "instanceRole": profile,
        "subnets": [ec2.describe_subnets()["Subnets"][0]["SubnetId"]],
        "securityGroupIds": [ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]],
    }
    return Account(endpoint_url, environment, home, bucket, _queue(endpoint_url, "instances", instances), job_role)


def _role(endpoint_url: str, name: str, service: str, statement: dict[str, Any]) -> str:
    iam = client_of(endpoint_url, "iam")
    trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=document)
    return arn


def _queue(endpoint_url: str, name: str, resources: dict[str, Any]) -> str:
    batch = client_of(endpoint_url, "batch")
    batch.create_compute_environment(computeEnvironmentName=name, type="MANAGED", computeResources=resources)
    _valid(lambda: batch.describe_compute_environments(computeEnvironments=[name])["computeEnvironments"])
    order = [{"order": 1, "computeEnvironment": name}]
    batch.create_job_queue(jobQueueName=name, priority=1, computeEnvironmentOrder=order)
    _valid(lambda: batch.describe_job_queues(jobQueues=[name])["jobQueues"])
    return name


def _valid(describe: Callable[[], list[dict[str, Any]]]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while describe()[0]["status"] != "VALID":
        assert time.monotonic() < deadline, describe()
        time.sleep(0.05)
