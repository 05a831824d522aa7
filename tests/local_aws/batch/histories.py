"""What the engine needs to be driven without processes: a clock one turns by hand, a launcher that waits to be told."""

from __future__ import annotations

import heapq
import json
from dataclasses import dataclass, field
from typing import Any

from local_aws.batch.model.environments import ComputeEnvironment
from local_aws.batch.model.queues import JobQueue, SchedulingPolicy
from local_aws.batch.model.submissions import resolve
from local_aws.batch.scheduling import Scheduler
from local_aws.batch.state.attempts import CONTAINER_EXITED
from local_aws.batch.state.engine import Engine
from local_aws.batch.state.jobs import ACTIVE, STATUSES, TERMINAL, Array, Job
from local_aws.batch.storage import Records

PREFIX = "arn:aws:batch:us-east-1:000000000000"


class Timer:
    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class HandClock:
    """Time passes when `advance` is called; what is due then happens in order."""

    def __init__(self) -> None:
        self.time = 1_000_000
        self.set_by = 0  # what the wall clock was set by
        self.order = 0
        self.due: list[tuple[int, int, Timer, Any, tuple]] = []

    def now(self) -> int:
        return self.time + self.set_by

    def steady(self) -> int:
        return self.time

    def call_later(self, seconds: float, function: Any, *arguments: Any) -> Timer:
        timer = Timer()
        self.order += 1
        heapq.heappush(self.due, (self.time + int(seconds * 1000), self.order, timer, function, arguments))
        return timer

    def call_soon(self, function: Any, *arguments: Any) -> Timer:
        return self.call_later(0, function, *arguments)

    def advance(self, seconds: float = 0) -> None:
        until = self.time + int(seconds * 1000)
        while self.due and self.due[0][0] <= until:
            at, _, timer, function, arguments = heapq.heappop(self.due)
            self.time = max(self.time, at)
            if not timer.cancelled:
                function(*arguments)
        self.time = until


class HandLauncher:
    """Keeps what it was asked to start and stop; the test says what becomes of it."""

    def __init__(self) -> None:
        self.engine: Engine
        self.launched: list[tuple[str, int]] = []
        self.stopping: set[str] = set()
        self.jobs: dict[str, Job] = {}

    def launch(self, job: Job) -> None:
        self.launched.append((job.id, job.current.number))
        self.jobs[job.id] = job

    def stop(self, job: Job) -> None:
        self.stopping.add(job.id)

    def run(self, job_id: str) -> None:
        job = self.jobs[job_id]
        self.engine.attempt_running(job, job.current.number)

    def end(
        self, job_id: str, exit_code: int | None = 0, reason: str = CONTAINER_EXITED, why: str | None = None
    ) -> None:
        """The process ends; one that has not run yet can only fail."""
        if exit_code == 0:
            self.run(job_id)
        job = self.jobs.pop(job_id)
        self.stopping.discard(job_id)
        self.engine.attempt_ended(job, job.current.number, exit_code, reason, why)


class Memory:
    """A store that forgets nothing and keeps JSON only, as the server's does."""

    def __init__(self) -> None:
        self.records: dict[str, dict[str, str]] = {}

    def put(self, kind: str, key: str, record: dict[str, Any]) -> None:
        self.records.setdefault(kind, {})[key] = json.dumps(record)

    def put_many(self, kind: str, records: list[tuple[str, dict[str, Any]]]) -> None:
        for key, record in records:
            self.put(kind, key, record)

    def all(self, kind: str) -> dict[str, dict[str, Any]]:
        return {key: json.loads(record) for key, record in self.records.get(kind, {}).items()}


