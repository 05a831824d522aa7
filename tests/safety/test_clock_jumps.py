"""A machine whose clock is set, by an hour or by days, while a pipeline waits: nothing freezes and nothing expires."""

from __future__ import annotations

import datetime as dt
import functools
import io
import json
import os
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from machine_clock import MachineClock
from servers import until

import local_aws
from utils import kit as kits
from utils import pipeline
from utils.batch_step_json import batch_step_json
from utils.config import Config
from utils.session import embedded_session

pytestmark = pytest.mark.slow

HOUR, DAY = 3600, 86_400


class Machine:
    """An embedded AWS on a machine whose clock can be set, with a deployed kit."""

    def __init__(self, folder: Path, ahead: float = 0, **environment: str) -> None:
        self.home, self.clock = folder / "home", MachineClock(folder)
        self.clock.set(ahead)
        self.environment = {**os.environ, **self.clock.environment, **environment}
        self.start()
        self.config = Config("local", "sagemaker-clock", "us-east-1", "000000000000")

    def start(self) -> None:
        command = [sys.executable, "-m", "local_aws", "start", "--port", "0", "--home", str(self.home)]
        command += ["--state-dir", str(self.home / "state")]
        subprocess.run(command, env=self.environment, check=True, capture_output=True)
        self.session = embedded_session(local_aws.find(self.home).endpoint_url)

    @functools.cached_property
    def kit(self) -> kits.Kit:
        return kits.deploy(self.session, self.config, program=kits.job_code("practise.py"), max_vcpus=4)

    def client(self, service: str) -> Any:
        return self.session.client(service)

    def now(self) -> float:
        """The time as the machine has it."""
        return time.time() + self.clock.seconds

    def begin(self, items: list[dict[str, Any]], **options: Any) -> str:
        """Start an execution whose step waits for these items; its ARN, when its message has been polled once."""
        name, number = self.config.pipeline, time.time_ns()
        steps = self._steps(f"items/{number}.jsonl", f"out/{number}", **options)
        body = "\n".join(json.dumps(item) for item in items).encode()
        self.client("s3").put_object(Bucket=self.config.bucket, Key=f"items/{number}.jsonl", Body=body)
        definition = json.dumps({"Version": "2020-12-01", "Steps": steps})
        pipelines, about = self.client("sagemaker"), {"PipelineName": name, "PipelineDefinition": definition}
        if pipelines.list_pipelines()["PipelineSummaries"]:
            pipelines.update_pipeline(**about)
        else:
            pipelines.create_pipeline(**about, RoleArn=self.kit.pipeline_role)
        return pipelines.start_pipeline_execution(PipelineName=name)["PipelineExecutionArn"]

    def _steps(self, items: str, outputs: str, **options: Any) -> list[dict[str, Any]]:
        uri, kit = self.config.s3_uri, self.kit
        return batch_step_json(
            "Wait", items=uri(items), output_uri=uri(outputs), job_queue=kit.job_queue,
            job_definition=kit.job_definition, **kit.backend, **options,
        )  # fmt: skip

    def step(self, execution: str) -> dict[str, Any]:
        steps = self.client("sagemaker").list_pipeline_execution_steps(PipelineExecutionArn=execution)
        return next((step for step in steps["PipelineExecutionSteps"] if step["StepName"] == "Wait"), {})

    def until_it_waits(self, execution: str) -> None:
        until(lambda: self.step(execution).get("StepStatus") == "Executing" and self.jobs(execution))
        time.sleep(1.5)  # its message is hidden, after one poll or two

    def jobs(self, execution: str) -> list[dict[str, Any]]:
        filters = [{"name": "JOB_NAME", "values": [f"{execution.rsplit('/', 1)[1]}-*"]}]
        page = self.client("batch").list_jobs(jobQueue=self.config.job_queue, filters=filters)
        return page["jobSummaryList"]

    def statuses(self, execution: str) -> list[str]:
        """Of the array's jobs that have ended or run."""
        [array], batch = self.jobs(execution), self.client("batch")
        pages = [batch.list_jobs(arrayJobId=array["jobId"], jobStatus=status) for status in ("RUNNING", "SUCCEEDED")]
        return [job["status"] for page in pages for job in page["jobSummaryList"]]

    def finish(self, execution: str, seconds: float = 45) -> str:
        ended = pipeline.wait_for_execution(self.session, execution, seconds=seconds)
        return ended["PipelineExecutionStatus"]

    def outputs(self, execution: str) -> dict[str, str]:
        given = self.step(execution)["Metadata"]["Callback"]["OutputParameters"]
        return {output["Name"]: output["Value"] for output in given}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    machine = Machine(tmp_path_factory.mktemp("clock"))
    yield machine
    local_aws.stop(machine.home)


