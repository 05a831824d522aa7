"""From the end of a job to the end of the callback step: the article's design, polling, and push, side by side.

    python benchmarks/callback_lag.py [--steps 40] [--visibility-timeout 30] [--seed 1] [--json FILE]

Each of `--steps` Batch jobs sleeps for a random time, and three pipelines wait for it at once, so all three designs see
the same jobs end at the same moments:

    article   fail until done; the message comes back after the queue's visibility timeout. In its favour: one message
              an invocation, where by default one unfinished step would hold up nine others.
    polling   lambda_code/check_jobs; a poll after a quarter of the time waited, at least 1 s
    push      the same function, called by EventBridge when the job ends; polling only as the fallback

Prints p50 and p99 of the lag, the invocations and the AWS calls for each. An embedded AWS of its own runs for it.
"""

from __future__ import annotations

import argparse
import io
import json
import platform
import random
import re
import statistics
import tempfile
import time
import zipfile
from datetime import UTC, datetime
from os import cpu_count
from pathlib import Path
from typing import Any

import boto3

import local_aws
from utils.support.waiting import wait

ROOT = Path(__file__).parents[1]
REGION = "us-east-1"
SHORTEST_JOB_SECONDS = 20
DESIGNS = ("article", "polling", "push")
IMAGE = "public.ecr.aws/docker/library/python:3.13-slim"
SLEEP = "import sys, time; time.sleep(float(sys.argv[1]))"

ARTICLE = '''
"""The article's logic, in our own words: raise while a job is unfinished."""
import json
import boto3

def lambda_handler(event, context):
    for record in event["Records"]:
        body = json.loads(record["body"])
        jobs = boto3.client("batch").describe_jobs(jobs=body["arguments"]["job_ids"].split())["jobs"]
        if any(job["status"] not in ("SUCCEEDED", "FAILED") for job in jobs):
            raise RuntimeError("not finished")
        outputs = [{"Name": "job_status", "Value": "Completed"}]
        boto3.client("sagemaker").send_pipeline_execution_step_success(
            CallbackToken=body["token"], OutputParameters=outputs)
'''

