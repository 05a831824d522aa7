"""Jobs and their states: submitted, waiting for others, waiting for room, running, retried, ended.

`Engine` is the whole state machine. It knows no processes, no HTTP and no clock of its own: a launcher runs attempts, a
scheduler says who is next, a clock calls back, so that tests can drive it through any history. Everything happens on
one thread, and no transition costs more for a large array than for a small one.

https://docs.aws.amazon.com/batch/latest/userguide/job_states.html
https://docs.aws.amazon.com/batch/latest/userguide/array_jobs.html
https://docs.aws.amazon.com/batch/latest/userguide/job_retries.html
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from local_aws.batch.submissions import Spec

STATUSES = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED")
TERMINAL = frozenset(("SUCCEEDED", "FAILED"))
ACTIVE = frozenset(("STARTING", "RUNNING"))

_NEXT = {
    "SUBMITTED": {"PENDING", "RUNNABLE", "FAILED"},
    "PENDING": {"RUNNABLE", "FAILED", "SUCCEEDED"},  # SUCCEEDED: an array's parent, which never runs
    "RUNNABLE": {"STARTING", "FAILED"},
    "STARTING": {"RUNNING", "RUNNABLE", "FAILED"},
    "RUNNING": {"RUNNABLE", "SUCCEEDED", "FAILED"},
    "SUCCEEDED": set(),
    "FAILED": set(),
}

CONTAINER_EXITED = "Essential container in task exited"
START_FAILED = "Task failed to start"
TIMED_OUT = "Job attempt duration exceeded timeout"
DEPENDENCY_FAILED = "Dependent Job failed"
CHILD_FAILED = "Array Child Job failed"


class Attempt:
    """One run of a job's container."""

    __slots__ = (
        "exit_code", "log_stream", "number", "reason", "started_at", "status_reason", "stopped_at", "task_arn",
    )  # fmt: skip

    def __init__(self, number: int) -> None:
        self.number = number
        self.task_arn: str | None = None
        self.log_stream: str | None = None
        self.started_at: int | None = None
        self.stopped_at: int | None = None
        self.exit_code: int | None = None
        self.reason: str | None = None
        self.status_reason: str | None = None


class Job:
    """A job that is not an array, or one child of an array. Times are milliseconds since the epoch."""

    __slots__ = (
        "attempts",
        "cancelled",
        "compute_environment",
        "created_at",
        "current",
        "dependents",
        "depends_on",
        "id",
        "index",
        "name",
        "parent",
        "queue",
        "sequence",
        "share",
        "spec",
        "started_at",
        "status",
        "status_reason",
        "stop_reason",
        "stopped_at",
        "tags",
        "terminated",
        "timed_out",
        "timer",
        "waiting_for",
    )  # fmt: skip

    size: int | None = None  # of an array

    def __init__(self, job_id: str, name: str, queue: Any, spec: Spec, sequence: int, created_at: int) -> None:
        self.id, self.name, self.queue, self.spec = job_id, name, queue, spec
        self.sequence, self.created_at = sequence, created_at
        self.status = "SUBMITTED"
        self.status_reason: str | None = None
        self.started_at: int | None = None
        self.stopped_at: int | None = None
        self.attempts: list[Attempt] = []  # those that ended
        self.current: Attempt | None = None  # the one that runs
        self.cancelled = self.terminated = self.timed_out = False
        self.stop_reason: str | None = None  # of the caller who cancelled or terminated it
        self.parent: Array | None = None
        self.index: int | None = None
        self.share: str | None = None
        self.tags: dict[str, str] = {}
        self.depends_on: list[dict[str, str]] = []
        self.waiting_for: set[str] = set()  # ids of jobs that must succeed first
        self.dependents: list[Job] = []  # jobs that wait for this one
        self.compute_environment: Any = None
        self.timer: Any = None

    @property
    def arn(self) -> str:
        prefix = self.queue.arn.rsplit(":job-queue/", 1)[0]
        return f"{prefix}:job/{self.id}"

    @property
    def ended(self) -> bool:
        return self.status in TERMINAL


