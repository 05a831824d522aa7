"""Which jobs and which children of arrays have failed, and the report of what they worked on."""

import json
import tempfile
import time

from aws import lines_of, open_object, put_object
from batch_jobs import describe_jobs, list_jobs
from errors import PollLater, UnconfirmedError
from job_detail import array_of, environment_of, has_just_ended, index_of, last_attempt
from log import log

JOBS_TO_DESCRIBE = 1_000  # of a step's failed children, for their log streams: ten calls of DescribeJobs
FAILED_JOBS_TO_LOG = 20


def log_failed(jobs):
    for job in jobs:
        log("job failed", level="WARNING", job_id=job["jobId"], job_name=job["jobName"], **last_attempt(job))


def first_failed(jobs):
    """The JobDetail of the plain job or array child that failed first, as far as it takes no long search."""
    failed = [job for job in jobs if job["status"] == "FAILED" or array_of(job)[1].get("FAILED")]
    job = min(failed, key=lambda job: (job.get("stoppedAt", float("inf")), job["jobName"]))
    if array_of(job)[0] == 1:
        return job
    child = next(list_jobs(arrayJobId=job["jobId"], jobStatus="FAILED"), None)
    return describe_jobs([child["jobId"]]).get(child["jobId"], job) if child else job


def report_failures(report_uri, jobs, logged=""):
    """Log the first failures, and write all failed items to the report. It is a manifest for the next run.

    Args:
        report_uri: s3:// URI of the report. Without it the failures are only logged.
        jobs: JobDetails of those that have not succeeded. Of an array, the children count.
        logged: the id of a job that is in the log already.
    """
    to_describe, to_log = JOBS_TO_DESCRIBE, FAILED_JOBS_TO_LOG
    with tempfile.TemporaryFile() as report:  # the failures of a million items are more than fits into memory
        for job in jobs:
            endings = failed_endings(job, to_describe)
            to_describe = max(0, to_describe - len(endings))
            log_failed([ending for ending in endings[:to_log] if ending["jobId"] != logged])
            to_log = max(0, to_log - len(endings))
            if report_uri:
                report.writelines(report_lines(job, endings))
        if report_uri:
            report.seek(0)
            put_object(report_uri, report)


def report_lines(job, endings):
    items = items_of(job, {index_of(ending) for ending in endings})
    for ending in endings:
        failure = {"job_id": ending["jobId"], "job_name": ending["jobName"], **last_attempt(ending)}
        yield json.dumps({**items[index_of(ending)], "batch_failure": failure}).encode() + b"\n"


def failed_endings(job, to_describe):
    """Return the failed jobs of a job. They are the job itself, or an array's children that have not succeeded.

    Args:
        to_describe: how many children to describe for their log streams, which ListJobs leaves out.
    """
    size, children = array_of(job)
    if size == 1:
        return [job]
    failed = {index_of(child): child for child in list_jobs(arrayJobId=job["jobId"], jobStatus="FAILED")}
    details = describe_jobs([child["jobId"] for child in list(failed.values())[:to_describe]])
    failed = {index: details.get(child["jobId"], child) for index, child in failed.items()}
    if len(failed) < size - children.get("SUCCEEDED", 0):  # ended before all had begun, or the list is behind
        if has_just_ended(job, time.time()):
            raise PollLater("an array has ended, but not all of its failed children are listed yet", settling=True)
        succeeded = {index_of(child) for child in list_jobs(arrayJobId=job["jobId"], jobStatus="SUCCEEDED")}
        failed |= {index: not_begun(job, index) for index in set(range(size)) - succeeded - failed.keys()}
    return [failed[index] for index in sorted(failed)]


def not_begun(array, index):
    """Describe a child that the array's end left without a job detail, with the array's reason."""
    child = {"jobId": f"{array['jobId']}:{index}", "jobName": array["jobName"], "arrayProperties": {"index": index}}
    return {**child, "statusReason": array.get("statusReason", "it had not ended")}


def items_of(job, indices):
    """Return {index: item} of a job or of these children. An item is a line of the manifest, or the two parameters."""
    uri = environment_of(job).get("MANIFEST_URI", "")
    if "/_jobs/" not in uri:  # not written by submit_jobs: a variable of the job's own
        parameters = job.get("parameters", {})
        return {index: {"input": parameters.get("s3Input"), "output": parameters.get("s3Output")} for index in indices}
    lines = enumerate(lines_of(open_object(uri)))
    items = {index: json.loads(line) for index, line in lines if index in indices}
    if len(items) < len(indices):
        raise UnconfirmedError(f"{uri} has no line for each job of {job['jobName']}. Start a new execution.")
    return items
