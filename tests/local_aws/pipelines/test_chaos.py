"""Queues that vanish, answers that come twice or late, stops at every moment, many at once: on the running server."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tiers import randomness

from .conftest import World, refusal

pytestmark = pytest.mark.slow


def test_a_queue_deleted_before_the_step_and_during_the_wait(world: World) -> None:
    queue = world.queue()
    gone = world.queue()
    world.sqs.delete_queue(QueueUrl=gone)
    execution, steps = world.run(world.callback_step("W", gone))
    assert execution["PipelineExecutionStatus"] == "Failed"
    assert (
        "Failed to invoke sqs:SendMessage. Error Details: The specified queue does not exist"
        in (steps["W"]["FailureReason"])
    )
    arn = world.start(world.create(world.callback_step("W", queue)))
    token = world.message(queue)["token"]
    world.sqs.delete_queue(QueueUrl=queue)
    assert world.describe(arn)["PipelineExecutionStatus"] == "Executing"
    world.sagemaker.send_pipeline_execution_step_success(CallbackToken=token)
    assert world.wait(arn)["PipelineExecutionStatus"] == "Succeeded"


def test_a_stop_that_nobody_can_be_told_of_fails(world: World) -> None:
    queue = world.queue()
    arn = world.start(world.create(world.callback_step("W", queue)))
    token = world.message(queue)["token"]
    world.sqs.delete_queue(QueueUrl=queue)
    world.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)
    assert world.wait(arn)["PipelineExecutionStatus"] == "Failed"
    assert "The specified queue does not exist" in world.steps(arn)["W"]["FailureReason"]
    assert refusal(world.sagemaker.send_pipeline_execution_step_success, CallbackToken=token)["Code"] == (
        "ConflictException"
    )


def test_of_many_answers_at_once_one_counts(world: World) -> None:
    queue = world.queue()
    arn = world.start(world.create(world.callback_step("W", queue)))
    token = world.message(queue)["token"]

    def answer(number: int) -> str:
        client = world.aws.client("sagemaker")
        call = (
            client.send_pipeline_execution_step_success if number % 2 else client.send_pipeline_execution_step_failure
        )
        try:
            call(CallbackToken=token)
        except client.exceptions.ConflictException:
            return "conflict"
        return "counted"

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(answer, range(8))) == ["conflict"] * 7 + ["counted"]
    assert world.wait(arn)["PipelineExecutionStatus"] in ("Succeeded", "Failed")


def test_stops_at_every_moment_end(world: World) -> None:
    """A worker answers every message, as the monitoring Lambda does; stops come 0 to 250 ms after the start."""
    queue, randomly = world.queue(), randomness("stops")
    name = world.create(
        world.lambda_step("A"),
        world.callback_step("W", queue) | {"DependsOn": ["A"]},
        world.callback_step("V", queue),
        world.lambda_step("B", "W", "V"),
    )

    def run(delay: float) -> str:
        arn = world.start(name)
        time.sleep(delay)
        try:
            world.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)
        except world.sagemaker.exceptions.ConflictException:
            return arn  # it was quicker
        return arn

    with ThreadPoolExecutor(6) as pool:
        running = [pool.submit(run, randomly.uniform(0, 0.25)) for _ in range(40)]
        all_started, statuses = False, {"": "Executing"}
        deadline = time.monotonic() + 60
        while not all_started or {"Executing", "Stopping"} & set(statuses.values()):
            assert time.monotonic() < deadline, f"still going: {statuses}"
            all_started = all(future.done() for future in running)
            for message in world.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", []):
                token = json.loads(message["Body"])["token"]
                world.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
                try:
                    world.sagemaker.send_pipeline_execution_step_success(CallbackToken=token)
                except world.sagemaker.exceptions.ConflictException:
                    continue  # told to go and told to stop: two messages, one answer
            statuses = world.statuses(name)
    assert set(statuses) == {future.result() for future in running}
    assert set(statuses.values()) <= {"Stopped", "Succeeded"}
    assert "Stopped" in statuses.values()


def test_two_hundred_executions_at_once_all_succeed(world: World) -> None:
    name = world.create(world.lambda_step("A"), world.lambda_step("B", "A"))
    with ThreadPoolExecutor(16) as pool:
        arns = set(pool.map(lambda _: world.start(name), range(200)))
    assert len(arns) == 200
    statuses = world.until(lambda: world.statuses(name), lambda statuses: "Executing" not in statuses.values(), 120)
    assert statuses == dict.fromkeys(arns, "Succeeded")
