"""A server that is stopped, or killed, and started again with its state directory."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import local_aws
from utils import kit
from utils.config import Config
from utils.session import embedded_session

from .conftest import ACCOUNT, Account, refusal
from .test_processing import processing_step

pytestmark = pytest.mark.slow


class Home:
    """A server of the test's own, with a state directory; `again()` starts it anew."""

    def __init__(self, path: Path, aws_class: Any) -> None:
        self.path, self.aws_class = path, aws_class
        self.port = 0
        self.start()

    def start(self) -> None:
        self.server = local_aws.start(port=self.port, home=self.path / "home", state_dir=self.path / "state")
        self.port = self.server.port  # queue URLs hold it
        self.aws = self.aws_class(self.server, self.path / "home")

    def stop(self) -> None:
        local_aws.stop(self.path / "home")

    def kill(self) -> None:
        time.sleep(2.5)  # MiniStack's own state is written every two seconds
        self.kill_at_once()

    def kill_at_once(self) -> None:
        os.kill(self.server.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.server.pid, 0)


@pytest.fixture
def home(tmp_path: Path, aws: Any) -> Iterator[Home]:
    running = Home(tmp_path, type(aws))
    yield running
    running.stop()


def renewed(account: Account, home: Home) -> Account:
    """The same account, on the restarted server."""
    renewed_account = object.__new__(Account)
    renewed_account.__dict__ |= account.__dict__
    renewed_account.aws = home.aws
    renewed_account.sagemaker, renewed_account.sqs, renewed_account.s3 = (
        renewed_account.checked(home.aws.client("sagemaker")),
        home.aws.client("sqs"),
        home.aws.client("s3"),
    )
    return renewed_account


def queued(account: Account, queue: str) -> int:
    name = "ApproximateNumberOfMessages"
    return int(account.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=[name])["Attributes"][name])


@pytest.mark.sampled(1)
@pytest.mark.sampled(1)
@pytest.mark.parametrize(("how", "again"), [(Home.stop, (0, 1)), (Home.kill, (1, 2))], ids=["stopped", "killed"])
def test_an_execution_that_waits_is_completed_after_the_restart(
    home: Home, how: Callable, again: tuple[int, int]
) -> None:
    """`again`: how many messages are then in the queue whose message was read, and in the one whose was not."""
    account = Account(home.aws)
    queue = account.queue()
    name = account.create(
        account.lambda_step("Before", outputs=("out",), out="kept"),
        account.callback_step("Wait", queue, ("job_status",), x={"Get": "Steps.Before.OutputParameters['out']"}),
        account.lambda_step(
            "After", outputs=("out", "before"),
            out={"Get": "Steps.Wait.OutputParameters['job_status']"},
            before={"Get": "Steps.Before.OutputParameters['out']"},
        ),
        Tags=[{"Key": "k", "Value": "v"}],
    )  # fmt: skip
    done = account.create(account.lambda_step("Only"))
    ended = account.start(done)
    account.wait(ended)
    arn = account.start(name, ClientRequestToken="t" * 32)
    token = account.message(queue)["token"]
    before = account.steps(arn)
    unread = account.queue()
    waiting = account.start(account.create(account.callback_step("Wait", unread)))
    account.until(lambda: queued(account, unread), lambda count: count == 1)
    how(home)
    home.start()
    account = renewed(account, home)
    assert account.describe(arn)["PipelineExecutionStatus"] == "Executing"
    assert list(account.steps(arn).items()) == list(before.items())
    assert account.describe(ended)["PipelineExecutionStatus"] == "Succeeded"
    # A killed server's message is sent again: MiniStack saves its queues every two seconds, and may have lost it.
    account.until(lambda: (queued(account, queue), queued(account, unread)), lambda counts: counts == again)
    account.sagemaker.send_pipeline_execution_step_success(CallbackToken=account.message(unread)["token"])
    assert account.wait(waiting)["PipelineExecutionStatus"] == "Succeeded"
    assert account.start(name, ClientRequestToken="t" * 32) == arn
    pipeline = arn.partition("/execution/")[0]
    assert account.sagemaker.list_tags(ResourceArn=pipeline)["Tags"] == [{"Key": "k", "Value": "v"}]
    account.sagemaker.send_pipeline_execution_step_success(
        CallbackToken=token, OutputParameters=[{"Name": "job_status", "Value": "Completed"}]
    )
    assert account.wait(arn)["PipelineExecutionStatus"] == "Succeeded"
    shown = {
        item["Name"]: item["Value"] for item in account.steps(arn)["After"]["Metadata"]["Lambda"]["OutputParameters"]
    }
    assert shown == {"out": "Completed", "before": "kept"}
    assert account.wait(account.start(done))["PipelineExecutionStatus"] == "Succeeded"


