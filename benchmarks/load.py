"""Many pipelines at once: 50 executions of 40 jobs each, then the same with the server killed at a random moment.

    python benchmarks/load.py [--pipelines 50] [--jobs 40] [--kill-only | --no-kill] [--seed N]

Each pipeline submits its jobs, waits for them by a callback, and ends. Everything must succeed. The second time the
server is killed (kill -9) wherever the load then is, starting executions, submitting jobs or running them, and started
again on its state directory: no execution, job or answer may be lost, and none may be there twice.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
from botocore.exceptions import BotoCoreError, ClientError

import local_aws
from utils import iam, pipeline
from utils import kit as kits
from utils.batch_step_json import batch_step_json
from utils.config import Config
from utils.session import embedded_session

VCPUS = 8  # 32 jobs at once
SAVED_SECONDS = 2.5  # MiniStack saves every two seconds what was made
STATUSES = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED")


class Watch(threading.Thread):
    """The most memory and files the server's processes have held, looked at twice a second."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.over = pid, threading.Event()
        self.server_mib = self.all_mib = self.files = self.processes = 0

    def run(self) -> None:
        while not self.over.wait(0.5):
            try:
                server = psutil.Process(self.pid)
                self.server_mib = max(self.server_mib, server.memory_info().rss >> 20)
                self.files = max(self.files, server.num_fds())
                family = [server, *server.children(recursive=True)]
                self.processes = max(self.processes, len(family))
                self.all_mib = max(self.all_mib, sum(_resident(process) for process in family) >> 20)
            except psutil.NoSuchProcess:
                return


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0


class Load:
    def __init__(self, home: Path, pipelines: int, jobs: int) -> None:
        self.home, self.pipelines, self.jobs = home, pipelines, jobs
        self.config = Config("local", "sagemaker-load", "us-east-1", "000000000000")
        self.start_server(port=0)
        self.kit = kits.deploy(self.session, self.config, program="print('done')", max_vcpus=VCPUS)

    def start_server(self, port: int) -> None:
        self.server = local_aws.start(port=port, home=self.home, state_dir=self.home / "state")
        self.session = embedded_session(self.server.endpoint_url)
        self.sagemaker, self.batch = self.session.client("sagemaker"), self.session.client("batch")

    def definition(self) -> str:
        steps = batch_step_json(
            "Wait",
            input_uri=self.config.s3_uri("in"),
            output_uri=self.config.s3_uri("out"),
            max_jobs=self.jobs,
            job_queue=self.kit.job_queue,
            job_definition=self.kit.job_definition,
            **self.kit.backend,
        )
        return json.dumps({"Version": "2020-12-01", "Steps": steps})

    def create(self) -> list[str]:
        """Create the pipelines; their names."""
        names = [f"{self.config.prefix}-{number:03d}" for number in range(self.pipelines)]
        self.answer(names)
        for name in names:
            self.sagemaker.create_pipeline(
                PipelineName=name, RoleArn=self.kit.pipeline_role, PipelineDefinition=self.definition()
            )
        return names

    def begin(self, pool: ThreadPoolExecutor, names: list[str]) -> list[Future[str]]:
        """Start each pipeline once; the executions' ARNs."""
        return [pool.submit(self.start, name) for name in names]

    def start(self, name: str) -> str:
        """Start a pipeline, and ask again if the server is gone before it answers: the token makes it one execution."""
        token = uuid.uuid4().hex
        while True:
            try:
                started = self.sagemaker.start_pipeline_execution(PipelineName=name, ClientRequestToken=token)
                return started["PipelineExecutionArn"]
            except BotoCoreError:
                time.sleep(0.2)

    def standing(self, starts: list[Future[str]]) -> dict[str, int]:
        """How far the load is: executions started, jobs submitted, jobs that have succeeded."""
        jobs = {status: len(self.names(status)) for status in STATUSES}
        started = sum(start.done() for start in starts)
        return {"started": started, "submitted": sum(jobs.values()), "succeeded": jobs["SUCCEEDED"]}

    def share(self, standing: dict[str, int]) -> float:
        """The same as one number, from 0 to 1."""
        jobs = self.pipelines * self.jobs
        return standing["started"] / self.pipelines / 3 + (standing["submitted"] + standing["succeeded"]) / jobs / 3

    def answer(self, names: list[str]) -> None:
        """Let the checking function answer all of these; its policy names the kit's own pipeline."""
        policy = iam.render("monitor_lambda.json", self.config)
        (statement,) = (one for one in policy["Statement"] if one["Sid"] == "AnswerCallbackSteps")
        statement["Resource"] = [self.config.arn("sagemaker", f"pipeline/{name}/execution/*") for name in names]
        self.session.client("iam").put_role_policy(
            RoleName=self.config.monitor_lambda_role, PolicyName=iam.INLINE_POLICY, PolicyDocument=json.dumps(policy)
        )

    def listen(self) -> None:
        """Let a queue hear of each waiting step that succeeds, by the event SageMaker sends of it."""
        events, sqs, name = self.session.client("events"), self.session.client("sqs"), f"{self.config.prefix}-heard"
        self.ears = sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = self.config.arn("sqs", name)
        pattern = {
            "source": ["aws.sagemaker"],
            "detail-type": ["SageMaker Model Building Pipeline Execution Step Status Change"],
            "detail": {"stepName": ["Wait"], "currentStepStatus": ["Succeeded"]},
        }
        statement = {
            "Effect": "Allow", "Action": "sqs:SendMessage", "Resource": arn,
            "Principal": {"Service": "events.amazonaws.com"},
        }  # fmt: skip
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        sqs.set_queue_attributes(QueueUrl=self.ears, Attributes={"Policy": policy})
        events.put_rule(Name=name, EventPattern=json.dumps(pattern))
        events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])

    def heard(self) -> list[str]:
        """The executions whose waiting step succeeded, as often as it did. What a kill left unsaved is not heard of."""
        sqs, executions = self.session.client("sqs"), []
        while messages := sqs.receive_message(
            QueueUrl=self.ears, MaxNumberOfMessages=10, WaitTimeSeconds=2, VisibilityTimeout=600
        ).get("Messages"):
            executions += [json.loads(message["Body"])["detail"]["pipelineExecutionArn"] for message in messages]
        return executions

    def finish(self, executions: list[str], seconds: float) -> collections.Counter[str]:
        """How the executions end; those that have not after `seconds` count as what they are then."""
        deadline = time.monotonic() + seconds
        statuses: collections.Counter[str] = collections.Counter()
        for arn in executions:
            try:
                left = max(0.1, deadline - time.monotonic())
                ended = pipeline.wait_for_execution(self.session, arn, seconds=left)
                statuses[ended["PipelineExecutionStatus"]] += 1
            except TimeoutError:
                statuses["not ended"] += 1
        return statuses

    def names(self, status: str) -> list[str]:
        pages = self.batch.get_paginator("list_jobs").paginate(jobQueue=self.kit.job_queue, jobStatus=status)
        return [job["jobName"] for page in pages for job in page["jobSummaryList"]]

    def stop(self) -> None:
        local_aws.stop(self.home)


