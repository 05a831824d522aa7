"""The sentences that SageMaker shows as a step's failure reason, and the outputs of a step that succeeded."""

from job_detail import DEADLINE_PASSED, EXECUTION_STOPPED, EXECUTION_TAG, STEP_TAG, last_attempt, unfinished_jobs

FAILURE_REASON_CHARACTERS = 256


def shorten(text, length=FAILURE_REASON_CHARACTERS):
    return text if len(text) <= length else text[: length - 1] + "…"


def outputs_of(counts, failed_items_uri="", output_uri=""):
    numbers = {"jobs_total": counts.total, "jobs_succeeded": counts.succeeded, "jobs_failed": counts.failed}
    outputs = {"job_status": "Completed", **{name: str(number) for name, number in numbers.items()}}
    outputs["failed_items_uri"] = failed_items_uri
    return {**outputs, "output_uri": output_uri} if output_uri else outputs  # a step names it where it is told it


def failure_reason(job, counts):
    """Describe the job that failed first by its name, exit code, reason and log stream."""
    end = last_attempt(job)
    child = f"[{job['arrayProperties']['index']}]" if "index" in (job.get("arrayProperties") or {}) else ""
    many = f" ({counts.failed} of {counts.total} jobs failed)" if counts.failed > 1 else ""
    exit_code = f", exit code {end['exit_code']}" if end["exit_code"] is not None else ""
    log_stream = f". Log stream: {end['log_stream']}" if end["log_stream"] else ""
    head = f"Job {job['jobName']}{child} failed{many}{exit_code}: "
    room = FAILURE_REASON_CHARACTERS - len(head) - len(log_stream)
    return (head + shorten(end["reason"].rstrip(". "), max(room, 40)) + log_stream)[:FAILURE_REASON_CHARACTERS]


def deadline_reason(step, counts, late, now):
    first = counts.jobs.get(late[0], {"jobName": late[0], "status": "UNKNOWN"})
    why = f" ({first['statusReason']})" if first.get("statusReason") not in (None, DEADLINE_PASSED) else ""
    if step.age(now) > step.deadline_seconds:
        limit = f"the deadline of {step.deadline_seconds:.0f} s"
    else:
        limit = f"{step.polls} polls" if step.is_past_deadline(now) else "the deadline"
    unfinished = sum(unfinished_jobs(counts.jobs.get(id)) for id in late)
    return shorten(
        f"{unfinished} of {counts.total} jobs were unfinished after {limit} and terminated. "
        f"The first is {first['jobName']}: {first['status']}{why}"
    )


def stopped_reason(counts):
    return f"{EXECUTION_STOPPED}. {len(counts.unfinished)} of {len(counts.jobs)} jobs were terminated."


def unknown_reason(counts):
    return (
        f"AWS Batch does not know {len(counts.unknown)} of {counts.total} jobs, first {counts.unknown[0]}: "
        "the id is wrong, or the job ended over 7 days ago. Start a new execution."
    )


def mistake_reason(job):
    tags = job["tags"]
    name = tags.get(STEP_TAG, "...")
    return shorten(
        f"The jobs are of another execution, {tags[EXECUTION_TAG]}, since only the waiting step was selected. "
        f'Select the step that submits them too, with a BatchStep both "{name}-Submit" and "{name}".'
    )
