"""One started step of one execution, with all that its type needs to do it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from local_aws.pipelines.execution.failures import StepStopped
from local_aws.pipelines.execution.step_values import StepValues
from local_aws.pipelines.model.expressions import json_gets
from local_aws.pipelines.model.step import Step
from local_aws.pipelines.processing.processing_jobs import ProcessingJobs
from local_aws.pipelines.state import Execution, StepRun

if TYPE_CHECKING:
    from local_aws.pipelines.execution.orchestrator import Orchestrator


class StepWork:
    """What `steps/` sees of an execution."""

    def __init__(self, orchestrator: Orchestrator, execution: Execution, run: StepRun, step: Step) -> None:
        self.orchestrator, self.execution, self.run, self.step = orchestrator, execution, run, step
        definition = orchestrator.definition_of(execution)
        self.values = StepValues(definition, execution, run, orchestrator.jobs)

    @property
    def jobs(self) -> ProcessingJobs:
        return self.orchestrator.jobs

    # --- its life --------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start the step from its beginning."""
        if any(json_gets(self.step.inputs)):
            self.spawn(self._begin_after_reading())
        else:
            self._begin()

    async def _begin_after_reading(self) -> None:
        await self.values.read_documents(self.step.inputs, self.orchestrator.calls)
        self._begin()

    def _begin(self) -> None:
        try:
            if left := self.step.kind.start(self):
                self.spawn(left)
        except Exception as error:  # noqa: BLE001 - told, or logged, by end_by; it must not reach the caller
            self.orchestrator.end_by(self, error)

    def spawn(self, left: Coroutine[Any, Any, None]) -> None:
        """Do this in a task. How it ends decides how the step ends, unless it leaves the step waiting."""
        self.orchestrator.spawn(self, left)

    def executing(self) -> None:
        """The step begins its work, unless it was asked to stop meanwhile.

        Raises:
            StepStopped: it was.
        """
        if self.run.status == "Stopping":
            raise StepStopped
        if self.run.status == "Starting":
            self.orchestrator.change(self.execution, self.run, "Executing")

    def end(self, status: str, reason: str | None = None, *, timed_out: bool = False) -> None:
        """End the step. The first result counts."""
        self.orchestrator.end(self, status, reason, timed_out=timed_out)

    def save(self) -> None:
        """Record the step as it is now."""
        self.orchestrator.storage.save_run(self.execution, self.run)

    # --- its values and calls --------------------------------------------------------------------------------------

    def resolve(self, value: Any) -> Any:
        """A value of the definition with every expression replaced.

        Raises:
            ExpressionError: an expression has no value in this execution.
        """
        return self.values.resolve(value)

    def credentials(self) -> Any:
        """Credentials of the pipeline's role."""
        return self.orchestrator.calls.credentials(self.execution)

    async def call(self, service: str, method: str, **arguments: Any) -> Any:
        """One API call as the pipeline's role, as RoleCalls.call says."""
        return await self.orchestrator.calls.call(self.execution, service, method, **arguments)

    async def in_thread(self, work: Callable, *args: Any, **kwargs: Any) -> Any:
        """Do blocking work off the event loop."""
        return await self.orchestrator.calls.in_thread(work, *args, **kwargs)