@pytest.mark.thorough
@pytest.mark.parametrize("seconds", [-HOUR, HOUR, -DAY, 2 * DAY, -2 * DAY, DAY])
def test_a_step_that_waits_ends_as_it_would_have(machine: Machine, seconds: float) -> None:
    execution = machine.begin([{"seconds": 8}, {"seconds": 1}, {"seconds": 8}])
    machine.until_it_waits(execution)
    # The short job has ended, so the others have read their items. A call that is under way has a wrong time after.
    until(lambda: "SUCCEEDED" in machine.statuses(execution))
    machine.clock.jump(seconds)
    assert machine.finish(execution) == "Succeeded", machine.step(execution).get("FailureReason")
    assert machine.outputs(execution)["jobs_succeeded"] == "3"


@pytest.mark.thorough
@pytest.mark.parametrize("seconds", [-HOUR, -DAY, DAY])
def test_a_retry_after_a_jump_runs_what_failed_again(machine: Machine, seconds: float) -> None:
    key = f"late/{seconds}.json"
    execution = machine.begin([{"needs": key}, {"seconds": 0}])
    assert machine.finish(execution) == "Failed"
    machine.clock.jump(seconds)
    machine.client("s3").put_object(Bucket=machine.config.bucket, Key=key, Body=b"{}")
    machine.client("sagemaker").retry_pipeline_execution(
        PipelineExecutionArn=execution, ClientRequestToken=key.ljust(32, "0")
    )
    assert machine.finish(execution) == "Succeeded", machine.step(execution).get("FailureReason")
    assert machine.outputs(execution)["jobs_succeeded"] == "2"


@pytest.mark.thorough
@pytest.mark.parametrize("seconds", [-DAY, DAY])
def test_a_deadline_is_as_long_as_it_says(machine: Machine, seconds: float) -> None:
    execution = machine.begin([{"seconds": 300}], deadline=8)
    machine.until_it_waits(execution)
    begun = time.monotonic()
    machine.clock.jump(seconds)
    assert machine.finish(execution) == "Failed"
    assert "deadline" in machine.step(execution)["FailureReason"]
    assert time.monotonic() - begun > 4


@pytest.mark.parametrize("seconds", [-DAY, DAY])
def test_a_hidden_message_stays_hidden_for_its_seconds(machine: Machine, seconds: float) -> None:
    sqs = machine.client("sqs")
    url = sqs.create_queue(QueueName=f"hidden{seconds}", Attributes={"VisibilityTimeout": "4"})["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="in flight")
    assert sqs.receive_message(QueueUrl=url)["Messages"]
    sqs.send_message(QueueUrl=url, MessageBody="delayed", DelaySeconds=4)
    begun = time.monotonic()
    machine.clock.jump(seconds)
    assert "Messages" not in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=2)
    assert 1.5 < time.monotonic() - begun < 3.5, "a long poll lasts as long as it says"
    seen: dict[str, int] = {}
    while len(seen) < 2:
        answer = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1, AttributeNames=["All"])
        for message in answer.get("Messages", []):
            seen[message["Body"]] = int(message["Attributes"]["SentTimestamp"]) // 1000
        assert time.monotonic() - begun < 10, seen
    assert all(abs(machine.now() - sent) < 15 for sent in seen.values()), "a message is as old as it is"


def test_a_long_poll_ends_although_the_clock_is_set_back(machine: Machine) -> None:
    sqs = machine.client("sqs")
    url = sqs.create_queue(QueueName="long-poll")["QueueUrl"]
    begun = time.monotonic()
    poll = subprocess.Popen(
        [sys.executable, "-c", POLL, local_aws.find(machine.home).endpoint_url, url], stdout=subprocess.PIPE, text=True
    )
    assert poll.stdout and poll.stdout.readline() == "polling\n"
    time.sleep(0.5)
    machine.clock.jump(-HOUR)
    assert poll.wait(timeout=30) == 0
    assert time.monotonic() - begun < 20


POLL = """
import sys, boto3
from botocore.config import Config
sqs = boto3.client("sqs", endpoint_url=sys.argv[1], region_name="us-east-1", aws_access_key_id="test",
                   aws_secret_access_key="test", config=Config(read_timeout=15, retries={"total_max_attempts": 1}))
print("polling", flush=True)
assert "Messages" not in sqs.receive_message(QueueUrl=sys.argv[2], WaitTimeSeconds=4)
"""


FUNCTION = """
import time

def lambda_handler(event, context):
    if "Records" in event:
        if event["Records"][0]["attributes"]["ApproximateReceiveCount"] == "1":
            raise RuntimeError("once more")
        return {}
    begun = context.get_remaining_time_in_millis()
    time.sleep(3)
    return [begun, context.get_remaining_time_in_millis()]
"""


@pytest.fixture(scope="module")
def function(machine: Machine) -> str:
    """A function that fails with a message once, and otherwise tells how much time it has, twice."""
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("lambda_function.py", FUNCTION)
    _ = machine.kit  # with the role
    role = machine.client("iam").get_role(RoleName=machine.config.monitor_lambda_role)["Role"]["Arn"]
    return machine.client("lambda").create_function(
        FunctionName="clock", Runtime="python3.13", Handler="lambda_function.lambda_handler", Timeout=60,
        Role=role, Code={"ZipFile": package.getvalue()},
    )["FunctionArn"]  # fmt: skip


