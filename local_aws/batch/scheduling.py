"""Who runs next, and where: queues by priority, jobs in order or by fair share, room by vCPU and memory.

A pass is made when something changed (a job became RUNNABLE, an attempt ended, an environment was updated), never by
polling. One pass starts everything there is room for.

https://docs.aws.amazon.com/batch/latest/userguide/job_scheduling.html
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from local_aws.batch.model.environments import ComputeEnvironment
from local_aws.batch.model.queues import JobQueue, SchedulingPolicy
from local_aws.batch.state.engine import Engine
from local_aws.batch.state.jobs import Array, Job
from local_aws.batch.state.transitions import Clock

# https://docs.aws.amazon.com/batch/latest/userguide/job_stuck_in_runnable.html
MAX_RESOURCE = (
    "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE - CE(s) associated with the job queue cannot meet the CPU "
    "requirement of the job."
)
JOB_RESOURCE = (
    "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement (vCPU/memory/GPU) is higher than that "
    "can be met by the CE(s) attached to the job queue."
)
TIME_LIMIT = "Canceled by JobStateTimeLimit action due to reason: "

# This machine is no fleet. Jobs beyond this many wait as if there were no more capacity.
MAX_PROCESSES = 128

# (-scheduling priority, submission number, index in its array, whether it stands for an array's fresh children, job)
Entry = tuple[int, int, int, bool, Job]


class Share:
    """The RUNNABLE jobs of one share identifier (a FIFO queue has one, unnamed) and what it has used."""

    __slots__ = ("at", "heap", "recent", "vcpus")

    def __init__(self) -> None:
        self.heap: list[Entry] = []
        self.vcpus = 0.0  # in use now
        self.recent = 0.0  # average vCPUs over the decay time, older use counting less
        self.at = 0

    def push(self, job: Job) -> None:
        # In a FIFO queue the scheduling priority has no effect; there all are 0.
        priority = -job.spec.scheduling_priority if job.share else 0
        heapq.heappush(self.heap, (priority, job.sequence, job.index or 0, isinstance(job, Array), job))

    def head(self) -> Job | None:
        """The next job, still RUNNABLE; what ended meanwhile falls out here."""
        while self.heap:
            priority, sequence, index, fresh, job = self.heap[0]
            if isinstance(job, Array):
                child_index = _next_fresh(job, index)
                if child_index is None:
                    heapq.heappop(self.heap)
                    continue
                if child_index != index:
                    heapq.heapreplace(self.heap, (priority, sequence, child_index, fresh, job))
                    continue
                return job.view(child_index)
            if job.status == "RUNNABLE":
                return job
            heapq.heappop(self.heap)
        return None

    def pop(self) -> Job:
        """Take the job that head() returned, to act on."""
        priority, sequence, index, fresh, job = self.heap[0]
        if isinstance(job, Array):
            heapq.heapreplace(self.heap, (priority, sequence, index + 1, fresh, job))
            return job.child(index)
        heapq.heappop(self.heap)
        return job

    def listed(self) -> Iterator[Job]:
        """Every RUNNABLE job in order."""
        heap = list(self.heap)
        while heap:
            priority, sequence, index, fresh, job = heapq.heappop(heap)
            if isinstance(job, Array):
                child_index = _next_fresh(job, index)
                if child_index is not None:
                    yield job.view(child_index)
                    heapq.heappush(heap, (priority, sequence, child_index + 1, fresh, job))
            elif job.status == "RUNNABLE":
                yield job

    def use(self, now: int, decay_seconds: float) -> float:
        """vCPUs in use plus those used of late."""
        self._advance(now, decay_seconds)
        return self.vcpus + self.recent

    def change(self, now: int, decay_seconds: float, vcpus: float) -> None:
        self._advance(now, decay_seconds)
        self.vcpus = max(0.0, self.vcpus + vcpus)

    def _advance(self, now: int, decay_seconds: float) -> None:
        fraction = math.exp(-(now - self.at) / 1000 / decay_seconds)
        self.recent = self.recent * fraction + self.vcpus * (1 - fraction)
        self.at = now


def _next_fresh(array: Array, index: int) -> int | None:
    if array.fresh_status != "RUNNABLE":
        return None
    children = array.children
    while index < array.size and children[index] is not None:
        index += 1
    return index if index < array.size else None


class Line:
    """One job queue's RUNNABLE jobs."""

    def __init__(self, queue: JobQueue) -> None:
        self.queue = queue
        self.shares: dict[str, Share] = {}
        self.head_id: str | None = None
        self.head_since = 0
        self.alarm: Any = None  # of the jobStateTimeLimitActions, for this head

    def share(self, name: str | None) -> Share:
        return self.shares.setdefault(name or "", Share())

    def next_share(self, policy: SchedulingPolicy | None, now: int) -> Share | None:
        """The share whose turn it is: the one that has used least for its weight."""
        waiting = [(name, share) for name, share in self.shares.items() if share.head()]
        if not waiting:
            return None
        if policy is None or len(waiting) == 1:
            return waiting[0][1] if len(waiting) == 1 else min((s for _, s in waiting), key=lambda s: s.heap[0][1])
        decay = policy.decay_seconds
        return min(waiting, key=lambda item: (item[1].use(now, decay) * policy.weight(item[0]), item[1].heap[0][1]))[1]

    def ordered(self, policy: SchedulingPolicy | None, now: int) -> Iterator[Job]:
        """RUNNABLE jobs in the order in which they would be dispatched if all ran on."""
        if policy is None:
            yield from heapq.merge(
                *(s.listed() for s in self.shares.values()), key=lambda j: (j.sequence, j.index or 0)
            )
            return
        lists = {name: share.listed() for name, share in self.shares.items()}
        heads = {name: head for name, jobs in lists.items() if (head := next(jobs, None))}
        used = {name: self.shares[name].use(now, policy.decay_seconds) for name in lists}
        while heads:
            name = min(heads, key=lambda n: (used[n] * policy.weight(n), heads[n].sequence, heads[n].index or 0))
            head = heads.pop(name)
            yield head
            used[name] += head.spec.vcpus
            if following := next(lists[name], None):
                heads[name] = following


