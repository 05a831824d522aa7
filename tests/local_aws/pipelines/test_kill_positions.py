"""A server that is killed between any two things it does: nothing is lost, nothing is answered twice.

The orchestrator runs on a fake AWS that outlives it. Each record it writes, each function it invokes, each message it
sends and each job it runs counts; after the chosen one nothing reaches AWS any more, as after SIGKILL, and the
next server starts with what there is. `test_restart.py` kills real servers.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiers import examples

from local_aws.pipelines.state import Execution
from local_aws.protocol import ApiError
from local_aws.store import Store

from .definitions import (
    callback_step,
    condition_step,
    for_each_step,
    get,
    lambda_step,
    pipeline,
    processing_step,
)
from .fakes import Bench, FakeAws, ended


class CrashPoint:
    """Performs a server's actions until the given number is reached, as if the server were killed then."""

    def __init__(self, actions: int | None) -> None:
        self.actions, self.done, self.lock = actions, 0, threading.Lock()

    @property
    def over(self) -> bool:
        return self.actions is not None and self.done >= self.actions

    def perform(self, action: Any, *args: Any) -> Any:
        with self.lock:
            if self.over:
                return None
            self.done += 1
            return action(*args)


class LastingAws(FakeAws):
    """The rest of AWS: its jobs, its queue and its documents outlive the servers."""

    def __init__(self) -> None:
        super().__init__()
        self.crash_point = CrashPoint(None)
        self.jobs: list[str] = []
        self.calls: list[dict[str, Any]] = []
        self.verdicts: list[str] = []
        self.deleted: list[str] = []
        self.read: int = 0  # of the messages

    def is_allowed(self, *_: Any) -> None:
        return None

    def client(self, service: str, *args: Any, **more: Any) -> Any:
        client = super().client(service, *args, **more)
        client.get_object = lambda **_: {"Body": io.BytesIO(b'{"items": ["a", "b"], "word": "read"}')}
        client.delete_object = lambda **place: self.crash_point.perform(self.deleted.append, place["Key"])
        return client

    def _invoke(self, FunctionName: str, Payload: str) -> dict[str, Any]:
        answer = self.crash_point.perform(self._function, json.loads(Payload))
        return {"Payload": io.BytesIO(json.dumps(answer or {}).encode())}

    def _function(self, event: dict[str, Any]) -> dict[str, Any]:
        """As submit_jobs does it: what was submitted before is found by its name."""
        self.calls.append(event)
        if event["job"] not in self.jobs:
            self.jobs.append(event["job"])
        return {"id": event["job"]}

    def _send(self, QueueUrl: str, MessageBody: str) -> None:
        self.crash_point.perform(self.messages.append, json.loads(MessageBody))


class Server(Bench):
    """A server's orchestrator, whose actions reach AWS and the store while it lives."""

    def __init__(self, document: dict[str, Any], store: Store, aws: LastingAws, crash_point: CrashPoint) -> None:
        aws.crash_point = crash_point
        super().__init__(document, self, aws)
        self.store, self.crash_point = store, crash_point
        self.orchestrator.jobs.run = self._run_job

    def put(self, *record: Any) -> None:
        self.crash_point.perform(self.store.put, *record)

    def delete(self, *record: Any) -> None:
        self.crash_point.perform(self.store.delete, *record)

    def all(self, kind: str) -> dict[str, Any]:
        return self.store.all(kind)

    async def _run_job(self, record: dict[str, Any], _: Any) -> dict[str, Any]:
        await asyncio.sleep(0)
        self.crash_point.perform(lambda: self.aws.calls.append({"job": record["ProcessingJobName"]}))
        self.orchestrator.jobs.end(record, "Completed")
        return json.loads(json.dumps(record, default=str))

    def work(self) -> bool:
        """Whoever reads the queue answers a message; False when there was none. Without an answer it comes again."""
        if self.aws.read >= len(self.aws.messages):
            return False
        message = self.aws.messages[self.aws.read]
        verdict = "Failed" if message["status"] == "Stopping" else "Succeeded"
        word = verdict == "Succeeded" and "word" in message["arguments"]
        outputs = [{"Name": "word", "Value": "done"}] if word else []
        answered = False
        with contextlib.suppress(ApiError):  # "it was answered already"
            self.orchestrator.callbacks.answer(message["token"], None, verdict, outputs, "told to stop")
            answered = True
        if not self.crash_point.over:
            self.aws.read += 1
            if answered:
                self.aws.verdicts.append(message["token"])
        return True

    async def end(self) -> None:
        await asyncio.sleep(0)  # each task has begun, and can be cancelled
        self.orchestrator.freeze()


def lives(document: dict[str, Any], kills: tuple[int, ...], *, stop_at: str = "") -> tuple[LastingAws, Execution, int]:
    """Run an execution through the kills, each so many actions after its server's start.

    Args:
        stop_at: a step with whose start the execution is stopped.
    """
    aws = LastingAws()
    with TemporaryDirectory() as folder:
        store = Store(Path(folder) / "s")
        for actions in (*kills, None):
            server = Server(document, store, aws, CrashPoint(actions))
            execution = asyncio.run(one_life(server, stop_at))
            server.close()
            if not server.crash_point.over:
                break
        store.close()
    return aws, execution, server.crash_point.done


