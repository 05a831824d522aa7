"""Submit again what failed in an earlier try of a step, which is each failed job and an array's failed items.

A job submitted in try 2 has the first one's name with "-try2". It runs what submit_jobs asked for then, which is in
requests.json. An array's failed items get a new manifest, so the job's program needs no change.

https://docs.aws.amazon.com/batch/latest/APIReference/API_SubmitJob.html
"""

import hashlib
import json
import random
import time

from aws import call_aws, client, error_code, is_throttling, lines_of, open_object, put_object, read_object, time_is_up
from batch_jobs import list_jobs_named
from errors import PollLater, UnconfirmedError
from failed_jobs import failed_endings
from job_detail import array_of, environment_of, first_name, index_of
from log import log
from tries import MISSING, change, lease

TRY_TAG = "sagemaker-batch:try"
SECONDS_UNTIL_LISTED = 30  # AWS doesn't document how far ListJobs may be behind SubmitJob


def submit_again(this, ids, jobs):
    """Submit jobs again, each once for this try. Raises PollLater, because the step now waits for the new jobs.

    Args:
        this: the Try.
        ids: ids of the first jobs.
        jobs: {id: JobDetail} of the jobs that stand for them, which have failed.

    Raises:
        UnconfirmedError: Batch refuses a job, or it isn't known what submit_jobs asked for.
    """
    if this.is_submitting(time.time()):
        raise PollLater("another call submits the failed jobs again", settling=True)
    requests = read_requests(this)
    this = lease(this)  # from here on this call is the only one
    replaced: dict[str, dict] = {}
    free_at = 0.0
    try:
        submitted = submitted_before(this, jobs[ids[0]])
        for id in ids:
            if time_is_up():
                raise PollLater(f"{len(replaced)} of {len(ids)} failed jobs are submitted again in this invocation")
            request = request_for(this, requests, jobs[id])
            job_id = submitted.get(request["jobName"]) or submit(request)
            size = jobs[id].get("firstSize", array_of(jobs[id])[0])
            replaced[id] = {"id": job_id, "size": size}
            log("job submitted again", job_id=job_id, job_name=request["jobName"], failed_job_id=jobs[id]["jobId"])
    except Exception as error:
        if is_unclear(error):
            free_at = time.time() + SECONDS_UNTIL_LISTED  # then ListJobs shows whether Batch has the job
        change(this, replaced, submitting_until=free_at)
        raise
    change(this, replaced, submitting_until=free_at)
    raise PollLater(f"{len(replaced)} failed jobs were submitted again")


def find_unrecorded(this, jobs):
    """Record the jobs that an interrupted call submitted, before the try ends.

    Else its jobs would not be terminated, or the next try would submit them once more.

    Raises:
        PollLater: another call is submitting, or there were some.
    """
    if this.is_submitting(time.time()):
        raise PollLater("another call submits failed jobs again, and the try is to end", settling=True)
    if not this.record.get("submitting_until") or not jobs:
        return
    submitted = submitted_before(this, next(iter(jobs.values())))
    replaced = {
        id: {"id": submitted[name], "size": job.get("firstSize", array_of(job)[0])}
        for id, job in jobs.items()
        if (name := name_of(this, job)) in submitted
    }
    change(this, replaced, submitting_until=0)
    raise PollLater(f"{len(replaced)} jobs of a call that was cut off are known now")


def read_requests(this):
    """{job name: SubmitJob parameters} of the step, as submit_jobs keeps them."""
    uri = f"{this.uri.rpartition('/')[0]}/requests.json"
    try:
        return json.loads(read_object(uri)[0])
    except UnconfirmedError as error:
        if error_code(error) not in MISSING:
            raise
        raise UnconfirmedError(
            f"The failed jobs can't be submitted again, because {uri} is missing. Start a new execution."
        ) from error


def submitted_before(this, job):
    """Return {job name: id} of what was submitted for this try, for instance by an interrupted call."""
    prefix, _, _ = first_name(job).rpartition("-")
    ending = f"-try{this.number}"
    listed = [other for other in list_jobs_named(prefix, job["jobQueue"]) if other["jobName"].endswith(ending)]
    return {other["jobName"]: other["jobId"] for other in listed}


def name_of(this, job):
    return f"{first_name(job)}-try{this.number}"


def request_for(this, requests, job):
    """Return SubmitJob's parameters. They are the first job's, with the failed items if it is an array."""
    if first_name(job) not in requests:
        raise UnconfirmedError(
            f"{job['jobName']} can't be submitted again, because submit_jobs didn't submit it. Start a new execution."
        )
    request = dict(requests[first_name(job)])
    request["jobName"] = name_of(this, job)
    request["tags"] = {**request.get("tags", {}), TRY_TAG: str(this.number)}
    request.pop("arrayProperties", None)
    manifest_uri = environment_of(job).get("MANIFEST_URI")
    if array_of(job)[0] > 1:
        indices = {index_of(ending) for ending in failed_endings(job, to_describe=0)}
        manifest_uri = write_failed_items(this, manifest_uri, indices)
        if len(indices) > 1:  # Batch has no arrays of one
            request["arrayProperties"] = {"size": len(indices)}
    if manifest_uri and "containerOverrides" in request:
        overrides = request["containerOverrides"]
        environment = [
            {**pair, "value": manifest_uri} if pair["name"] == "MANIFEST_URI" else pair
            for pair in overrides.get("environment", [])
        ]
        request["containerOverrides"] = {**overrides, "environment": environment}
    return request


def write_failed_items(this, manifest_uri, indices):
    """Write some lines of a manifest to a new one and return its URI. The lines keep their length."""
    lines = [line for index, line in enumerate(lines_of(open_object(manifest_uri))) if index in indices]
    if len(lines) < len(indices):
        raise UnconfirmedError(f"{manifest_uri} has no line for each job of its array. Start a new execution.")
    text = b"\n".join(lines) + b"\n"
    uri = f"{this.uri.rpartition('/')[0]}/items-{hashlib.sha256(text).hexdigest()[:16]}.jsonl"
    put_object(uri, text)
    return uri


def submit(request):
    """Submit one job and return its id. While Batch throttles, try again until this invocation's time nearly ends."""
    batch = client("batch", attempts=1)  # SubmitJob has no idempotency token, so botocore must not send it again
    while True:
        try:
            return call_aws(batch.submit_job, **request)["jobId"]
        except PollLater as trouble:
            if not is_throttling(trouble.__cause__) or time_is_up():
                raise
        except UnconfirmedError as error:
            raise UnconfirmedError(f"{request['jobName']} can't be submitted: {error}") from error.__cause__
        time.sleep(random.uniform(0.1, 1.5))  # Batch grants each account a number of calls per second


def is_unclear(error):
    """The answer got lost or Batch failed, so Batch may have the job."""
    return isinstance(error, PollLater) and error.__cause__ is not None and not is_throttling(error.__cause__)
