"""Processing steps, each of which runs a processing job.

https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-steps-types.html#step-type-processing
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from local_aws.pipelines.model.refusals import DefinitionError
from local_aws.pipelines.model.step import Step
from local_aws.pipelines.processing import arguments, caching, retries
from local_aws.pipelines.processing.processing_jobs import HOST_GONE
from local_aws.pipelines.state import Execution, StepRun, now
from local_aws.pipelines.steps.step_type import COMMON_MEMBERS, StepType

if TYPE_CHECKING:
    from local_aws.pipelines.execution.step_work import StepWork
    from local_aws.pipelines.model.references import References


class ProcessingStep(StepType):
    name = "Processing"
    # RetryPolicies: https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-retry-policy.html
    members = COMMON_MEMBERS | {"CacheConfig", "PropertyFiles", "RetryPolicies"}
    runs_job = True

    def check(self, step: Step, references: References) -> None:
        try:
            arguments.check(step.arguments, references.runs_image)
            arguments.check_files(step.spec)
            retries.check(step.spec.get("RetryPolicies") or [])
        except DefinitionError as error:
            raise error.at(f"Step {step.name}") from None

    def check_property(self, where: str, text: str, step: Step, keys: tuple[str | int, ...]) -> None:
        if problem := arguments.check_property(step.spec, keys):
            raise DefinitionError(f"{where}: {text} {problem}.")

    def start(self, work: StepWork) -> Coroutine[Any, Any, None]:
        return self._run_job(work, work.resolve(work.step.arguments))

    async def _run_job(self, work: StepWork, given: dict[str, Any]) -> None:
        run = work.run
        work.jobs.name_for(work.execution, run)  # recorded with the start: the step, taken up again, makes the same job
        run.cache_key = caching.key(given)
        cache = work.step.spec.get("CacheConfig") or {}
        if cache.get("Enabled") and (earlier := self._cached(work, cache)):
            source, done = earlier
            run.cache_source = done.cache_source or source.arn
            run.properties, run.metadata = done.properties, done.metadata
            work.executing()
            work.end("Succeeded")
            return
        work.executing()
        job = work.jobs.create(work.execution, run, given, work.credentials())
        run.metadata["ProcessingJob"] = {"Arn": job["ProcessingJobArn"]}
        work.save()
        run.properties = await work.jobs.run(job, work.in_thread)
        work.end("Succeeded")

    def _cached(self, work: StepWork, cache: dict[str, Any]) -> tuple[Execution, StepRun] | None:
        """The latest successful run of the same step of the same pipeline with the same attributes, if fresh."""
        name, ours = work.run.name, work.execution
        others = [
            (other, other.runs[name])
            for other in work.orchestrator.executions.values()
            if other is not ours and other.pipeline_arn == ours.pipeline_arn and name in other.runs
        ]
        fresh = [
            (other, done)
            for other, done in others
            if done.status == "Succeeded"
            and done.ended
            and done.cache_key == work.run.cache_key
            and caching.is_fresh(done.ended, cache, now())
        ]
        return max(fresh, key=lambda each: each[1].ended or each[0].created, default=None)

    def stop(self, work: StepWork) -> None:
        work.jobs.terminate(work.run.metadata.get("ProcessingJob", {}).get("Arn"))

    def resume(self, work: StepWork, killed: bool) -> None:
        """Go on after a restart. The step's job may have ended without the step's knowing."""
        job = work.jobs.records.get(work.run.metadata.get("ProcessingJob", {}).get("Arn"))
        if work.run.status == "Stopping" or job is None:
            super().resume(work, killed)
        elif job["ProcessingJobStatus"] == "Completed":
            work.run.properties = work.jobs.shown(job)
            work.end("Succeeded")
        elif job.get("FailureReason") != HOST_GONE:
            work.end(job["ProcessingJobStatus"], job.get("FailureReason"))
        elif policy := self._retry_policy(work, retries.INTERNAL_ERROR):
            work.spawn(self._again(work, policy))
        elif any(retries.INTERNAL_ERROR in retries.exceptions(each) for each in self._policies(work)):
            work.end("Failed", HOST_GONE)  # it has been tried as often as it may
        else:
            # On AWS a job does not run on the host that runs the pipeline, and would not have been lost.
            work.spawn(self._again(work, {"IntervalSeconds": 0}))

    def _policies(self, work: StepWork) -> list[dict[str, Any]]:
        return work.step.spec.get("RetryPolicies") or []

    def _retry_policy(self, work: StepWork, exception: str) -> dict[str, Any] | None:
        """The step's retry policy for an exception, while it allows another attempt."""
        policy = next((each for each in self._policies(work) if exception in retries.exceptions(each)), None)
        if policy is None or work.run.attempts >= policy.get("MaxAttempts", work.run.attempts + 1) + 1:
            return None
        expires = policy.get("ExpireAfterMin")
        return policy if expires is None or now() - work.run.started < dt.timedelta(minutes=expires) else None

    async def _again(self, work: StepWork, policy: dict[str, Any]) -> None:
        """Make another attempt, with another job, after the pause that its policy asks for."""
        run = work.run
        await asyncio.sleep(policy.get("IntervalSeconds", 1) * policy.get("BackoffRate", 2.0) ** (run.attempts - 1))
        run.attempts += 1
        run.metadata, run.properties = {}, {}
        work.save()
        work.begin()
