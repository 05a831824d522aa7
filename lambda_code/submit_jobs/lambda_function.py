"""Submit the AWS Batch jobs of one pipeline step, and return their ids. Called by a LambdaStep.

The event (all values are strings or numbers: a LambdaStep can pass nothing else):

    input_uri        s3:// prefix to read from
    output_uri       s3:// prefix to write to
    max_jobs         how many jobs, 1 to 1,000: job i reads {input_uri}/file_{i:02d}.json
                     and writes {output_uri}/output_{i:02d}.json
    job_queue        name or ARN of the Batch job queue
    job_definition   name, name:revision or ARN of the job definition; its command uses Ref::s3Input and Ref::s3Output
    execution_id     ARN of the pipeline execution (ExecutionVariables.PIPELINE_EXECUTION_ARN)
    step_name        name of the pipeline step
    input_name       optional, how an input is called under input_uri; default "file_{i:02d}.json"
    output_name      optional, how an output is called under output_uri; default "output_{i:02d}.json"

Returns {"statusCode": 200, "jobIds": ..., "jobCount": ..., "submittedCount": ...}. A step's output holds 1,024
characters, so `jobIds` is either the ids joined by spaces or, when they would not fit, the s3:// URI of a list of them.

Calling it twice with the same execution_id and step_name submits nothing twice: jobs are named after both, and
the second call finds the first call's jobs by their names. A call that was cut short is completed by the next one.

Permissions of its role (Batch allows no resources narrower than "*" for ListJobs):
    batch:SubmitJob, batch:TagResource   the job queue, the job definition; jobs
    batch:ListJobs                       *
    batch:TerminateJob                   jobs (only for a job that Batch accepted twice)
    s3:PutObject                         output_uri/_jobs/* (only when the ids don't fit)
    logs:CreateLogGroup, logs:CreateLogStream, logs:PutLogEvents

https://docs.aws.amazon.com/batch/latest/userguide/service_limits.html
https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-steps-types.html
"""

import functools
import json
import random
import re
import time

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as BotoConnectionError

MAX_JOBS = 1_000
STEP_OUTPUT_CHARACTERS = 1_024
SECONDS_TO_KEEP_IN_HAND = 10  # stop submitting this long before the function's timeout, to say what happened
REQUIRED = ("input_uri", "output_uri", "max_jobs", "job_queue", "job_definition", "execution_id", "step_name")
OPTIONAL = {"input_name": "file_{i:02d}.json", "output_name": "output_{i:02d}.json"}


class BadEvent(ValueError):
    """The event is not one this function can work with; the message says why and what to pass instead."""


@functools.cache
def client(service):
    # SubmitJob has no idempotency token, so botocore must not resend it by itself: submit() decides that.
    attempts = 1 if service == "batch" else 5
    return boto3.client(service, config=Config(retries={"mode": "standard", "total_max_attempts": attempts}))


def log(message, **fields):
    print(json.dumps({"message": message, **fields}, default=str))


def lambda_handler(event, context):
    options = validate(event)
    prefix = f"{execution_name(options['execution_id'])}-{options['step_name']}"
    requests = job_requests(options, prefix)
    give_up_at = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - SECONDS_TO_KEEP_IN_HAND

    found = jobs_by_name(options["job_queue"], f"{prefix}-*", give_up_at)
    ids = {name: jobs[0]["jobId"] for name, jobs in found.items() if name in requests}
    missing = [request for name, request in requests.items() if name not in ids]
    for request in missing:
        ids[request["jobName"]] = submit(request, give_up_at)
    if missing:
        ids.update(settle_duplicates(options["job_queue"], prefix, requests, give_up_at))

    job_ids = fit_step_output([ids[name] for name in requests], options["output_uri"], prefix)
    log(
        "jobs submitted",
        execution=options["execution_id"],
        step=options["step_name"],
        jobs=len(requests),
        submitted=len(missing),
        found=len(requests) - len(missing),
        job_ids=job_ids,
    )
    return {"statusCode": 200, "jobIds": job_ids, "jobCount": len(requests), "submittedCount": len(missing)}


