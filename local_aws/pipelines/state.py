"""The state of pipelines and their versions, and of executions and their started steps.

Statuses: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_PipelineExecutionStep.html and, for
CompletedWithFailures, the docstring of the SDK's StepDependency (newer than this botocore's model).
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from local_aws import clock

ENDED = ("Succeeded", "Failed", "Stopped")
ENDED_EXECUTION = (*ENDED, "CompletedWithFailures")
STEPS_FAILED = "Step failure: One or multiple steps failed."


def now() -> dt.datetime:
    return clock.date()


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
        """A Callback step's token. A step taken over from another execution keeps that execution's token."""
        return None if self.selective_source else self.metadata.get("Callback", {}).get("CallbackToken")

    @property
    def running(self) -> bool:
        return self.status not in ENDED

    @property
    def is_loop(self) -> bool:
        """Whether its children decide how it ends."""
        return self.type == "ForEach"

    @property
    def ends_execution(self) -> bool:
        """Whether it is the end of its execution."""
        return self.type == "Fail"


@dataclass
class Execution:
    """An execution and its started steps. `parameters` are typed. `role_arn` is the pipeline's role when it started."""

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
        """Whether no step may start any more, after a stop or a Fail step."""
        return self.stop_requested or any(run.ends_execution for run in self.runs.values())

    @property
    def selected(self) -> set[str] | None:
        """The steps of a selective execution, or None when all may run."""
        return {step["StepName"] for step in self.selective["SelectedSteps"]} if self.selective else None

    def record(self) -> dict[str, Any]:
        """The execution without its steps, for the store."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "runs"}


@dataclass
class Version:
    """One version of a pipeline, with its definition and what UpdatePipelineVersion says of it."""

    id: int
    definition: str
    created: Any = field(default_factory=now)
    display_name: str | None = None
    description: str | None = None
    last_execution: str | None = None


@dataclass
class Pipeline:
    """A pipeline and all its versions. `versions` is by version id, the newest last."""

    name: str
    arn: str
    account: str
    region: str
    role_arn: str
    display_name: str | None = None
    description: str | None = None
    max_parallel: int | None = None
    created: Any = field(default_factory=now)
    modified: Any = field(default_factory=now)
    last_run: Any = None
    created_by: dict[str, Any] = field(default_factory=dict)
    modified_by: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    create_token: list[str] | None = None
    versions: dict[int, Version] = field(default_factory=dict)

    @property
    def latest(self) -> Version:
        return self.versions[max(self.versions)]