class Array(Job):
    """The parent of an array. Children come into being when something happens to one of them alone.

    A child that is None is still as all were: in `fresh_status`. So 10,000 children cost nothing until they run.
    """

    __slots__ = (
        "children",
        "counts",
        "fresh",
        "fresh_at",
        "fresh_reason",
        "fresh_status",
        "paired_by",
        "pairs_with",
        "released",
        "sequential",
        "size",
        "summary_at",
    )  # fmt: skip

    def __init__(self, job_id: str, name: str, queue: Any, spec: Spec, sequence: int, created_at: int, size: int):
        super().__init__(job_id, name, queue, spec, sequence, created_at)
        self.size = size
        self.children: list[Job | None] = [None] * size
        self.fresh = size  # how many children are still None
        self.fresh_status = "PENDING"  # "spawned by its parent and entered the PENDING state"
        self.fresh_reason: str | None = None
        self.fresh_at = created_at  # when the fresh ones came into fresh_status
        self.counts = dict.fromkeys(STATUSES, 0) | {"PENDING": size}
        self.summary_at = created_at
        self.sequential = False
        self.released = False  # the jobs that it waits for as a whole have succeeded
        self.pairs_with: list[Array] = []  # N_TO_N: child i waits for child i of these
        self.paired_by: list[Array] = []

    def child_status(self, index: int) -> str:
        child = self.children[index]
        return child.status if child else self.fresh_status

    def view(self, index: int) -> Job:
        """Child `index`, to look at: one that is still fresh is made up for the occasion."""
        return self.children[index] or self.fresh_view(index)

    def fresh_view(self, index: int) -> Job:
        """Child `index` as it is, or was, among its fresh siblings."""
        child = Job(f"{self.id}:{index}", self.name, self.queue, self.spec, self.sequence, self.created_at)
        child.parent, child.index, child.share, child.tags = self, index, self.share, self.tags
        child.status, child.status_reason = self.fresh_status, self.fresh_reason
        if self.fresh_status in TERMINAL:
            child.stopped_at = self.fresh_at
            child.cancelled, child.terminated = self.cancelled, self.terminated
        return child

    def child(self, index: int) -> Job:
        """Child `index`, to act on."""
        child = self.children[index]
        if child is None:
            child = self.children[index] = self.view(index)
            self.fresh -= 1
        return child

    def fresh_indices(self) -> Iterator[int]:
        return (index for index, child in enumerate(self.children) if child is None)

    def known_children(self) -> Iterator[Job]:
        return (child for child in self.children if child is not None)


class Clock(Protocol):
    def now(self) -> int:
        """Milliseconds since the epoch."""

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
        """A job, or the fresh children of an array, became RUNNABLE."""

    def release(self, job: Job) -> None:
        """A job's attempt ended; its room is free."""


def will_retry(spec: Spec, attempts_made: int, attempt: Attempt) -> bool:
    """Whether a failed attempt is followed by another: the first rule that matches decides, none means retry.

    https://docs.aws.amazon.com/batch/latest/APIReference/API_EvaluateOnExit.html
    """
    if attempts_made >= spec.attempts:
        return False
    values = {
        "onStatusReason": attempt.status_reason,
        "onReason": attempt.reason,
        "onExitCode": None if attempt.exit_code is None else str(attempt.exit_code),
    }
    for rule in spec.rules:
        if all(_matches(rule[name], value) for name, value in values.items() if name in rule):
            return rule["action"].upper() == "RETRY"
    return True


def _matches(pattern: str, value: str | None) -> bool:
    """A pattern is a whole value, or its beginning followed by an asterisk. An asterisk alone matches a missing one."""
    if pattern.endswith("*"):
        return (value or "").startswith(pattern[:-1])
    return value == pattern


