"""AWS Batch: its operations together, each a method named as boto3 names it.

Every operation is authorized with the action and the resources of the service authorization reference:
https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsbatch.html
Operations: https://docs.aws.amazon.com/batch/latest/APIReference/API_Operations.html
"""

from __future__ import annotations

from typing import Any

from local_aws.batch.api.definitions import DefinitionOperations
from local_aws.batch.api.environments import EnvironmentOperations
from local_aws.batch.api.jobs import JobOperations
from local_aws.batch.api.policies import PolicyOperations
from local_aws.batch.api.queues import QueueOperations
from local_aws.batch.api.submitting import SubmitOperations
from local_aws.batch.api.tags import TagOperations
from local_aws.batch.model.environments import SPOT_TYPES
from local_aws.batch.state.jobs import ACTIVE, Array

RETENTION_SECONDS = 7 * 24 * 3600  # of jobs that ended
HOUR = 3600


class BatchService(
    EnvironmentOperations,
    QueueOperations,
    PolicyOperations,
    DefinitionOperations,
    SubmitOperations,
    JobOperations,
    TagOperations,
):
    """The `batch` of the embedded AWS."""

    name = "batch"

    async def start(self) -> None:
        await self.launcher.open()
        self.ministack.register_tags("batch", self._tagged)
        self.context.local_routes["batch/spot-reclaim"] = self._reclaim
        self.context.container_credentials = self.launcher.container_credentials
        self.records.restore(self)
        self.clock.call_later(HOUR, self._forget_old_jobs)

    async def stop(self) -> None:
        await self.launcher.close()
        self.records.flush()

    def _forget_old_jobs(self) -> None:
        """Jobs that ended a week ago are gone: https://docs.aws.amazon.com/batch/latest/userguide/job_states.html"""
        oldest = self.clock.now() - RETENTION_SECONDS * 1000
        for job in [job for job in self.engine.jobs.values() if job.ended and (job.stopped_at or 0) < oldest]:
            del self.engine.jobs[job.id]
            self.records.delete_job(job)
        self.clock.call_later(HOUR, self._forget_old_jobs)

    def _reclaim(self, body: dict[str, Any]) -> dict[str, Any]:
        """POST /_local_aws/batch/spot-reclaim {"jobId": …}: take the Spot capacity of a job away while it runs."""
        job = self.engine.find(str(body["jobId"]))
        if job is None:
            raise ValueError(f"There is no job {body['jobId']}.")
        jobs = list(job.known_children()) if isinstance(job, Array) else [job]
        running = [one for one in jobs if one.status in ACTIVE]
        if not running:
            raise ValueError(
                f"The job {job.id} is {job.status}. Only a job that is STARTING or RUNNING can be reclaimed."
            )
        for one in running:
            if one.compute_environment.type not in SPOT_TYPES:
                raise ValueError(
                    f"The job {one.id} runs in {one.compute_environment.name}, whose type is "
                    f"{one.compute_environment.type}. Only SPOT and FARGATE_SPOT capacity can be reclaimed."
                )
        for one in running:
            self.launcher.reclaim(one)
        return {"reclaimed": [one.id for one in running]}
