"""Submit the AWS Batch jobs of one pipeline step, and return their ids. Called by a LambdaStep.

The event (all values are strings or numbers: a LambdaStep can pass nothing else; an empty one counts as not given):

    input_uri        s3:// prefix to read from
    output_uri       s3:// prefix to write to
    job_queue        name or ARN of the Batch job queue
    job_definition   name, name:revision or ARN of the job definition
    execution_id     ARN of the pipeline execution (ExecutionVariables.PIPELINE_EXECUTION_ARN)
    step_name        name of the pipeline step
    mode             "per_file" (default) or "array"

In the mode per_file there is one job a file, and the job definition's command uses Ref::s3Input and Ref::s3Output:

    max_jobs         how many, 1 to 1,000: job i reads {input_uri}/file_{i:02d}.json
                     and writes {output_uri}/output_{i:02d}.json
    input_name       optional, what an input is called; default "file_{i:02d}.json"
    output_name      optional, what an output is called; default "output_{i:02d}.json"

In the mode array there is one array job for up to 10,000 items, several for more, a plain job for a single one:

    manifest_uri     s3:// object with the items, one JSON object a line. Without it, the items are the objects under
                     input_uri, whatever their keys, each {"input": "s3://...", "output": "s3://..."}: the output keeps
                     the input's key below output_uri.
    max_jobs         optional, at most so many items
    may_be_empty     optional, "true" or "false" (default). With "true", no items or an empty manifest_uri are no error.
                     Then there are no jobs, jobIds is "none", and check_jobs lets the step succeed. For a step that
                     runs again what failed in another.

A job finds its item in line AWS_BATCH_JOB_ARRAY_INDEX (0 when it isn't set) of the object that its environment variable
MANIFEST_URI names. All lines are padded to MANIFEST_LINE_BYTES bytes, so a job reads only its own; see job_code/.

Returns {"statusCode": 200, "jobIds": ..., "jobCount": ..., "submittedCount": ..., "reportUri": ...}. A step's output
holds 1,024 characters, so `jobIds` is either the ids joined by spaces or, when they would not fit, the s3:// URI of a
list of them. `jobCount` counts the jobs submitted, an array as one. `reportUri` is where check_jobs may list the items
that failed; such a list can be the next run's manifest_uri. What this function writes is under {output_uri}/_jobs/.

Calling it twice with the same execution_id and step_name submits nothing twice: jobs are named after both, and
the second call finds the first call's jobs by their names. A call that was cut short is completed by the next one. A
second call that asks for something else (two steps with one step_name, in a copied cell for instance) is refused.

Permissions of its role (Batch allows no resources narrower than "*" for ListJobs and DescribeJobs):
    batch:SubmitJob, batch:TagResource   the job queue, the job definition; jobs
    batch:ListJobs, batch:DescribeJobs   *
    batch:TerminateJob                   jobs (only for a job that Batch accepted twice)
    s3:PutObject, s3:GetObject           output_uri/_jobs/* (when the ids don't fit; in the mode array)
    s3:GetObject                         manifest_uri (in the mode array)
    s3:ListBucket                        the bucket of input_uri (in the mode array)
    logs:CreateLogGroup, logs:CreateLogStream, logs:PutLogEvents

https://docs.aws.amazon.com/batch/latest/userguide/service_limits.html
https://docs.aws.amazon.com/batch/latest/userguide/array_jobs.html
https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-steps-types.html
"""

import contextlib
import functools
import hashlib
import json
import random
import re
import time

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as BotoConnectionError

