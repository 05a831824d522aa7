"""How long another call waits, at worst, while one job or client floods the embedded AWS.

    python benchmarks/worst_wait.py [--lines 300000] [--seconds 10]

Two calls are made ten times a second throughout: the server's own health check, and SQS's ListQueues. Each row is one
flood; the first is the same server left alone. All is done without and with a state directory. The goal is 0.5 s.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from botocore.config import Config as ClientConfig

import local_aws
from utils.session import embedded_session

GOAL_SECONDS = 0.5
ROLE = "arn:aws:iam::000000000000:role/sagemaker-flood"


class Waits(threading.Thread):
    """The longest wait for an answer since `reset`, measured by a client that does nothing else."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port, self.over, self.worst = port, threading.Event(), 0.0
        self.queues = embedded_session(f"http://127.0.0.1:{port}").client(
            "sqs", config=ClientConfig(read_timeout=300, retries={"max_attempts": 0})
        )

    def run(self) -> None:
        while not self.over.wait(0.1):
            for call in (self._health, self.queues.list_queues):
                begun = time.monotonic()
                call()
                self.worst = max(self.worst, time.monotonic() - begun)

    def take(self) -> float:
        """The longest wait since this was last asked."""
        worst, self.worst = self.worst, 0.0
        return worst

    def _health(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        connection.request("GET", "/_local_aws/health")
        connection.getresponse().read()
        connection.close()


class Floods:
    """What one job or client can do to a server."""

    def __init__(self, endpoint_url: str, lines: int, seconds: float) -> None:
        session = embedded_session(endpoint_url)
        options = ClientConfig(read_timeout=300, retries={"max_attempts": 0})
        self.client: Callable[[str], Any] = lambda service: session.client(service, config=options)
        self.lines, self.seconds = lines, seconds

    def prepare(self) -> None:
        """Make the role, the job queue and the message queue."""
        iam, batch, ec2 = self.client("iam"), self.client("batch"), self.client("ec2")
        tasks = {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
        logs = {"Effect": "Allow", "Action": "logs:*", "Resource": "*"}
        iam.create_role(RoleName="sagemaker-flood", AssumeRolePolicyDocument=_policy(tasks))
        iam.put_role_policy(RoleName="sagemaker-flood", PolicyName="logs", PolicyDocument=_policy(logs))
        subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]]
        groups = [group["GroupId"] for group in ec2.describe_security_groups()["SecurityGroups"]]
        resources = {"type": "FARGATE", "maxvCpus": 4, "subnets": subnets, "securityGroupIds": groups[:1]}
        batch.create_compute_environment(computeEnvironmentName="flood", type="MANAGED", computeResources=resources)
        time.sleep(2)
        order = [{"order": 1, "computeEnvironment": "flood"}]
        batch.create_job_queue(jobQueueName="flood", priority=1, computeEnvironmentOrder=order)
        time.sleep(2)
        self.queue = self.client("sqs").create_queue(QueueName="flood")["QueueUrl"]

    def nothing(self) -> None:
        time.sleep(self.seconds)

    def short_lines(self) -> None:
        """One job that prints many short lines."""
        batch = self.client("batch")
        needs = [{"type": "VCPU", "value": "0.25"}, {"type": "MEMORY", "value": "512"}]
        command = ["python", "-c", f"print('\\n'.join(map(str, range({self.lines}))))"]
        container = {
            "image": "python:3.12",
            "command": command,
            "executionRoleArn": ROLE,
            "resourceRequirements": needs,
        }
        definition = batch.register_job_definition(
            jobDefinitionName="lines", type="container", platformCapabilities=["FARGATE"], containerProperties=container
        )
        job = batch.submit_job(jobName="lines", jobQueue="flood", jobDefinition=definition["jobDefinitionArn"])
        while batch.describe_jobs(jobs=[job["jobId"]])["jobs"][0]["status"] not in ("SUCCEEDED", "FAILED"):
            time.sleep(0.3)
        time.sleep(3)  # in which the state is saved

    def messages(self) -> None:
        """A client that sends messages, ten a call."""
        sqs = self.client("sqs")
        entries = [{"Id": str(number), "MessageBody": "x" * 2000} for number in range(10)]
        self._repeat(lambda: sqs.send_message_batch(QueueUrl=self.queue, Entries=entries))

    def events(self) -> None:
        """A client that puts events, ten a call."""
        bus = self.client("events")
        entries = [{"Source": "flood", "DetailType": "d", "Detail": json.dumps({"x": "x" * 2000})}] * 10
        self._repeat(lambda: bus.put_events(Entries=entries))

    def searches(self) -> None:
        """Searches through the job's lines that find nothing."""
        logs = self.client("logs")
        self._repeat(lambda: logs.filter_log_events(logGroupName="/aws/batch/job", filterPattern="nosuch"))

    def templates(self) -> None:
        """Templates of nearly the size that a request may have, which no two are the same."""
        stacks = self.client("cloudformation")
        numbers = itertools.count()

        def validate() -> None:
            items = "{}," * 16_000 + str(next(numbers))
            template = f"Resources:\n  Q: {{Type: 'AWS::SQS::Queue', Metadata: {{items: [{items}]}}}}\n"
            stacks.validate_template(TemplateBody=template)

        self._repeat(validate)

    def large_snapshot(self) -> None:
        """All that the other floods have left is saved again and again."""
        sqs = self.client("sqs")

        def change() -> None:
            sqs.send_message(QueueUrl=self.queue, MessageBody="x")
            time.sleep(0.5)

        self._repeat(change)

    def _repeat(self, call: Callable[[], Any]) -> None:
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            call()


def _policy(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def measure(directory: Path, state_dir: Path | None, lines: int, seconds: float) -> list[dict[str, Any]]:
    """The worst wait under each flood, on a server that is made for it."""
    server = local_aws.start(0, directory / "home", state_dir)
    try:
        floods = Floods(server.endpoint_url, lines, seconds)
        floods.prepare()
        waits = Waits(server.port)
        waits.start()
        rows = []
        kinds = (
            floods.nothing, floods.short_lines, floods.messages, floods.events, floods.searches, floods.templates,
            floods.large_snapshot,
        )  # fmt: skip
        for flood in kinds:
            waits.take()
            flood()
            memory = psutil.Process(server.pid).memory_info().rss >> 20
            rows.append({"flood": flood.__name__, "worst_seconds": round(waits.take(), 3), "server_mib": memory})
        waits.over.set()
        waits.join()
        return rows
    finally:
        local_aws.stop(directory / "home")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=300_000, help="that the job prints")
    parser.add_argument("--seconds", type=float, default=10, help="of each other flood")
    options = parser.parse_args()
    good = True
    for kept in (False, True):
        with tempfile.TemporaryDirectory() as directory:
            state_dir = Path(directory) / "state" if kept else None
            print(f"{'with' if kept else 'without'} a state directory", flush=True)
            for row in measure(Path(directory), state_dir, options.lines, options.seconds):
                print(f"  {row['flood']:<16}{row['worst_seconds']:>8.3f} s{row['server_mib']:>8} MiB", flush=True)
                good = good and row["worst_seconds"] <= GOAL_SECONDS
    print(f"goal {GOAL_SECONDS} s: {'met' if good else 'not met'}")


if __name__ == "__main__":
    main()
