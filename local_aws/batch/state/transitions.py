"""From one status to the next, and what the engine needs of the ministack for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from local_aws.batch.state.jobs import TERMINAL, Array, Job

_NEXT = {
    "SUBMITTED": {"PENDING", "RUNNABLE", "FAILED"},
    "PENDING": {"RUNNABLE", "FAILED", "SUCCEEDED"},  # SUCCEEDED: an array's parent, which never runs
    "RUNNABLE": {"STARTING", "FAILED"},
    "STARTING": {"RUNNING", "RUNNABLE", "FAILED"},
    "RUNNING": {"RUNNABLE", "SUCCEEDED", "FAILED"},
    "SUCCEEDED": set(),
    "FAILED": set(),
}


class Clock(Protocol):
    def now(self) -> int:
        """Milliseconds since the epoch."""

    def steady(self) -> int:
        """Milliseconds since some moment, whatever time the machine is set to."""

    def call_later(self, seconds: float, function: Callable[..., None], *arguments: Any) -> Any:
        """A handle with cancel()."""

    def call_soon(self, function: Callable[..., None], *arguments: Any) -> Any: ...


class Launcher(Protocol):
    """Runs attempts, and answers with Engine.attempt_running and Engine.attempt_ended."""

    def launch(self, job: Job) -> None: ...

    def stop(self, job: Job) -> None:
        """SIGTERM, and SIGKILL 30 seconds later."""


class Scheduler(Protocol):
    def add(self, job: Job) -> None:
        """A job, or the unstarted children of an array, became RUNNABLE."""

    def release(self, job: Job) -> None:
        """A job's attempt ended, so its room is free."""

    def wake(self) -> None:
        """A job that waited may wait no longer."""


class Transitions:
    """Every job, and the one way to move it on."""

    def __init__(
        self,
        clock: Clock,
        launcher: Launcher,
        scheduler: Scheduler,
        on_change: Callable[[Job], None] = lambda _: None,
        on_unstarted_change: Callable[[Array], None] = lambda _: None,
        on_note: Callable[[Job], None] = lambda _: None,
    ) -> None:
        """Args:
        on_change: called with every transition of a job.
        on_unstarted_change: called when all children of an array that are still alike made a transition.
        on_note: called when something else about a job changed.
        """
        self.clock, self.launcher, self.scheduler = clock, launcher, scheduler
        self.on_change, self.on_unstarted_change, self.on_note = on_change, on_unstarted_change, on_note
        self.jobs: dict[str, Job] = {}
        self.sequence = 0
        self._ended: deque[Job | tuple[Array, list[int]]] = deque()
        self._emitting = False

    def find(self, job_id: str) -> Job | None:
        """A job by its id. A child's id is its parent's, a colon and its index."""
        parent_id, colon, index = job_id.partition(":")
        job = self.jobs.get(parent_id)
        if not colon or job is None:
            return job
        if not isinstance(job, Array) or not index.isdecimal() or str(int(index)) != index or int(index) >= job.size:
            return None
        return job.view(int(index))

    def materialize(self, array: Array, index: int) -> Job:
        """Child `index` as a job that can be changed, with a separate place in the queue if it is RUNNABLE."""
        unstarted = array.children[index] is None
        child = array.child(index)
        if unstarted and child.status == "RUNNABLE":
            self.scheduler.add(child)
        return child

    def _move(self, job: Job, status: str, reason: str | None = None) -> None:
        if status not in _NEXT[job.status]:
            raise RuntimeError(f"Job {job.id} can't go from {job.status} to {status}.")
        parent = job.parent
        if parent:
            parent.counts[job.status] -= 1
            parent.counts[status] += 1
            parent.summary_at = self.clock.now()
        job.status, job.status_reason = status, reason
        self.on_change(job)

    def _end(self, job: Job, status: str, reason: str | None) -> None:
        if job.ended:
            return
        job.stopped_at = self.clock.now()
        self._move(job, status, reason)
        self._ended.append(job)

    def _end_unstarted(self, array: Array, reason: str) -> None:
        """All children to which nothing has happened yet fail at once."""
        if not array.unstarted or array.unstarted_status in TERMINAL:
            return
        indices = list(array.unstarted_indices()) if array.paired_by else []
        array.counts[array.unstarted_status] -= array.unstarted
        array.counts["FAILED"] += array.unstarted
        array.unstarted_status, array.unstarted_reason = "FAILED", reason
        array.unstarted_at = array.summary_at = self.clock.now()
        self.on_unstarted_change(array)
        self._ended.append((array, indices))