MAX_FILE_JOBS = 1_000
MAX_ARRAY_SIZE = 10_000
MAX_ITEMS = 1_000_000  # Batch holds no more jobs in SUBMITTED
MAX_ITEM_CHARACTERS = 8_192
MAX_MANIFEST_BYTES = 32 * 1024 * 1024  # all lines are as long as the longest: with long items an array has fewer
DESCRIBE_JOBS_IDS = 100
STEP_OUTPUT_CHARACTERS = 1_024
SECONDS_TO_KEEP_IN_HAND = 10  # stop submitting this long before the function's timeout, to say what happened
REQUIRED = ("output_uri", "job_queue", "job_definition", "execution_id", "step_name")
KEYS_OF_MODE = {
    "per_file": {"input_uri", "max_jobs", "input_name", "output_name"},
    "array": {"input_uri", "manifest_uri", "max_jobs", "may_be_empty"},
}
MANIFEST_ERRORS = {
    "NoSuchKey": "there is no such object, so check manifest_uri",
    "NoSuchBucket": "there is no such bucket, so check manifest_uri",
    "AccessDenied": "there is no such object, or the role of this function lacks s3:GetObject on it",
}
REQUEST_TAG = "sagemaker-batch:request"  # what was asked for, as a digest


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
    folder = f"{options['output_uri']}/_jobs/{prefix}"
    report_uri = f"{folder}/failed.jsonl"
    if len(report_uri) > STEP_OUTPUT_CHARACTERS:
        raise BadEvent(f"output_uri is too long: a step's output holds {STEP_OUTPUT_CHARACTERS:,} characters.")
    requests = file_requests(options, prefix) if options["mode"] == "per_file" else array_requests(options, prefix)
    give_up_at = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - SECONDS_TO_KEEP_IN_HAND

    found = jobs_by_name(options["job_queue"], f"{prefix}-*", give_up_at)
    ids = {name: jobs[0]["jobId"] for name, jobs in found.items() if name in requests}
    refuse_others(options, ids, give_up_at)
    missing = [request for name, request in requests.items() if name not in ids]
    own = {request["jobName"]: submit(request, give_up_at) for request in missing}
    ids.update(own)
    if missing or any(len(jobs) > 1 for jobs in found.values()):
        winners = settle_duplicates(options["job_queue"], prefix, requests, give_up_at)
        try:
            refuse_others(options, {name: id for name, id in winners.items() if id != ids.get(name)}, give_up_at)
        except BadEvent:
            terminate(own.values(), "The step it was submitted for has the step_name of another.", give_up_at)
            raise
        ids.update(winners)

    job_ids = fit_step_output([ids[name] for name in requests], f"{folder}/job_ids.json") or "none"
    log(
        "jobs submitted",
        execution=options["execution_id"],
        step=options["step_name"],
        jobs=len(requests),
        submitted=len(missing),
        found=len(requests) - len(missing),
        job_ids=job_ids,
    )
    return {
        "statusCode": 200,
        "jobIds": job_ids,
        "jobCount": len(requests),
        "submittedCount": len(missing),
        "reportUri": report_uri,
    }


# Reading the event


def validate(event):
    """The event's options with defaults filled in; raises BadEvent with one sentence for what is wrong."""
    if not isinstance(event, dict):
        raise BadEvent(f"The event must be a JSON object with {', '.join(REQUIRED)}, but it is {event!r}.")
    options = {key: value for key, value in event.items() if value not in (None, "")}
    mode = options.setdefault("mode", "per_file")
    if mode not in KEYS_OF_MODE:
        raise BadEvent(f"mode must be per_file or array, but it is {mode!r}.")
    required = (*REQUIRED, "input_uri", "max_jobs") if mode == "per_file" else REQUIRED
    missing = [key for key in required if key not in options]
    if missing:
        raise BadEvent(f"The event lacks {', '.join(missing)}: pass them in the LambdaStep's inputs.")
    known = {*REQUIRED, "mode", *KEYS_OF_MODE[mode]}
    unknown = sorted(set(options) - known)
    if unknown:
        raise BadEvent(
            f"The event has unknown keys {', '.join(unknown)}: with mode {mode} use {', '.join(sorted(known))}."
        )
    for key, value in options.items():
        if key not in ("max_jobs", "may_be_empty") and not isinstance(value, str):
            raise BadEvent(f"{key} must be a string, but it is {value!r}.")
    for key in {"input_uri", "output_uri", "manifest_uri"} & set(options):
        options[key] = options[key].rstrip("/")
        if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.+)?", options[key]):
            raise BadEvent(f"{key} must look like s3://bucket/prefix, but it is {options[key]!r}.")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", options["step_name"]):
        raise BadEvent(f"step_name must be 1 to 64 letters, digits, '-' or '_', but it is {options['step_name']!r}.")
    execution_name(options["execution_id"])
    return validate_files(options) if mode == "per_file" else validate_items(options)