def in_one_go(pipelines: int, jobs: int, patience: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        load = Load(Path(folder), pipelines, jobs)
        try:
            watch = Watch(load.server.pid)
            watch.start()
            begin = time.monotonic()
            with ThreadPoolExecutor(8) as pool:
                executions = [start.result() for start in load.begin(pool, load.create())]
            statuses = load.finish(executions, patience)
            seconds = time.monotonic() - begin
            watch.over.set()
            succeeded = len(load.names("SUCCEEDED"))
        finally:
            load.stop()
    return {
        "executions": dict(statuses),
        "jobs_succeeded": succeeded,
        "seconds": round(seconds, 1),
        "jobs_per_second": round(succeeded / seconds, 1),
        "server_peak_mib": watch.server_mib,
        "all_processes_peak_mib": watch.all_mib,
        "server_peak_open_files": watch.files,
        "peak_processes": watch.processes,
        "ok": statuses == {"Succeeded": pipelines} and succeeded == pipelines * jobs,
    }


def killed_at_random(pipelines: int, jobs: int, patience: float, seed: int) -> dict[str, Any]:
    moment = random.Random(seed).random()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(8) as pool:
        load = Load(Path(folder), pipelines, jobs)
        try:
            load.listen()
            names = load.create()
            time.sleep(SAVED_SECONDS)
            starts = load.begin(pool, names)
            while load.share(standing := load.standing(starts)) < moment:
                time.sleep(0.02)
            os.kill(load.server.pid, signal.SIGKILL)
            os.waitpid(load.server.pid, 0)
            begin = time.monotonic()
            load.start_server(port=load.server.port)
            back = time.monotonic() - begin
            executions = [start.result() for start in starts]
            statuses = load.finish(executions, patience)
            seconds = time.monotonic() - begin
            failed = load.names("FAILED")
            names = collections.Counter(load.names("SUCCEEDED") + failed)
            answers = collections.Counter(load.heard())
            steps = sum(
                step_status(load, arn, name) == "Succeeded" for arn in executions for name in ("Wait-Submit", "Wait")
            )
        finally:
            load.stop()
    result = {
        "seed": seed,
        "when_it_was_killed": standing,
        "executions": dict(statuses),
        "jobs": len(names),
        "jobs_failed": len(failed),
        "jobs_submitted_twice": sum(count - 1 for count in names.values()),
        "steps_succeeded": steps,
        "answers_heard_of": len(answers),
        "steps_answered_twice": sum(count - 1 for count in answers.values()),
        "seconds_until_it_answers_again": round(back, 1),
        "seconds_until_all_ended": round(seconds, 1),
    }
    result["ok"] = (
        statuses == {"Succeeded": pipelines}
        and len(names) == pipelines * jobs
        and not failed
        and not result["jobs_submitted_twice"]
        and not result["steps_answered_twice"]
        and steps == 2 * pipelines
    )
    return result


def step_status(load: Load, execution: str, name: str) -> str:
    listed = load.sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=execution)["PipelineExecutionSteps"]
    return next((step["StepStatus"] for step in listed if step["StepName"] == name), "not started")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pipelines", type=int, default=50)
    parser.add_argument("--jobs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000, help="of the moment of the kill")
    parser.add_argument("--patience", type=float, default=900, help="seconds after which what runs counts as lost")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--kill-only", action="store_true")
    which.add_argument("--no-kill", action="store_true")
    arguments = parser.parse_args()
    results: dict[str, Any] = {}
    if not arguments.kill_only:
        results["in one go"] = in_one_go(arguments.pipelines, arguments.jobs, arguments.patience)
    if not arguments.no_kill:
        results["killed at a random moment"] = killed_at_random(
            arguments.pipelines, arguments.jobs, arguments.patience, arguments.seed
        )
    for title, result in results.items():
        print(f"{arguments.pipelines} pipelines of {arguments.jobs} jobs, {title}")
        for name, value in result.items():
            print(f"  {name.replace('_', ' '):32} {value}")
    print(json.dumps(results))
    return 0 if all(result["ok"] for result in results.values()) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ClientError, BotoCoreError, TimeoutError) as error:
        sys.exit(f"The load is too much: {error}")