COUNTER = """

import json
import boto3

_calls = []
boto3.setup_default_session()
boto3.DEFAULT_SESSION.events.register("before-send", lambda request, **_: _calls.append(request.url))
_measured = lambda_handler

def lambda_handler(event, context):
    _calls.clear()
    try:
        return _measured(event, context)
    finally:
        print(json.dumps({"message": "measured", "calls": len(_calls)}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--visibility-timeout", type=int, default=30, help="seconds, of the article's queue")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        server = local_aws.start(port=0, home=Path(home))
        try:
            rows = Bench(server.endpoint_url, options).run()
        finally:
            local_aws.stop(Path(home))
    report(rows, options)


class Bench:
    def __init__(self, endpoint_url: str, options: argparse.Namespace) -> None:
        self.session, self.endpoint_url, self.options = (
            boto3.Session("test", "test", region_name=REGION),
            endpoint_url,
            options,
        )
        self.random = random.Random(options.seed)
        self.longest_job_seconds = SHORTEST_JOB_SECONDS + 2 * options.visibility_timeout

    def client(self, service: str) -> Any:
        return self.session.client(service, endpoint_url=self.endpoint_url)

    def run(self) -> dict[str, dict]:
        self.role_arn = self.make_role()
        self.make_batch()
        for design in DESIGNS:
            self.make_design(design)
        # Long enough that every step waits before its job ends: what comes before that is no lag of the answer.
        jobs = [
            self.submit(number, self.random.uniform(SHORTEST_JOB_SECONDS, self.longest_job_seconds))
            for number in range(self.options.steps)
        ]
        executions = {design: [self.start(design, job) for job in jobs] for design in DESIGNS}
        rows = {design: self.measure(design, jobs, executions[design]) for design in DESIGNS}
        self.wait_for_empty_queues()
        return {design: {**row, **self.count(design)} for design, row in rows.items()}

    # Setting up: one role for all, since permissions are not what is measured here

    def make_role(self) -> str:
        services = [f"{name}.amazonaws.com" for name in ("lambda", "ecs-tasks", "sagemaker", "batch")]
        trust = {"Effect": "Allow", "Principal": {"Service": services}, "Action": "sts:AssumeRole"}
        everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
        iam = self.client("iam")
        role = iam.create_role(RoleName="bench-sagemaker", AssumeRolePolicyDocument=policy(trust))["Role"]
        iam.put_role_policy(RoleName="bench-sagemaker", PolicyName="all", PolicyDocument=policy(everything))
        return role["Arn"]

    def make_batch(self) -> None:
        batch, ec2 = self.client("batch"), self.client("ec2")
        resources = {
            "type": "FARGATE",
            "maxvCpus": 256,
            "subnets": [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]],
            "securityGroupIds": [ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]],
        }
        batch.create_compute_environment(
            computeEnvironmentName="bench", type="MANAGED", state="ENABLED", computeResources=resources
        )
        environments = {"computeEnvironments": ["bench"]}
        wait_for_valid(lambda: batch.describe_compute_environments(**environments)["computeEnvironments"][0])
        order = [{"order": 1, "computeEnvironment": "bench"}]
        self.job_queue_arn = batch.create_job_queue(
            jobQueueName="bench", state="ENABLED", priority=1, computeEnvironmentOrder=order
        )["jobQueueArn"]
        wait_for_valid(lambda: batch.describe_job_queues(jobQueues=["bench"])["jobQueues"][0])
        batch.register_job_definition(
            jobDefinitionName="sleep",
            type="container",
            platformCapabilities=["FARGATE"],
            parameters={"seconds": "1"},
            containerProperties={
                "image": IMAGE,
                "command": ["python", "-c", SLEEP, "Ref::seconds"],
                "executionRoleArn": self.role_arn,
                "jobRoleArn": self.role_arn,
                "resourceRequirements": [{"type": "VCPU", "value": "0.25"}, {"type": "MEMORY", "value": "1024"}],
            },
        )

    def make_design(self, design: str) -> None:
        """Queue, function, mapping and a pipeline of one callback step."""
        visibility = self.options.visibility_timeout if design == "article" else 900
        sqs, functions = self.client("sqs"), self.client("lambda")
        queue_url = sqs.create_queue(
            QueueName=f"bench-sagemaker-{design}", Attributes={"VisibilityTimeout": str(visibility)}
        )["QueueUrl"]
        queue_arn = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        modules = {"lambda_function.py": ARTICLE} if design == "article" else check_jobs_modules()
        # The fallback's poll comes once after the longest job, so that the left-over message is counted too.
        settings = {"POLL_MIN_SECONDS": "1", "PUSH_POLL_SECONDS": f"{self.longest_job_seconds + 15}"}
        function_arn = functions.create_function(
            FunctionName=f"bench-sagemaker-{design}",
            Runtime="python3.13",
            Role=self.role_arn,
            Handler="lambda_function.lambda_handler",
            Code={"ZipFile": zipped(modules)},
            Timeout=30,
            Environment={"Variables": settings | ({"PUSH_EVENTS": "true"} if design == "push" else {})},
        )["FunctionArn"]
        functions.get_waiter("function_active_v2").wait(FunctionName=function_arn)
        responses = {} if design == "article" else {"FunctionResponseTypes": ["ReportBatchItemFailures"]}
        size = 1 if design == "article" else 10
        functions.create_event_source_mapping(
            EventSourceArn=queue_arn, FunctionName=function_arn, BatchSize=size, **responses
        )
        if design == "push":
            self.make_rule(function_arn)
        outputs = ["job_status"] + (
            [] if design == "article" else ["jobs_total", "jobs_succeeded", "jobs_failed", "failed_items_uri"]
        )
        step = {
            "Name": "Wait",
            "Type": "Callback",
            "SqsQueueUrl": queue_url,
            "Arguments": {"job_ids": {"Get": "Parameters.JobIds"}},
            "OutputParameters": [{"OutputName": name, "OutputType": "String"} for name in outputs],
        }
        definition = {"Version": "2020-12-01", "Parameters": [{"Name": "JobIds", "Type": "String"}], "Steps": [step]}
        self.client("sagemaker").create_pipeline(
            PipelineName=f"bench-sagemaker-{design}",
            PipelineDefinition=json.dumps(definition),
            ClientRequestToken=f"bench-sagemaker-{design}".ljust(32, "0"),
            RoleArn=self.role_arn,
        )

    def make_rule(self, function_arn: str) -> None:
        events = self.client("events")
        pattern = {
            "source": ["aws.batch"],
            "detail-type": ["Batch Job State Change"],
            "detail": {
                "status": ["SUCCEEDED", "FAILED"],
                "jobQueue": [self.job_queue_arn],
                "arrayProperties": {"index": [{"exists": False}]},
            },
        }
        rule_arn = events.put_rule(Name="bench-sagemaker", EventPattern=json.dumps(pattern))["RuleArn"]
        self.client("lambda").add_permission(
            FunctionName=function_arn,
            StatementId="events",
            Action="lambda:InvokeFunction",
            Principal="events.amazonaws.com",
            SourceArn=rule_arn,
        )
        events.put_targets(Rule="bench-sagemaker", Targets=[{"Id": "check", "Arn": function_arn}])

    # Running and measuring

    def submit(self, number: int, seconds: float) -> str:
        return self.client("batch").submit_job(
            jobName=f"bench{number}-Sleep-01",
            jobQueue="bench",
            jobDefinition="sleep",
            parameters={"seconds": f"{seconds:.3f}"},
        )["jobId"]

    def start(self, design: str, job_id: str) -> str:
        return self.client("sagemaker").start_pipeline_execution(
            PipelineName=f"bench-sagemaker-{design}",
            PipelineParameters=[{"Name": "JobIds", "Value": job_id}],
            ClientRequestToken=f"{design}-{job_id}",
        )["PipelineExecutionArn"]

    def measure(self, design: str, jobs: list[str], executions: list[str]) -> dict:
        batch = self.client("batch")
        lags = []
        for job_id, execution in zip(jobs, executions, strict=True):
            step = self.wait_for_step(execution)
            assert step["StepStatus"] == "Succeeded", f"{design}: {step}"
            job = batch.describe_jobs(jobs=[job_id])["jobs"][0]
            assert step["StartTime"].timestamp() < job["stoppedAt"] / 1000, "the job was over before the step waited"
            lags.append(step["EndTime"].timestamp() - job["stoppedAt"] / 1000)
        quantiles = statistics.quantiles(lags, n=100, method="inclusive")
        return {"p50_seconds": quantiles[49], "p99_seconds": quantiles[98], "lags_seconds": lags}

    def wait_for_step(self, execution: str) -> dict:
        def describe() -> dict:
            steps = self.client("sagemaker").list_pipeline_execution_steps(PipelineExecutionArn=execution)
            return next(iter(steps["PipelineExecutionSteps"]), {"StepStatus": "Starting"})

        return wait(
            describe,
            until=lambda step: step["StepStatus"] in ("Succeeded", "Failed", "Stopped"),
            seconds=600,
            longest_pause=0.5,
            otherwise=lambda step: f"The step of {execution} is still {step['StepStatus']} after 600 seconds.",
        )

    def wait_for_empty_queues(self) -> None:
        """Until the last message is deleted: that takes an invocation too, which counts."""
        for design in DESIGNS:
            url = self.client("sqs").get_queue_url(QueueName=f"bench-sagemaker-{design}")["QueueUrl"]
            wait(
                lambda url=url: message_counts(self.client("sqs"), url),
                until=lambda counts: not any(counts),
                seconds=600,
                longest_pause=1,
                otherwise=lambda counts, url=url: f"{url} still has {sum(counts)} messages after 600 seconds.",
            )

    def count(self, design: str) -> dict:
        pages = self.client("logs").get_paginator("filter_log_events")
        answers = pages.paginate(logGroupName=f"/aws/lambda/bench-sagemaker-{design}", filterPattern='"measured"')
        lines = [
            re.search(r'\{"message": "measured", "calls": (\d+)\}', e["message"]) for p in answers for e in p["events"]
        ]
        calls = [int(line[1]) for line in lines if line]
        return {"invocations": len(calls), "api_calls": sum(calls)}


def policy(statement: dict) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def check_jobs_modules() -> dict[str, str]:
    return {path.name: path.read_text() for path in (ROOT / "lambda_code/check_jobs").glob("*.py")}


def zipped(modules: dict[str, str]) -> bytes:
    """A function's zip, with its calls to AWS counted."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in modules.items():
            archive.writestr(name, text + COUNTER if name == "lambda_function.py" else text)
    return buffer.getvalue()


