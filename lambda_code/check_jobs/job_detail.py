"""Read a JobDetail, as DescribeJobs returns it.

https://docs.aws.amazon.com/batch/latest/APIReference/API_JobDetail.html"""

import re
from datetime import datetime

TERMINAL = ("SUCCEEDED", "FAILED")
EXECUTION_TAG = "sagemaker-batch:execution"  # submit_jobs writes the last part of the execution's ARN on each job
STEP_TAG = "sagemaker-batch:step"  # and the step's name
EXECUTION_STOPPED = "The pipeline execution was stopped"  # begins the statusReason of the jobs terminated then
STOPPED_TAG = "sagemaker-batch:stopped"  # on an array that was terminated then, with the time of the stop
DEADLINE_PASSED = "The pipeline step's deadline has passed."  # the statusReason of the jobs it ended
SECONDS_UNTIL_COUNTED = 300  # Batch doesn't document how far an array's statusSummary may be behind


def try_of(job):
    """The try of its step in which a job was submitted again, from its name. 0 if submit_jobs submitted it."""
    number = re.search(r"-try(\d+)$", job.get("jobName", ""))
    return int(number[1]) if number else 0


def first_name(job):
    """The name of the job that submit_jobs submitted, of which this is perhaps a later one."""
    return re.sub(r"-try\d+$", "", job["jobName"])


def was_ended_by_stop_event(job):
    """Whether the job was terminated because its execution was stopped, perhaps before the step began to wait."""
    # Batch returns the reason of TerminateJob with the job. What it says of an array isn't documented, hence the tag.
    return (job.get("statusReason") or "").startswith(EXECUTION_STOPPED) or STOPPED_TAG in (job.get("tags") or {})


def stopped_because(time):
    """The reason to terminate a job for an event of a stop, with the event's time."""
    return f"{EXECUTION_STOPPED} at {time}."


def stop_of(job):
    """When the execution was stopped whose event has terminated this job, in seconds since 1970. 0 if it isn't known.

    Not when the job ended, which is later if the event was late or the container took its time.
    """
    reason = re.fullmatch(stopped_because("(.+)"), job.get("statusReason") or "")
    time = (job.get("tags") or {}).get(STOPPED_TAG) or (reason[1] if reason else "")
    try:
        return datetime.fromisoformat(time).timestamp()
    except ValueError:  # earlier versions wrote no time
        return 0.0


def environment_of(job):
    return {pair["name"]: pair["value"] for pair in job.get("container", {}).get("environment", [])}


def array_of(job):
    """The size of an array, and its children by status. A plain job has the size 1 and no children."""
    array = job.get("arrayProperties") or {}
    return array.get("size") or 1, array.get("statusSummary") or {}


def index_of(job):
    return (job.get("arrayProperties") or {}).get("index", 0)


def unfinished_jobs(job):
    """Count the jobs that the deadline has ended, which are the job itself or an array's children."""
    size, children = array_of(job) if job else (1, {})
    ended = ("SUCCEEDED",) if job and job["status"] == "FAILED" else TERMINAL
    return size - sum(children.get(status, 0) for status in ended)


def has_just_ended(job, now):
    # A time far ahead is of a clock that was set back since.
    return abs(now - (job.get("stoppedAt") or 0) / 1000) < SECONDS_UNTIL_COUNTED


def is_behind(job, now):
    """Whether the counts of an array that has just ended may still be those of a moment before."""
    size, children = array_of(job)
    counted = sum(children.get(status, 0) for status in TERMINAL)
    return size > 1 and counted < size and has_just_ended(job, now)


def last_attempt(job):
    """Why and where the job's last attempt ended. Exit code and log stream are None if its container never started."""
    attempt = (job.get("attempts") or [{}])[-1]
    containers = (attempt.get("container") or {}, job.get("container") or {})
    end = {
        key: next((c[member] for c in containers if c.get(member) not in (None, "")), None)
        for key, member in (("exit_code", "exitCode"), ("reason", "reason"), ("log_stream", "logStreamName"))
    }
    end["reason"] = end["reason"] or job.get("statusReason") or attempt.get("statusReason") or "no reason given"
    return end