@pytest.mark.thorough
@pytest.mark.parametrize("seconds", [-DAY, DAY])
def test_a_function_has_the_time_it_was_given(machine: Machine, function: str, seconds: float) -> None:
    threading.Timer(1.5, machine.clock.jump, [seconds]).start()
    answer = machine.client("lambda").invoke(FunctionName=function, Payload=b"{}")
    begun, left = json.load(answer["Payload"])
    assert begun > 55_000 and 50_000 < left < begun


@pytest.mark.thorough
def test_a_mapping_goes_on_after_an_error_although_the_clock_is_set_back(machine: Machine, function: str) -> None:
    sqs, functions = machine.client("sqs"), machine.client("lambda")
    url = machine.kit.callback_queue  # which the function's role may read
    [mapping] = functions.list_event_source_mappings(FunctionName=machine.kit.check_function)["EventSourceMappings"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "60"})
    functions.update_event_source_mapping(UUID=mapping["UUID"], FunctionName=function)
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": ""})
    sqs.send_message(QueueUrl=url, MessageBody="fails once")
    for _ in range(20):  # one of these falls into the second that a mapping waits after an error
        time.sleep(0.2)
        machine.clock.jump(-HOUR)
    sqs.send_message(QueueUrl=url, MessageBody="fails once, too")
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]

    def is_taken() -> bool:
        counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return counts == {names[0]: "0", names[1]: "2"}

    until(is_taken, 20)


@pytest.mark.thorough
def test_a_rule_keeps_its_rate(machine: Machine) -> None:
    """Set back by a day, it would not have run for a day; set forward, it would have run at once."""
    events, sqs = machine.client("events"), machine.client("sqs")
    url = sqs.create_queue(QueueName="rate")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    statement = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{**statement, "Resource": arn}]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    events.put_rule(Name="each-minute", ScheduleExpression="rate(1 minute)")
    begun = time.monotonic()
    events.put_targets(Rule="each-minute", Targets=[{"Id": "queue", "Arn": arn}])
    for seconds in (DAY, -DAY):
        time.sleep(15)
        machine.clock.jump(seconds)
    assert "Messages" not in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5)
    until(lambda: sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5).get("Messages"), 90)
    assert 55 < time.monotonic() - begun < 90
    events.remove_targets(Rule="each-minute", Ids=["queue"])
    events.delete_rule(Name="each-minute")


@pytest.mark.thorough
def test_what_is_hidden_is_seen_after_a_restart_with_the_clock_set_back(machine: Machine) -> None:
    sqs = machine.client("sqs")
    url = sqs.create_queue(QueueName="restarted", Attributes={"VisibilityTimeout": "6"})["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="in flight")
    assert sqs.receive_message(QueueUrl=url)["Messages"]
    assert local_aws.stop(machine.home)
    machine.clock.jump(-DAY)
    machine.start()
    sqs = machine.client("sqs")
    url = sqs.get_queue_url(QueueName="restarted")["QueueUrl"]
    until(lambda: sqs.receive_message(QueueUrl=url, WaitTimeSeconds=2).get("Messages"), 20)


# https://en.wikipedia.org/wiki/Daylight_saving_time_by_country has the rules: in Germany at 01:00 UTC, in New York at
# two o'clock local time.
CHANGES = {
    "Europe/Berlin, to summer": ("Europe/Berlin", dt.datetime(2027, 3, 28, 1, tzinfo=dt.UTC)),
    "Europe/Berlin, to winter": ("Europe/Berlin", dt.datetime(2027, 10, 31, 1, tzinfo=dt.UTC)),
    "America/New_York, to summer": ("America/New_York", dt.datetime(2027, 3, 14, 7, tzinfo=dt.UTC)),
    "America/New_York, to winter": ("America/New_York", dt.datetime(2027, 11, 7, 6, tzinfo=dt.UTC)),
}


@pytest.mark.thorough
@pytest.mark.parametrize("change", CHANGES)
def test_daylight_saving_does_not_matter(tmp_path: Path, change: str) -> None:
    zone, moment = CHANGES[change]
    machine = Machine(tmp_path, moment.timestamp() - time.time() - 120, TZ=zone)
    try:
        execution = machine.begin([{"seconds": 6}, {"seconds": 1}])
        machine.until_it_waits(execution)
        machine.clock.set(moment.timestamp() - time.time() - 2)  # two seconds to the change
        assert machine.finish(execution) == "Succeeded", machine.step(execution).get("FailureReason")
        [job] = machine.jobs(execution)
        ended = dt.datetime.fromtimestamp(job["stoppedAt"] / 1000, dt.UTC)
        assert moment < ended < moment + dt.timedelta(minutes=1)
        step = machine.step(execution)
        assert moment < step["EndTime"] < moment + dt.timedelta(minutes=1)
    finally:
        local_aws.stop(machine.home)