def message_counts(sqs: Any, url: str) -> list[int]:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    return [int(value) for value in sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"].values()]


def wait_for_valid(describe: Any) -> None:
    wait(
        describe,
        until=lambda resource: resource["status"] == "VALID",
        seconds=60,
        otherwise=lambda resource: f"It is still {resource['status']} after 60 seconds.",
    )


def report(rows: dict[str, dict], options: argparse.Namespace) -> None:
    print(
        f"{options.steps} callback steps of each design on the same jobs; {platform.machine()}, {cpu_count()} CPUs, "
        f"seed {options.seed}"
    )
    print(f"{'design':9} {'p50':>9} {'p99':>9} {'invocations':>12} {'AWS calls':>10} {'a step':>7}")
    for design, row in rows.items():
        per_step = row["invocations"] / options.steps
        print(
            f"{design:9} {row['p50_seconds']:8.2f}s {row['p99_seconds']:8.2f}s {row['invocations']:12} "
            f"{row['api_calls']:10} {per_step:7.1f}"
        )
    print(f"push is {rows['article']['p50_seconds'] / rows['push']['p50_seconds']:.0f} times under the article at p50")
    print(
        "On paper, not measured: a job ends at any moment between two polls, so with the article's own visibility "
        "timeout of 900 s its lag has p50 450 s and p99 891 s."
    )
    if options.json:
        result = {"time": datetime.now(UTC).isoformat(), "cpus": cpu_count(), **vars(options), "designs": rows}
        options.json.write_text(json.dumps(result, indent=1, default=str))


if __name__ == "__main__":
    started = time.monotonic()
    main()
    print(f"{time.monotonic() - started:.0f} s")
