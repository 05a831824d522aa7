"""Jobs that wait for others: plain jobs, whole arrays, and the children of arrays for each other.

https://docs.aws.amazon.com/batch/latest/userguide/job_dependencies.html
"""

from __future__ import annotations

from local_aws.batch.state.jobs import Array, Job, as_array
from local_aws.batch.state.transitions import Transitions

DEPENDENCY_FAILED = "Dependent Job failed"
CHILD_FAILED = "Array Child Job failed"


class Dependencies(Transitions):
    """What waits, and what lets it go."""

    def _link(self, job: Job) -> None:
        """Let the jobs it depends on know, as far as they have not ended."""
        for dependency in job.depends_on:
            if dependency.get("type") == "SEQUENTIAL" and isinstance(job, Array):
                job.sequential = True
            elif dependency.get("type") == "N_TO_N":
                array, pair = as_array(job), as_array(self.jobs[dependency["jobId"]])
                array.pairs_with.append(pair)
                pair.paired_by.append(array)
            else:
                other = self.dependency(dependency["jobId"])
                if other.status != "SUCCEEDED":
                    job.waiting_for.add(other.id)
                    other.dependents.append(job)

    def dependency(self, job_id: str) -> Job:
        """The job that one may depend on. For an array's child it is the child itself."""
        parent_id, _, index = job_id.partition(":")
        job = self.jobs[parent_id]
        return self.materialize(as_array(job), int(index)) if index else job

    def admit(self, job: Job) -> None:
        """From SUBMITTED to whatever its dependencies allow."""
        if job.status != "SUBMITTED":
            return
        if isinstance(job, Array) or job.waiting_for:
            self._move(job, "PENDING")
        if any(self._failed(job_id) for job_id in job.waiting_for):
            self._fail_waiting(job, DEPENDENCY_FAILED)
        elif not job.waiting_for:
            self._release(job)
        self._emit()

    def _failed(self, job_id: str) -> bool:
        job = self.find(job_id)
        return job is not None and job.status == "FAILED"

    def _release(self, job: Job) -> None:
        """All that the job as a whole waited for has succeeded."""
        # It was cancelled while it waited, or ECS would refuse each of its tasks.
        reason = job.spec.cannot_start if job.stop_reason is None else job.stop_reason
        if not isinstance(job, Array):
            if reason is not None:
                self._end(job, "FAILED", reason)
            else:
                self._runnable(job)
            return
        job.released = True
        self.on_note(job)
        if reason is not None:
            self._end_waiting_children(job, reason)
        elif job.sequential or job.pairs_with:
            for index in range(job.size):
                if any(other.child_status(index) == "FAILED" for other in job.pairs_with):
                    child = job.child(index)
                    self._end(child, "FAILED", child.stop_reason or DEPENDENCY_FAILED)
            for index in [0] if job.sequential else range(job.size):
                self._release_child(job, index)
        else:
            job.unstarted_status, job.unstarted_at = "RUNNABLE", self.clock.now()
            job.counts["RUNNABLE"] += job.unstarted
            job.counts["PENDING"] -= job.unstarted
            job.summary_at = job.unstarted_at
            self.on_unstarted_change(job)
            self.scheduler.add(job)
            for index in list(job.known_indices()):
                self._release_child(job, index)

    def _release_child(self, array: Array, index: int) -> None:
        """Let a child become RUNNABLE if nothing that it alone waits for is left."""
        if (
            not array.released
            or array.child_status(index) != "PENDING"
            or any(other.child_status(index) != "SUCCEEDED" for other in array.pairs_with)
            or (array.sequential and index and array.child_status(index - 1) != "SUCCEEDED")
        ):
            return
        child = array.child(index)
        stop_reason = child.stop_reason or array.stop_reason
        if stop_reason is not None:
            child.cancelled, child.terminated = child.cancelled or array.cancelled, child.terminated or array.terminated
            self._end(child, "FAILED", stop_reason)
        else:
            self._runnable(child)

    def _fail_waiting(self, job: Job, reason: str) -> None:
        """What the job as a whole waited for has failed."""
        if job.stop_reason is not None:
            reason = job.stop_reason
        if isinstance(job, Array):
            self._end_waiting_children(job, reason)
        else:
            self._end(job, "FAILED", reason)

    def _end_waiting_children(self, array: Array, reason: str) -> None:
        self._end_unstarted(array, reason)
        for child in list(array.known_children()):
            if child.status == "PENDING":
                self._end(child, "FAILED", child.stop_reason or reason)

    def _emit(self) -> None:
        """Pass on what has ended to what waits for it. This is a loop, since a chain may be 10,000 long."""
        if self._emitting:
            return
        self._emitting = True
        try:
            while self._ended:
                event = self._ended.popleft()
                if isinstance(event, tuple):
                    array, indices = event
                    for index in indices:
                        self._tell_pairs(array, index)
                    self._check_parent(array)
                    continue
                job = event
                for dependent in job.dependents:
                    dependent.waiting_for.discard(job.id)
                    if dependent.status in ("PENDING", "SUBMITTED"):
                        if job.status == "FAILED":
                            self._fail_waiting(dependent, DEPENDENCY_FAILED)
                        elif not dependent.waiting_for and dependent.status == "PENDING":
                            self._release(dependent)
                job.dependents = []
                if in_array := job.in_array:
                    self._tell_pairs(*in_array)
                    self._check_parent(in_array[0])
        finally:
            self._emitting = False

    def _tell_pairs(self, array: Array, index: int) -> None:
        """Child `index` ended: its counterparts in N_TO_N arrays and the next of a SEQUENTIAL one may go, or fail."""
        waiting = [(other, index) for other in array.paired_by]
        if array.sequential and index + 1 < array.size:
            waiting.append((array, index + 1))
        succeeded = array.child_status(index) == "SUCCEEDED"
        for other, other_index in waiting:
            if succeeded:
                self._release_child(other, other_index)
            elif other.child_status(other_index) == "PENDING":
                child = other.child(other_index)
                self._end(child, "FAILED", child.stop_reason or other.stop_reason or DEPENDENCY_FAILED)

    def _check_parent(self, array: Array) -> None:
        """A parent ends with its last child."""
        counts = array.counts
        if array.ended or counts["SUCCEEDED"] + counts["FAILED"] < array.size:
            return
        if counts["FAILED"]:
            waited_in_vain = counts["FAILED"] == array.size == array.unstarted and array.stop_reason is None
            reason = array.stop_reason or (array.unstarted_reason if waited_in_vain else CHILD_FAILED)
            self._end(array, "FAILED", reason)
        else:
            self._end(array, "SUCCEEDED", None)

    def _runnable(self, job: Job) -> None:
        self._move(job, "RUNNABLE")
        self.scheduler.add(job)
