"""The rules of what may run next in an execution, and how it ends. `execution/` acts on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from local_aws.pipelines.model.definition import Definition
from local_aws.pipelines.model.step import Step
from local_aws.pipelines.state import ENDED, Execution, StepRun
from local_aws.pipelines.steps.for_each import COUNTS

# The outcomes that let a step run, for each trigger. A step that never ran is no outcome at all.
_ACCEPTS = {
    "Completed": ("Succeeded",),
    "Failed": ("Failed",),
    "Stopped": ("Stopped",),
    "Any": ENDED,
}


@dataclass(frozen=True)
class Start:
    """A step that may start now. A child of a ForEach step names its parent and its index."""

    name: str
    step: Step
    parent: str | None = None
    index: int = 0


def ready(definition: Definition, execution: Execution) -> list[Start]:
    """The steps that may start now, in order, within the limits of parallelism."""
    if execution.ending:
        return []
    leaves = [run for run in execution.runs.values() if run.running and not run.is_loop]
    free = execution.max_parallel - len(leaves) if execution.max_parallel else len(definition.steps) + 10_000
    candidates: list[Start] = []
    outcomes = _outcomes(definition, execution)
    for name, step in definition.steps.items():
        if outcomes[name] == "Ready":
            candidates.append(Start(name, step))
        run = execution.runs.get(name)
        if run and run.is_loop and run.running and "Items" in run.properties:
            candidates += _ready_children(execution, step)
    # A ForEach step itself occupies no place; its children do.
    starts = []
    for start in candidates:
        if start.step.kind.body:
            starts.append(start)
        elif free > 0:
            starts.append(start)
            free -= 1
    return starts


def _outcomes(definition: Definition, execution: Execution) -> dict[str, str | None]:
    """For each step how it ended, "NotRun" if it never will run, "Ready", or None while that is open."""
    outcomes: dict[str, str | None] = {}
    selected = execution.selected
    for name in definition.order:
        step, run = definition.steps[name], execution.runs.get(name)
        if run:
            outcomes[name] = None if run.running else run.status
        elif selected is not None and name not in selected:
            outcomes[name] = "NotRun"
        else:
            outcomes[name] = _outlook(step, execution, outcomes)
    return outcomes


def _outlook(step: Step, execution: Execution, outcomes: dict[str, str | None]) -> str | None:
    if step.branch:
        condition = execution.runs.get(step.branch[0])
        if condition and not condition.running and condition.properties.get("Outcome") != step.branch[1]:
            return "NotRun"
    waiting = False
    for upstream, trigger in step.needs.items():
        outcome = outcomes[upstream]
        if outcome is None or outcome == "Ready":
            waiting = True
        elif outcome not in _ACCEPTS[trigger]:
            return "NotRun"
    return None if waiting else "Ready"


def child_name(body_step: str, index: int) -> str:
    """The name of a ForEach step's child: https://sagemaker.readthedocs.io (ForEachStep)."""
    return f"{body_step}-{index}"


def _children(execution: Execution, step: Step) -> list[tuple[Step, int, StepRun | None]]:
    items = execution.runs[step.name].properties["Items"]
    return [
        (child, index, execution.runs.get(child_name(child.name, index)))
        for index in range(len(items))
        for child in step.body
    ]


def _ready_children(execution: Execution, step: Step) -> list[Start]:
    children = _children(execution, step)
    free = step.arguments["MaxConcurrency"] - sum(1 for *_, run in children if run and run.running)
    starts = [
        Start(child_name(child.name, index), child, step.name, index)
        for child, index, run in children
        if run is None and _child_outlook(execution, step, child, index) == "Ready"
    ]
    return starts[: max(free, 0)]


def _child_outlook(execution: Execution, loop: Step, child: Step, index: int) -> str | None:
    """As `_outlook`, for a child that has not started. It waits only for its siblings of the same iteration."""
    waiting = False
    for upstream in child.needs:
        run = execution.runs.get(child_name(upstream, index))
        if run is None:
            sibling = next(step for step in loop.body if step.name == upstream)
            if _child_outlook(execution, loop, sibling, index) == "NotRun":
                return "NotRun"
            waiting = True
        elif run.running:
            waiting = True
        elif run.status != "Succeeded":
            return "NotRun"
    return None if waiting else "Ready"


def finished_loops(definition: Definition, execution: Execution) -> list[Step]:
    """The running ForEach steps whose children have all ended, or never will start."""
    loops = []
    for name, run in execution.runs.items():
        if not run.is_loop or not run.running or "Items" not in run.properties:
            continue
        step = definition.steps[name]
        children = _children(execution, step)
        if any(child_run and child_run.running for *_, child_run in children):
            continue
        pending = [(child, index) for child, index, child_run in children if child_run is None]
        if execution.ending or all(_child_outlook(execution, step, *each) == "NotRun" for each in pending):
            loops.append(step)
    return loops


def loop_properties(execution: Execution, step: Step) -> dict[str, Any]:
    """What a ForEach step whose children have ended shows to the steps after it.

    Members: the SDK's ForEachStep docstring. A child that never started counts in TotalStepCount only.
    """
    items = execution.runs[step.name].properties["Items"]
    children = [run for *_, run in _children(execution, step) if run]
    statuses = [run.status for run in children]
    counts = (len(items), len(items) * len(step.body), *(statuses.count(status) for status in ENDED))
    status = next((status for status in ("Failed", "Stopped") if status in statuses), "Succeeded")
    if execution.ending and status == "Succeeded" and len(children) < counts[1]:
        status = "Stopped"
    outputs: list[dict[str, Any]] = [{} for _ in items]
    for child, index, run in _children(execution, step):
        if run and run.status == "Succeeded":
            outputs[index][child.name] = run.properties
    return {"Status": status, **dict(zip(COUNTS, counts, strict=True)), "IterationOutputs": outputs}


def final_status(definition: Definition, execution: Execution) -> str | None:
    """The status of an execution that is over, or None while a step runs or may still start.

    Not known from AWS, so the strictest reading: a step that failed is only forgiven (CompletedWithFailures) when a
    step that asked for its failure by a trigger ran and succeeded.
    """
    runs = execution.runs
    if any(run.running for run in runs.values()) or (not execution.ending and ready(definition, execution)):
        return None
    if any(run.ends_execution for run in runs.values()):
        return "Failed"
    if execution.stop_requested:
        # "If the timeout is hit the pipeline execution status is Failed": API_StopPipelineExecution.
        return "Failed" if any(run.unstoppable for run in runs.values()) else "Stopped"
    broken = {name: run.status for name, run in runs.items() if run.status != "Succeeded" and run.parent is None}
    if not broken:
        return "Succeeded"
    handled = {
        upstream
        for name, step in definition.steps.items()
        for upstream, trigger in step.needs.items()
        if name in runs and runs[name].status == "Succeeded" and trigger != "Completed" and upstream in broken
    }
    if handled == set(broken):
        return "CompletedWithFailures"
    return "Failed" if "Failed" in broken.values() else "Stopped"


def reset_for_retry(execution: Execution) -> list[StepRun]:
    """Forget the steps that did not succeed, so that they run again, and return them."""
    forgotten = [run for run in execution.runs.values() if run.status != "Succeeded"]
    for run in forgotten:
        del execution.runs[run.name]
    return forgotten
