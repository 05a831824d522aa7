"""The engine submits, cancels and terminates jobs. Everything else happens to them.

It knows no processes, no HTTP and no clock: a launcher runs attempts, a scheduler says who is next, a clock
calls back, so that tests can drive it through any history. Everything happens on one thread, and no transition costs
more for a large array than for a small one.

https://docs.aws.amazon.com/batch/latest/userguide/job_states.html
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from local_aws.batch.model.submissions import Spec
from local_aws.batch.state.jobs import ACTIVE, Array, Job
from local_aws.batch.state.restarts import Restarts


class Engine(Restarts):
    """Every job, and every transition of one."""

    def submit(
        self,
        name: str,
        queue: Any,
        spec: Spec,
        *,
        size: int | None = None,
        share: str | None = None,
        tags: dict[str, str] | None = None,
        depends_on: Iterable[dict[str, str]] = (),
        job_id: str | None = None,
    ) -> Job:
        """Make a job, SUBMITTED. It moves on in the loop's next turn. The dependencies have been checked."""
        self.sequence += 1
        job_id = job_id or str(uuid.uuid4())
        common = (job_id, name, queue, spec, self.sequence, self.clock.now())
        job = Array(*common, size) if size else Job(*common)
        job.share, job.tags, job.depends_on = share, tags or {}, list(depends_on)
        self.jobs[job_id] = job
        self._link(job)
        self.clock.call_soon(self.admit, job)
        return job

    def cancel(self, job_id: str, reason: str) -> None:
        """Take a job out that has not begun: https://docs.aws.amazon.com/batch/latest/APIReference/API_CancelJob.html

        One that waits for others stays PENDING until they are done. A STARTING or RUNNING one goes on.
        """
        job = self._to_act_on(job_id)
        if job is not None:
            self._stop(job, reason, terminate=False)
            self._emit()
            self.scheduler.wake()  # it may have blocked those behind it

    def terminate(self, job_id: str, reason: str) -> None:
        """Stop a job: https://docs.aws.amazon.com/batch/latest/APIReference/API_TerminateJob.html"""
        job = self._to_act_on(job_id)
        if job is not None:
            self._stop(job, reason, terminate=True)
            self._emit()
            self.scheduler.wake()

    def _to_act_on(self, job_id: str) -> Job | None:
        job = self.find(job_id)
        if job is None or job.ended:
            return None
        in_array = job.in_array
        return self.materialize(*in_array) if in_array else job

    def _stop(self, job: Job, reason: str, terminate: bool) -> None:
        if job.status in ACTIVE:
            if terminate and not job.terminated:
                job.terminated, job.stop_reason = True, reason
                self.on_note(job)
                self.launcher.stop(job)
            return
        if job.ended:
            return
        if job.stop_reason is None:
            job.stop_reason = reason
        job.terminated |= terminate
        job.cancelled |= not terminate
        if isinstance(job, Array):
            if job.unstarted_status == "RUNNABLE":
                self._end_unstarted(job, reason)
            for child in list(job.known_children()):
                self._stop(child, reason, terminate)
            self._check_parent(job)
        elif job.status in ("SUBMITTED", "RUNNABLE") and not job.waiting_for:
            self._end(job, "FAILED", reason)
            return
        self.on_note(job)