class Engine:
    """Every job, and every transition of one."""

    def __init__(
        self,
        clock: Clock,
        launcher: Launcher,
        scheduler: Scheduler,
        on_change: Callable[[Job], None] = lambda _: None,
        on_fresh_change: Callable[[Array], None] = lambda _: None,
        on_note: Callable[[Job], None] = lambda _: None,
    ) -> None:
        """Args:
        on_change: told of every transition of a job.
        on_fresh_change: told when all children of an array that are still alike made a transition.
        on_note: told when something else about a job changed.
        """
        self.clock, self.launcher, self.scheduler = clock, launcher, scheduler
        self.on_change, self.on_fresh_change, self.on_note = on_change, on_fresh_change, on_note
        self.jobs: dict[str, Job] = {}
        self.sequence = 0
        self._ended: deque[Job | tuple[Array, list[int]]] = deque()
        self._telling = False

    # --- submitting and finding ---

    def find(self, job_id: str) -> Job | None:
        """A job by its id; a child's is its parent's, a colon and its index."""
        parent_id, colon, index = job_id.partition(":")
        job = self.jobs.get(parent_id)
        if not colon or job is None:
            return job
        if not isinstance(job, Array) or not index.isdecimal() or str(int(index)) != index or int(index) >= job.size:
            return None
        return job.view(int(index))

    def submit(
        self,
        name: str,
        queue: Any,
        spec: Spec,
        *,
        size: int | None = None,
        share: str | None = None,
        tags: dict[str, str] | None = None,
        depends_on: Iterable[dict[str, str]] = (),
        job_id: str | None = None,
    ) -> Job:
        """Make a job, SUBMITTED; it moves on in the loop's next turn. The dependencies have been checked."""
        self.sequence += 1
        job_id = job_id or str(uuid.uuid4())
        common = (job_id, name, queue, spec, self.sequence, self.clock.now())
        job = Array(*common, size) if size else Job(*common)
        job.share, job.tags, job.depends_on = share, tags or {}, list(depends_on)
        self.jobs[job_id] = job
        self._link(job)
        self.clock.call_soon(self.admit, job)
        return job

    def _link(self, job: Job) -> None:
        """Let the jobs it depends on know, as far as they have not ended."""
        for dependency in job.depends_on:
            if dependency.get("type") == "SEQUENTIAL" and isinstance(job, Array):
                job.sequential = True
            elif dependency.get("type") == "N_TO_N":
                other = self.jobs[dependency["jobId"]]
                job.pairs_with.append(other)
                other.paired_by.append(job)
            else:
                other = self.dependency(dependency["jobId"])
                if other.status != "SUCCEEDED":
                    job.waiting_for.add(other.id)
                    other.dependents.append(job)

    def dependency(self, job_id: str) -> Job:
        """The job that one may depend on: for an array's child, the child itself."""
        parent_id, _, index = job_id.partition(":")
        job = self.jobs[parent_id]
        return self.single_out(job, int(index)) if index else job

    def single_out(self, array: Array, index: int) -> Job:
        """Child `index`, to act on; one that waited in the queue among its fresh siblings waits there by itself now."""
        fresh = array.children[index] is None
        child = array.child(index)
        if fresh and child.status == "RUNNABLE":
            self.scheduler.add(child)
        return child

    def admit(self, job: Job) -> None:
        """From SUBMITTED to whatever its dependencies allow."""
        if job.status != "SUBMITTED":
            return
        if isinstance(job, Array) or job.waiting_for:
            self._move(job, "PENDING")
        if any(self._failed(job_id) for job_id in job.waiting_for):
            self._fail_waiting(job, DEPENDENCY_FAILED)
        elif not job.waiting_for:
            self._release(job)
        self._tell()

    def _failed(self, job_id: str) -> bool:
        job = self.find(job_id)
        return job is not None and job.status == "FAILED"

    # --- after a restart ---

    def resume(self, lost: Callable[[Job], str]) -> None:
        """Go on with jobs that an earlier engine left; attempts that ran then failed, for the reason `lost` gives."""
        unfinished = [job for job in self.jobs.values() if not job.ended]
        for job in unfinished:
            self._link(job)
        for job in unfinished:
            if isinstance(job, Array):
                self._resume_array(job, lost)
            else:
                self._resume(job, lost)
        self._tell()

    def _resume(self, job: Job, lost: Callable[[Job], str]) -> None:
        if job.status == "SUBMITTED":
            self.clock.call_soon(self.admit, job)
        elif job.status == "PENDING" and job.parent is None:
            if any(self._failed(job_id) for job_id in job.waiting_for):
                self._fail_waiting(job, DEPENDENCY_FAILED)
            elif not job.waiting_for:
                self._release(job)
        elif job.status == "RUNNABLE":
            self.scheduler.add(job)
        elif job.status in ACTIVE:
            attempt = job.current
            attempt.status_reason, attempt.stopped_at = lost(job), self.clock.now()
            job.attempts.append(attempt)
            job.current = None
            self._after_failure(job, attempt)

    def _resume_array(self, array: Array, lost: Callable[[Job], str]) -> None:
        if array.status == "SUBMITTED" or not array.released:
            self._resume(array, lost)
            return
        if array.fresh_status == "RUNNABLE":
            self.scheduler.add(array)
        for child in list(array.known_children()):
            if not child.ended:
                self._resume(child, lost)
        for index in range(array.size):
            if array.child_status(index) == "PENDING":
                before = [other.child_status(index) for other in array.pairs_with]
                if array.sequential and index:
                    before.append(array.child_status(index - 1))
                if "FAILED" in before:
                    self._end(array.child(index), "FAILED", DEPENDENCY_FAILED)
                else:
                    self._release_child(array, index)
        self._check_parent(array)

    # --- dependencies ---

    def _release(self, job: Job) -> None:
        """All that the job as a whole waited for has succeeded."""
        # It was cancelled while it waited, or ECS would refuse each of its tasks.
        reason = job.spec.cannot_start if job.stop_reason is None else job.stop_reason
        if not isinstance(job, Array):
            if reason is not None:
                self._end(job, "FAILED", reason)
            else:
                self._runnable(job)
            return
        job.released = True
        self.on_note(job)
        if reason is not None:
            self._end_waiting_children(job, reason)
        elif job.sequential or job.pairs_with:
            for index in range(job.size):
                if any(other.child_status(index) == "FAILED" for other in job.pairs_with):
                    child = job.child(index)
                    self._end(child, "FAILED", child.stop_reason or DEPENDENCY_FAILED)
            for index in [0] if job.sequential else range(job.size):
                self._release_child(job, index)
        else:
            job.fresh_status, job.fresh_at = "RUNNABLE", self.clock.now()
            job.counts["RUNNABLE"] += job.fresh
            job.counts["PENDING"] -= job.fresh
            job.summary_at = job.fresh_at
            self.on_fresh_change(job)
            self.scheduler.add(job)
            for child in list(job.known_children()):
                self._release_child(job, child.index)

    def _release_child(self, array: Array, index: int) -> None:
        """Let a child become RUNNABLE if nothing that it alone waits for is left."""
        if (
            not array.released
            or array.child_status(index) != "PENDING"
            or any(other.child_status(index) != "SUCCEEDED" for other in array.pairs_with)
            or (array.sequential and index and array.child_status(index - 1) != "SUCCEEDED")
        ):
            return
        child = array.child(index)
        stop_reason = child.stop_reason or array.stop_reason
        if stop_reason is not None:
            child.cancelled, child.terminated = child.cancelled or array.cancelled, child.terminated or array.terminated
            self._end(child, "FAILED", stop_reason)
        else:
            self._runnable(child)

    def _fail_waiting(self, job: Job, reason: str) -> None:
        """What the job as a whole waited for has failed."""
        if job.stop_reason is not None:
            reason = job.stop_reason
        if isinstance(job, Array):
            self._end_waiting_children(job, reason)
        else:
            self._end(job, "FAILED", reason)

    def _end_waiting_children(self, array: Array, reason: str) -> None:
        self._end_fresh(array, reason)
        for child in list(array.known_children()):
            if child.status == "PENDING":
                self._end(child, "FAILED", child.stop_reason or reason)

    def _tell(self) -> None:
        """Pass on what has ended to what waits for it: in a loop, since a chain may be 10,000 long."""
        if self._telling:
            return
        self._telling = True
        try:
            while self._ended:
                event = self._ended.popleft()
                if isinstance(event, tuple):
                    array, indices = event
                    for index in indices:
                        self._tell_pairs(array, index)
                    self._check_parent(array)
                    continue
                job = event
                for dependent in job.dependents:
                    dependent.waiting_for.discard(job.id)
                    if dependent.status in ("PENDING", "SUBMITTED"):
                        if job.status == "FAILED":
                            self._fail_waiting(dependent, DEPENDENCY_FAILED)
                        elif not dependent.waiting_for and dependent.status == "PENDING":
                            self._release(dependent)
                job.dependents = []
                if job.parent:
                    self._tell_pairs(job.parent, job.index)
                    self._check_parent(job.parent)
        finally:
            self._telling = False

    def _tell_pairs(self, array: Array, index: int) -> None:
        """Child `index` ended: its counterparts in N_TO_N arrays and the next of a SEQUENTIAL one may go, or fail."""
        waiting = [(other, index) for other in array.paired_by]
        if array.sequential and index + 1 < array.size:
            waiting.append((array, index + 1))
        succeeded = array.child_status(index) == "SUCCEEDED"
        for other, other_index in waiting:
            if succeeded:
                self._release_child(other, other_index)
            elif other.child_status(other_index) == "PENDING":
                child = other.child(other_index)
                self._end(child, "FAILED", child.stop_reason or other.stop_reason or DEPENDENCY_FAILED)

    def _check_parent(self, array: Array) -> None:
        """A parent ends with its last child."""
        counts = array.counts
        if array.ended or counts["SUCCEEDED"] + counts["FAILED"] < array.size:
            return
        if counts["FAILED"]:
            waited_in_vain = counts["FAILED"] == array.size == array.fresh and array.stop_reason is None
            reason = array.stop_reason or (array.fresh_reason if waited_in_vain else CHILD_FAILED)
            self._end(array, "FAILED", reason)
        else:
            self._end(array, "SUCCEEDED", None)

    # --- running ---

    def _runnable(self, job: Job) -> None:
        self._move(job, "RUNNABLE")
        self.scheduler.add(job)

    def start(self, job: Job, compute_environment: Any) -> None:
        """The scheduler found room for a RUNNABLE job."""
        self._move(job, "STARTING", None)
        job.compute_environment = compute_environment
        job.current = Attempt(len(job.attempts) + 1)
        self.launcher.launch(job)

    def attempt_running(self, job: Job, number: int) -> None:
        """The container of attempt `number` runs."""
        attempt = job.current
        if attempt is None or attempt.number != number or job.status != "STARTING":
            return
        attempt.started_at = job.started_at = self.clock.now()
        self._move(job, "RUNNING")
        if job.spec.timeout_seconds:
            job.timer = self.clock.call_later(job.spec.timeout_seconds, self._time_out, job, number)

    def attempt_ended(
        self, job: Job, number: int, exit_code: int | None, status_reason: str, reason: str | None = None
    ) -> None:
        """Attempt `number` is over: it ran and exited with `exit_code`, or it did not, for `reason`."""
        attempt = job.current
        if attempt is None or attempt.number != number or job.status not in ACTIVE:
            return
        if job.timer:
            job.timer.cancel()
            job.timer = None
        stopped = job.terminated or job.timed_out
        attempt.exit_code, attempt.reason = exit_code, reason
        attempt.status_reason = TIMED_OUT if job.timed_out and not job.terminated else status_reason
        attempt.stopped_at = self.clock.now()
        job.attempts.append(attempt)
        job.current = None
        self.scheduler.release(job)
        if exit_code == 0 and not stopped:
            self._end(job, "SUCCEEDED", status_reason)
        else:
            self._after_failure(job, attempt)
        self._tell()

    def _after_failure(self, job: Job, attempt: Attempt) -> None:
        if job.terminated:
            self._end(job, "FAILED", job.stop_reason)
        elif job.timed_out or self._stopping(job) or not will_retry(job.spec, len(job.attempts), attempt):
            self._end(job, "FAILED", attempt.status_reason)
        else:
            self._move(job, "RUNNABLE", attempt.status_reason)
            self.scheduler.add(job)

    @staticmethod
    def _stopping(job: Job) -> bool:
        """Its array has been cancelled: what runs may finish, and nothing starts again."""
        return job.parent is not None and job.parent.stop_reason is not None

    def _time_out(self, job: Job, number: int) -> None:
        if job.status == "RUNNING" and job.current and job.current.number == number:
            job.timer = None
            job.timed_out = True
            self.launcher.stop(job)

    # --- stopping ---

    def cancel(self, job_id: str, reason: str) -> None:
        """Take a job out that has not begun: https://docs.aws.amazon.com/batch/latest/APIReference/API_CancelJob.html

        One that waits for others stays PENDING until they are done; one that is STARTING or RUNNING goes on.
        """
        job = self._to_act_on(job_id)
        if job is not None:
            self._stop(job, reason, terminate=False)
            self._tell()

    def terminate(self, job_id: str, reason: str) -> None:
        """Stop a job: https://docs.aws.amazon.com/batch/latest/APIReference/API_TerminateJob.html"""
        job = self._to_act_on(job_id)
        if job is not None:
            self._stop(job, reason, terminate=True)
            self._tell()

    def _to_act_on(self, job_id: str) -> Job | None:
        job = self.find(job_id)
        if job is None or job.ended:
            return None
        return self.single_out(job.parent, job.index) if job.parent else job

    def _stop(self, job: Job, reason: str, terminate: bool) -> None:
        if job.status in ACTIVE:
            if terminate and not job.terminated:
                job.terminated, job.stop_reason = True, reason
                self.on_note(job)
                self.launcher.stop(job)
            return
        if job.ended:
            return
        if job.stop_reason is None:
            job.stop_reason = reason
        job.terminated |= terminate
        job.cancelled |= not terminate
        if isinstance(job, Array):
            if job.fresh_status == "RUNNABLE":
                self._end_fresh(job, reason)
            for child in list(job.known_children()):
                self._stop(child, reason, terminate)
            self._check_parent(job)
        elif job.status in ("SUBMITTED", "RUNNABLE") and not job.waiting_for:
            self._end(job, "FAILED", reason)
            return
        self.on_note(job)

    # --- transitions ---

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

    def _end_fresh(self, array: Array, reason: str) -> None:
        """All children to which nothing has happened yet fail at once."""
        if not array.fresh or array.fresh_status in TERMINAL:
            return
        indices = list(array.fresh_indices()) if array.paired_by else []
        array.counts[array.fresh_status] -= array.fresh
        array.counts["FAILED"] += array.fresh
        array.fresh_status, array.fresh_reason = "FAILED", reason
        array.fresh_at = array.summary_at = self.clock.now()
        self.on_fresh_change(array)
        self._ended.append((array, indices))