def validate_files(options):
    options["max_jobs"] = whole_number("max_jobs", options["max_jobs"], MAX_FILE_JOBS)
    for key, default in (("input_name", "file_{i:02d}.json"), ("output_name", "output_{i:02d}.json")):
        options[key] = name_pattern(key, options.get(key, default))
    return options


def validate_items(options):
    options["max_jobs"] = whole_number("max_jobs", options.get("max_jobs", MAX_ITEMS), MAX_ITEMS)
    options["may_be_empty"] = truth("may_be_empty", options.get("may_be_empty", False))
    given = {"input_uri", "manifest_uri"} & set(options)
    if len(given) == 2 or not (given or options["may_be_empty"]):
        raise BadEvent("With mode array pass either input_uri, whose objects are the items, or manifest_uri.")
    if f"{options['output_uri']}/".startswith(f"{options.get('input_uri')}/"):
        raise BadEvent(
            f"output_uri must not lie within input_uri ({options['input_uri']}): the next run would take the outputs "
            "for inputs."
        )
    return options


def whole_number(key, value, high):
    """The value as an int; a pipeline passes numbers as int, float (12.0) or string ("12", "12.0")."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = 0.0
    if isinstance(value, bool) or not (1 <= number <= high and number.is_integer()):
        more = "; for more, use mode array" if high == MAX_FILE_JOBS else ""
        raise BadEvent(f"{key} must be a whole number from 1 to {high:,}{more}, but it is {value!r}.")
    return int(number)


def truth(key, value):
    """The value as a bool; a pipeline passes truth values as bool or string ("true", "True")."""
    if str(value).lower() not in ("true", "false"):
        raise BadEvent(f"{key} must be true or false, but it is {value!r}.")
    return str(value).lower() == "true"


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


# What to submit


def file_requests(options, prefix):
    """{job name: SubmitJob parameters}, one job a file. Names have at most 50 + 64 + 6 characters."""
    return {
        name: {
            **common(options, name),
            "parameters": {
                "s3Input": f"{options['input_uri']}/{options['input_name'].format(i=i)}",
                "s3Output": f"{options['output_uri']}/{options['output_name'].format(i=i)}",
            },
        }
        for i in range(1, options["max_jobs"] + 1)
        for name in [f"{prefix}-{i:02d}"]
    }


def array_requests(options, prefix):
    """{job name: SubmitJob parameters}, one job for each array of items; their manifests are on S3 then."""
    requests = {}
    for number, array in enumerate(plan_arrays(options, prefix), 1):
        name = f"{prefix}-{number:02d}"
        environment = {"MANIFEST_URI": array["manifest_uri"], "MANIFEST_LINE_BYTES": str(array["line_bytes"])}
        requests[name] = {
            **common(options, name),
            "containerOverrides": {"environment": [{"name": k, "value": v} for k, v in environment.items()]},
        }
        if array["size"] > 1:  # Batch has no arrays of one; a plain job reads the first line
            requests[name]["arrayProperties"] = {"size": array["size"]}
    return requests


def common(options, name):
    return {
        "jobName": name,
        "jobQueue": options["job_queue"],
        "jobDefinition": options["job_definition"],
        "tags": {
            "sagemaker-batch:execution": execution_name(options["execution_id"]),
            "sagemaker-batch:step": options["step_name"],
            REQUEST_TAG: digest(options),
        },
    }


def digest(options):
    """What is asked for, in a few characters: the same for every call of one step."""
    return hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:16]


def plan_arrays(options, prefix):
    """[{manifest_uri, size, line_bytes}] of this execution and step: the first call's plan, whatever came since.

    Objects may have been added or deleted since, by the jobs of the first call for one; and two calls may be at work at
    once. So the plan is written only if there is none yet, and the manifests' names tell what is in them.
    """
    folder = f"{options['output_uri']}/_jobs/{prefix}"
    # Which plan it is depends on what is asked for: refuse_others() tells a step from another with its name.
    plan_uri = f"{folder}/plan-{digest(options)}.json"
    plan = get_if_there(plan_uri)
    if plan is not None:
        return json.loads(plan)
    if "manifest_uri" in options:
        items = read_manifest(options)
    else:
        items = list_objects(options) if "input_uri" in options else []
    if not items and not options["may_be_empty"]:
        source = options.get("manifest_uri") or f"{options['input_uri']}/"
        raise BadEvent(f"There is nothing to do: {source} holds no items.")
    items = items[: options["max_jobs"]]
    longest = max(map(len, items), default=0) + 1
    size = min(MAX_ARRAY_SIZE, MAX_MANIFEST_BYTES // longest)
    plan = [write_manifest(folder, items[first : first + size]) for first in range(0, len(items), size)]
    for _ in range(20):
        try:
            put(plan_uri, json.dumps(plan), IfNoneMatch="*")
            return plan
        except ClientError as error:
            if error.response["Error"]["Code"] == "PreconditionFailed":  # there is a plan
                return json.loads(get(plan_uri))
            if error.response["Error"]["Code"] != "ConditionalRequestConflict":  # another call is writing one just now
                raise
        time.sleep(random.uniform(0.1, 0.5))
    raise TimeoutError(f"S3 did not settle who writes {plan_uri}; run the step again.")


def read_manifest(options):
    """The items of a manifest as JSON texts. A list of failed items is one too, once their failures are left out."""
    uri = options["manifest_uri"]
    try:
        text = get(uri).decode("utf-8-sig")  # some editors begin a file with a byte order mark
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code not in MANIFEST_ERRORS:
            raise
        raise BadEvent(f"The manifest {uri} can't be read: {MANIFEST_ERRORS[code]}.") from error
    except UnicodeDecodeError as error:
        raise BadEvent(f"{uri} is not text in UTF-8: {error}.") from error
    lines = enumerate(text.split("\n"), 1)
    return [json.dumps(read_item(line.strip(), f"Line {number} of {uri}")) for number, line in lines if line.strip()]


def read_item(line, where):
    try:
        item = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadEvent(f"{where} is not JSON: {error}.") from error
    if not isinstance(item, dict):
        raise BadEvent(f"{where} is not a JSON object: {line[:80]!r}.")
    written = len(line)
    if item.pop("batch_failure", None) is not None:  # added by check_jobs: what is left has been accepted before
        written = len(json.dumps(item, ensure_ascii=False, separators=(",", ":")))
    if written > MAX_ITEM_CHARACTERS:
        raise BadEvent(
            f"{where} has {written:,} characters; at most {MAX_ITEM_CHARACTERS:,} are allowed: put what is long into "
            "an object, and its URI into the item."
        )
    return item


def list_objects(options):
    """The objects under input_uri as items, in the order of their keys."""
    bucket, folder = split(f"{options['input_uri']}/")
    items = []
    with naming(f"{options['input_uri']}/"):
        pages = list(client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=folder))
    for page in pages:
        for listed in page.get("Contents", []):
            name = listed["Key"].removeprefix(folder)
            if name and not name.endswith("/") and not name.startswith("_jobs/"):
                item = {"input": f"s3://{bucket}/{listed['Key']}", "output": f"{options['output_uri']}/{name}"}
                items.append(json.dumps(item))
    return items


def write_manifest(folder, items):
    """Write one array's items, one a line, all lines of one length: {manifest_uri, size, line_bytes}."""
    line_bytes = max(len(item) for item in items) + 1  # JSON texts are ASCII here: a character is a byte
    text = "".join(f"{item:<{line_bytes - 1}}\n" for item in items)
    uri = f"{folder}/items-{hashlib.sha256(text.encode()).hexdigest()[:16]}.jsonl"
    put(uri, text)
    return {"manifest_uri": uri, "size": len(items), "line_bytes": line_bytes}


