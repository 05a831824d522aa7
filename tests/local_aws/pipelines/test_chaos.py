"""Queues that vanish, answers that come twice or late, stops at every moment, many at once: on the running server."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tiers import randomness

from .conftest import Account, refusal

pytestmark = pytest.mark.slow


def test_a_queue_deleted_before_the_step_and_during_the_wait(account: Account) -> None:
    queue = account.queue()
    gone = account.queue()
    account.sqs.delete_queue(QueueUrl=gone)
    execution, steps = account.run(account.callback_step("W", gone))
    assert execution["PipelineExecutionStatus"] == "Failed"
    assert (
        "Failed to invoke sqs:SendMessage. Error Details: The specified queue does not exist"
        in (steps["W"]["FailureReason"])
    )
    arn = account.start(account.create(account.callback_step("W", queue)))
    token = account.message(queue)["token"]
    account.sqs.delete_queue(QueueUrl=queue)
    assert account.describe(arn)["PipelineExecutionStatus"] == "Executing"
    account.sagemaker.send_pipeline_execution_step_success(CallbackToken=token)
    assert account.wait(arn)["PipelineExecutionStatus"] == "Succeeded"


def test_a_stop_that_nobody_can_be_told_of_fails(account: Account) -> None:
    queue = account.queue()
    arn = account.start(account.create(account.callback_step("W", queue)))
    token = account.message(queue)["token"]
    account.sqs.delete_queue(QueueUrl=queue)
    account.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)
    assert account.wait(arn)["PipelineExecutionStatus"] == "Failed"
    assert "The specified queue does not exist" in account.steps(arn)["W"]["FailureReason"]
    assert refusal(account.sagemaker.send_pipeline_execution_step_success, CallbackToken=token)["Code"] == (
        "ConflictException"
    )


def test_of_many_answers_at_once_one_counts(account: Account) -> None:
    queue = account.queue()
    arn = account.start(account.create(account.callback_step("W", queue)))
    token = account.message(queue)["token"]

    def answer(number: int) -> str:
        client = account.aws.client("sagemaker")
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
    assert account.wait(arn)["PipelineExecutionStatus"] in ("Succeeded", "Failed")


def test_stops_at_every_moment_end(account: Account) -> None:
    """A worker answers every message, as the monitoring Lambda does; stops come 0 to 250 ms after the start."""
    queue, randomly = account.queue(), randomness("stops")
    name = account.create(
        account.lambda_step("A"),
        account.callback_step("W", queue) | {"DependsOn": ["A"]},
        account.callback_step("V", queue),
        account.lambda_step("B", "W", "V"),
    )

    def run(delay: float) -> str:
        arn = account.start(name)
        time.sleep(delay)
        try:
            account.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)
        except account.sagemaker.exceptions.ConflictException:
            return arn  # it was quicker
        return arn

    with ThreadPoolExecutor(6) as pool:
        running = [pool.submit(run, randomly.uniform(0, 0.25)) for _ in range(40)]
        all_started, statuses = False, {"": "Executing"}
        deadline = time.monotonic() + 60
        while not all_started or {"Executing", "Stopping"} & set(statuses.values()):
            assert time.monotonic() < deadline, f"still going: {statuses}"
            all_started = all(future.done() for future in running)
            for message in account.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", []):
                token = json.loads(message["Body"])["token"]
                account.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
                try:
                    account.sagemaker.send_pipeline_execution_step_success(CallbackToken=token)
                except account.sagemaker.exceptions.ConflictException:
                    continue  # told to go and told to stop: two messages, one answer
            statuses = account.statuses(name)
    assert set(statuses) == {future.result() for future in running}
    assert set(statuses.values()) <= {"Stopped", "Succeeded"}
    assert "Stopped" in statuses.values()


@pytest.mark.thorough
def test_two_hundred_executions_at_once_all_succeed(account: Account) -> None:
    name = account.create(account.lambda_step("A"), account.lambda_step("B", "A"))
    with ThreadPoolExecutor(16) as pool:
        arns = set(pool.map(lambda _: account.start(name), range(200)))
    assert len(arns) == 200
    statuses = account.until(lambda: account.statuses(name), lambda statuses: "Executing" not in statuses.values(), 120)
    assert statuses == dict.fromkeys(arns, "Succeeded")