async def one_life(server: Server, stop_at: str) -> Execution:
    server.orchestrator.load()
    known = list(server.orchestrator.executions.values())
    execution = known[0] if known else server.execution()
    if not known:
        server.orchestrator.begin(execution)  # the client had no answer, and asks again
    while not server.crash_point.over:
        if stop_at in execution.runs and not execution.stop_requested and not ended(execution):
            server.orchestrator.request_stop(execution)
        elif server.orchestrator.tasks:
            await asyncio.wait(server.orchestrator.tasks, timeout=0.01, return_when=asyncio.FIRST_COMPLETED)
        elif not server.work():
            break
    await server.end()
    return execution


def everything() -> dict[str, Any]:
    """All that can go well: each type of step but Fail, and documents that are read from S3."""
    read = {"Std:JsonGet": {"S3Uri": "s3://bucket/doc.json", "Path": "word"}}
    items = {"Std:JsonGet": {"S3Uri": "s3://bucket/doc.json", "Path": "items"}}
    when = get("Execution.CurrentDateTime")
    wait = callback_step("Wait", ("word",), job=get("Steps.Submit.OutputParameters['id']"), word=read)
    body = [
        lambda_step("Do", outputs=("id",), job=get("ForEach.CurrentItem")),
        lambda_step("Then", job={"Std:Join": {"On": "-", "Values": [get("Steps.Do.OutputParameters['id']"), "then"]}}),
    ]
    done = {"Type": "Equals", "LeftValue": get("Steps.Wait.OutputParameters['word']"), "RightValue": "done"}
    job = processing_step("Job") | {"DependsOn": ["Choose"]}
    cleanup = {
        "Name": "Cleanup", "Type": "Cleanup", "DependsOn": ["Job"],
        "Arguments": {"Resources": {"S3": [{"StepName": "Job", "S3Uris": ["s3://b/o/x"]}]}},
    }  # fmt: skip
    return pipeline(
        lambda_step("Submit", outputs=("id",), job="first", when=when, word=read),
        wait,
        condition_step("Choose", [done], [for_each_step("Loop", body, items=items)], [lambda_step("Else", job="else")]),
        job,
        cleanup,
        lambda_step("Last", "Loop", "Cleanup", job=get("Steps.Wait.OutputParameters['word']")),
    )


def failing() -> dict[str, Any]:
    """A Fail step is reached while a callback is waited for."""
    return pipeline(
        callback_step("Wait", job="x"),
        lambda_step("First", job="first"),
        {"Name": "Fail", "Type": "Fail", "Arguments": {"ErrorMessage": "meant"}, "DependsOn": ["First"]},
    )


def check_everything(aws: LastingAws, execution: Execution) -> None:
    statuses = {name: run.status for name, run in execution.runs.items()}
    assert execution.status == "Succeeded", (statuses, {run.reason for run in execution.runs.values()})
    assert set(statuses.values()) == {"Succeeded"}
    assert {"Do-0", "Do-1", "Then-0", "Then-1", "Job", "Cleanup", "Last"} < set(statuses)
    assert sorted(aws.jobs) == ["a", "a-then", "b", "b-then", "done", "first"]
    submits = [call for call in aws.calls if call["job"] == "first"]
    assert all(call == submits[0] for call in submits), "invoked again with the same event"
    check_answers(aws, execution)
    assert aws.deleted[:1] == ["o/x"]


def check_answers(aws: LastingAws, execution: Execution) -> None:
    assert {message["token"] for message in aws.messages} <= {execution.runs["Wait"].token}, "the token is kept"
    assert len(aws.verdicts) <= 1, "answered once"


def check_stopped(aws: LastingAws, execution: Execution) -> None:
    if not execution.stop_requested:  # it was quicker
        return check_everything(aws, execution)
    assert execution.status == "Stopped", {name: (run.status, run.reason) for name, run in execution.runs.items()}
    assert "Last" not in execution.runs
    if "Wait" in execution.runs:
        check_answers(aws, execution)
    return None


def check_failing(aws: LastingAws, execution: Execution) -> None:
    assert execution.status == "Failed"
    assert (execution.runs["Fail"].status, execution.runs["Fail"].reason) == ("Failed", "meant")
    assert execution.runs["Wait"].status in ("Stopped", "Succeeded")
    check_answers(aws, execution)


CASES = {
    "everything": (everything(), "", check_everything),
    "failing": (failing(), "", check_failing),
    **{f"stop-{step}": (everything(), step, check_stopped) for step in ("Submit", "Wait", "Loop", "Do-0", "Job")},
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("case", CASES)
def test_a_kill_after_any_deed_changes_nothing_in_the_end(case: str) -> None:
    document, stop_at, check = CASES[case]
    aws, execution, actions = lives(document, (), stop_at=stop_at)
    check(aws, execution)
    for position in range(1, actions + 1):
        aws, execution, _ = lives(document, (position,), stop_at=stop_at)
        check(aws, execution)


@settings(max_examples=examples(20, 250))
@given(st.sampled_from(list(CASES)), st.lists(st.integers(1, 60), min_size=2, max_size=6))
def test_any_number_of_kills_changes_nothing_in_the_end(case: str, kills: list[int]) -> None:
    document, stop_at, check = CASES[case]
    aws, execution, _ = lives(document, tuple(kills), stop_at=stop_at)
    check(aws, execution)
