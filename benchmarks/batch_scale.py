"""AWS Batch at its largest array on the embedded AWS, against `xargs -P` running the same command.

    python benchmarks/batch_scale.py [--children 10000] [--vcpus 64] [--command true] [--json FILE]

    baseline     `xargs -P 64` starts the command as often as the array has children; before and after, the mean counts
    throughput   one array job of that many children of 1 vCPU each, in an environment of 64; children per second
    submit       how long SubmitJob of the array takes to answer
    describe     DescribeJobs of 100 children, again and again while a second array runs
    memory       how much the server's resident memory grows over both arrays

An embedded AWS of its own runs for it. Goals: throughput at least 95 % of the baseline, submit under 100 ms, describe
under 20 ms at the median, memory under 150 MB.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import boto3

import local_aws

REGION = "us-east-1"
GOALS = {"throughput_percent": 95.0, "submit_ms": 100.0, "describe_ms": 20.0, "memory_mb": 150.0}
DESCRIBED = 100
PAUSE_SECONDS = 0.05


class Bench:
    """An embedded AWS with a Fargate environment, a queue, and a definition of the command."""

    def __init__(self, server: local_aws.ServerInfo, vcpus: int, command: list[str]) -> None:
        self.server = server
        self.batch, ec2, iam = map(self.client, ("batch", "ec2", "iam"))
        trust = {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
        logs = {"Effect": "Allow", "Action": ["logs:CreateLogStream", "logs:PutLogEvents"], "Resource": "*"}
        version = {"Version": "2012-10-17"}
        role = iam.create_role(
            RoleName="execution", AssumeRolePolicyDocument=json.dumps(version | {"Statement": trust})
        )
        policy = json.dumps(version | {"Statement": logs})
        iam.put_role_policy(RoleName="execution", PolicyName="logs", PolicyDocument=policy)
        self.batch.create_compute_environment(
            computeEnvironmentName="bench",
            type="MANAGED",
            computeResources={
                "type": "FARGATE",
                "maxvCpus": vcpus,
                "subnets": [ec2.describe_subnets()["Subnets"][0]["SubnetId"]],
                "securityGroupIds": [ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]],
            },
        )
        self._wait(lambda: self.batch.describe_compute_environments()["computeEnvironments"][0]["status"] == "VALID")
        order = [{"order": 1, "computeEnvironment": "bench"}]
        self.batch.create_job_queue(jobQueueName="bench", priority=1, computeEnvironmentOrder=order)
        self._wait(lambda: self.batch.describe_job_queues()["jobQueues"][0]["status"] == "VALID")
        self.batch.register_job_definition(
            jobDefinitionName="bench",
            type="container",
            platformCapabilities=["FARGATE"],
            containerProperties={
                "image": "python",
                "command": command,
                "executionRoleArn": role["Role"]["Arn"],
                "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "2048"}],
            },
        )
        self.run(2)  # the first job finds everything cold

    def client(self, name: str) -> Any:
        return boto3.Session("test", "test", region_name=REGION).client(name, endpoint_url=self.server.endpoint_url)

    @staticmethod
    def _wait(condition: Any) -> None:
        while not condition():
            time.sleep(0.02)

    def submit(self, size: int) -> tuple[str, float]:
        begin = time.perf_counter()
        job = self.batch.submit_job(
            jobName="bench", jobQueue="bench", jobDefinition="bench", arrayProperties={"size": size}
        )
        return job["jobId"], time.perf_counter() - begin

    def parent(self, job_id: str) -> dict[str, Any]:
        return self.batch.describe_jobs(jobs=[job_id])["jobs"][0]

    def run(self, size: int) -> tuple[float, float]:
        """Seconds an array took from its submission to its end, by the server's clock, and those SubmitJob took."""
        job_id, submit = self.submit(size)
        while (job := self.parent(job_id))["status"] != "SUCCEEDED":
            if job["status"] == "FAILED":
                raise SystemExit(f"the array failed: {job['statusReason']}")
            time.sleep(0.2)
        assert job["arrayProperties"]["statusSummary"]["SUCCEEDED"] == size
        return (job["stoppedAt"] - job["createdAt"]) / 1000, submit

    def describe_while_running(self, size: int) -> list[float]:
        """Seconds each DescribeJobs of 100 children took, spread over the array, until it ended."""
        job_id, _ = self.submit(size)
        times = []
        while self.parent(job_id)["status"] not in ("SUCCEEDED", "FAILED"):
            step = max(1, size // DESCRIBED)
            ids = [f"{job_id}:{index}" for index in range(0, size, step)][:DESCRIBED]
            begin = time.perf_counter()
            jobs = self.batch.describe_jobs(jobs=ids)["jobs"]
            times.append(time.perf_counter() - begin)
            assert len(jobs) == len(ids)
            time.sleep(PAUSE_SECONDS)
        return times

    def resident_mb(self) -> float:
        status = Path(f"/proc/{self.server.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def xargs(count: int, parallel: int, command: list[str]) -> float:
    """Seconds xargs takes for `count` runs of the command, its own argument ignored by a shell-free wrapper: none."""
    program = shutil.which(command[0]) if command[0] != "python" else sys.executable
    lines = "\n".join(map(str, range(count))).encode()
    begin = time.perf_counter()
    subprocess.run(
        ["xargs", "-P", str(parallel), "-n", "1", program, *command[1:]], input=lines, check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return time.perf_counter() - begin


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--children", type=int, default=10_000)
    parser.add_argument("--vcpus", type=int, default=64)
    parser.add_argument("--command", default="true", help="the command of each child (default: true)")
    parser.add_argument("--json", type=Path, help="write the numbers there too")
    arguments = parser.parse_args()
    command = shlex.split(arguments.command)

    with tempfile.TemporaryDirectory() as home:
        server = local_aws.start(port=0, home=Path(home))
        try:
            bench = Bench(server, arguments.vcpus, command)
            before = bench.resident_mb()
            baselines = [xargs(arguments.children, arguments.vcpus, command)]
            seconds, submit = bench.run(arguments.children)
            baselines.append(xargs(arguments.children, arguments.vcpus, command))
            describes = bench.describe_while_running(arguments.children)
            memory = bench.resident_mb() - before
        finally:
            local_aws.stop(Path(home))

    baseline = statistics.mean(baselines)
    numbers = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "command": arguments.command,
        "children": arguments.children,
        "baseline_seconds": [round(value, 2) for value in baselines],
        "array_seconds": round(seconds, 2),
        "children_per_second": round(arguments.children / seconds),
        "throughput_percent": round(100 * baseline / seconds, 1),
        "submit_ms": round(submit * 1000, 1),
        "describe_calls": len(describes),
        "describe_ms": round(statistics.median(describes) * 1000, 1),
        "memory_mb": round(memory, 1),
    }
    met = {
        name: numbers[name] >= goal if name == "throughput_percent" else numbers[name] < goal
        for name, goal in GOALS.items()
    }
    print(f"{arguments.children:,} children of `{arguments.command}`, {arguments.vcpus} at once; {numbers['machine']}")
    print(f"xargs -P {arguments.vcpus}: {numbers['baseline_seconds']} s; array job: {numbers['array_seconds']} s")
    for name, goal in GOALS.items():
        sign = ">=" if name == "throughput_percent" else "<"
        print(f"{name:20} {numbers[name]:>10} {sign} {goal:<8} {'met' if met[name] else 'MISSED'}")
    print(json.dumps(numbers))
    if arguments.json:
        arguments.json.write_text(json.dumps(numbers, indent=2) + "\n")
    return 0 if all(met.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