def hanging_once(path: Path) -> str:
    """Python that leaves its process's number there and hangs; run again, it does not."""
    return (
        f"import os, pathlib, time\npid = pathlib.Path({str(path)!r})\n"
        "if not pid.exists():\n    pid.write_text(str(os.getpid()))\n    time.sleep(50)\n"
    )


def slow_function(account: Account, path: Path) -> dict[str, Any]:
    """A Lambda step whose function hangs the first time."""
    code = hanging_once(path).replace("\n", "\n    ")
    code = f"def lambda_handler(event, context):\n    {code}\n    return {{'out': event['x']}}\n"
    arn = account.make_function(account.name("slow"), code, timeout=60)
    return account.lambda_step("Slow", outputs=("out",), x="kept") | {"FunctionArn": arn}


@pytest.mark.sampled(1)
@pytest.mark.sampled(1)
@pytest.mark.parametrize("how", [Home.stop, Home.kill], ids=["stopped", "killed"])
def test_a_function_that_runs_when_its_server_ends_is_invoked_again(home: Home, how: Callable) -> None:
    account = Account(home.aws)
    slow, pid = slow_function(account, home.path / "pid"), home.path / "pid"
    arn = account.start(account.create(slow))
    stopping = account.start(account.create(account.lambda_step("Slow", sleep=25)))
    account.until(pid.exists, bool)
    account.until(lambda: account.steps(stopping), lambda steps: steps.get("Slow", {}).get("StepStatus") == "Executing")
    account.sagemaker.stop_pipeline_execution(PipelineExecutionArn=stopping)
    assert account.describe(stopping)["PipelineExecutionStatus"] == "Stopping"
    how(home)  # raises when it takes longer than 15 seconds
    # The first invocation has ended before the second begins.
    account.until(lambda: _alive(int(pid.read_text())), lambda alive: not alive)
    home.start()
    account = renewed(account, home)
    assert account.wait(arn)["PipelineExecutionStatus"] == "Succeeded"
    assert account.steps(arn)["Slow"]["Metadata"]["Lambda"]["OutputParameters"] == [{"Name": "out", "Value": "kept"}]
    assert account.wait(stopping)["PipelineExecutionStatus"] == "Stopped"


def test_a_job_that_ran_on_a_killed_server_runs_again_and_leaves_no_process(home: Home) -> None:
    account = Account(home.aws)
    bucket = account.name("bucket")
    account.s3.create_bucket(Bucket=bucket)
    account.s3.put_object(Bucket=bucket, Key="data/x", Body="x")
    role = account.role("job", "sagemaker.amazonaws.com", "s3:*", "logs:*")
    policy = {"ExceptionType": ["SageMaker.JOB_INTERNAL_ERROR"], "MaxAttempts": 2}
    pids, executions = [], []
    for name, more in (("asked", {"RetryPolicies": [policy]}), ("unasked", {})):
        pids.append(home.path / name)
        account.s3.put_object(Bucket=bucket, Key=f"{name}/count.py", Body=hanging_once(pids[-1]))
        step = processing_step("Again", bucket, role, code=f"{name}/count.py", **more)
        del step["Arguments"]["ContainerArguments" if "ContainerArguments" in step["Arguments"] else "Environment"]
        executions.append(account.start(account.create(step)))
    account.until(lambda: all(pid.exists() for pid in pids), bool)
    before = [account.steps(arn)["Again"]["Metadata"]["ProcessingJob"]["Arn"] for arn in executions]
    home.kill()
    deadline = time.monotonic() + 10
    while any(_alive(int(pid.read_text())) for pid in pids):
        assert time.monotonic() < deadline, "the job's process outlived the server"
        time.sleep(0.05)
    home.start()
    account = renewed(account, home)
    for arn, lost in zip(executions, before, strict=True):
        assert account.wait(arn)["PipelineExecutionStatus"] == "Succeeded"
        step = account.steps(arn)["Again"]
        assert step["AttemptCount"] == 2
        assert step["Metadata"]["ProcessingJob"]["Arn"] != lost
        job = account.sagemaker.describe_processing_job(ProcessingJobName=lost.rpartition("/")[2])
        assert job["ProcessingJobStatus"] == "Failed"


