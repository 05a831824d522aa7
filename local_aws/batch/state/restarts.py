"""Continue the jobs that an earlier server left."""

from __future__ import annotations

from collections.abc import Callable

from local_aws.batch.state.attempts import Attempts
from local_aws.batch.state.dependencies import DEPENDENCY_FAILED
from local_aws.batch.state.jobs import ACTIVE, Array, Job


class Restarts(Attempts):
    """After a restart."""

    def resume(self, lost: Callable[[Job], str]) -> None:
        """Go on with jobs that an earlier engine left. Attempts that ran then fail, for the reason `lost` gives."""
        unfinished = [job for job in self.jobs.values() if not job.ended]
        for job in unfinished:
            self._link(job)
        for job in unfinished:
            if isinstance(job, Array):
                self._resume_array(job, lost)
            else:
                self._resume(job, lost)
        self._emit()

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
            attempt = job.attempt
            attempt.status_reason, attempt.stopped_at = lost(job), self.clock.now()
            job.attempts.append(attempt)
            job.current = None
            self._after_failure(job, attempt)

    def _resume_array(self, array: Array, lost: Callable[[Job], str]) -> None:
        if array.status == "SUBMITTED" or not array.released:
            self._resume(array, lost)
            return
        if array.unstarted_status == "RUNNABLE":
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
