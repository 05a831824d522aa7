"""A server that is stopped, or killed, and started again with its state directory."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import local_aws
from local_aws.pipelines.engine import HOST_GONE

from .conftest import World
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
        os.kill(self.server.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.server.pid, 0)


@pytest.fixture
def home(tmp_path: Path, aws: Any) -> Iterator[Home]:
    running = Home(tmp_path, type(aws))
    yield running
    running.stop()


def renewed(world: World, home: Home) -> World:
    """The same account, on the restarted server."""
    fresh = object.__new__(World)
    fresh.__dict__ |= world.__dict__
    fresh.aws = home.aws
    fresh.sagemaker, fresh.sqs, fresh.s3 = (
        fresh.checked(home.aws.client("sagemaker")),
        home.aws.client("sqs"),
        home.aws.client("s3"),
    )
    return fresh


def queued(world: World, queue: str) -> int:
    name = "ApproximateNumberOfMessages"
    return int(world.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=[name])["Attributes"][name])


@pytest.mark.parametrize(("how", "again"), [(Home.stop, (0, 1)), (Home.kill, (1, 2))], ids=["stopped", "killed"])
def test_an_execution_that_waits_is_completed_after_the_restart(
    home: Home, how: Callable, again: tuple[int, int]
) -> None:
    """`again`: how many messages are then in the queue whose message was read, and in the one whose was not."""
    world = World(home.aws)
    queue = world.queue()
    name = world.create(
        world.lambda_step("Before", outputs=("out",), out="kept"),
        world.callback_step("Wait", queue, ("job_status",), x={"Get": "Steps.Before.OutputParameters['out']"}),
        world.lambda_step(
            "After", outputs=("out", "before"),
            out={"Get": "Steps.Wait.OutputParameters['job_status']"},
            before={"Get": "Steps.Before.OutputParameters['out']"},
        ),
        Tags=[{"Key": "k", "Value": "v"}],
    )  # fmt: skip
    done = world.create(world.lambda_step("Only"))
    ended = world.start(done)
    world.wait(ended)
    arn = world.start(name, ClientRequestToken="t" * 32)
    token = world.message(queue)["token"]
    before = world.steps(arn)
    unread = world.queue()
    waiting = world.start(world.create(world.callback_step("Wait", unread)))
    world.until(lambda: queued(world, unread), lambda count: count == 1)
    how(home)
    home.start()
    world = renewed(world, home)
    assert world.describe(arn)["PipelineExecutionStatus"] == "Executing"
    assert list(world.steps(arn).items()) == list(before.items())
    assert world.describe(ended)["PipelineExecutionStatus"] == "Succeeded"
    # A killed server's message is sent again: MiniStack saves its queues every two seconds, and may have lost it.
    world.until(lambda: (queued(world, queue), queued(world, unread)), lambda found: found == again)
    world.sagemaker.send_pipeline_execution_step_success(CallbackToken=world.message(unread)["token"])
    assert world.wait(waiting)["PipelineExecutionStatus"] == "Succeeded"
    assert world.start(name, ClientRequestToken="t" * 32) == arn
    pipeline = arn.partition("/execution/")[0]
    assert world.sagemaker.list_tags(ResourceArn=pipeline)["Tags"] == [{"Key": "k", "Value": "v"}]
    world.sagemaker.send_pipeline_execution_step_success(
        CallbackToken=token, OutputParameters=[{"Name": "job_status", "Value": "Completed"}]
    )
    assert world.wait(arn)["PipelineExecutionStatus"] == "Succeeded"
    shown = {
        item["Name"]: item["Value"] for item in world.steps(arn)["After"]["Metadata"]["Lambda"]["OutputParameters"]
    }
    assert shown == {"out": "Completed", "before": "kept"}
    assert world.wait(world.start(done))["PipelineExecutionStatus"] == "Succeeded"


def test_a_server_stops_while_a_function_runs(home: Home) -> None:
    world = World(home.aws)
    arn = world.start(world.create(world.lambda_step("Slow", sleep=29)))
    world.until(lambda: world.steps(arn), lambda steps: steps.get("Slow", {}).get("StepStatus") == "Executing")
    home.stop()  # raises when it takes longer than 15 seconds
    home.start()
    world = renewed(world, home)
    assert world.wait(arn)["PipelineExecutionStatus"] == "Failed"
    assert world.steps(arn)["Slow"]["FailureReason"] == HOST_GONE


def test_what_ran_on_a_killed_server_has_failed_or_is_retried_and_leaves_no_process(home: Home) -> None:
    world = World(home.aws)
    bucket = world.name("bucket")
    world.s3.create_bucket(Bucket=bucket)
    pid_file = home.path / "pid"
    world.s3.put_object(
        Bucket=bucket, Key="code/count.py",
        Body=f"import os, pathlib, time\npid = pathlib.Path({str(pid_file)!r})\n"
        "if not pid.exists():\n    pid.write_text(str(os.getpid()))\n    time.sleep(120)\n",
    )  # fmt: skip
    world.s3.put_object(Bucket=bucket, Key="data/x", Body="x")
    role = world.role("job", "sagemaker.amazonaws.com", "s3:*", "logs:*")
    policy = {"ExceptionType": ["SageMaker.JOB_INTERNAL_ERROR"], "MaxAttempts": 2}
    again = processing_step("Again", bucket, role, RetryPolicies=[policy])
    del again["Arguments"]["ContainerArguments" if "ContainerArguments" in again["Arguments"] else "Environment"]
    arn = world.start(world.create(again))
    slow = world.start(world.create(world.lambda_step("Slow", sleep=25)))
    world.until(pid_file.exists, bool)
    world.until(lambda: world.steps(slow), lambda steps: steps.get("Slow", {}).get("StepStatus") == "Executing")
    home.kill()
    pid = int(pid_file.read_text())
    deadline = time.monotonic() + 10
    while _alive(pid):
        assert time.monotonic() < deadline, "the job's process outlived the server"
        time.sleep(0.05)
    home.start()
    world = renewed(world, home)
    assert world.wait(arn)["PipelineExecutionStatus"] == "Succeeded"
    assert world.steps(arn)["Again"]["AttemptCount"] == 2
    assert world.wait(slow)["PipelineExecutionStatus"] == "Failed"
    assert world.steps(slow)["Slow"]["FailureReason"] == HOST_GONE


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
