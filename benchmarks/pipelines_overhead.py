"""What SageMaker Pipelines costs on the embedded AWS: a step, many executions at once, and waiting.

    python benchmarks/pipelines_overhead.py [--steps 50] [--executions 200] [--rounds 5] [--json FILE]

    chain     a pipeline of `--steps` trivial Lambda steps, one after the other, against as many calls of the same
              function through the API, measured in turns; the overhead is the difference, per step
    at once   `--executions` executions of a three-step pipeline started together; all must succeed
    waiting   `--executions` executions waiting for their callbacks; the CPU time of the server while nothing happens

An embedded AWS of its own runs for it. Goals: overhead under 10 ms a step, all succeed, under 1 % of a core.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import statistics
import sys
import tempfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

import local_aws

REGION = "us-east-1"
# It writes a line, as MiniStack waits 50 ms for the log of a function that writes none.
CODE = "def lambda_handler(event, context):\n    print('ok')\n    return {'ok': 'yes'}\n"
GOALS = {"overhead_ms": 10.0, "idle_percent": 1.0}
POLL_SECONDS = 0.005


class Bench:
    """An embedded AWS with one function, one queue and the role of the pipelines."""

    def __init__(self, server: local_aws.ServerInfo) -> None:
        self.server = server
        self.sagemaker, self.functions, self.sqs, iam = map(self.client, ("sagemaker", "lambda", "sqs", "iam"))
        self.role = self._role(iam, "sagemaker", "lambda:InvokeFunction", "sqs:SendMessage")
        package = io.BytesIO()
        with zipfile.ZipFile(package, "w") as archive:
            archive.writestr("lambda_function.py", CODE)
        self.function = self.functions.create_function(
            FunctionName="sagemaker-trivial", Runtime="python3.13", Handler="lambda_function.lambda_handler",
            Role=self._role(iam, "lambda", "logs:*"), Code={"ZipFile": package.getvalue()},
        )["FunctionArn"]  # fmt: skip
        self.queue = self.sqs.create_queue(QueueName="sagemaker-waiting")["QueueUrl"]

    def client(self, name: str) -> Any:
        config = Config(max_pool_connections=64, retries={"total_max_attempts": 1})
        session = boto3.Session("test", "test", region_name=REGION)
        return session.client(name, endpoint_url=self.server.endpoint_url, config=config)

    def _role(self, iam: Any, service: str, *actions: str) -> str:
        trust = {"Effect": "Allow", "Principal": {"Service": f"{service}.amazonaws.com"}, "Action": "sts:AssumeRole"}
        name, version = f"{service}-bench", {"Version": "2012-10-17"}
        document = json.dumps(version | {"Statement": [trust]})
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
        statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        document = json.dumps(version | {"Statement": [statement]})
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=document)
        return arn

    def pipeline(self, name: str, steps: list[dict[str, Any]]) -> str:
        definition = json.dumps({"Version": "2020-12-01", "Steps": steps})
        self.sagemaker.create_pipeline(PipelineName=name, PipelineDefinition=definition, RoleArn=self.role)
        return name

    def step(self, name: str, *needs: str) -> dict[str, Any]:
        return {"Name": name, "Type": "Lambda", "FunctionArn": self.function, "DependsOn": list(needs)}

    def start(self, pipeline: str) -> str:
        return self.sagemaker.start_pipeline_execution(PipelineName=pipeline)["PipelineExecutionArn"]

    def execution(self, arn: str) -> dict[str, Any]:
        return self.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)

    def ended(self, arn: str) -> dict[str, Any]:
        while (shown := self.execution(arn))["PipelineExecutionStatus"] == "Executing":
            time.sleep(POLL_SECONDS)
        return shown


def chain(bench: Bench, steps: int, rounds: int) -> dict[str, Any]:
    """Seconds of a chain of steps, by the execution's own clock, and of the same number of calls."""
    chained = [bench.step(f"S{i}", *([f"S{i - 1}"] if i else [])) for i in range(steps)]
    pipeline = bench.pipeline("chain", chained)
    direct, piped = [], []
    for round_ in range(rounds + 1):
        began = time.perf_counter()
        for _ in range(steps):
            bench.functions.invoke(FunctionName=bench.function, Payload=b"{}")["Payload"].read()
        calls = time.perf_counter() - began
        shown = bench.ended(bench.start(pipeline))
        assert shown["PipelineExecutionStatus"] == "Succeeded"
        if round_:  # the first warms both up
            direct.append(calls)
            piped.append((shown["LastModifiedTime"] - shown["CreationTime"]).total_seconds())
    overheads = [(p - d) / steps * 1000 for p, d in zip(piped, direct, strict=True)]
    return {
        "steps": steps,
        "call_ms": statistics.median(direct) / steps * 1000,
        "step_ms": statistics.median(piped) / steps * 1000,
        "overhead_ms": statistics.median(overheads),
        "worst_overhead_ms": max(overheads),
    }


