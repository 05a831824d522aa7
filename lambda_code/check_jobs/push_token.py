"""Keep the step's callback token as a tag of its first job. There an event about a job finds its step."""

import re

from aws import call_aws, client
from batch_jobs import describe_jobs
from errors import PollLater, UnconfirmedError
from log import log
from model import PendingStep
from settings import job_queues

TOKEN_TAG, ARN_TAG, COUNT_TAG = "sagemaker-batch:token", "sagemaker-batch:execution-arn", "sagemaker-batch:jobs"
SENT_TAG = "sagemaker-batch:sent"
TOLERATED_TAG, REPORT_TAG = "sagemaker-batch:tolerated-failure-percentage", "sagemaker-batch:report-uri"
OUTPUT_TAG, BEFORE_TAG = "sagemaker-batch:output-uri", "sagemaker-batch:succeeded-before"


def register_push_token(step, ids, jobs):
    """Write the step on its first job. Returns whether it is there, and whether it is new."""
    names = [re.fullmatch(r"(.+)-(\d+)", jobs[id]["jobName"]) for id in ids if id in jobs]
    if len(names) < len(ids) or None in names or len({name[1] for name in names if name}) > 1:
        return False, False  # not submitted by submit_jobs in one step, or not all visible yet
    tags = tags_of(step, len(ids))
    first = min((jobs[id] for id in ids), key=job_number)
    if job_queues() and first["jobQueue"].rpartition("/")[2] not in [name.rpartition("/")[2] for name in job_queues()]:
        return False, False  # the event rule is for these queues, so that no event will come
    if tags.items() <= first.get("tags", {}).items():
        return True, False
    if not all(re.fullmatch(r"[\w .:/=+@-]{1,256}", value) for value in tags.values()):
        return False, False  # a tag can't hold it, so only polling answers
    try:
        call_aws(client("batch").tag_resource, resourceArn=first["jobArn"], tags=tags)
    except (PollLater, UnconfirmedError) as trouble:
        log("could not tag the first job, polling only", level="WARNING", job_id=first["jobId"], error=str(trouble))
        return False, False
    return True, True


def tags_of(step, number_of_jobs):
    tags = {TOKEN_TAG: step.token, ARN_TAG: step.execution_arn, COUNT_TAG: str(number_of_jobs)}
    tags[SENT_TAG] = str(step.sent)
    if step.tolerated_failure_percentage is not None:
        tags[TOLERATED_TAG] = str(step.tolerated_failure_percentage)
    if step.report_uri:
        tags[REPORT_TAG] = step.report_uri
    if step.output_uri:
        tags[OUTPUT_TAG] = step.output_uri
    if step.succeeded_before:
        tags[BEFORE_TAG] = str(step.succeeded_before)
    return tags


def registered_step(summaries):
    """Return the PendingStep that the first poll wrote on the first job, or None if it or a job is missing.

    Args:
        summaries: {job name: JobSummary} of the jobs that submit_jobs submitted.
    """
    jobs = sorted(({"jobName": name, **job} for name, job in summaries.items()), key=job_number)
    first = describe_jobs([jobs[0]["jobId"]]).get(jobs[0]["jobId"], {})
    tags = first.get("tags", {})
    if TOKEN_TAG not in tags or int(tags[COUNT_TAG]) != len(jobs):
        return None
    return PendingStep(
        token=tags[TOKEN_TAG],
        execution_arn=tags[ARN_TAG],
        job_ids=" ".join(job["jobId"] for job in jobs),
        tolerated_failure_percentage=float(tags[TOLERATED_TAG]) if TOLERATED_TAG in tags else None,
        report_uri=tags.get(REPORT_TAG, ""),
        output_uri=tags.get(OUTPUT_TAG, ""),
        succeeded_before=int(tags.get(BEFORE_TAG, 0)),
        sent=float(tags.get(SENT_TAG, 0)),
    )


def job_number(job):
    return int(job["jobName"].rsplit("-", 1)[1])
