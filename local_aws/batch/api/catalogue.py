"""What an account has in Batch, and how each finds the others: the ground of all operations."""

from __future__ import annotations

from typing import Any

from local_aws.batch.api.requests import arn_of, own_prefix
from local_aws.batch.execution.clock import LoopClock
from local_aws.batch.execution.events import QUEUE_BLOCKED, Events
from local_aws.batch.execution.launcher import Launcher
from local_aws.batch.model.environments import ComputeEnvironment
from local_aws.batch.model.errors import client_error
from local_aws.batch.model.queues import JobQueue, SchedulingPolicy
from local_aws.batch.scheduling import Scheduler
from local_aws.batch.state.engine import Engine
from local_aws.batch.state.jobs import Array, Job
from local_aws.batch.storage import Records
from local_aws.protocol import Request

# What AWS takes seconds or minutes for.
CREATE_SECONDS = 0.2
UPDATE_SECONDS = 0.1
DELETE_SECONDS = 0.1


class Catalogue:
    """Compute environments, queues, policies, definitions and jobs."""

    def __init__(self, context: Any, clock: Any = None, launcher: Any = None) -> None:
        """`context` is what the server gives (server.Context)."""
        self.context = context
        self.ministack = context.ministack
        self.clock = clock or LoopClock()
        self.launcher = launcher or Launcher(context, self.clock)
        self.environments: dict[str, ComputeEnvironment] = {}  # by ARN, as all of these
        self.queues: dict[str, JobQueue] = {}
        self.policies: dict[str, SchedulingPolicy] = {}
        self.definitions: dict[str, dict[str, Any]] = {}
        self.revisions: dict[str, int] = {}  # newest revision, by ARN without it
        self.scheduler = Scheduler(self.clock, self._policy_of, self._environments_of, self._on_blocked)
        self.engine = Engine(
            self.clock, self.launcher, self.scheduler, self._on_change, self._on_unstarted_change, self._on_note
        )
        self.scheduler.engine = self.launcher.engine = self.engine
        self.records = Records(context.store, self.clock)
        self.events = Events(self.ministack, self.clock)
        self.job_tags: dict[str, dict[str, str]] = {}  # of tagged jobs that have not ended, by their ARNs
        self.unfinished: dict[str, int] = {}  # jobs of a queue that have not ended, by its ARN

    def _environment(self, request: Request, name: str) -> ComputeEnvironment:
        arn = arn_of(request, "compute-environment", name)
        if arn not in self.environments:
            # The caller's right to know is checked before whether there is something to know.
            request.authorize(f"batch:{request.operation}", arn)
            raise client_error(f"{arn} does not exist")
        return self.environments[arn]

    def _queue(self, arn: str, named: str) -> JobQueue:
        if arn not in self.queues:
            raise client_error(f"JobQueue {named} not found.")
        return self.queues[arn]

    def _policy(self, request: Request, arn: str) -> SchedulingPolicy:
        if arn not in self.policies or not arn.startswith(own_prefix(request) + ":"):
            raise client_error(f"{arn} does not exist")
        return self.policies[arn]

    def _policy_of(self, queue: JobQueue) -> SchedulingPolicy | None:
        return self.policies.get(queue.policy_arn) if queue.policy_arn else None

    def _environments_of(self, queue: JobQueue) -> list[ComputeEnvironment]:
        return [self.environments[arn] for arn in queue.environment_arns if arn in self.environments]

    def _definition(self, request: Request, name: str) -> dict[str, Any] | None:
        """The ACTIVE definition a name, a name with a revision, or an ARN stands for."""
        arn = arn_of(request, "job-definition", name)
        if arn.rsplit("/", 1)[-1].rpartition(":")[0]:
            definition = self.definitions.get(arn)
        else:
            newest_first = range(self.revisions.get(arn, 0), 0, -1)
            known = (self.definitions.get(f"{arn}:{revision}") for revision in newest_first)
            definition = next(
                (definition for definition in known if definition and definition["status"] == "ACTIVE"), None
            )
        return definition if definition and definition["status"] == "ACTIVE" else None

    def _visible(self, prefix: str, name: str) -> Job | None:
        """A job of the caller's account and Region, by its id or ARN."""
        if name.startswith("arn:"):
            if not name.startswith(f"{prefix}job/"):
                return None
            name = name.removeprefix(f"{prefix}job/")
        job = self.engine.find(name)
        return job if job and job.queue.arn.startswith(prefix) else None

    def settle_environment(self, environment: ComputeEnvironment) -> None:
        if environment.detail["status"] in ("CREATING", "UPDATING"):
            environment.detail |= {"status": "VALID", "statusReason": "ComputeEnvironment Healthy"}
            self.records.put("environment", environment.arn, environment.detail)
            self.scheduler.wake()

    def remove_environment(self, environment: ComputeEnvironment) -> None:
        if environment.running:
            reason = "CLIENT_ERROR - Terminate the jobs that run on this compute environment before deleting it."
            environment.detail |= {"status": "INVALID", "statusReason": reason}
            self.records.put("environment", environment.arn, environment.detail)
            return
        self.environments.pop(environment.arn, None)
        self.records.delete("environment", environment.arn)

    def settle_queue(self, queue: JobQueue) -> None:
        if queue.detail["status"] in ("CREATING", "UPDATING"):
            queue.detail |= {"status": "VALID", "statusReason": "JobQueue Healthy"}
            self.records.put("queue", queue.arn, queue.detail)
            self.scheduler.wake()

    def remove_queue(self, queue: JobQueue) -> None:
        if self.unfinished.get(queue.arn) or queue.detail["status"] != "DELETING":
            return  # the last of its jobs to end calls again
        self.scheduler.forget(queue)
        self.queues.pop(queue.arn, None)
        self.records.delete("queue", queue.arn)

    def _on_change(self, job: Job) -> None:
        if job.ended and job.parent is None:
            arn = job.queue.arn
            self.job_tags.pop(job.arn, None)
            self.unfinished[arn] -= 1
            if not self.unfinished[arn] and job.queue.detail["status"] == "DELETING":
                self.clock.call_soon(self.remove_queue, job.queue)
        self.records.put_job(job)
        self.events.publish(job)

    def _on_note(self, job: Job) -> None:
        self.records.put_job(job)

    def _on_unstarted_change(self, array: Array) -> None:
        self.records.put_job(array)
        self.events.publish_unstarted(array)

    def _on_blocked(self, job: Job) -> None:
        """https://docs.aws.amazon.com/batch/latest/userguide/batch-job-queue-blocked-events.html"""
        self.records.put_job(job)
        self.events.publish(job, QUEUE_BLOCKED)