def at_once(bench: Bench, executions: int) -> dict[str, Any]:
    """Seconds until every one of many executions has succeeded."""
    pipeline = bench.pipeline("at-once", [bench.step("A"), bench.step("B", "A"), bench.step("C", "B")])
    began = time.perf_counter()
    with ThreadPoolExecutor(16) as pool:
        arns = list(pool.map(bench.start, [pipeline] * executions))
    left, statuses = set(arns), {}
    while left:
        for page in bench.sagemaker.get_paginator("list_pipeline_executions").paginate(PipelineName=pipeline):
            for summary in page["PipelineExecutionSummaries"]:
                if summary["PipelineExecutionStatus"] != "Executing":
                    statuses[summary["PipelineExecutionArn"]] = summary["PipelineExecutionStatus"]
        left -= set(statuses)
        time.sleep(0.05)
    seconds = time.perf_counter() - began
    return {
        "executions": executions,
        "succeeded": sum(status == "Succeeded" for status in statuses.values()),
        "seconds": seconds,
        "steps_per_second": 3 * executions / seconds,
    }


def waiting(bench: Bench, executions: int, seconds: float) -> dict[str, Any]:
    """The share of a core the server uses while executions wait for callbacks that nobody answers."""
    step = {"Name": "Wait", "Type": "Callback", "SqsQueueUrl": bench.queue}
    pipeline = bench.pipeline("waiting", [step])
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(bench.start, [pipeline] * executions))
    names = ["ApproximateNumberOfMessages"]
    while True:
        counts = bench.sqs.get_queue_attributes(QueueUrl=bench.queue, AttributeNames=names)["Attributes"]
        if int(counts[names[0]]) == executions:
            break
        time.sleep(0.05)
    time.sleep(3)  # the workers' last breath, and one snapshot of the state
    before, began = _cpu_seconds(bench.server.pid), time.perf_counter()
    time.sleep(seconds)
    share = (_cpu_seconds(bench.server.pid) - before) / (time.perf_counter() - began)
    return {"waiting": executions, "watched_seconds": seconds, "idle_percent": share * 100}


def _cpu_seconds(pid: int) -> float:
    """The CPU time a process and its dead children have used. Linux only, as the other shares are not comparable."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--executions", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--idle-seconds", type=float, default=20)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
    }
    with tempfile.TemporaryDirectory() as home:
        server = local_aws.start(port=0, home=Path(home))
        try:
            bench = Bench(server)
            result |= chain(bench, arguments.steps, arguments.rounds)
            result |= at_once(bench, arguments.executions)
            if Path("/proc").exists():
                result |= waiting(bench, arguments.executions, arguments.idle_seconds)
        finally:
            local_aws.stop(Path(home))
    rows = [
        (f"a call of the function, of {result['steps']}", f"{result['call_ms']:.1f} ms"),
        (f"a Lambda step, of {result['steps']} in a chain", f"{result['step_ms']:.1f} ms"),
        ("overhead a step (goal: under 10 ms)", f"{result['overhead_ms']:.1f} ms"),
        (f"{result['executions']} executions of 3 steps at once: succeeded", str(result["succeeded"])),
        ("... until the last had ended", f"{result['seconds']:.1f} s, {result['steps_per_second']:.0f} steps/s"),
    ]
    if "idle_percent" in result:
        rows.append((f"{result['waiting']} waiting (goal: under 1 % of a core)", f"{result['idle_percent']:.2f} %"))
    width = max(len(name) for name, _ in rows)
    print(f"{result['machine']}, Python {result['python']}")
    for name, value in rows:
        print(f"  {name:<{width}}  {value}")
    print(json.dumps(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    good = result["succeeded"] == result["executions"] and all(result.get(key, 0) < goal for key, goal in GOALS.items())
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
