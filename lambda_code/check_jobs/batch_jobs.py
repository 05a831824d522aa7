"""Read the ids of a step's jobs in AWS Batch, and describe, list and terminate the jobs."""

import json
import random
import re
import time

from aws import call_aws, client, error_code, is_throttling, open_object, time_is_up
from errors import PollLater, UnconfirmedError
from job_detail import TERMINAL
from log import log
from wording import shorten

DESCRIBE_JOBS_IDS = 100
LIST_JOBS_RESULTS = 1_000
LIST_JOBS_FILTERED_RESULTS = 100
TERMINATE_REASON_CHARACTERS = 1_024


def read_job_ids(job_ids):
    """Return the ids, each once. The step's input is ids joined by spaces, the s3:// URI of a list, or "none".

    Raises:
        UnconfirmedError: there is no such list, or it is empty.
    """
    if job_ids == "none":
        return []
    if not job_ids.startswith("s3://"):
        ids = job_ids.split()
    else:
        try:
            ids = json.loads(open_object(job_ids).read())["job_ids"]
        except (ValueError, KeyError, TypeError) as error:
            raise UnconfirmedError(f"{job_ids} is no list of job ids. Pass submit_jobs' output jobIds.") from error
    if not ids:
        raise UnconfirmedError("The callback step waits for no jobs. Pass it the output jobIds of the submitting step.")
    return list(dict.fromkeys(ids))


def describe_jobs(ids, ended=None):
    """{id: JobDetail} of the jobs that Batch knows. DescribeJobs leaves the others out.

    Args:
        ended: {id: JobDetail} of jobs whose end an event has reported. DescribeJobs may be behind it.
    """
    jobs: dict[str, dict] = {}
    for first in range(0, len(ids), DESCRIBE_JOBS_IDS):
        chunk = ids[first : first + DESCRIBE_JOBS_IDS]
        jobs.update((job["jobId"], job) for job in call_aws(client("batch").describe_jobs, jobs=chunk)["jobs"])
    for id, job in (ended or {}).items():
        if id in ids and jobs.get(id, {}).get("status") not in TERMINAL:
            jobs[id] = {**job, "tags": jobs.get(id, {}).get("tags", {})}
    return jobs


def list_jobs(**request):
    """The JobSummaries of all pages, one after another."""
    request["maxResults"] = LIST_JOBS_FILTERED_RESULTS if "filters" in request else LIST_JOBS_RESULTS
    while True:
        page = call_aws(client("batch").list_jobs, **request)
        yield from page["jobSummaryList"]
        if not page.get("nextToken"):
            return
        request["nextToken"] = page["nextToken"]


def list_jobs_named(prefix, job_queue):
    return list_jobs(jobQueue=job_queue, filters=[{"name": "JOB_NAME", "values": [f"{prefix}-*"]}])


def jobs_of_step(prefix, job_queue):
    """{job name: JobSummary} of a step's jobs and of those submitted again. The earliest of a name counts."""
    jobs: dict[str, dict] = {}
    for job in list_jobs_named(prefix, job_queue):
        if re.fullmatch(re.escape(prefix) + r"-\d+(-try\d+)?", job["jobName"]):
            earlier = jobs.get(job["jobName"], job)
            jobs[job["jobName"]] = min(earlier, job, key=lambda j: (j.get("createdAt", 0), j["jobId"]))
    return jobs


def terminate_jobs(ids, reason):
    """Cancel the jobs that wait and terminate those that run. A job that has ended meanwhile stays as it is.

    Raises:
        PollLater: this invocation's time is nearly over. Those terminated so far end, and the next poll continues.
    """
    # Job by job: TerminateJobs takes 50 at once, but the boto3 of a Lambda runtime may be too old to have it.
    for number, id in enumerate(ids):
        if number and time_is_up():
            raise PollLater(f"{number} of {len(ids)} jobs terminated in the time of this invocation", settling=True)
        terminate_job(id, shorten(reason, TERMINATE_REASON_CHARACTERS))


def terminate_job(id, reason):
    """Terminate a job. While Batch throttles, try again until this invocation's time is nearly over."""
    while True:
        try:
            call_aws(client("batch").terminate_job, jobId=id, reason=reason)
            return
        except PollLater as trouble:
            if not is_throttling(trouble.__cause__) or time_is_up():
                raise
        except UnconfirmedError as error:
            if error_code(error) != "ClientException":
                raise
            log("job not terminated", level="WARNING", job_id=id, refusal=str(error))  # Batch doesn't know it
            return
        time.sleep(random.uniform(0.1, 1.5))  # Batch grants each account a number of calls per second
