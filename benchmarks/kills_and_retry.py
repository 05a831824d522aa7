"""Many executions, each killed or stopped at random moments and retried until it has succeeded.

    python benchmarks/kills_and_retry.py [--times 50] [--jobs 4] [--seed N] [--json FILE]

Each execution submits its jobs and waits for them by a callback. At a random moment either the server is killed
(kill -9) and started again on its state directory, or the execution is stopped. What has failed or was stopped then is
retried (RetryPipelineExecution), and half of the retries are disturbed in the same way. At the end each execution must
have succeeded, each job must have succeeded once, and no message may be left in the queues.

An embedded AWS of its own runs for it. The same seed makes the same plan.
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
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

import local_aws
from utils import kit as kits
from utils import pipeline
from utils.batch_step_json import batch_step_json
from utils.config import Config
from utils.session import embedded_session

PROGRAM = "import random, time; time.sleep(random.uniform(0.2, 2))"
LONGEST_MOMENT_SECONDS = 5.0  # an undisturbed execution takes about as long
DISTURBED_RETRIES = 2
MOST_RETRIES = 6
PATIENCE_SECONDS = 180
HARMS = ("kill", "stop")


@dataclass
class Story:
    """What was done to an execution, and what came of it."""

    harms: list[str] = field(default_factory=list)
    statuses: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Bench:
    def __init__(self, home: Path, jobs: int, seed: int) -> None:
        self.home, self.jobs, self.random = home, jobs, random.Random(seed)
        self.config = Config("local", "sagemaker-kills", "us-east-1", "000000000000")
        self.start_server(0)
        self.kit = kits.deploy(self.session, self.config, program=PROGRAM, max_vcpus=4)
        # What a killed function held comes back after this time, and must then be seen to be answered.
        seconds = kits.FUNCTION_TIMEOUT_SECONDS
        self.session.client("sqs").set_queue_attributes(
            QueueUrl=self.kit.callback_queue, Attributes={"VisibilityTimeout": str(seconds)}
        )
        for number in range(jobs):
            self.session.client("s3").put_object(Bucket=self.config.bucket, Key=f"in/{number}.txt", Body=b"x")
        steps = batch_step_json(
            "Wait",
            input_uri=self.config.s3_uri("in"),
            output_uri=self.config.s3_uri("out"),
            max_jobs=jobs,
            tolerated_failure_percentage=0,
            job_queue=self.kit.job_queue,
            job_definition=self.kit.job_definition,
            **self.kit.backend,
        )
        definition = json.dumps({"Version": "2020-12-01", "Steps": steps})
        self.sagemaker.create_pipeline(
            PipelineName=self.config.pipeline, RoleArn=self.kit.pipeline_role, PipelineDefinition=definition
        )
        time.sleep(2.5)  # a save

    def start_server(self, port: int) -> None:
        self.server = local_aws.start(port=port, home=self.home, state_dir=self.home / "state")
        self.session = embedded_session(self.server.endpoint_url)
        self.sagemaker, self.batch = self.session.client("sagemaker"), self.session.client("batch")

    def tell(self) -> Story:
        """One execution from its start to its success."""
        story = Story()
        token = uuid.uuid4().hex
        began = self.sagemaker.start_pipeline_execution(PipelineName=self.config.pipeline, ClientRequestToken=token)
        arn = began["PipelineExecutionArn"]
        self.harm(arn, story)
        story.statuses.append(self.ended(arn))
        while story.statuses[-1] != "Succeeded" and len(story.statuses) <= MOST_RETRIES:
            self.sagemaker.retry_pipeline_execution(PipelineExecutionArn=arn, ClientRequestToken=uuid.uuid4().hex)
            if len(story.statuses) <= DISTURBED_RETRIES and self.random.random() < 0.5:
                self.harm(arn, story)
            story.statuses.append(self.ended(arn))
        story.problems = self.problems(arn, story.statuses[-1])
        return story

    def harm(self, arn: str, story: Story) -> None:
        moment, harm = self.random.uniform(0, LONGEST_MOMENT_SECONDS), self.random.choice(HARMS)
        time.sleep(moment)
        story.harms.append(f"{harm} after {moment:.1f} s")
        if harm == "kill":
            os.kill(self.server.pid, signal.SIGKILL)
            os.waitpid(self.server.pid, 0)
            self.start_server(self.server.port)
            return
        try:
            self.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn, ClientRequestToken=uuid.uuid4().hex)
        except ClientError:  # it has ended already
            if self.status(arn) == "Executing":
                raise

    def status(self, arn: str) -> str:
        return self.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)["PipelineExecutionStatus"]

    def ended(self, arn: str) -> str:
        try:
            ended = pipeline.wait_for_execution(self.session, arn, seconds=PATIENCE_SECONDS)
        except TimeoutError:
            return "not ended"
        if ended["PipelineExecutionStatus"] != "Failed":
            return ended["PipelineExecutionStatus"]
        steps = self.sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn)["PipelineExecutionSteps"]
        reasons = [step["FailureReason"] for step in steps if "FailureReason" in step]
        return f"Failed ({'; '.join(reasons)})"

    def problems(self, arn: str, status: str) -> list[str]:
        """What is wrong at the end."""
        problems = [] if status == "Succeeded" else [f"it is {status}"]
        jobs = soon(lambda: self.jobs_of(arn), lambda jobs: not jobs["running"])
        for name, number in collections.Counter(jobs["succeeded"]).items():
            if number != 1:
                problems.append(f"{name} succeeded {number} times")
        if len(set(jobs["succeeded"])) != self.jobs:
            problems.append(f"{len(set(jobs['succeeded']))} of {self.jobs} jobs succeeded")
        if jobs["running"]:
            problems.append(f"{jobs['running']} go on")
        steps = self.sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn)["PipelineExecutionSteps"]
        shown = {step["StepName"]: step for step in steps}
        given = shown.get("Wait", {}).get("Metadata", {}).get("Callback", {}).get("OutputParameters", [])
        outputs = {output["Name"]: output["Value"] for output in given}
        if (outputs.get("jobs_total"), outputs.get("jobs_succeeded")) != (str(self.jobs), str(self.jobs)):
            problems.append(f"its outputs are {outputs}")
        return problems

    def jobs_of(self, arn: str) -> dict[str, list[str]]:
        """Names of an execution's jobs, without the number of their try."""
        filters = [{"name": "JOB_NAME", "values": [f"{arn.rsplit('/', 1)[1]}-*"]}]
        listed = self.batch.list_jobs(jobQueue=self.kit.job_queue, filters=filters)["jobSummaryList"]
        names: dict[str, list[str]] = {"succeeded": [], "failed": [], "running": []}
        for job in listed:
            kind = {"SUCCEEDED": "succeeded", "FAILED": "failed"}.get(job["status"], "running")
            names[kind].append(job["jobName"].rpartition("-try")[0] or job["jobName"])
        return names

    def messages(self) -> int:
        """How many messages the callback queue and the dead-letter queue have."""
        sqs = self.session.client("sqs")
        names = [f"ApproximateNumberOfMessages{kind}" for kind in ("", "NotVisible", "Delayed")]
        number = 0
        for name in (self.config.callback_queue, self.config.dead_letter_queue):
            url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
            number += sum(map(int, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"].values()))
        return number


def soon(ask: Callable[[], Any], enough: Callable[[Any], bool], seconds: float = 60) -> Any:
    """The answer once it is enough, or the last one."""
    deadline = time.monotonic() + seconds
    while not enough(answer := ask()) and time.monotonic() < deadline:
        time.sleep(0.5)
    return answer


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    stories: list[Story] = []
    with tempfile.TemporaryDirectory() as home:
        bench = Bench(Path(home), options.jobs, options.seed)
        try:
            for number in range(1, options.times + 1):
                stories.append(bench.tell())
                last = stories[-1]
                ways = ", ".join(f"{harm}" for harm in last.harms)
                print(f"{number:3} {ways}: {' '.join(last.statuses)} {'; '.join(last.problems)}".rstrip(), flush=True)
            left = soon(bench.messages, lambda number: not number, 300)
        finally:
            local_aws.stop(Path(home))
    kinds = collections.Counter(harm.split()[0] for story in stories for harm in story.harms)
    wrong = sum(bool(story.problems) for story in stories)
    retries = sum(len(story.statuses) - 1 for story in stories)
    print(
        f"seed {options.seed}: {len(stories)} executions of {options.jobs} jobs, {kinds['kill']} kills, "
        f"{kinds['stop']} stops, {retries} retries; {wrong} executions with problems, {left} messages left"
    )
    if options.json:
        options.json.write_text(json.dumps([asdict(story) for story in stories], indent=1) + "\n")
    return 1 if wrong or left else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ClientError, BotoCoreError) as error:
        sys.exit(f"The server does not answer as it should: {error}")
