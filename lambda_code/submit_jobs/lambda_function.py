"""Submit the AWS Batch jobs of one pipeline step, each once. A LambdaStep calls it with what README.md lists.

The event has the step's inputs. From them the function works out which jobs there must be. Their names follow from
execution, step and number, so it recognizes jobs that an earlier call has submitted.
It returns the jobs' ids, for the CallbackStep that waits for them.
"""

import json
import time

from event import STEP_OUTPUT_CHARACTERS, jobs_folder, report_uri, validate
from job_requests import job_requests
from log import log
from s3 import put
from selection import refuse_partial_selection
from submitting import submit_missing

SECONDS_TO_KEEP_IN_HAND = 10  # stop submitting this long before the function's timeout, to say what happened


def lambda_handler(event, context):
    """Submit the jobs that are not submitted yet.

    Args:
        event: the LambdaStep's inputs.
        context: Lambda's, for the time left.

    Returns:
        {"statusCode": 200, "jobIds": ..., "jobCount": ..., "submittedCount": ..., "reportUri": ...}, and with a trial
        {"trialCount": ...}

    Raises:
        BadEvent: the inputs are wrong. Nothing was submitted.
        TimeoutError: there was not enough time. Call it again, and it continues.
    """
    options = validate(event)
    refuse_partial_selection(options)
    requests, trial = job_requests(options)
    give_up_at = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - SECONDS_TO_KEEP_IN_HAND
    ids, submitted = submit_missing(options, requests, give_up_at)
    put(f"{jobs_folder(options)}/requests.json", json.dumps(requests))  # what check_jobs submits again after a retry
    list_name = "trial_job_ids.json" if options["only_trial"] else "job_ids.json"
    job_ids = fit_step_output([ids[name] for name in requests], f"{jobs_folder(options)}/{list_name}")
    log(
        "jobs submitted",
        execution=options["execution_id"],
        step=options["step_name"],
        jobs=len(requests),
        submitted=submitted,
        submitted_before=len(requests) - submitted,
        job_ids=job_ids,
    )
    return {
        "statusCode": 200,
        "jobIds": job_ids,
        "jobCount": len(requests),
        "submittedCount": submitted,
        "reportUri": report_uri(options),
        **({"trialCount": trial} if "trial" in options else {}),
    }


def fit_step_output(job_ids, uri):
    """The ids joined by spaces, the s3:// URI of a list of them when they don't fit a step's output, or "none"."""
    joined = " ".join(job_ids)
    if len(joined) <= STEP_OUTPUT_CHARACTERS:
        return joined or "none"
    put(uri, json.dumps({"job_ids": job_ids}))
    return uri