OUTPUTS = ("job_status", "jobs_total", "jobs_succeeded", "jobs_failed", "failed_items_uri")
# When the server is killed: so long after this step began. The last two executions are asked to stop just before.
MOMENTS = (
    "start", "Before", "Before+0.5", "Submit", "Submit+0.05", "Submit+0.1", "Submit+0.2", "Wait", "Wait+0.4",
    "Wait+1.5", "After", "After+0.5", "Wait stop", "Wait+1 stop",
)  # fmt: skip


@pytest.mark.thorough
def test_the_kits_pipeline_survives_a_kill_at_any_moment(home: Home) -> None:
    """Lambdas, jobs of AWS Batch and the callback that tells of their end: nothing is lost, nothing is there twice."""
    account = Account(home.aws)
    config = Config("local", "sagemaker-kill", "us-east-1", ACCOUNT)
    made = kit.deploy(embedded_session(home.server.endpoint_url), config, program="print('done')", max_vcpus=8)
    submit = {
        "input_uri": config.s3_uri("in"), "output_uri": config.s3_uri("out"), "max_jobs": 4,
        "job_queue": made.job_queue, "job_definition": made.job_definition, "step_name": "Submit",
        "execution_id": {"Get": "Execution.PipelineExecutionArn"},
    }  # fmt: skip
    job_ids = {"Get": "Steps.Submit.OutputParameters['jobIds']"}
    account.create(
        account.lambda_step("Before", sleep=1),
        account.lambda_step("Submit", "Before", outputs=("jobIds",), **submit) | {"FunctionArn": made.submit_function},
        account.callback_step("Wait", made.callback_queue, OUTPUTS, job_ids=job_ids),
        account.lambda_step(
            "After", outputs=("out",), sleep=1, out={"Get": "Steps.Wait.OutputParameters['jobs_succeeded']"}
        ),
        PipelineName=config.pipeline,
        RoleArn=made.pipeline_role,
    )
    account.allow(made.pipeline_role.rpartition("/")[2], "lambda:InvokeFunction", "sqs:SendMessage")
    time.sleep(2.5)  # MiniStack saves what was made every two seconds
    statuses = {}
    for moment in MOMENTS:
        when, _, stop = moment.partition(" ")
        step, _, later = when.partition("+")
        arn = account.start(config.pipeline)
        if step != "start":
            account.until(functools.partial(account.steps, arn), lambda steps, step=step: step in steps, 60)
            time.sleep(float(later or 0))
        if stop:
            account.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)
        token = account.steps(arn).get("Wait", {}).get("Metadata", {}).get("Callback", {}).get("CallbackToken")
        home.kill_at_once()
        home.start()
        account = renewed(account, home)
        status = account.wait(arn, 120)["PipelineExecutionStatus"]
        statuses[moment] = status
        steps = account.steps(arn)
        after = steps["Wait"]["Metadata"]["Callback"]["CallbackToken"]
        assert token in (None, after), f"{moment}: the token is another"
        refused = refusal(account.sagemaker.send_pipeline_execution_step_failure, CallbackToken=after)
        assert refused["Code"] == "ConflictException", moment
        jobs = batch_jobs(account, made.job_queue, arn)
        assert len(jobs) == len(set(jobs)) == 4, (moment, jobs)
        if status == "Succeeded":
            outputs = steps["After"]["Metadata"]["Lambda"]["OutputParameters"]
            assert outputs == [{"Name": "out", "Value": "4"}], moment
    assert statuses == {moment: "Stopped" if "stop" in moment else "Succeeded" for moment in MOMENTS}


def batch_jobs(account: Account, queue: str, execution: str) -> list[str]:
    """The names of an execution's jobs, in whatever status."""
    pattern = execution.rpartition("/")[2] + "*"
    pages = account.aws.client("batch").get_paginator("list_jobs").paginate(
        jobQueue=queue, filters=[{"name": "JOB_NAME", "values": [pattern]}]
    )  # fmt: skip
    return [job["jobName"] for page in pages for job in page["jobSummaryList"]]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
