"""Choose what runs next, and where. Queues go by priority, jobs in order or by fair share, room by vCPU and memory.

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

# (-scheduling priority, submission number, index in the array, whether it stands for its unstarted children, job)
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
        """The next job that is still RUNNABLE. Jobs that ended meanwhile leave the queue here."""
        while self.heap:
            priority, sequence, index, unstarted, job = self.heap[0]
            if isinstance(job, Array):
                child_index = _next_unstarted(job, index)
                if child_index is None:
                    heapq.heappop(self.heap)
                    continue
                if child_index != index:
                    heapq.heapreplace(self.heap, (priority, sequence, child_index, unstarted, job))
                    continue
                return job.view(child_index)
            if job.status == "RUNNABLE":
                return job
            heapq.heappop(self.heap)
        return None

    def pop(self) -> Job:
        """Take the job that head() returned, to act on."""
        priority, sequence, index, unstarted, job = self.heap[0]
        if isinstance(job, Array):
            heapq.heapreplace(self.heap, (priority, sequence, index + 1, unstarted, job))
            return job.child(index)
        heapq.heappop(self.heap)
        return job

    def listed(self) -> Iterator[Job]:
        """Every RUNNABLE job in order."""
        heap = list(self.heap)
        while heap:
            priority, sequence, index, unstarted, job = heapq.heappop(heap)
            if isinstance(job, Array):
                child_index = _next_unstarted(job, index)
                if child_index is not None:
                    yield job.view(child_index)
                    heapq.heappush(heap, (priority, sequence, child_index + 1, unstarted, job))
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


def _next_unstarted(array: Array, index: int) -> int | None:
    if array.unstarted_status != "RUNNABLE":
        return None
    children = array.children
    while index < array.size and children[index] is not None:
        index += 1
    return index if index < array.size else None


class QueueState:
    """One job queue's RUNNABLE jobs."""

    def __init__(self, queue: JobQueue) -> None:
        self.queue = queue
        self.shares: dict[str, Share] = {}
        self.head_id: str | None = None
        self.head_since = 0  # by the wall clock
        self.head_from = 0  # by the steady one
        self.alarm: Any = None  # of the jobStateTimeLimitActions, for this head

    def share(self, name: str | None) -> Share:
        return self.shares.setdefault(name or "", Share())

    def next_share(self, policy: SchedulingPolicy | None, now: int) -> Share | None:
        """The share whose turn it is, which has used least for its weight."""
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
        self.states: dict[str, QueueState] = {}
        self.running = 0
        self._due = False

    def state(self, queue: JobQueue) -> QueueState:
        return self.states.setdefault(queue.arn, QueueState(queue))

    def add(self, job: Job) -> None:
        self.state(job.queue).share(job.share).push(job)
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
        """Make one pass in the loop's next turn, however often it is asked for."""
        if not self._due:
            self._due = True
            self.clock.call_soon(self.run)

    def forget(self, queue: JobQueue) -> None:
        state = self.states.pop(queue.arn, None)
        if state and state.alarm:
            state.alarm.cancel()

    def run(self) -> None:
        """Start all that there is room for, from the queues of higher priority first."""
        self._due = False
        awaited: dict[str, int] = {}  # environments a queue waits for, and its priority: lower ones leave them alone
        for state in sorted(self.states.values(), key=lambda state: (-state.queue.priority, state.queue.arn)):
            self._run_queue(state, awaited)

    def _run_queue(self, state: QueueState, awaited: dict[str, int]) -> None:
        policy = self.policy_of(state.queue)
        now = self.clock.steady()
        environments = self.environments_of(state.queue)
        while (share := state.next_share(policy, now)) and (job := share.head()):
            fitting = [e for e in environments if e.refusal(job.spec) is None]
            priority = state.queue.priority
            free = (e for e in fitting if awaited.get(e.arn, priority) <= priority)
            place = next((e for e in free if self._has_room(e, job, state, policy)), None)
            if place is None:
                self._blocked(state, job, environments, fitting)
                for environment in fitting:
                    awaited.setdefault(environment.arn, state.queue.priority)
                return
            job = share.pop()
            place.used_vcpus += job.spec.vcpus
            place.used_memory += job.spec.memory
            place.running += 1
            self.running += 1
            self._count(job, job.spec.vcpus)
            self.engine.start(job, place)
        self._watch(state, None)

    def _has_room(
        self, environment: ComputeEnvironment, job: Job, state: QueueState, policy: SchedulingPolicy | None
    ) -> bool:
        if self.running >= self.max_processes or not environment.accepts_jobs:
            return False
        room: float = environment.max_vcpus
        if policy:
            share = state.share(job.share)
            active = sum(1 for other in state.shares.values() if other.vcpus > 0)
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
            self.state(job.queue).share(job.share).change(self.clock.steady(), policy.decay_seconds, vcpus)

    # --- the head of a queue that can't go ---

    def _blocked(
        self, state: QueueState, job: Job, environments: list[ComputeEnvironment],
        fitting: list[ComputeEnvironment],
    ) -> None:  # fmt: skip
        """The job at the head finds no room now, or (nothing fits) will never."""
        reason = None
        if not fitting:
            refusals = [environment.refusal(job.spec) for environment in environments]
            reason = MAX_RESOURCE if any(r == "vcpus" for r in refusals) or not refusals else JOB_RESOURCE
        if reason and job.status_reason != reason:
            if in_array := job.in_array:
                job = self.engine.materialize(*in_array)
            job.status_reason = reason
            self.on_blocked(job)
        self._watch(state, job)

    def _watch(self, state: QueueState, job: Job | None) -> None:
        """Keep the time a job has been at the head, and act when its queue's limits say so."""
        job_id = job.id if job else None
        if state.head_id == job_id:
            return
        state.head_id, state.head_since, state.head_from = job_id, self.clock.now(), self.clock.steady()
        self.rearm(state.queue)

    def rearm(self, queue: JobQueue) -> None:
        """The head or the queue's jobStateTimeLimitActions changed."""
        state = self.state(queue)
        if state.alarm:
            state.alarm.cancel()
            state.alarm = None
        if state.head_id is None or not queue.time_limits:
            return
        waited = (self.clock.steady() - state.head_from) / 1000
        later = [limit["maxTimeSeconds"] for limit in queue.time_limits if limit["maxTimeSeconds"] > waited]
        if later:
            state.alarm = self.clock.call_later(min(later) - waited, self._time_limit, state)

    def _time_limit(self, state: QueueState) -> None:
        """https://docs.aws.amazon.com/batch/latest/userguide/job_stuck_in_runnable.html"""
        state.alarm = None
        job = self.engine.find(state.head_id) if state.head_id else None
        if job is None or job.status != "RUNNABLE":
            return
        waited = (self.clock.steady() - state.head_from) / 1000
        for limit in state.queue.time_limits:
            if waited + 0.001 >= limit["maxTimeSeconds"] and (job.status_reason or "").startswith(limit["reason"]):
                self.engine.cancel(job.id, TIME_LIMIT + limit["reason"])
                return
        self.rearm(state.queue)

    # --- what GetJobQueueSnapshot tells ---

    def front(self, queue: JobQueue, limit: int = 100) -> list[Job]:
        return list(islice(self.state(queue).ordered(self.policy_of(queue), self.clock.steady()), limit))
