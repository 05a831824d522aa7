"""Keep what outlives the server, which is resources as they are described and jobs as far as they got.

Everything of one turn of the loop is written in one transaction. An operation's changes are written before it answers.
A job that ran when the server ended has lost its process. As when AWS loses a host, its attempt failed, and its retry
strategy decides what follows.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from local_aws.batch.execution.launcher import machine_lost
from local_aws.batch.model.environments import ComputeEnvironment
from local_aws.batch.model.queues import JobQueue, SchedulingPolicy
from local_aws.batch.model.submissions import Spec
from local_aws.batch.state.jobs import Array, Attempt, Job

_PLAIN = (
    "cancelled", "created_at", "depends_on", "id", "index", "name", "sequence", "share", "started_at", "status",
    "status_reason", "stop_reason", "stopped_at", "tags", "terminated",
)  # fmt: skip
_OF_ARRAY = ("unstarted_at", "unstarted_reason", "unstarted_status", "released", "sequential", "size")

# Names that these had in the records of earlier versions.
_FORMER = {"unstarted_at": "fresh_at", "unstarted_reason": "fresh_reason", "unstarted_status": "fresh_status"}


class Records:
    """Writes to the server's store, or nowhere when it has none."""

    def __init__(self, store: Any, clock: Any) -> None:
        self.store, self.clock = store, clock
        self._changed: dict[str, Job] = {}

    def put(self, kind: str, key: str, record: dict[str, Any]) -> None:
        if self.store:
            self.store.put(f"batch/{kind}", key, record)

    def delete(self, kind: str, key: str) -> None:
        if self.store:
            self.store.delete(f"batch/{kind}", key)

    def put_job(self, job: Job) -> None:
        if self.store:
            if not self._changed:
                self.clock.call_soon(self.flush)
            self._changed[job.id] = job

    def delete_job(self, job: Job) -> None:
        if self.store:
            for one in [job, *(job.known_children() if isinstance(job, Array) else ())]:
                self.store.delete("batch/job", one.id)

    def flush(self) -> None:
        if self._changed:
            self.store.put_many("batch/job", [(job.id, _record(job)) for job in self._changed.values()])
            self._changed = {}

    def restore(self, service: Any) -> None:
        """Bring back what the last server knew."""
        if not self.store:
            return
        for arn, detail in self.store.all("batch/environment").items():
            environment = service.environments[arn] = ComputeEnvironment(arn, detail)
            service.settle_environment(environment)
            if detail["status"] == "DELETING":
                service.remove_environment(environment)
        for arn, detail in self.store.all("batch/policy").items():
            service.policies[arn] = SchedulingPolicy(arn, detail)
        for arn, detail in self.store.all("batch/queue").items():
            service.settle_queue(service.queues.setdefault(arn, JobQueue(arn, detail)))
        for arn, definition in self.store.all("batch/definition").items():
            service.definitions[arn] = definition
            family = arn.rpartition(":")[0]
            service.revisions[family] = max(service.revisions.get(family, 0), definition["revision"])
        self.restore_jobs(service)
        for queue in list(service.queues.values()):
            service.remove_queue(queue)

    def restore_jobs(self, service: Any) -> None:
        """Bring back the jobs into service.engine, and let them go on."""
        engine = service.engine
        records = self.store.all("batch/job")
        for record in records.values():
            if record["parent"] is None:
                queue = service.queues.get(record["queue"]) or JobQueue(record["queue"], record["queue_detail"])
                engine.jobs[record["id"]] = job = _job(record, queue, _spec(record["spec"]))
                engine.sequence = max(engine.sequence, job.sequence)
                if not job.ended:
                    service.unfinished[queue.arn] = service.unfinished.get(queue.arn, 0) + 1
                    if job.tags:
                        service.job_tags[job.arn] = job.tags
        for record in records.values():
            if record["parent"] is not None:
                parent = engine.jobs[record["parent"]]
                child = _job(record, parent.queue, parent.spec)
                child.parent = parent
                parent.children[child.index] = child
        for job in engine.jobs.values():
            if isinstance(job, Array):
                _recount(job)
        engine.resume(lambda job: machine_lost(job, f"{job.id}#{len(job.attempts)}"))


def _record(job: Job) -> dict[str, Any]:
    record = {name: getattr(job, name) for name in _PLAIN}
    attempts = [*job.attempts, job.current] if job.current else job.attempts
    record["attempts"] = [{name: getattr(attempt, name) for name in Attempt.__slots__} for attempt in attempts]
    record["active"] = job.current is not None
    record["parent"] = job.parent.id if job.parent else None
    if job.parent is None:
        record["queue"], record["spec"] = job.queue.arn, dataclasses.asdict(job.spec)
        record["queue_detail"] = job.queue.detail
    if isinstance(job, Array):
        record |= {name: getattr(job, name) for name in _OF_ARRAY}
    return record


def _spec(record: dict[str, Any]) -> Spec:
    known = {field.name for field in dataclasses.fields(Spec)}  # an older server may have kept more
    return Spec(**{**{name: value for name, value in record.items() if name in known}, "rules": tuple(record["rules"])})


def _job(record: dict[str, Any], queue: JobQueue, spec: Spec) -> Job:
    common = (record["id"], record["name"], queue, spec, record["sequence"], record["created_at"])
    job = Array(*common, record["size"]) if "size" in record else Job(*common)
    for name in _PLAIN + (_OF_ARRAY if isinstance(job, Array) else ()):
        setattr(job, name, record[name if name in record else _FORMER[name]])
    for values in record["attempts"]:
        attempt = Attempt(values["number"])
        for name, value in values.items():
            setattr(attempt, name, value)
        job.attempts.append(attempt)
    if record["active"]:
        job.current = job.attempts.pop()
    return job


def _recount(array: Array) -> None:
    array.unstarted = sum(child is None for child in array.children)
    array.counts = dict.fromkeys(array.counts, 0)
    for index in range(array.size):
        array.counts[array.child_status(index)] += 1
