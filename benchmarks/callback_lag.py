"""From the end of a job to the end of the callback step: the article's design, polling, and push, side by side.

    python benchmarks/callback_lag.py [--steps 40] [--visibility-timeout 30] [--seed 1] [--json FILE]

Each of `--steps` Batch jobs sleeps for a random time, and three pipelines wait for it at once, so all three designs see
the same jobs end at the same moments:

    article   fail until done; the message comes back after the queue's visibility timeout. In its favour: one message
              an invocation, where by default one unfinished step would hold up nine others.
    polling   lambda_code/check_jobs; a poll after a quarter of the time waited, at least 1 s
    push      the same function, called by EventBridge when the job ends; polling only as the fallback

Each design is a kit of its own, deployed as the notebooks deploy it. Where the article's differs, that is changed.
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

import local_aws
from utils import batch_step_json, kit, lambdas
from utils.config import Config
from utils.session import embedded_session
from utils.support.waiting import wait

ACCOUNT, REGION = "000000000000", "us-east-1"
SHORTEST_JOB_SECONDS = 20
DESIGNS = ("article", "polling", "push")
MAX_VCPUS = 256  # all jobs at once
SLEEP = "import os, time; time.sleep(float(os.environ['SECONDS']))"

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
        self.session, self.options = embedded_session(endpoint_url), options
        self.random = random.Random(options.seed)
        self.longest_job_seconds = SHORTEST_JOB_SECONDS + 2 * options.visibility_timeout
        self.configs = {design: Config("local", f"sagemaker-{design}", REGION, ACCOUNT) for design in DESIGNS}
        self.kits: dict[str, kit.Kit] = {}

    def client(self, service: str) -> Any:
        return self.session.client(service)

    def run(self) -> dict[str, dict]:
        for design in DESIGNS:
            self.make_design(design)
        self.change_to_the_article()
        # Long enough that every step waits before its job ends: what comes before that is no lag of the answer.
        jobs = [
            self.submit(number, self.random.uniform(SHORTEST_JOB_SECONDS, self.longest_job_seconds))
            for number in range(self.options.steps)
        ]
        executions = {design: [self.start(design, job) for job in jobs] for design in DESIGNS}
        rows = {design: self.measure(design, jobs, executions[design]) for design in DESIGNS}
        self.wait_for_empty_queues()
        return {design: {**row, **self.count(design)} for design, row in rows.items()}

    # Setting up

    def make_design(self, design: str) -> None:
        """A kit whose function counts its calls, and a pipeline of one callback step."""
        config = self.configs[design]
        # The fallback's poll comes once after the longest job, so that the left-over message is counted too.
        settings = {"PUSH_POLL_SECONDS": f"{self.longest_job_seconds + 15}"}
        made = self.kits[design] = kit.deploy(
            self.session, config, program=SLEEP, max_vcpus=MAX_VCPUS, push=design == "push", check_settings=settings
        )
        self.replace_code(config, lambdas.package("check_jobs"))
        outputs = ["job_status"] if design == "article" else list(batch_step_json.WAIT_OUTPUTS)
        step = {
            "Name": "Wait",
            "Type": "Callback",
            "SqsQueueUrl": made.callback_queue,
            "Arguments": {"job_ids": {"Get": "Parameters.JobIds"}},
            "OutputParameters": [{"OutputName": name, "OutputType": "String"} for name in outputs],
        }
        definition = {"Version": "2020-12-01", "Parameters": [{"Name": "JobIds", "Type": "String"}], "Steps": [step]}
        self.client("sagemaker").create_pipeline(
            PipelineName=config.pipeline, PipelineDefinition=json.dumps(definition), RoleArn=made.pipeline_role
        )

    def change_to_the_article(self) -> None:
        """Its function raises until all is done, its messages come one at a time, and its queue hides them for less."""
        config, functions = self.configs["article"], self.client("lambda")
        self.replace_code(config, zipped({"lambda_function.py": ARTICLE}))
        seconds = self.options.visibility_timeout
        functions.update_function_configuration(FunctionName=config.check_jobs_function, Timeout=seconds)
        self.client("sqs").set_queue_attributes(
            QueueUrl=self.kits["article"].callback_queue, Attributes={"VisibilityTimeout": f"{seconds}"}
        )
        [mapping] = functions.list_event_source_mappings(FunctionName=config.check_jobs_function)["EventSourceMappings"]
        functions.update_event_source_mapping(UUID=mapping["UUID"], BatchSize=1, FunctionResponseTypes=[])

    def replace_code(self, config: Config, package: bytes) -> None:
        functions, name = self.client("lambda"), config.check_jobs_function
        functions.update_function_code(FunctionName=name, ZipFile=counted(package))
        functions.get_waiter("function_updated_v2").wait(FunctionName=name)

    # Running and measuring

    def submit(self, number: int, seconds: float) -> str:
        return self.client("batch").submit_job(
            jobName=f"bench{number}-Sleep-01",
            jobQueue=self.kits["push"].job_queue,
            jobDefinition=self.kits["push"].job_definition,
            containerOverrides={"environment": [{"name": "SECONDS", "value": f"{seconds:.3f}"}]},
        )["jobId"]

    def start(self, design: str, job_id: str) -> str:
        return self.client("sagemaker").start_pipeline_execution(
            PipelineName=self.configs[design].pipeline,
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
            url = self.kits[design].callback_queue
            wait(
                lambda url=url: message_counts(self.client("sqs"), url),
                until=lambda counts: not any(counts),
                seconds=600,
                longest_pause=1,
                otherwise=lambda counts, url=url: f"{url} still has {sum(counts)} messages after 600 seconds.",
            )

    def count(self, design: str) -> dict:
        pages = self.client("logs").get_paginator("filter_log_events")
        function = self.configs[design].check_jobs_function
        answers = pages.paginate(logGroupName=Config.lambda_log_group(function), filterPattern='"measured"')
        lines = [
            re.search(r'\{"message": "measured", "calls": (\d+)\}', e["message"]) for p in answers for e in p["events"]
        ]
        calls = [int(line[1]) for line in lines if line]
        return {"invocations": len(calls), "api_calls": sum(calls)}


def zipped(modules: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in modules.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def counted(package: bytes) -> bytes:
    """The same function, with its calls to AWS counted."""
    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        modules = {name: archive.read(name).decode() for name in archive.namelist()}
    return zipped(modules | {"lambda_function.py": modules["lambda_function.py"] + COUNTER})


def message_counts(sqs: Any, url: str) -> list[int]:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    return [int(value) for value in sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"].values()]


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