def validate(event):
    """The event's options with defaults filled in; raises BadEvent with one sentence for what is wrong."""
    if not isinstance(event, dict):
        raise BadEvent(f"The event must be a JSON object with {', '.join(REQUIRED)}, but it is {event!r}.")
    missing = [key for key in REQUIRED if event.get(key) in (None, "")]
    if missing:
        raise BadEvent(f"The event lacks {', '.join(missing)}: pass them in the LambdaStep's inputs.")
    unknown = sorted(set(event) - set(REQUIRED) - set(OPTIONAL))
    if unknown:
        raise BadEvent(f"The event has unknown keys {', '.join(unknown)}: use {', '.join((*REQUIRED, *OPTIONAL))}.")
    options = {**OPTIONAL, **event}
    for key in options:
        if key != "max_jobs" and not isinstance(options[key], str):
            raise BadEvent(f"{key} must be a string, but it is {options[key]!r}.")
    options["max_jobs"] = whole_number("max_jobs", options["max_jobs"], 1, MAX_JOBS)
    for key in ("input_uri", "output_uri"):
        options[key] = options[key].rstrip("/")
        if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.+)?", options[key]):
            raise BadEvent(f"{key} must look like s3://bucket/prefix, but it is {options[key]!r}.")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", options["step_name"]):
        raise BadEvent(f"step_name must be 1 to 64 letters, digits, '-' or '_', but it is {options['step_name']!r}.")
    execution_name(options["execution_id"])
    for key in OPTIONAL:
        options[key] = name_pattern(key, options[key])
    return options


def whole_number(key, value, low, high):
    """The value as an int; a pipeline passes numbers as int, float ("12.0") or string."""
    try:
        number = int(value) if not isinstance(value, float) or value.is_integer() else None
    except (TypeError, ValueError):
        number = None
    if isinstance(value, bool) or number is None or not low <= number <= high:
        raise BadEvent(f"{key} must be a whole number from {low} to {high:,}, but it is {value!r}.")
    return number


def name_pattern(key, pattern):
    """The pattern, once it is known to give every job a name of its own."""
    try:
        names = {pattern.format(i=i) for i in (1, 2)}
    except (IndexError, KeyError, ValueError, AttributeError) as error:
        raise BadEvent(f"{key} must be like 'file_{{i:02d}}.json', but it is {pattern!r} ({error}).") from error
    if len(names) < 2:
        raise BadEvent(f"{key} must contain {{i}}, the job's number, or all jobs share one object: it is {pattern!r}.")
    return pattern


def execution_name(execution_id):
    """The last part of the execution's ARN: the part of a job's name that tells one execution from the next."""
    name = execution_id.rsplit("/", 1)[-1]
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,49}", name):
        raise BadEvent(
            "execution_id must be a pipeline execution's ARN, or up to 50 letters, digits, '-' or '_', "
            f"but it is {execution_id!r}."
        )
    return name


def job_requests(options, prefix):
    """{job name: SubmitJob parameters}, one for each job, in order. Names have at most 50 + 64 + 6 characters."""
    return {
        name: {
            "jobName": name,
            "jobQueue": options["job_queue"],
            "jobDefinition": options["job_definition"],
            "parameters": {
                "s3Input": f"{options['input_uri']}/{options['input_name'].format(i=i)}",
                "s3Output": f"{options['output_uri']}/{options['output_name'].format(i=i)}",
            },
            "tags": {
                "sagemaker-batch:execution": execution_name(options["execution_id"]),
                "sagemaker-batch:step": options["step_name"],
            },
        }
        for i in range(1, options["max_jobs"] + 1)
        for name in [f"{prefix}-{i:02d}"]
    }