# Submitting


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
        if time.monotonic() >= give_up_at:
            raise TimeoutError(
                "Not all jobs could be submitted before this function's timeout came near; run the step again: "
                "it goes on where this call stopped."
            )
        try:
            return client("batch").submit_job(**request)["jobId"]
        except (ClientError, BotoCoreError) as error:
            pause_or_raise(error, give_up_at, request["jobName"])
            for _ in range(0 if is_throttling(error) else 3):
                jobs = jobs_by_name(request["jobQueue"], request["jobName"], give_up_at)
                if request["jobName"] in jobs:
                    return jobs[request["jobName"]][0]["jobId"]
                time.sleep(2)  # ListJobs may be a little behind SubmitJob


def settle_duplicates(job_queue, prefix, requests, give_up_at):
    """Where Batch has two jobs of one name (two calls of this function at once), keep the earliest: {name: its id}."""
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
        calling(client("batch").terminate_job, {"jobId": id, "reason": reason}, give_up_at)


def refuse_others(options, ids, give_up_at):
    """Raise BadEvent if one of these jobs, by its name one of this step's, was submitted for something else."""
    unseen = list(ids.values())
    for _ in range(3):
        for first in range(0, len(unseen), DESCRIBE_JOBS_IDS):
            request = {"jobs": unseen[first : first + DESCRIBE_JOBS_IDS]}
            for job in calling(client("batch").describe_jobs, request, give_up_at)["jobs"]:
                unseen.remove(job["jobId"])
                if job.get("tags", {}).get(REQUEST_TAG, digest(options)) != digest(options):
                    raise BadEvent(
                        f"step_name {options['step_name']} has been used in this execution for other jobs, such as "
                        f"{job['jobName']}: give each submitting step a step_name of its own."
                    )
        if not unseen:
            return
        time.sleep(2)  # DescribeJobs may be a little behind ListJobs


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


# S3


def fit_step_output(job_ids, uri):
    """The ids joined by spaces, or the s3:// URI of a list of them when they don't fit a step's output."""
    joined = " ".join(job_ids)
    if len(joined) <= STEP_OUTPUT_CHARACTERS:
        return joined
    put(uri, json.dumps({"job_ids": job_ids}))
    return uri


def split(uri):
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


@contextlib.contextmanager
def naming(uri):
    """Add an object's URI to what S3 says, which doesn't name it."""
    try:
        yield
    except ClientError as error:
        text = f"{error.response['Error'].get('Message', '')} ({uri})"
        named = {**error.response, "Error": {**error.response["Error"], "Message": text}}
        raise ClientError(named, error.operation_name) from error


def get(uri):
    bucket, key = split(uri)
    with naming(uri):
        return client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()


def get_if_there(uri):
    """An object, or None. Where the bucket may not be listed, S3 says AccessDenied of what is not there."""
    try:
        return get(uri)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("NoSuchKey", "AccessDenied"):
            raise
        return None


def put(uri, text, **conditions):
    bucket, key = split(uri)
    with naming(uri):
        client("s3").put_object(
            Bucket=bucket, Key=key, Body=text.encode(), ContentType="application/json", **conditions
        )
