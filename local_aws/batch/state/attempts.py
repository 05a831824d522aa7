"""Attempts as they start, run, time out, end, and are followed by others."""

from __future__ import annotations

from typing import Any

from local_aws.batch.state.dependencies import Dependencies
from local_aws.batch.state.jobs import ACTIVE, Attempt, Job
from local_aws.batch.state.retries import will_retry

CONTAINER_EXITED = "Essential container in task exited"
START_FAILED = "Task failed to start"
TIMED_OUT = "Job attempt duration exceeded timeout"


class Attempts(Dependencies):
    """What the scheduler starts, and what the launcher reports."""

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
        """End attempt `number`. It ran and exited with `exit_code`, or it did not, for `reason`."""
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
        self._emit()

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
        """Note that its array was cancelled. What runs may finish, and nothing starts again."""
        return job.parent is not None and job.parent.stop_reason is not None

    def _time_out(self, job: Job, number: int) -> None:
        if job.status == "RUNNING" and job.current and job.current.number == number:
            job.timer = None
            job.timed_out = True
            self.launcher.stop(job)
