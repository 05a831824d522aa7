"""Describe, list, cancel and terminate jobs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from local_aws.batch import views
from local_aws.batch.api.catalogue import Catalogue
from local_aws.batch.api.requests import MAX_DESCRIBED, arn_of, check_count, own_prefix, page_of
from local_aws.batch.model import members
from local_aws.batch.model.errors import client_error
from local_aws.batch.state.jobs import Array, Job
from local_aws.protocol import ApiError, Request

MAX_STOPPED = 50
MAX_REASON = 1024


class JobOperations(Catalogue):
    """Describe, list, cancel and terminate jobs."""

    def describe_jobs(self, request: Request) -> dict[str, Any]:
        request.authorize("batch:DescribeJobs")
        ids = request.params["jobs"]
        if not ids:
            raise client_error("jobs must not be empty.")
        check_count(ids, MAX_DESCRIBED, "jobs")
        prefix = own_prefix(request) + ":"
        jobs = (self._visible(prefix, job_id) for job_id in dict.fromkeys(ids))
        return {"jobs": [views.job_detail(job) for job in jobs if job]}

    def list_jobs(self, request: Request) -> dict[str, Any]:
        params = request.params
        request.authorize("batch:ListJobs")
        members.check("ListJobs", params)
        for member in ("jobQueue", "arrayJobId", "multiNodeJobId"):
            if params.get(member) == "":
                raise client_error(f"{member} must not be empty.")
        if ("jobQueue" in params) == ("arrayJobId" in params):
            raise client_error("Specify exactly one of jobQueue and arrayJobId.")
        filters = params.get("filters", [])
        if len(filters) > 1:
            raise client_error("Only one filter can be used at a time.")
        status = params.get("jobStatus", "RUNNING")
        if "arrayJobId" in params:
            if filters:
                raise client_error("Filters don't apply to the children of an array job.")
            array = self._visible(own_prefix(request) + ":", params["arrayJobId"])
            if not isinstance(array, Array):
                raise client_error(f"The job {params['arrayJobId']} does not exist or is no array job.")
            indices = [index for index in range(array.size) if array.child_status(index) == status]
            page, token = page_of(params, indices, lambda index: index, 1000)
            return {"jobSummaryList": [views.job_summary(array.view(index)) for index in page], **token}
        queue = self._queue(arn_of(request, "job-queue", params["jobQueue"]), params["jobQueue"])
        jobs = [job for job in self.engine.jobs.values() if job.queue is queue]
        if filters:
            accepts = _filter(filters[0])
            jobs = [job for job in jobs if accepts(job)]
        if not filters or ("jobStatus" in params and filters[0].get("name") == "SHARE_IDENTIFIER"):
            jobs = [job for job in jobs if job.status == status]
        page, token = page_of(params, jobs, lambda job: -job.sequence, 100 if filters else 1000)
        return {"jobSummaryList": [views.job_summary(job) for job in page], **token}

    def cancel_job(self, request: Request) -> dict[str, Any]:
        return self._stop_one(request, self.engine.cancel)

    def terminate_job(self, request: Request) -> dict[str, Any]:
        return self._stop_one(request, self.engine.terminate)

    def _stop_one(self, request: Request, act: Callable[[str, str], None]) -> dict[str, Any]:
        job_id = request.params["jobId"].rsplit("/", 1)[-1]
        if not job_id:
            raise client_error("jobId must not be empty.")
        request.authorize(f"batch:{request.operation}", f"{own_prefix(request)}:job/{job_id}")
        _check_reason(request.params["reason"])
        # A job that is not (or no longer) known is no error, as in the bulk operations.
        if self._visible(own_prefix(request) + ":", job_id):
            act(job_id, request.params["reason"])
        self.records.flush()
        return {}

    def cancel_jobs(self, request: Request) -> dict[str, Any]:
        return self._stop_many(request, "batch:CancelJob", self.engine.cancel)

    def terminate_jobs(self, request: Request) -> dict[str, Any]:
        return self._stop_many(request, "batch:TerminateJob", self.engine.terminate)

    def _stop_many(self, request: Request, action: str, act: Callable[[str, str], None]) -> dict[str, Any]:
        """The bulk operations answer 200 with a result for each job. Unknown jobs count as done."""
        ids = list(dict.fromkeys(request.params["jobs"]))
        if not 1 <= len(ids) <= MAX_STOPPED:
            raise client_error(f"jobs takes 1 to {MAX_STOPPED} job ids.")
        _check_reason(request.params["reason"])
        successful, errors = [], []
        for job_id in ids:
            if not re.fullmatch(r"[0-9a-f-]{36}(:\d+)?", job_id):
                message = f"{job_id} is not a valid job id."
                errors.append({"job": job_id, "code": "ValidationException", "message": message})
                continue
            try:
                request.authorize(action, f"{own_prefix(request)}:job/{job_id}")
            except ApiError as denied:
                errors.append({"job": job_id, "code": "AccessDenied", "message": denied.message})
                continue
            if self._visible(own_prefix(request) + ":", job_id):
                act(job_id, request.params["reason"])
            successful.append(job_id)
        self.records.flush()
        return {"successful": successful, "errors": errors}


def _check_reason(reason: str) -> None:
    if not reason or len(reason) > MAX_REASON:
        raise client_error(f"reason must have 1 to {MAX_REASON} characters.")


def _filter(given: dict[str, Any]) -> Callable[[Job], bool]:
    """https://docs.aws.amazon.com/batch/latest/APIReference/API_ListJobs.html"""
    name, values = given.get("name"), given.get("values", [])
    if not values:
        raise client_error("A filter needs values.")

    def matches(pattern: str, value: str) -> bool:
        return value.startswith(pattern[:-1]) if pattern.endswith("*") else value == pattern

    if name == "JOB_NAME":
        return lambda job: any(matches(value.lower(), job.name.lower()) for value in values)
    if name == "JOB_DEFINITION":
        return lambda job: any(
            job.spec.definition_arn == value if value.startswith("arn:") else matches(value, job.spec.definition_name)
            for value in values
        )
    if name == "SHARE_IDENTIFIER":
        return lambda job: job.share is not None and any(matches(value, job.share) for value in values)
    if name in ("BEFORE_CREATED_AT", "AFTER_CREATED_AT"):
        if len(values) != 1 or not values[0].isdecimal():
            raise client_error(f"The filter {name} takes one value, in milliseconds since the epoch.")
        limit = int(values[0])
        return lambda job: job.created_at < limit if name == "BEFORE_CREATED_AT" else job.created_at > limit
    raise client_error(
        f"The filter {name!r} is not valid. Use JOB_NAME, JOB_DEFINITION, BEFORE_CREATED_AT, AFTER_CREATED_AT or "
        "SHARE_IDENTIFIER."
    )
