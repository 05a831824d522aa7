"""One execution of a pipeline: its state, and what may run next. No input or output here: `engine.py` acts on it.

Statuses: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_PipelineExecutionStep.html and, for
CompletedWithFailures, the docstring of the SDK's StepDependency (newer than this botocore's model).
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from local_aws.pipelines.definition import FOR_EACH_COUNTS, Definition, Step

ENDED = ("Succeeded", "Failed", "Stopped")
ENDED_EXECUTION = (*ENDED, "CompletedWithFailures")
STEPS_FAILED = "Step failure: One or multiple steps failed."

# The outcomes that let a step run, for each trigger. A step that never ran is no outcome at all.
_ACCEPTS = {
    "Completed": ("Succeeded",),
    "Failed": ("Failed",),
    "Stopped": ("Stopped",),
    "Any": ENDED,
}


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@dataclass
class StepRun:
    """A step that has been started in an execution.

    Attributes:
        type: of the step, as in the definition.
        metadata: what ListPipelineExecutionSteps shows.
        properties: what `Steps.<name>.…` of the definition refers to.
        parent, index, item: of a child of a ForEach step.
        attempts: how often the step was tried under its retry policy.
        sent: the status whose message of a Callback step has left: Executing, or Stopping.
        answer: the verdict a Callback step was given and its ClientRequestToken.
        unstoppable: asked to stop, it reached its limit instead, or nobody could be told; the execution is then Failed.
    """

    name: str
    type: str
    status: str = "Starting"
    started: dt.datetime = field(default_factory=now)
    ended: dt.datetime | None = None
    reason: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    properties: dict[str, Any] = field(default_factory=dict)
    attempts: int = 1
    parent: str | None = None
    index: int = 0
    item: Any = None
    sent: str | None = None
    answer: list[str | None] | None = None
    unstoppable: bool = False
    cache_key: str | None = None
    cache_source: str | None = None
    selective_source: str | None = None

    @property
    def token(self) -> str | None:
        """A Callback step's token; one that was taken over from another execution is that one's."""
        return None if self.selective_source else self.metadata.get("Callback", {}).get("CallbackToken")

    @property
    def running(self) -> bool:
        return self.status not in ENDED


@dataclass
class Execution:
    """An execution and its started steps. `parameters` are typed; `role_arn` is the pipeline's role when it started."""

    arn: str
    pipeline_arn: str
    pipeline_name: str
    version: int
    account: str
    region: str
    partition: str
    role_arn: str
    status: str = "Executing"
    created: dt.datetime = field(default_factory=now)
    modified: dt.datetime = field(default_factory=now)
    ended: dt.datetime | None = None
    created_by: dict[str, Any] = field(default_factory=dict)
    modified_by: dict[str, Any] = field(default_factory=dict)
    display_name: str | None = None
    description: str | None = None
    reason: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    max_parallel: int | None = None
    selective: dict[str, Any] | None = None
    stop_requested: bool = False
    start_token: str | None = None
    stop_token: str | None = None
    retry_token: str | None = None
    runs: dict[str, StepRun] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.arn.rsplit("/", 1)[-1]

    @property
    def ending(self) -> bool:
        """Whether no step may start any more: a stop was asked for, or a Fail step was reached."""
        return self.stop_requested or any(run.type == "Fail" for run in self.runs.values())

    @property
    def selected(self) -> set[str] | None:
        """The steps of a selective execution; None when all may run."""
        return {step["StepName"] for step in self.selective["SelectedSteps"]} if self.selective else None

    def record(self) -> dict[str, Any]:
        """The execution without its steps, for the store."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "runs"}


@dataclass(frozen=True)
class Start:
    """A step that may start now; a child of a ForEach step names its parent and its index."""

    name: str
    step: Step
    parent: str | None = None
    index: int = 0


def ready(definition: Definition, execution: Execution) -> list[Start]:
    """The steps that may start now, in order, within the limits of parallelism."""
    if execution.ending:
        return []
    leaves = [run for run in execution.runs.values() if run.running and run.type != "ForEach"]
    free = execution.max_parallel - len(leaves) if execution.max_parallel else len(definition.steps) + 10_000
    found: list[Start] = []
    outcomes = _outcomes(definition, execution)
    for name, step in definition.steps.items():
        if outcomes[name] == "Ready":
            found.append(Start(name, step))
        run = execution.runs.get(name)
        if step.type == "ForEach" and run and run.running and "Items" in run.properties:
            found += _ready_children(execution, step)
    # A ForEach step itself occupies no place; its children do.
    starts = []
    for start in found:
        if start.step.type == "ForEach":
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
    """As `_outlook`, for a child that has not started; its siblings of the same iteration are all it waits for."""
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
        if run.type != "ForEach" or not run.running or "Items" not in run.properties:
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
    return {"Status": status, **dict(zip(FOR_EACH_COUNTS, counts, strict=True)), "IterationOutputs": outputs}


def final_status(definition: Definition, execution: Execution) -> str | None:
    """The status of an execution that is over; None while a step runs or may still start.

    Not known from AWS, so the strictest reading: a step that failed is only forgiven (CompletedWithFailures) when a
    step that asked for its failure by a trigger ran and succeeded.
    """
    runs = execution.runs
    if any(run.running for run in runs.values()) or (not execution.ending and ready(definition, execution)):
        return None
    if any(run.type == "Fail" for run in runs.values()):
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


def reset_for_retry(execution: Execution) -> list[str]:
    """Forget the steps that did not succeed, so that they run again; returns their names."""
    forgotten = [name for name, run in execution.runs.items() if run.status != "Succeeded"]
    for name in forgotten:
        del execution.runs[name]
    return forgotten
