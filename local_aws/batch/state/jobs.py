"""A job, an array of jobs, and the attempts of each.

https://docs.aws.amazon.com/batch/latest/userguide/job_states.html
https://docs.aws.amazon.com/batch/latest/userguide/array_jobs.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from local_aws.batch.model.submissions import Spec

STATUSES = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED")
TERMINAL = frozenset(("SUCCEEDED", "FAILED"))
ACTIVE = frozenset(("STARTING", "RUNNING"))


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

    @property
    def attempt(self) -> Attempt:
        """The attempt that runs.

        Raises:
            RuntimeError: none does.
        """
        if self.current is None:
            raise RuntimeError(f"Job {self.id} is {self.status} and has no attempt that runs.")
        return self.current

    @property
    def in_array(self) -> tuple[Array, int] | None:
        """The array that it is a child of, and its index there. None for any other job."""
        return None if self.parent is None or self.index is None else (self.parent, self.index)


class Array(Job):
    """The parent of an array. Children come into being when something happens to one of them alone.

    A child that is None is still as all were: in `unstarted_status`. So 10,000 children cost nothing until they run.
    """

    __slots__ = (
        "children",
        "counts",
        "paired_by",
        "pairs_with",
        "released",
        "sequential",
        "size",
        "summary_at",
        "unstarted",
        "unstarted_at",
        "unstarted_reason",
        "unstarted_status",
    )  # fmt: skip

    size: int

    def __init__(self, job_id: str, name: str, queue: Any, spec: Spec, sequence: int, created_at: int, size: int):
        super().__init__(job_id, name, queue, spec, sequence, created_at)
        self.size = size
        self.children: list[Job | None] = [None] * size
        self.unstarted = size  # how many children are still None
        self.unstarted_status = "PENDING"  # "spawned by its parent and entered the PENDING state"
        self.unstarted_reason: str | None = None
        self.unstarted_at = created_at  # when the unstarted ones came into unstarted_status
        self.counts = dict.fromkeys(STATUSES, 0) | {"PENDING": size}
        self.summary_at = created_at
        self.sequential = False
        self.released = False  # the jobs that it waits for as a whole have succeeded
        self.pairs_with: list[Array] = []  # N_TO_N: child i waits for child i of these
        self.paired_by: list[Array] = []

    def child_status(self, index: int) -> str:
        child = self.children[index]
        return child.status if child else self.unstarted_status

    def view(self, index: int) -> Job:
        """Child `index`, to read only. For one that has not started, a job is made up."""
        return self.children[index] or self.unstarted_view(index)

    def unstarted_view(self, index: int) -> Job:
        """Child `index` as it is, or was, among its unstarted siblings."""
        child = Job(f"{self.id}:{index}", self.name, self.queue, self.spec, self.sequence, self.created_at)
        child.parent, child.index, child.share, child.tags = self, index, self.share, self.tags
        child.status, child.status_reason = self.unstarted_status, self.unstarted_reason
        if self.unstarted_status in TERMINAL:
            child.stopped_at = self.unstarted_at
            child.cancelled, child.terminated = self.cancelled, self.terminated
        return child

    def child(self, index: int) -> Job:
        """Child `index`, to act on."""
        child = self.children[index]
        if child is None:
            child = self.children[index] = self.view(index)
            self.unstarted -= 1
        return child

    def unstarted_indices(self) -> Iterator[int]:
        return (index for index, child in enumerate(self.children) if child is None)

    def known_indices(self) -> Iterator[int]:
        return (index for index, child in enumerate(self.children) if child is not None)

    def known_children(self) -> Iterator[Job]:
        return (child for child in self.children if child is not None)


def as_array(job: Job) -> Array:
    """The same job, where only an array will do.

    Raises:
        TypeError: it is no array.
    """
    if not isinstance(job, Array):
        raise TypeError(f"Job {job.id} is no array.")
    return job
