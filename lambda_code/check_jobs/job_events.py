"""Push: EventBridge reports a job's end, and its step is answered at once. Polling goes on for events that get lost.

https://docs.aws.amazon.com/batch/latest/userguide/batch_job_events.html
"""

import re

from batch_jobs import jobs_of_step
from callback import answer
from errors import PollLater
from job_detail import TERMINAL, first_name
from log import log, log_context, log_unexpected
from polling import poll
from push_token import registered_step


def on_job_event(job):
    """Answer the job's step if it waited for this end only. If anything goes wrong here, a later poll answers it.

    Args:
        job: the event's detail, a JobDetail.
    """
    log_context(job_id=job["jobId"], job_name=job["jobName"], status=job["status"])
    name = re.fullmatch(r"(.+)-(\d+)(-try\d+)?", job["jobName"])
    if job["status"] not in TERMINAL or ":" in job["jobId"] or not name:
        return log("event ignored")
    try:
        jobs = jobs_of_step(name[1], job["jobQueue"])
        jobs.setdefault(job["jobName"], {"jobId": job["jobId"]})["status"] = job["status"]
        unfinished = sum(other["status"] not in TERMINAL for other in jobs.values())
        first_jobs = {name: other for name, other in jobs.items() if first_name({"jobName": name}) == name}
        if unfinished and job["status"] == "SUCCEEDED":
            return log("job ended, others go on", unfinished=unfinished)
        step = registered_step(first_jobs)
        if step is None:
            return log("job ended, no step registered yet")
        log_context(execution=step.execution_arn, job_ids=step.job_ids)
        return answer(step, poll(step, ended={job["jobId"]: job}), path="push")
    except PollLater as reason:
        return log("job ended, left to polling", reason=str(reason))
    except Exception as error:  # noqa: BLE001 - raising would only make Lambda repeat what polling does better
        return log_unexpected(error)