class Scheduler:
    def __init__(
        self,
        clock: Clock,
        policy_of: Callable[[JobQueue], SchedulingPolicy | None],
        environments_of: Callable[[JobQueue], list[ComputeEnvironment]],
        on_blocked: Callable[[Job], None] = lambda _: None,
        max_processes: int = MAX_PROCESSES,
    ) -> None:
        self.clock, self.policy_of, self.environments_of = clock, policy_of, environments_of
        self.on_blocked = on_blocked
        self.max_processes = max_processes
        self.engine: Engine  # set by whoever makes both
        self.lines: dict[str, Line] = {}
        self.running = 0
        self._due = False

    def line(self, queue: JobQueue) -> Line:
        return self.lines.setdefault(queue.arn, Line(queue))

    def add(self, job: Job) -> None:
        self.line(job.queue).share(job.share).push(job)
        self.wake()

    def release(self, job: Job) -> None:
        environment = job.compute_environment
        environment.used_vcpus -= job.spec.vcpus
        environment.used_memory -= job.spec.memory
        environment.running -= 1
        self.running -= 1
        self._count(job, -job.spec.vcpus)
        self.wake()

    def wake(self) -> None:
        """Make a pass in the loop's next turn; however often it is asked for, one is enough."""
        if not self._due:
            self._due = True
            self.clock.call_soon(self.run)

    def forget(self, queue: JobQueue) -> None:
        line = self.lines.pop(queue.arn, None)
        if line and line.alarm:
            line.alarm.cancel()

    def run(self) -> None:
        """Start all that there is room for: the queues of higher priority first."""
        self._due = False
        awaited: dict[str, int] = {}  # environments a queue waits for, and its priority: lower ones leave them alone
        for line in sorted(self.lines.values(), key=lambda line: (-line.queue.priority, line.queue.arn)):
            self._run_line(line, awaited)

    def _run_line(self, line: Line, awaited: dict[str, int]) -> None:
        policy = self.policy_of(line.queue)
        now = self.clock.now()
        environments = self.environments_of(line.queue)
        while (share := line.next_share(policy, now)) and (job := share.head()):
            fitting = [e for e in environments if e.refusal(job.spec) is None]
            priority = line.queue.priority
            free = (e for e in fitting if awaited.get(e.arn, priority) <= priority)
            place = next((e for e in free if self._has_room(e, job, line, policy)), None)
            if place is None:
                self._blocked(line, job, environments, fitting)
                for environment in fitting:
                    awaited.setdefault(environment.arn, line.queue.priority)
                return
            job = share.pop()
            place.used_vcpus += job.spec.vcpus
            place.used_memory += job.spec.memory
            place.running += 1
            self.running += 1
            self._count(job, job.spec.vcpus)
            self.engine.start(job, place)
        self._watch(line, None)

    def _has_room(self, environment: ComputeEnvironment, job: Job, line: Line, policy: SchedulingPolicy | None) -> bool:
        if self.running >= self.max_processes or not environment.accepts_jobs:
            return False
        room: float = environment.max_vcpus
        if policy:
            share = line.share(job.share)
            active = sum(1 for other in line.shares.values() if other.vcpus > 0)
            if share.vcpus > 0 or not active:
                # (computeReservation/100)^ActiveFairShares of the maximum is kept for shares not yet active
                room *= 1 - policy.reservation ** max(active, 1)
        return (
            environment.used_vcpus + job.spec.vcpus <= room + 1e-9
            and environment.used_memory + job.spec.memory <= environment.max_memory
        )

    def _count(self, job: Job, vcpus: float) -> None:
        policy = self.policy_of(job.queue)
        if policy:
            self.line(job.queue).share(job.share).change(self.clock.now(), policy.decay_seconds, vcpus)

    # --- the head of a queue that can't go ---

    def _blocked(
        self, line: Line, job: Job, environments: list[ComputeEnvironment],
        fitting: list[ComputeEnvironment],
    ) -> None:  # fmt: skip
        """The job at the head finds no room now, or (nothing fits) will never."""
        reason = None
        if not fitting:
            refusals = [environment.refusal(job.spec) for environment in environments]
            reason = MAX_RESOURCE if any(r == "vcpus" for r in refusals) or not refusals else JOB_RESOURCE
        if reason and job.status_reason != reason:
            if in_array := job.in_array:
                job = self.engine.single_out(*in_array)
            job.status_reason = reason
            self.on_blocked(job)
        self._watch(line, job)

    def _watch(self, line: Line, job: Job | None) -> None:
        """Keep the time a job has been at the head, and act when its queue's limits say so."""
        job_id = job.id if job else None
        if line.head_id == job_id:
            return
        line.head_id, line.head_since = job_id, self.clock.now()
        self.rearm(line.queue)

    def rearm(self, queue: JobQueue) -> None:
        """The head or the queue's jobStateTimeLimitActions changed."""
        line = self.line(queue)
        if line.alarm:
            line.alarm.cancel()
            line.alarm = None
        if line.head_id is None or not queue.time_limits:
            return
        waited = (self.clock.now() - line.head_since) / 1000
        later = [limit["maxTimeSeconds"] for limit in queue.time_limits if limit["maxTimeSeconds"] > waited]
        if later:
            line.alarm = self.clock.call_later(min(later) - waited, self._time_limit, line)

    def _time_limit(self, line: Line) -> None:
        """https://docs.aws.amazon.com/batch/latest/userguide/job_stuck_in_runnable.html"""
        line.alarm = None
        job = self.engine.find(line.head_id) if line.head_id else None
        if job is None or job.status != "RUNNABLE":
            return
        waited = (self.clock.now() - line.head_since) / 1000
        for limit in line.queue.time_limits:
            if waited + 0.001 >= limit["maxTimeSeconds"] and (job.status_reason or "").startswith(limit["reason"]):
                self.engine.cancel(job.id, TIME_LIMIT + limit["reason"])
                self.wake()
                return
        self.rearm(line.queue)

    # --- what GetJobQueueSnapshot tells ---

    def front(self, queue: JobQueue, limit: int = 100) -> list[Job]:
        return list(islice(self.line(queue).ordered(self.policy_of(queue), self.clock.now()), limit))