def jobs_by_name(job_queue, name, give_up_at):
    """{job name: its summaries, the earliest first} in whatever status; the name may end in *."""
    found = {}
    request = {
        "jobQueue": job_queue,
        # With a filter ListJobs looks at all statuses; alone it would show the RUNNING jobs only.
        "filters": [{"name": "JOB_NAME", "values": [name]}],
        "maxResults": 100,
    }
    while True:
        page = calling(client("batch").list_jobs, request, give_up_at)
        for job in page["jobSummaryList"]:
            found.setdefault(job["jobName"], []).append(job)
        if not page.get("nextToken"):
            break
        request["nextToken"] = page["nextToken"]
    for jobs in found.values():
        jobs.sort(key=lambda job: (job.get("createdAt", 0), job["jobId"]))
    return found


def submit(request, give_up_at):
    """Submit one job; returns its id. After an answer that leaves open whether Batch took the job, it looks first."""
    while True:
        try:
            return client("batch").submit_job(**request)["jobId"]
        except (ClientError, BotoCoreError) as error:
            pause_or_raise(error, give_up_at, request["jobName"])
            if not is_throttling(error):
                jobs = jobs_by_name(request["jobQueue"], request["jobName"], give_up_at)
                if request["jobName"] in jobs:
                    return jobs[request["jobName"]][0]["jobId"]


def settle_duplicates(job_queue, prefix, requests, give_up_at):
    """Where Batch has two jobs of one name (two calls of this function at once), keep the earliest: {name: its id}."""
    winners = {}
    for name, jobs in jobs_by_name(job_queue, f"{prefix}-*", give_up_at).items():
        if name not in requests:
            continue
        winners[name] = jobs[0]["jobId"]
        for duplicate in jobs[1:]:
            log("job submitted twice, terminating the later one", job_name=name, job_id=duplicate["jobId"])
            terminate = {"jobId": duplicate["jobId"], "reason": f"Duplicate of job {winners[name]}"}
            calling(client("batch").terminate_job, terminate, give_up_at)
    return winners


def calling(operation, request, give_up_at):
    """Call an operation that may safely be repeated, until it is no longer throttled or failing on Batch's side."""
    while True:
        try:
            return operation(**request)
        except (ClientError, BotoCoreError) as error:
            pause_or_raise(error, give_up_at, request.get("jobName", ""))


def pause_or_raise(error, give_up_at, job_name):
    """Wait a random moment before the next try; raises the error when trying again can't help or time is up."""
    if not (is_throttling(error) or is_unclear(error)):
        raise error
    if time.monotonic() >= give_up_at:
        raise TimeoutError(
            f"Batch kept refusing calls until this function's timeout came near ({error}); "
            "run the step again: it goes on where this call stopped."
        ) from error
    log("retrying", error=str(error), job_name=job_name)
    time.sleep(random.uniform(0.1, 1.5))  # around 1 s: the account's whole budget of 50 calls a second comes anew


def is_throttling(error):
    """Batch refused the call for its rate: it certainly did nothing."""
    if not isinstance(error, ClientError):
        return False
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status == 429 or error.response["Error"]["Code"] in {
        "TooManyRequestsException",
        "ThrottlingException",
        "Throttling",
        "RequestLimitExceeded",
    }


def is_unclear(error):
    """The answer got lost or is Batch's own failure: the call may or may not have been done."""
    if isinstance(error, ClientError):
        return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500
    return isinstance(error, (HTTPClientError, BotoConnectionError))


def fit_step_output(job_ids, output_uri, prefix):
    """The ids joined by spaces, or the s3:// URI of a list of them when they don't fit a step's output."""
    joined = " ".join(job_ids)
    if len(joined) <= STEP_OUTPUT_CHARACTERS:
        return joined
    bucket, _, folder = output_uri.removeprefix("s3://").partition("/")
    key = "/".join(part for part in (folder, "_jobs", f"{prefix}.json") if part)
    client("s3").put_object(
        Bucket=bucket, Key=key, Body=json.dumps({"job_ids": job_ids}).encode(), ContentType="application/json"
    )
    return f"s3://{bucket}/{key}"
