"""The orchestrator on a fake AWS: any graph, any outcome, any moment of stopping."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from typing import Any

import botocore.exceptions
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiers import examples

from local_aws.pipelines import starting
from local_aws.pipelines.execution import role_calls
from local_aws.pipelines.processing.processing_jobs import HOST_GONE
from local_aws.pipelines.state import ENDED, STEPS_FAILED, Execution, StepRun
from local_aws.protocol import ApiError
from local_aws.store import Store

from .definitions import (
    EQUALS,
    FUNCTION,
    callback_step,
    condition_step,
    for_each_step,
    get,
    lambda_step,
    pipeline,
    processing_step,
)
from .fakes import Bench, FakeAws, ended, refused

# --- any graph -------------------------------------------------------------------------------------------------------

TRIGGERS = ("Completed", "Failed", "Any")
ACCEPTS = {"Completed": {"Succeeded"}, "Failed": {"Failed"}, "Any": {"Succeeded", "Failed"}}


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[dict[str, str]], list[bool], list[int], int | None]:
    """For each step what it needs (step -> trigger) and whether it succeeds; the order they are written; a width."""
    size = draw(st.integers(1, 12))
    needs = []
    for index in range(size):
        upstream = draw(st.lists(st.integers(0, index - 1), unique=True, max_size=3)) if index else []
        needs.append({f"s{up}": draw(st.sampled_from(TRIGGERS)) for up in upstream})
    works = draw(st.lists(st.booleans(), min_size=size, max_size=size))
    order = draw(st.permutations(range(size)))
    return needs, works, order, draw(st.one_of(st.none(), st.integers(1, 3)))


@settings(max_examples=examples(60, 600))
@given(graphs())
def test_any_graph_runs_each_step_once_after_all_it_needs(graph) -> None:
    needs, works, order, width = graph
    steps = [
        lambda_step(f"s{index}", *({"Step": up, "Trigger": how} for up, how in needs[index].items()), me=index)
        for index in order
    ]
    bench = Bench(pipeline(*steps))
    running, widest, calls, guard = set(), 0, [], threading.Lock()

    def function(event: dict) -> None:
        nonlocal widest
        with guard:
            calls.append(event["me"])
            running.add(event["me"])
            widest = max(widest, len(running))
        threading.Event().wait(0.0005)
        with guard:
            running.discard(event["me"])
        if not works[event["me"]]:
            raise ZeroDivisionError("meant")

    bench.aws.functions[FUNCTION] = function
    execution = asyncio.run(bench.run(max_parallel=width))
    bench.close()

    expected: dict[str, str] = {}
    for index, upstream in enumerate(needs):
        if all(expected.get(up) in ACCEPTS[how] for up, how in upstream.items()):
            expected[f"s{index}"] = "Succeeded" if works[index] else "Failed"
    assert {name: run.status for name, run in execution.runs.items()} == expected
    assert sorted(calls) == sorted(int(name[1:]) for name in expected)
    for index, upstream in enumerate(needs):
        for up in upstream:
            if f"s{index}" in expected:
                assert execution.runs[up].ended <= execution.runs[f"s{index}"].started
    if width:
        assert widest <= width
    failed = {name for name, status in expected.items() if status == "Failed"}
    handled = {
        up
        for index, upstream in enumerate(needs)
        for up, how in upstream.items()
        if up in failed and how != "Completed" and expected.get(f"s{index}") == "Succeeded"
    }
    status = "Succeeded" if not failed else "CompletedWithFailures" if handled == failed else "Failed"
    assert execution.status == status
    assert execution.reason == (None if status == "Succeeded" else STEPS_FAILED)


@settings(max_examples=examples(30, 250))
@given(st.recursive(st.just(None), lambda inner: st.tuples(st.booleans(), inner, inner), max_leaves=8))
def test_any_nesting_of_conditions_takes_one_branch_each(tree) -> None:
    names = iter(range(1000))
    taken: set[str] = set()

    def build(node, on_path: bool) -> list[dict[str, Any]]:
        name = f"s{next(names)}"
        if on_path:
            taken.add(name)
        if node is None:
            return [lambda_step(name)]
        outcome, if_steps, else_steps = node
        test = {"Type": "Equals", "LeftValue": outcome, "RightValue": True}
        return [
            condition_step(
                name, [test], build(if_steps, on_path and outcome), build(else_steps, on_path and not outcome)
            )
        ]

    bench = Bench(pipeline(*build(tree, True)))
    bench.aws.functions[FUNCTION] = lambda _: None
    execution = asyncio.run(bench.run())
    bench.close()
    assert set(execution.runs) == taken
    assert execution.status == "Succeeded"


@settings(max_examples=examples(30, 250))
@given(graphs(), st.integers(0, 12), st.booleans())
def test_a_stop_at_any_moment_ends_the_execution(graph, after: int, answers: bool) -> None:
    """Half the steps are callbacks, answered when told to stop; the stop comes after the n-th call."""
    needs, works, order, _ = graph
    steps = []
    for index in order:
        step = lambda_step(f"s{index}", me=index) if index % 2 else callback_step(f"s{index}")
        step["DependsOn"] = [{"Step": up, "Trigger": how} for up, how in needs[index].items()]
        steps.append(step)
    bench = Bench(pipeline(*steps))

    async def main() -> Execution:
        loop, calls = asyncio.get_running_loop(), 0
        execution = bench.execution()

        def called() -> None:
            nonlocal calls
            calls += 1
            if calls == after and not ended(execution) and not execution.stop_requested:
                bench.orchestrator.request_stop(execution)

        def function(event: dict) -> None:
            loop.call_soon_threadsafe(called)
            if not works[event["me"]]:
                raise ZeroDivisionError("meant")

        def sent(message: dict) -> None:
            loop.call_soon_threadsafe(called)
            if message.get("status") == "Stopping" or answers:
                loop.call_soon_threadsafe(answer, message["token"])

        def answer(token: str) -> None:
            _, run = bench.orchestrator.callbacks.waiting(token)
            if run.running:
                bench.orchestrator.callbacks.answer(token, None, "Succeeded", [], None)

        bench.aws.functions[FUNCTION], bench.aws.sending = function, sent
        bench.orchestrator.begin(execution)
        await bench.settled()
        for _ in range(3):
            await asyncio.sleep(0)
            await bench.settled()
        if not ended(execution):  # it waits for a callback
            if not execution.stop_requested:
                bench.orchestrator.request_stop(execution)
            while not ended(execution):
                await asyncio.sleep(0)
        return execution

    execution = asyncio.run(asyncio.wait_for(main(), 30))
    bench.close()
    assert not any(run.running for run in execution.runs.values())
    assert all(run.status in ENDED and run.ended for run in execution.runs.values())
    if execution.stop_requested:
        assert execution.status == "Stopped"


# --- single rules ----------------------------------------------------------------------------------------------------


def run(document: dict[str, Any], function=lambda event: event, **more: Any) -> Execution:
    bench = Bench(document)
    bench.aws.functions[FUNCTION] = function
    try:
        return asyncio.run(asyncio.wait_for(bench.run(**more), 30))
    finally:
        bench.close()


def test_outputs_are_typed_and_nested_ones_are_one_string() -> None:
    step = lambda_step("A", outputs=("s", "n"))
    step["OutputParameters"] += [{"OutputName": name, "OutputType": name} for name in ("Integer", "Boolean", "Float")]
    answer = {"s": 200, "n": {"a": [1]}, "Integer": "7", "Boolean": True, "Float": 1}
    seen = {}
    names = ("s", "n", "Integer", "Boolean", "Float")
    second = lambda_step("B", **{name: get(f"Steps.A.OutputParameters['{name}']") for name in names})

    def function(event: dict) -> dict:
        seen.update(event)
        return answer

    execution = run(pipeline(step, second), function)
    assert execution.status == "Succeeded"
    assert seen == {"s": "200", "n": '{"a":[1]}', "Integer": 7, "Boolean": True, "Float": 1.0}
    shown = {item["Name"]: item["Value"] for item in execution.runs["A"].metadata["Lambda"]["OutputParameters"]}
    assert shown == {"s": "200", "n": '{"a":[1]}', "Integer": "7", "Boolean": "true", "Float": "1.0"}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({}, "lacks the output o"),
        ("text", "must return a JSON object"),
        (float("nan"), "is not JSON: NaN is not JSON"),
        ({"o": "x" * 1025}, "has 1,025 characters. The limit is 1,024"),
    ],
)
def test_what_a_function_returns_must_hold_the_outputs(answer, words: str) -> None:
    execution = run(pipeline(lambda_step("A", outputs=("o",))), lambda _: answer)
    assert execution.status == "Failed"
    assert words in execution.runs["A"].reason


@pytest.mark.parametrize(
    ("kind", "value"),
    [("Boolean", 1), ("Boolean", "yes"), ("Integer", 1.5), ("Integer", True), ("Float", "x"), ("Float", False)],
)
def test_an_output_of_another_type_fails_the_step(kind: str, value: Any) -> None:
    step = lambda_step("A") | {"OutputParameters": [{"OutputName": "o", "OutputType": kind}]}
    execution = run(pipeline(step), lambda _: {"o": value})
    assert f"must be of type {kind}, not {value!r}" in execution.runs["A"].reason


def test_a_function_that_raises_gives_the_reason() -> None:
    def function(event: dict) -> None:
        raise ZeroDivisionError("no input file_07.json")

    execution = run(pipeline(lambda_step("A"), lambda_step("B", "A")), function)
    assert execution.runs["A"].reason.endswith("failed: ZeroDivisionError: no input file_07.json")
    assert list(execution.runs) == ["A"]


def test_throttling_and_service_faults_are_retried_and_refusals_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(role_calls, "SERVICE_RETRY_SECONDS", 0)
    calls = []

    def function(event: dict) -> dict:
        calls.append(event)
        if len(calls) < 4:
            raise refused(*[("TooManyRequestsException", "slow", 429), ("ServiceException", "oh", 500)][len(calls) % 2])
        return {}

    assert run(pipeline(lambda_step("A")), function).status == "Succeeded"
    assert len(calls) == 4
    calls.clear()

    def refusing(event: dict) -> None:
        calls.append(event)
        raise refused("AccessDeniedException", "User: x is not authorized to perform: lambda:InvokeFunction", 403)

    execution = run(pipeline(lambda_step("A")), refusing)
    assert len(calls) == 1
    assert execution.runs["A"].reason == (
        "ClientError: Failed to invoke lambda:InvokeFunction. Error Details: "
        "User: x is not authorized to perform: lambda:InvokeFunction"
    )


def test_a_lambda_step_ends_at_its_limit_and_the_call_is_not_repeated() -> None:
    calls = []

    def function(event: dict) -> None:
        calls.append(event)
        raise botocore.exceptions.ReadTimeoutError(endpoint_url="x")

    bench = Bench(pipeline(lambda_step("A")))
    bench.aws.functions[FUNCTION] = function
    execution = asyncio.run(bench.run())
    bench.close()
    assert len(calls) == 1
    assert bench.aws.settings["lambda"]["read_timeout"] == 350
    assert "did not answer within 350 seconds" in execution.runs["A"].reason
    assert "The function continues to run." in execution.runs["A"].reason


@pytest.mark.parametrize(("timed_out", "status"), [(False, "Stopped"), (True, "Failed")])
def test_a_stopped_execution_whose_function_times_out_has_failed(timed_out: bool, status: str) -> None:
    """ "If the timeout is hit the pipeline execution status is Failed": API_StopPipelineExecution."""
    bench = Bench(pipeline(lambda_step("A"), lambda_step("B", "A")))

    async def main() -> Execution:
        loop, execution = asyncio.get_running_loop(), bench.execution()

        def function(event: dict) -> None:
            stopped = asyncio.run_coroutine_threadsafe(stop(), loop)
            stopped.result(10)
            if timed_out:
                raise botocore.exceptions.ReadTimeoutError(endpoint_url="x")

        async def stop() -> None:
            bench.orchestrator.request_stop(execution)
            assert (execution.status, execution.runs["A"].status) == ("Stopping", "Stopping")

        bench.aws.functions[FUNCTION] = function
        bench.orchestrator.begin(execution)
        await bench.settled()
        return execution

    execution = asyncio.run(main())
    bench.close()
    assert execution.status == status
    assert list(execution.runs) == ["A"]


@pytest.mark.parametrize(
    ("url", "accepted"),
    [
        ("https://sqs.us-east-1.amazonaws.com/000000000000/sagemaker-q", True),
        ("https://us-east-1.queue.amazonaws.com/000000000000/sagemaker-q.fifo", True),
        ("http://127.0.0.1:4599/000000000000/sagemaker-q", True),
        ("http://sqs.localhost:4599/000000000000/sagemaker-q", True),
        ("http://127.0.0.1:4598/000000000000/sagemaker-q", False),
        ("https://sqs.eu-west-1.amazonaws.com/000000000000/sagemaker-q", False),
        ("https://sqs.us-east-1.amazonaws.com.example.org/000000000000/sagemaker-q", False),
        ("https://example.org/000000000000/sagemaker-q", False),
        ("http://127.0.0.1:x/000000000000/sagemaker-q", False),
        ("http://[/000000000000/sagemaker-q", False),
        ("https://sqs.us-east-1.amazonaws.com/sagemaker-q", False),
        ("sagemaker-q", False),
    ],
)
def test_a_callbacks_message_goes_to_the_queue_that_its_url_is_of(url: str, accepted: bool) -> None:
    bench = Bench(pipeline(callback_step("W") | {"SqsQueueUrl": url}))
    execution = asyncio.run(bench.run())
    bench.close()
    assert bool(bench.aws.messages) is accepted
    if not accepted:
        said = f"Error Details: The address {url} is not valid for this endpoint."
        assert execution.runs["W"].reason.startswith(f"ClientError: Failed to invoke sqs:SendMessage. {said}")


def test_a_fail_step_ends_the_execution_with_its_message() -> None:
    fail = {
        "Name": "F",
        "Type": "Fail",
        "Arguments": {"ErrorMessage": {"Std:Join": {"On": ": ", "Values": ["got", get("Steps.C.Outcome")]}}},
    }
    execution = run(
        pipeline(condition_step("C", [EQUALS]), fail, lambda_step("After", {"Step": "C", "Trigger": "Any"}))
    )
    assert execution.status == "Failed"
    assert execution.reason == STEPS_FAILED
    assert execution.runs["F"].reason == "got: true"
    assert execution.runs["F"].metadata == {"Fail": {"ErrorMessage": "got: true"}}
    assert execution.runs["C"].metadata == {"Condition": {"Outcome": "True"}}


def test_a_fail_step_stops_what_still_waits() -> None:
    bench = Bench(pipeline(callback_step("W"), lambda_step("A"), {"Name": "F", "Type": "Fail", "DependsOn": ["A"]}))
    bench.aws.functions[FUNCTION] = lambda _: None

    async def main() -> Execution:
        execution = await bench.run()
        assert not ended(execution)
        assert [message["status"] for message in bench.aws.messages] == ["Executing", "Stopping"]
        bench.orchestrator.callbacks.answer(bench.aws.messages[0]["token"], None, "Failed", [], "terminated")
        return execution

    execution = asyncio.run(main())
    bench.close()
    assert execution.status == "Failed"
    assert execution.runs["W"].status == "Stopped"


def test_a_fail_step_whose_message_has_no_value_stops_what_still_waits_too() -> None:
    said = {"ErrorMessage": get("Steps.Asked.OutputParameters['why']")}
    fail = {"Name": "F", "Type": "Fail", "Arguments": said}
    bench = Bench(pipeline(callback_step("W"), callback_step("Asked", outputs=("why",)), fail))

    async def main() -> Execution:
        execution = await bench.run()
        tokens = {execution.runs[name].metadata["Callback"]["CallbackToken"]: name for name in ("W", "Asked")}
        asked = next(token for token, name in tokens.items() if name == "Asked")
        bench.orchestrator.callbacks.answer(
            asked, None, "Succeeded", [], None
        )  # without the output that the message refers to
        await bench.settled()
        told = [tokens[message["token"]] for message in bench.aws.messages if message.get("status") == "Stopping"]
        assert told == ["W"]
        return execution

    execution = asyncio.run(main())
    bench.close()
    assert execution.runs["F"].reason.startswith("ClientError: \"Steps.Asked.OutputParameters['why']\" has no value")
    assert execution.runs["W"].status == "Stopping"


def test_nothing_starts_beside_a_fail_step() -> None:
    fail = {"Name": "F", "Type": "Fail", "DependsOn": ["A"]}
    execution = run(pipeline(lambda_step("A"), fail, lambda_step("B", "A"), callback_step("C") | {"DependsOn": ["A"]}))
    assert list(execution.runs) == ["A", "F"]
    assert execution.status == "Failed"


def test_a_condition_that_can_not_compare_fails_its_step() -> None:
    wrong = {"Type": "GreaterThan", "LeftValue": "a", "RightValue": 1}
    execution = run(pipeline(condition_step("C", [wrong], [lambda_step("Y")], [lambda_step("N")])))
    assert list(execution.runs) == ["C"]
    assert "GreaterThan can't compare 'a' with 1" in execution.runs["C"].reason


# --- callbacks -------------------------------------------------------------------------------------------------------


def waiting(bench: Bench) -> Execution:
    return asyncio.run(bench.run())


def test_the_message_of_a_callback_step() -> None:
    document = pipeline(callback_step("W", job_ids=get("Parameters.Ids"), n=3), parameters=[
        {"Name": "Ids", "Type": "String", "DefaultValue": "a b"}
    ])  # fmt: skip
    bench = Bench(document)
    execution = waiting(bench)
    (message,) = bench.aws.messages
    assert set(message) == {"token", "pipelineExecutionArn", "arguments", "status"}
    assert message["pipelineExecutionArn"] == execution.arn
    assert message["arguments"] == {"job_ids": "a b", "n": 3}
    assert len(message["token"]) == 10
    assert message["token"].isalnum()
    bench.close()


def test_the_message_holds_no_nested_value() -> None:
    body = [callback_step("W", item=get("ForEach.CurrentItem"))]
    items = {"Name": "Items", "Type": "String", "DefaultValue": '[{"k": 1}]'}
    bench = Bench(pipeline(for_each_step("Loop", body, items=get("Parameters.Items")), parameters=[items]))
    execution = waiting(bench)
    bench.close()
    assert not bench.aws.messages
    assert execution.runs["W-0"].reason == "ClientError: the input item is a dict, not a string, a number or a boolean."


def test_an_answer_counts_once() -> None:
    bench = Bench(
        pipeline(callback_step("W", outputs=("o",)), lambda_step("B", x=get("Steps.W.OutputParameters['o']")))
    )
    bench.aws.functions[FUNCTION] = lambda _: None

    async def main() -> None:
        execution = await bench.run()
        token = bench.aws.messages[0]["token"]
        outputs = [{"Name": "o", "Value": "v"}]
        for wrong, words in (
            ([{"Name": "x", "Value": "v"}], "not an output of the step"),
            (outputs * 2, "given twice"),
        ):
            with pytest.raises(ApiError, match=words) as caught:
                bench.orchestrator.callbacks.answer(token, "t1", "Succeeded", wrong, None)
            assert caught.value.code == "ValidationException"
        assert execution.runs["W"].running
        bench.orchestrator.callbacks.answer(token, "t1", "Succeeded", outputs, None)
        assert bench.orchestrator.callbacks.answer(token, "t1", "Succeeded", outputs, None) is execution
        for client_token, verdict in (("t2", "Succeeded"), ("t1", "Failed"), (None, "Succeeded")):
            with pytest.raises(ApiError, match="Step W is already in a terminal status") as caught:
                bench.orchestrator.callbacks.answer(token, client_token, verdict, [], None)
            assert caught.value.code == "ConflictException"
        with pytest.raises(ApiError, match="waits for the callback token") as caught:
            bench.orchestrator.callbacks.answer("0123456789", None, "Succeeded", [], None)
        assert caught.value.code == "ResourceNotFound"
        await bench.settled()
        assert execution.status == "Succeeded"

    asyncio.run(main())
    bench.close()


def test_an_answer_may_come_before_the_message_is_known_to_be_sent() -> None:
    bench = Bench(pipeline(callback_step("W")))

    async def main() -> Execution:
        loop = asyncio.get_running_loop()

        def sending(message: dict) -> None:
            async def answer() -> None:
                bench.orchestrator.callbacks.answer(message["token"], None, "Succeeded", [], None)

            asyncio.run_coroutine_threadsafe(answer(), loop).result(10)

        bench.aws.sending = sending
        return await bench.run()

    assert asyncio.run(main()).status == "Succeeded"
    bench.close()


def test_a_queue_that_is_gone_fails_the_step_and_ends_a_stop() -> None:
    def gone(message: dict) -> None:
        raise refused("AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.")

    bench = Bench(pipeline(callback_step("W")))
    bench.aws.sending = gone
    execution = waiting(bench)
    assert execution.status == "Failed"
    assert execution.runs["W"].reason == (
        "ClientError: Failed to invoke sqs:SendMessage. Error Details: The specified queue does not exist."
    )
    bench.close()

    bench = Bench(pipeline(callback_step("W")))

    async def stopped() -> Execution:
        execution = await bench.run()
        bench.aws.sending = gone
        bench.orchestrator.request_stop(execution)
        await bench.settled()
        return execution

    execution = asyncio.run(stopped())
    assert (execution.status, execution.runs["W"].status) == ("Failed", "Failed")
    bench.close()


# --- loops -----------------------------------------------------------------------------------------------------------


def loop_document(items: Any = ("a", "b", "c"), **more: Any) -> dict[str, Any]:
    body = [
        lambda_step("Do", outputs=("score",), item=get("ForEach.CurrentItem")),
        lambda_step("Then", score=get("Steps.Do.OutputParameters['score']")),
    ]
    body[0]["OutputParameters"][0]["OutputType"] = "Integer"
    names = ("Status", "InputItemCount", "TotalStepCount", "SucceededStepCount", "FailedStepCount")
    after = {name: get(f"Steps.Loop.{name}") for name in names}
    after["first"] = get("Steps.Loop.IterationOutputs[0].Do.OutputParameters['score']")
    selector = {"Pick": "MaxBy", "Field": get("IterationOutput.Do.OutputParameters['score']")}
    after["best"] = get("Steps.Loop.Selected.OutputParameters['score']")
    return pipeline(for_each_step("Loop", body, items=items, Selector=selector, **more), lambda_step("After", **after))


def test_a_loop_runs_its_body_for_each_item() -> None:
    events = []

    def function(event: dict) -> dict:
        events.append(event)
        return {"score": {"a": 2, "b": 9, "c": 5}.get(event.get("item"), 0)}

    execution = run(loop_document(), function)
    assert execution.status == "Succeeded"
    assert set(execution.runs) == {"Loop", "After", *(f"{name}-{i}" for name in ("Do", "Then") for i in range(3))}
    assert events[-1] == {
        "Status": "Succeeded",
        "InputItemCount": 3,
        "TotalStepCount": 6,
        "SucceededStepCount": 6,
        "FailedStepCount": 0,
        "first": 2,
        "best": 9,
    }
    assert sorted(event["score"] for event in events if set(event) == {"score"}) == [2, 5, 9]


def test_a_loop_keeps_its_width() -> None:
    now_running, widest, guard = 0, 0, threading.Lock()

    def function(event: dict) -> dict:
        nonlocal now_running, widest
        with guard:
            now_running += 1
            widest = max(widest, now_running)
        threading.Event().wait(0.01)
        with guard:
            now_running -= 1
        return {"score": 1}

    assert run(loop_document(tuple("abcdefgh"), MaxConcurrency=3), function).status == "Succeeded"
    assert 1 < widest <= 3


def test_a_loop_over_a_list_found_at_run_time() -> None:
    document = loop_document(get("Parameters.Items"))
    document["Parameters"] = [{"Name": "Items", "Type": "String", "DefaultValue": json.dumps([{"n": 1}, {"n": 2}])}]
    document["Steps"][0]["Arguments"]["ForEachBody"][0]["Arguments"]["item"] = get("ForEach.CurrentItem.n")
    execution = run(document, lambda event: {"score": event.get("item", 0)})
    assert execution.status == "Succeeded"
    document["Parameters"][0]["DefaultValue"] = "no list"
    execution = run(document)
    assert "not a JSON list" in execution.runs["Loop"].reason


def test_a_loop_with_a_failing_child_fails_after_the_others() -> None:
    def function(event: dict) -> dict:
        if event.get("item") == "b":
            raise ZeroDivisionError("b")
        return {"score": 1}

    execution = run(loop_document(), function)
    assert execution.status == "Failed"
    statuses = {name: step.status for name, step in execution.runs.items()}
    assert statuses == {
        "Loop": "Failed", "Do-0": "Succeeded", "Do-1": "Failed", "Do-2": "Succeeded",
        "Then-0": "Succeeded", "Then-2": "Succeeded",
    }  # fmt: skip
    assert execution.runs["Loop"].reason == "ClientError: 1 of 6 child steps failed."


# --- retry and restart -----------------------------------------------------------------------------------------------


def test_a_retry_runs_what_did_not_succeed_and_keeps_the_rest() -> None:
    bench = Bench(pipeline(lambda_step("A", me="A"), lambda_step("B", "A", me="B"), lambda_step("C", "B", me="C")))
    calls, broken = [], True

    def function(event: dict) -> None:
        calls.append(event["me"])
        if event["me"] == "B" and broken:
            raise ZeroDivisionError("not yet")

    bench.aws.functions[FUNCTION] = function

    async def main() -> None:
        nonlocal broken
        execution = await bench.run()
        assert (execution.status, calls) == ("Failed", ["A", "B"])
        broken = False
        bench.orchestrator.retry(execution)
        assert execution.status == "Executing"
        await bench.settled()
        assert (execution.status, calls) == ("Succeeded", ["A", "B", "B", "C"])
        assert execution.reason is None

    asyncio.run(main())
    bench.close()


def test_a_retry_of_a_loop_runs_only_the_children_that_did_not_succeed() -> None:
    bench, calls, broken = Bench(loop_document()), [], True

    def function(event: dict) -> dict:
        calls.append(event.get("item"))
        if event.get("item") == "b" and broken:
            raise ZeroDivisionError("b")
        return {"score": 1}

    bench.aws.functions[FUNCTION] = function

    async def main() -> None:
        nonlocal broken
        execution = await bench.run()
        assert execution.status == "Failed"
        broken = False
        calls.clear()
        bench.orchestrator.retry(execution)
        await bench.settled()
        assert execution.status == "Succeeded"
        assert execution.runs["Loop"].properties["SucceededStepCount"] == 6

    asyncio.run(main())
    bench.close()
    assert calls == ["b", None, None], "Do of b, Then of b, After"


def test_a_retry_runs_again_what_a_stop_has_ended() -> None:
    bench, calls = Bench(pipeline(lambda_step("A", me="A"), callback_step("W"), lambda_step("B", "W", me="B"))), []
    bench.aws.functions[FUNCTION] = lambda event: calls.append(event["me"])

    async def answered(verdict: str) -> Execution:
        execution = bench.orchestrator.callbacks.answer(bench.aws.messages[-1]["token"], None, verdict, [], None)
        await bench.settled()
        return execution

    async def main() -> None:
        await bench.run(stopping=True)
        execution = await answered("Failed")
        assert (execution.status, execution.runs["W"].status) == ("Stopped", "Stopped")
        bench.orchestrator.retry(execution)
        await bench.settled()
        assert execution.status == "Executing"
        assert (await answered("Succeeded")).status == "Succeeded"

    asyncio.run(main())
    bench.close()
    assert calls == ["A", "B"], "what has succeeded is kept"
    sent = [(message["token"], message["status"]) for message in bench.aws.messages]
    assert [status for _, status in sent] == ["Executing", "Stopping", "Executing"]
    assert sent[0][0] == sent[1][0] != sent[2][0], "a retry has a new token"


def restart(store: Store, document: dict[str, Any], aws: FakeAws) -> Bench:
    return Bench(document, store, aws)


def test_a_waiting_execution_is_completed_after_a_restart(tmp_path) -> None:
    document = pipeline(callback_step("W", outputs=("o",)), lambda_step("B", x=get("Steps.W.OutputParameters['o']")))
    store, aws = Store(tmp_path / "s"), FakeAws()
    first = Bench(document, store, aws)
    arn = asyncio.run(first.run()).arn
    first.close()

    second, events = restart(Store(tmp_path / "s"), document, aws), []
    aws.functions[FUNCTION] = events.append

    async def main() -> Execution:
        second.orchestrator.load()
        await second.settled()
        message, again = aws.messages
        assert message == again, "sent again, since a killed server may have lost it; SQS may deliver twice anyway"
        execution = second.orchestrator.executions[arn]
        second.orchestrator.callbacks.answer(
            aws.messages[0]["token"], None, "Succeeded", [{"Name": "o", "Value": "v"}], None
        )
        await second.settled()
        return execution

    assert asyncio.run(main()).status == "Succeeded"
    assert events == [{"x": "v"}]
    second.close()


def test_a_token_stays_its_own_executions_when_another_takes_the_step_over(tmp_path) -> None:
    document, aws = pipeline(callback_step("W"), lambda_step("B", "W")), FakeAws()
    aws.functions[FUNCTION] = lambda _: None
    first = Bench(document, Store(tmp_path / "s"), aws)

    async def main() -> tuple[str, str]:
        execution = await first.run()
        token = aws.messages[0]["token"]
        first.orchestrator.callbacks.answer(token, "t", "Succeeded", [], None)
        await first.settled()
        selected = {"SourcePipelineExecutionArn": execution.arn, "SelectedSteps": [{"StepName": "B"}]}
        second = first.execution(selective=selected)
        starting.take_over(second, first.definition, first.orchestrator.executions)
        first.orchestrator.begin(second)
        await first.settled()
        assert second.status == "Succeeded"
        return token, execution.arn

    token, arn = asyncio.run(main())
    first.close()
    again = restart(Store(tmp_path / "s"), document, aws)
    again.orchestrator.load()
    assert again.orchestrator.callbacks.answer(token, "t", "Succeeded", [], None).arn == arn
    again.close()


@pytest.mark.parametrize("stopping", [False, True])
def test_a_message_is_sent_again_after_a_kill_only(tmp_path, stopping: bool) -> None:
    """A worker that starts a job for each message must not start a second one whenever the server is restarted."""
    document, aws = pipeline(callback_step("W")), FakeAws()
    first = Bench(document, Store(tmp_path / "s"), aws)

    async def stopped() -> None:
        await first.run(stopping=stopping)
        await first.orchestrator.stop()

    async def killed(bench: Bench) -> None:
        bench.orchestrator.load()
        await bench.settled()

    asyncio.run(stopped())
    sent = [message["status"] for message in aws.messages]
    assert sent == (["Executing", "Stopping"] if stopping else ["Executing"])
    for expected in (sent, [*sent, sent[-1]]):
        again = restart(Store(tmp_path / "s"), document, aws)
        asyncio.run(killed(again))
        assert [message["status"] for message in aws.messages] == expected
        again.close()
    first.close()


def test_a_server_killed_between_the_stop_and_its_steps_stops_them_after_the_restart(tmp_path) -> None:
    document, aws = pipeline(callback_step("W")), FakeAws()
    first = Bench(document, Store(tmp_path / "s"), aws)
    execution = asyncio.run(first.run())
    execution.stop_requested, execution.status = True, "Stopping"
    first.orchestrator.save(execution)
    first.close()
    second = restart(Store(tmp_path / "s"), document, aws)

    async def main() -> Execution:
        second.orchestrator.load()
        await second.settled()
        assert aws.messages[-1]["status"] == "Stopping"
        return second.orchestrator.callbacks.answer(aws.messages[-1]["token"], None, "Failed", [], "told")

    assert asyncio.run(main()).status == "Stopped"
    second.close()


def test_a_function_that_ran_on_a_killed_server_is_invoked_again_with_the_same_event(tmp_path) -> None:
    document = pipeline(lambda_step("A", when=get("Execution.CurrentDateTime")), callback_step("W"))
    store, aws = Store(tmp_path / "s"), FakeAws()
    first = Bench(document, store, aws)
    let_go = threading.Event()
    events = []
    aws.functions[FUNCTION] = lambda event: events.append(event) or let_go.wait(10)

    async def killed() -> None:
        execution = first.execution()
        first.orchestrator.begin(execution)
        while not (events and execution.runs["W"].sent):
            await asyncio.sleep(0.001)
        first.orchestrator.freeze()

    asyncio.run(killed())

    second = restart(Store(tmp_path / "s"), document, aws)

    async def main() -> None:
        aws.functions[FUNCTION] = events.append
        second.orchestrator.load()
        await second.settled()
        (execution,) = second.orchestrator.executions.values()
        assert execution.runs["A"].status == "Succeeded"
        assert not ended(execution), "W still waits"
        second.orchestrator.callbacks.answer(aws.messages[0]["token"], None, "Succeeded", [], None)
        assert execution.status == "Succeeded"

    asyncio.run(main())
    let_go.set()
    first.close()
    second.close()
    assert len(events) == 2
    assert events[0] == events[1]


@pytest.mark.parametrize(
    ("job", "attempts", "policy", "expected"),
    [
        ({"ProcessingJobStatus": "Completed"}, 1, None, ("Succeeded", 1)),
        ({"ProcessingJobStatus": "Failed", "FailureReason": "AlgorithmError: no"}, 1, None, ("Failed", 1)),
        ({"ProcessingJobStatus": "Stopping"}, 1, None, ("Stopped", 1)),
        ({"ProcessingJobStatus": "InProgress"}, 1, None, ("Succeeded", 2)),
        ({"ProcessingJobStatus": "InProgress"}, 2, {"MaxAttempts": 2}, ("Succeeded", 3)),
        ({"ProcessingJobStatus": "InProgress"}, 2, {"MaxAttempts": 1}, ("Failed", 2)),
        (None, 2, {"MaxAttempts": 1}, ("Succeeded", 2)),
    ],
)
def test_a_job_is_taken_up_as_the_last_server_left_it(tmp_path, job, attempts, policy, expected) -> None:
    """`job`: its record; None when it was not made yet."""
    policies = [{"ExceptionType": ["SageMaker.JOB_INTERNAL_ERROR"], "IntervalSeconds": 0, **policy}] if policy else []
    document = pipeline(processing_step("Job", RetryPolicies=policies))
    store, aws = Store(tmp_path / "s"), FakeAws()
    first = Bench(document, store, aws)
    execution = first.execution()
    run = StepRun("Job", "Processing", "Executing", attempts=attempts)
    if job:
        arn = "arn:aws:sagemaker:us-east-1:000000000000:processing-job/j"
        run.metadata = {"ProcessingJob": {"Arn": arn}}
        store.put("processing-job", arn, {"ProcessingJobArn": arn, "ProcessingJobName": "j", **job})
    first.orchestrator.save(execution)
    first.orchestrator.storage.save_run(execution, run)
    first.close()
    second = restart(Store(tmp_path / "s"), document, aws)
    aws.is_allowed = lambda *_: None

    async def completed(record: dict, _: Any) -> dict:
        return record | {"ProcessingJobStatus": "Completed"}

    second.orchestrator.jobs.run = completed

    async def main() -> StepRun:
        second.orchestrator.load()
        await second.settled()
        return second.orchestrator.executions[execution.arn].runs["Job"]

    run = asyncio.run(main())
    second.close()
    assert (run.status, run.attempts) == expected
    if run.status == "Succeeded":
        assert run.properties["ProcessingJobStatus"] == "Completed"
    if run.status == "Failed":
        assert run.reason == job.get("FailureReason", HOST_GONE)


@pytest.mark.parametrize("stopping", [False, True])
def test_a_step_whose_message_has_left_waits_on_when_it_cannot_be_sent_again(tmp_path, stopping: bool) -> None:
    document, aws = pipeline(callback_step("W")), FakeAws()
    first = Bench(document, Store(tmp_path / "s"), aws)

    asyncio.run(first.run(stopping=stopping))
    first.close()

    def gone(_: dict) -> None:
        raise refused("AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.")

    aws.sending = gone
    second = restart(Store(tmp_path / "s"), document, aws)

    async def main() -> Execution:
        second.orchestrator.load()
        await second.settled()
        (execution,) = second.orchestrator.executions.values()
        assert not ended(execution)
        return second.orchestrator.callbacks.answer(aws.messages[0]["token"], None, "Succeeded", [], None)

    assert asyncio.run(main()).status == ("Stopped" if stopping else "Succeeded")
    second.close()


def test_a_message_that_may_not_have_left_is_sent_again(tmp_path) -> None:
    document = pipeline(callback_step("W"))
    store, aws = Store(tmp_path / "s"), FakeAws()
    first = Bench(document, store, aws)
    let_go = threading.Event()
    aws.sending = lambda _: let_go.wait(10)

    async def killed() -> None:
        first.orchestrator.begin(first.execution())
        while not aws.messages:
            await asyncio.sleep(0.001)
        first.orchestrator.freeze()

    asyncio.run(killed())
    aws.sending = lambda _: None
    second = restart(Store(tmp_path / "s"), document, aws)

    async def main() -> None:
        second.orchestrator.load()
        await second.settled()

    asyncio.run(main())
    assert len(aws.messages) == 2
    assert aws.messages[0]["token"] == aws.messages[1]["token"]
    let_go.set()
    first.close()
    second.close()


# --- events ----------------------------------------------------------------------------------------------------------


def test_every_change_of_status_is_an_event() -> None:
    bench = Bench(pipeline(lambda_step("A")))
    bench.aws.functions[FUNCTION] = lambda _: None
    execution = asyncio.run(bench.run())
    bench.close()
    kinds = [event["detail_type"].split(" Execution ")[1] for event in bench.aws.events]
    assert kinds == ["Status Change", *["Step Status Change"] * 3, "Status Change"]
    changes = [
        (event["detail"].get("previousStepStatus"), event["detail"]["currentStepStatus"])
        for event in bench.aws.events[1:4]
    ]
    assert changes == [(None, "Starting"), ("Starting", "Executing"), ("Executing", "Succeeded")]
    last = bench.aws.events[-1]
    assert last["resources"] == [execution.pipeline_arn, execution.arn]
    assert last["detail"]["currentPipelineExecutionStatus"] == "Succeeded"
    assert last["detail"]["previousPipelineExecutionStatus"] == "Executing"
    assert bench.aws.events[3]["detail"]["metadata"]["lambda"]["arn"] == FUNCTION
    # As AWS shows it: https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html
    assert (last["source"], last["detail_type"]) == (
        "aws.sagemaker",
        "SageMaker Model Building Pipeline Execution Status Change",
    )
    assert set(last["detail"]) <= {
        "pipelineExecutionDescription", "pipelineExecutionDisplayName", "currentPipelineExecutionStatus",
        "previousPipelineExecutionStatus", "executionStartTime", "executionEndTime", "pipelineArn",
        "pipelineExecutionArn",
    }  # fmt: skip
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", last["detail"]["executionEndTime"])
