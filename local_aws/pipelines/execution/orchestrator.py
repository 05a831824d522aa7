"""Runs executions. It starts the steps that may start, records how each ended, and ends the execution.

Everything here happens on the event loop. Only the calls to other services run in threads. An execution that
waits (for a callback, for a job) holds no thread, no task and no timer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from local_aws.pipelines import scheduling
from local_aws.pipelines.execution import events
from local_aws.pipelines.execution.callbacks import Callbacks
from local_aws.pipelines.execution.failures import StepFailed, StepStopped
from local_aws.pipelines.execution.role_calls import RoleCalls
from local_aws.pipelines.execution.step_work import StepWork
from local_aws.pipelines.model.definition import Definition
from local_aws.pipelines.model.expressions import ExpressionError
from local_aws.pipelines.model.step import Step
from local_aws.pipelines.processing.processing_jobs import ProcessingJobs
from local_aws.pipelines.state import ENDED_EXECUTION, STEPS_FAILED, Execution, StepRun, now
from local_aws.pipelines.storage import Storage
from local_aws.protocol import ApiError

log = logging.getLogger("local_aws.pipelines")

MAX_REASON = 1024


class Orchestrator:
    """All executions of all pipelines of this server.

    Args:
        context: the server's Context.
        definition_of: the checked definition an execution runs.
    """

    def __init__(self, context: Any, definition_of: Callable[[Execution], Definition]) -> None:
        self.ministack, self.endpoint_url = context.ministack, context.endpoint_url
        self.definition_of = definition_of
        self.storage = Storage(context.store)
        self.executions: dict[str, Execution] = {}
        self.callbacks = Callbacks(self)
        self.calls = RoleCalls(context.ministack)
        self.jobs = ProcessingJobs(context, self.storage)
        self.tasks: set[asyncio.Task] = set()  # the work of steps that is under way
        self._closing = False

    # --- life ------------------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """Stop working. Waiting executions go on after a restart with the same store."""
        self.freeze()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.jobs.stop()
        self.calls.close()
        self.storage.note_stop()

    def freeze(self) -> None:
        """Do nothing more. Start no step, end no execution, and leave what is under way."""
        self._closing = True
        for task in self.tasks:
            task.cancel()

    async def settle(self) -> None:
        """Wait until nothing is under way, because every execution has ended or waits for others."""
        while self.tasks:
            await asyncio.gather(*self.tasks, return_exceptions=True)
            await asyncio.sleep(0)

    def load(self) -> None:
        """Bring executions back from the store, and go on with those that had not ended."""
        if not self.storage.store:
            return
        self.executions = self.storage.executions()
        for execution in self.executions.values():
            for name, run in execution.runs.items():
                if run.token:
                    self.callbacks.owners[run.token] = (execution.arn, name)
        self.callbacks.owners |= self.storage.forgotten_tokens()
        self.jobs.load()
        killed = self.storage.take_killed()
        for execution in [each for each in self.executions.values() if each.status not in ENDED_EXECUTION]:
            self._resume(execution, killed)

    def _resume(self, execution: Execution, killed: bool) -> None:
        """Go on after a restart. Steps that wait for others still wait, and what was under way is done again.

        How far a function, a job or a deletion had come is not known. So each is done at least once, and perhaps twice,
        as SQS delivers and as Lambda invokes asynchronously.
        """
        # A Fail step comes last: what it would stop has then been told.
        for run in sorted(execution.runs.values(), key=lambda run: run.ends_execution):
            if not run.running:
                continue
            if execution.ending and run.status != "Stopping" and not run.ends_execution:
                self.change(execution, run, "Stopping")  # the server ended before the step was told
            work = self.work_of(execution, run)
            work.step.kind.resume(work, killed)
        self.advance(execution)

    # --- executions ------------------------------------------------------------------------------------------------

    def begin(self, execution: Execution) -> None:
        """Start a new execution."""
        self.executions[execution.arn] = execution
        for run in execution.runs.values():  # what a selective execution takes over
            self.storage.save_run(execution, run)
        self._execution_changed(execution, None)
        self.advance(execution)

    def advance(self, execution: Execution) -> None:
        """Start whatever may start now, and end the execution when nothing can."""
        if self._closing:
            return
        definition = self.definition_of(execution)
        while execution.status not in ENDED_EXECUTION:
            loops = scheduling.finished_loops(definition, execution)
            for step in loops:
                properties = scheduling.loop_properties(execution, step)
                step.kind.finish(StepWork(self, execution, execution.runs[step.name], step), properties)
            starts = scheduling.ready(definition, execution)
            for start in starts:
                if not execution.ending:  # a Fail step among them ends it
                    self._start(execution, start)
            if loops or starts:
                continue  # a step may have ended at once, and let others start
            status = scheduling.final_status(definition, execution)
            if status is None:
                return
            previous, execution.status, execution.ended = execution.status, status, now()
            if status in ("Failed", "CompletedWithFailures"):
                execution.reason = STEPS_FAILED
            self._execution_changed(execution, previous)

    def request_stop(self, execution: Execution) -> None:
        """Stop an execution. Nothing starts any more, and what runs is asked to end."""
        execution.stop_requested = True
        previous, execution.status = execution.status, "Stopping"
        self._execution_changed(execution, previous)
        self._stop_steps(execution)
        self.advance(execution)

    def _stop_steps(self, execution: Execution) -> None:
        for run in [run for run in execution.runs.values() if run.running and run.status != "Stopping"]:
            self.change(execution, run, "Stopping")
            work = self.work_of(execution, run)
            work.step.kind.stop(work)

    def retry(self, execution: Execution) -> None:
        """Run again what did not succeed, then what could not run. What succeeded is kept."""
        for run in scheduling.reset_for_retry(execution):
            self.storage.delete_run(execution, run)
        previous, execution.status = execution.status, "Executing"
        execution.stop_requested, execution.reason, execution.ended = False, None, None
        self._execution_changed(execution, previous)
        self.advance(execution)

    def forget(self, execution: Execution) -> None:
        """Delete an execution that has ended."""
        self.storage.delete_execution(execution)
        del self.executions[execution.arn]

    def save(self, execution: Execution) -> None:
        """Record an execution (not its steps) as changed now."""
        execution.modified = now()
        self.storage.save_execution(execution)

    def _execution_changed(self, execution: Execution, previous: str | None) -> None:
        self.save(execution)
        self.ministack.publish_event(**events.execution_event(execution, previous))

    # --- steps -----------------------------------------------------------------------------------------------------

    def work_of(self, execution: Execution, run: StepRun) -> StepWork:
        """A started step with what its type needs to do it."""
        return StepWork(self, execution, run, self._step(execution, run))

    def _step(self, execution: Execution, run: StepRun) -> Step:
        steps = self.definition_of(execution).steps
        if run.parent is None:
            return steps[run.name]
        name = run.name.rpartition("-")[0]
        return next(child for child in steps[run.parent].body if child.name == name)

    def _start(self, execution: Execution, start: scheduling.Start) -> None:
        run = StepRun(start.name, start.step.type, parent=start.parent, index=start.index)
        if start.parent:
            run.item = execution.runs[start.parent].properties["Items"][start.index]
        execution.runs[run.name] = run
        self.storage.save_run(execution, run)
        self.ministack.publish_event(**events.step_event(execution, run, None))
        StepWork(self, execution, run, start.step).begin()

    def spawn(self, work: StepWork, left: Coroutine[Any, Any, None]) -> None:
        """Do the rest of a step's work in a task. How it ends decides how the step ends."""

        async def guarded() -> None:
            try:
                await left
            except Exception as error:  # noqa: BLE001 - told, or logged, by end_by
                self.end_by(work, error)
            self.advance(work.execution)

        task = asyncio.get_running_loop().create_task(guarded())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        task.add_done_callback(lambda _: left.close())  # it may have been cancelled before it began

    def change(self, execution: Execution, run: StepRun, status: str) -> None:
        """Give a step another status, and publish it."""
        previous, run.status = run.status, status
        self.storage.save_run(execution, run)
        self.ministack.publish_event(**events.step_event(execution, run, previous))

    def end(self, work: StepWork, status: str, reason: str | None = None, *, timed_out: bool = False) -> None:
        """End a step. The first result counts."""
        execution, run = work.execution, work.run
        if not run.running:
            return
        run.ended = now()
        if run.status == "Stopping" and not run.is_loop:
            # What API_StopPipelineExecution says of the execution is said of no step. Here: a step that was asked to
            # stop and ended is Stopped, however it ended, and runs again when the execution is retried.
            run.unstoppable = timed_out
            status = "Failed" if timed_out else "Stopped"
        run.reason = reason[:MAX_REASON] if reason and status == "Failed" else None
        self.change(execution, run, status)
        if run.ends_execution:
            # "FailStep is a terminal step": what still runs is stopped as StopPipelineExecution stops it.
            self._stop_steps(execution)

    def end_by(self, work: StepWork, error: Exception) -> None:
        """End a step by what its work raised."""
        if isinstance(error, StepStopped):
            work.end("Stopped")
        elif isinstance(error, StepFailed):
            work.end("Failed", str(error), timed_out=error.timed_out)
        elif isinstance(error, ExpressionError):
            work.end("Failed", f"ClientError: {error}.")
        elif isinstance(error, ApiError):
            work.end("Failed", f"ClientError: {error.message}")
        else:
            log.error("step %s of %s", work.run.name, work.execution.arn, exc_info=error)
            work.end("Failed", "InternalServerError: The embedded AWS failed. See its log.")
