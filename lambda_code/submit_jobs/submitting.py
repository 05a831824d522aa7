"""Submit each job once. SubmitJob has no idempotency token, so jobs are recognized by their names."""

import re
import time

from botocore.exceptions import BotoCoreError, ClientError

from aws import call_aws, client, is_throttling, pause_or_raise
from event import BadEvent, digest, job_prefix
from job_options import TAKEN
from job_requests import REQUEST_TAG
from log import log

DESCRIBE_JOBS_IDS = 100


def jobs_by_name(job_queue, name, give_up_at):
    """Return {job name: its summaries, the earliest first} in any status. The name may end in *."""
    jobs_of: dict[str, list[dict]] = {}
    request = {
        "jobQueue": job_queue,
        # With a filter ListJobs shows jobs of all statuses, without one only those that are RUNNING.
        "filters": [{"name": "JOB_NAME", "values": [name]}],
        "maxResults": 100,
    }
    while True:
        page = call_aws(client("batch").list_jobs, request, give_up_at)
        for job in page["jobSummaryList"]:
            jobs_of.setdefault(job["jobName"], []).append(job)
        if not page.get("nextToken"):
            break
        request["nextToken"] = page["nextToken"]
    for jobs in jobs_of.values():
        jobs.sort(key=lambda job: (job.get("createdAt", 0), job["jobId"]))
    return jobs_of


def submit(request, give_up_at):
    """Submit one job, and return its id. If Batch's answer leaves open whether it took the job, list it first."""
    while True:
        if time.monotonic() >= give_up_at:
            raise TimeoutError(
                "Not all jobs could be submitted before this function's timeout came near. Run the step again. "
                "It continues where this call stopped."
            )
        try:
            return client("batch").submit_job(**request)["jobId"]
        except (ClientError, BotoCoreError) as error:
            refuse_reference(error, request)
            pause_or_raise(error, give_up_at, request["jobName"])
            for _ in range(0 if is_throttling(error) else 3):
                jobs = jobs_by_name(request["jobQueue"], request["jobName"], give_up_at)
                if request["jobName"] in jobs:
                    return jobs[request["jobName"]][0]["jobId"]
                time.sleep(2)  # ListJobs may be a little behind SubmitJob


def refuse_reference(error, request):
    """Raise BadEvent if Batch refuses the job for a `Ref::name` of the command to which no parameter was given.

    https://docs.aws.amazon.com/batch/latest/userguide/job_definition_parameters.html#parameters
    """
    if not isinstance(error, ClientError) or error.response["Error"]["Code"] != "ClientException":
        return
    # Batch may say more before and after, such as "Error executing request, Exception : ..., RequestId: ...".
    refused = re.search(r"No parameter found for reference ([^\s,]+)", error.response["Error"].get("Message", ""))
    if not refused:
        return
    name, definition = refused[1], request["jobDefinition"]
    if f"parameters.{name}" in TAKEN["per_file"]:
        cause = f"no item of an array gets a parameter {name}"
        cure = "Pass max_jobs with input_uri to BatchStep (mode per_file in the event)"
    else:
        cause = f"the step passes no parameter {name}"
        cure = f"Pass it in BatchStep's parameters (parameters.{name} in the event)"
    raise BadEvent(
        f"The command of job definition {definition} has Ref::{name}, but {cause}. {cure}, or take Ref::{name} out "
        "of the command."
    ) from error


def settle_duplicates(job_queue, prefix, requests, give_up_at):
    """Keep the earliest of two jobs with one name, which two calls at once have submitted. Returns {name: its id}."""
    winners = {}
    for name, jobs in jobs_by_name(job_queue, f"{prefix}-*", give_up_at).items():
        if name not in requests:
            continue
        winners[name] = jobs[0]["jobId"]
        for duplicate in jobs[1:]:
            log("job submitted twice, terminating the later one", job_name=name, job_id=duplicate["jobId"])
            terminate([duplicate["jobId"]], f"Duplicate of job {winners[name]}", give_up_at)
    return winners


def terminate(ids, reason, give_up_at):
    for id in ids:
        call_aws(client("batch").terminate_job, {"jobId": id, "reason": reason}, give_up_at)


def submit_missing(options, requests, give_up_at):
    """Submit the jobs that Batch doesn't have yet.

    Args:
        options: the event's.
        requests: {job name: SubmitJob parameters} of all jobs of the step.
        give_up_at: when to stop, on time.monotonic's clock.

    Returns:
        {job name: id} of all jobs, and how many of them this call submitted.

    Raises:
        BadEvent: jobs of these names were submitted for something else.
        TimeoutError: not all jobs could be submitted in time. The next call continues.
    """
    job_queue, prefix = options["job_queue"], job_prefix(options)
    earlier = jobs_by_name(job_queue, f"{prefix}-*", give_up_at)
    ids = {name: jobs[0]["jobId"] for name, jobs in earlier.items() if name in requests}
    refuse_others(options, ids, give_up_at)
    missing = [request for name, request in requests.items() if name not in ids]
    own = {request["jobName"]: submit(request, give_up_at) for request in missing}
    ids.update(own)
    if missing or any(len(jobs) > 1 for jobs in earlier.values()):
        winners = settle_duplicates(job_queue, prefix, requests, give_up_at)
        try:
            refuse_others(options, {name: id for name, id in winners.items() if id != ids.get(name)}, give_up_at)
        except BadEvent:
            terminate(own.values(), "The step it was submitted for has the step_name of another.", give_up_at)
            raise
        ids.update(winners)
    return ids, len(missing)


def refuse_others(options, ids, give_up_at):
    """Raise BadEvent if one of these jobs, by its name one of this step's, was submitted for something else."""
    unseen = list(ids.values())
    for _ in range(3):
        for first in range(0, len(unseen), DESCRIBE_JOBS_IDS):
            request = {"jobs": unseen[first : first + DESCRIBE_JOBS_IDS]}
            for job in call_aws(client("batch").describe_jobs, request, give_up_at)["jobs"]:
                unseen.remove(job["jobId"])
                if job.get("tags", {}).get(REQUEST_TAG, digest(options)) != digest(options):
                    raise BadEvent(
                        f"step_name {options['step_name']} has been used in this execution for other jobs, such as "
                        f"{job['jobName']}. Give each submitting step a different step_name."
                    )
        if not unseen:
            return
        time.sleep(2)  # DescribeJobs may be a little behind ListJobs