@dataclass
class History:
    """An engine with one queue, and everything that happened to its jobs."""

    max_vcpus: int = 4
    policy: SchedulingPolicy | None = None
    clock: HandClock = field(default_factory=HandClock)
    launcher: HandLauncher = field(default_factory=HandLauncher)
    seen: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.environment = environment("ce", self.max_vcpus)
        self.environments = {"q": [self.environment]}
        self.queue = queue("q")
        self.queues = {self.queue.arn: self.queue}
        self.store = Memory()
        self._make()

    def _make(self) -> None:
        self.unfinished: dict[str, int] = {}
        self.job_tags: dict[str, dict[str, str]] = {}
        self.records = Records(self.store, self.clock)
        self.scheduler = Scheduler(
            self.clock, lambda _: self.policy, lambda queue: self.environments[queue.name], max_processes=10_000
        )
        keep = self.records.put_job
        self.engine = Engine(self.clock, self.launcher, self.scheduler, self._saw, keep, keep)
        self.scheduler.engine = self.launcher.engine = self.engine

    def _saw(self, job: Job) -> None:
        self.records.put_job(job)
        self.seen.setdefault(job.id, ["SUBMITTED" if job.parent is None else "PENDING"]).append(job.status)

    def restart(self) -> None:
        """The server ends, with its processes and its timers; another takes up what was recorded."""
        self.records.flush()
        self.clock.due.clear()
        self.launcher.jobs.clear()
        self.launcher.stopping.clear()
        for environments in self.environments.values():
            for one in environments:
                one.used_vcpus, one.used_memory, one.running = 0, 0, 0
        self._make()
        self.records.restore_jobs(self)

    def submit(self, name: str = "job", queue: JobQueue | None = None, **arguments: Any) -> Job:
        spec_arguments = {
            name: arguments.pop(name)
            for name in ("vcpus", "memory", "retry", "timeout", "priority")
            if name in arguments
        }
        job_id = f"job-{self.engine.sequence:04}"  # the same again when a history is told again
        job = self.engine.submit(name, queue or self.queue, spec(**spec_arguments), job_id=job_id, **arguments)
        self.records.put_job(job)
        return job

    def turn(self, seconds: float = 0) -> None:
        self.clock.advance(seconds)

    def run_all(self, exit_code: int = 0) -> None:
        """Let everything run to its end."""
        self.turn()
        while self.launcher.jobs:
            for job_id in list(self.launcher.jobs):
                self.launcher.run(job_id)
                self.launcher.end(job_id, exit_code)
            self.turn()

    def check(self) -> None:
        """What must hold at any moment."""
        for job in self.engine.jobs.values():
            jobs = [job]
            if isinstance(job, Array):
                counted = dict.fromkeys(STATUSES, 0)
                for index in range(job.size):
                    counted[job.child_status(index)] += 1
                assert job.counts == counted
                assert job.unstarted == sum(child is None for child in job.children)
                assert job.ended == (counted["SUCCEEDED"] + counted["FAILED"] == job.size)
                assert job.status in ("SUBMITTED", "PENDING", "SUCCEEDED", "FAILED")
                assert not job.ended or (job.status == "FAILED") == bool(counted["FAILED"])
                assert not job.attempts
                jobs += job.known_children()
            for one in jobs:
                assert (one.current is not None) == (one.status in ACTIVE)
                assert (one.id in self.launcher.jobs) == (one.status in ACTIVE)
                assert len(one.attempts) <= one.spec.attempts
                assert [attempt.number for attempt in one.attempts] == list(range(1, len(one.attempts) + 1))
                assert (one.stopped_at is not None) == one.ended
        for history in self.seen.values():
            assert not any(status in TERMINAL for status in history[:-1])
        assert len(self.launcher.launched) == len(set(self.launcher.launched))
        running = list(self.launcher.jobs.values())
        assert sum(job.spec.vcpus for job in running) == sum(
            e.used_vcpus for environments in self.environments.values() for e in environments
        )
        assert self.environment.used_vcpus <= self.environment.max_vcpus


def environment(name: str, max_vcpus: int, kind: str = "EC2", **detail: Any) -> ComputeEnvironment:
    return ComputeEnvironment(
        f"{PREFIX}:compute-environment/{name}",
        {
            "computeEnvironmentName": name,
            "type": "MANAGED",
            "state": "ENABLED",
            "status": "VALID",
            "computeResources": {"type": kind, "maxvCpus": max_vcpus, "instanceTypes": ["optimal"]},
            **detail,
        },
    )


def queue(name: str, priority: int = 1, **detail: Any) -> JobQueue:
    return JobQueue(f"{PREFIX}:job-queue/{name}", {"jobQueueName": name, "priority": priority, **detail})


def spec(
    vcpus: float = 1,
    memory: int = 100,
    retry: dict[str, Any] | None = None,
    timeout: int | None = None,
    priority: int = 0,
) -> Any:
    definition = {
        "jobDefinitionArn": f"{PREFIX}:job-definition/d:1",
        "jobDefinitionName": "d",
        "parameters": {},
        "propagateTags": False,
        "tags": {},
        "platformCapabilities": ["EC2"],
        "containerProperties": {
            "image": "python",
            "command": ["python"],
            "environment": [],
            "resourceRequirements": [
                {"type": "VCPU", "value": str(vcpus)},
                {"type": "MEMORY", "value": str(memory)},
            ],
        },
        **({"retryStrategy": retry} if retry else {}),
        **({"timeout": {"attemptDurationSeconds": timeout}} if timeout else {}),
    }
    return resolve(definition, {"schedulingPriorityOverride": priority})
