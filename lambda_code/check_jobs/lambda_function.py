"""Look at the AWS Batch jobs a CallbackStep waits for, and answer the step once. Called by an SQS event source mapping.

A record's body, as SageMaker sends it:

    {"token": "...", "pipelineExecutionArn": "...", "arguments": {"job_ids": "..."}, "status": "Stopping"}

`status` is there only when the execution is being stopped; `arguments` are the CallbackStep's inputs:

    job_ids           what submit_jobs returned: ids joined by spaces, or the s3:// URI of a list of them
    deadline_seconds  optional; how long the step may wait before its jobs are terminated (default DEADLINE_SECONDS)

Every record is looked at alone, and comes to one of these ends:

    all jobs SUCCEEDED               the step succeeds with the outputs job_status=Completed, jobs_total,
                                     jobs_succeeded and jobs_failed
    a job FAILED                     the step fails with the job's name, exit code, reason and log stream
    the execution is being stopped   its jobs are terminated and the step is answered, so that the pipeline can stop
    past its deadline                its jobs are terminated and the step fails
    Batch doesn't know a job         the step fails after a few looks: right after SubmitJob it may only be late
    the message makes no sense       it goes to the dead-letter queue at once; the step fails if the token is readable
    else, and when throttled         not yet: its visibility is set to the next look and it is reported in
                                     batchItemFailures, so SQS delivers it again. The function never fails for this.

Answering a step twice is harmless: the second answer is refused by SageMaker, logged, and the message deleted.

Settings, as environment variables:

    POLL_MIN_SECONDS, POLL_MAX_SECONDS  bounds of the time between two looks (10, 300). A look comes after a quarter
                                        of the time the step has waited, so the answer is at most a quarter late.
    DEADLINE_SECONDS                    how long a step may wait (86400). Keep it under the queue's retention period.
    MAX_LOOKS                           how often one message may be looked at (900). Keep it under maxReceiveCount of
                                        the queue's redrive policy, which counts every look.
    PROBLEM_LOOKS                       how many looks an unknown job or a refused call is given before it counts (5)
    DEAD_LETTER_QUEUE_URL               where unreadable messages go; without it the redrive policy moves them in time

The mapping needs FunctionResponseTypes=["ReportBatchItemFailures"].

Permissions of its role (Batch allows no resources narrower than "*" for DescribeJobs):
    sqs:ReceiveMessage, sqs:DeleteMessage, sqs:GetQueueAttributes   the queue (used by the mapping)
    sqs:ChangeMessageVisibility, sqs:GetQueueUrl                    the queue
    sqs:SendMessage                                                 the dead-letter queue
    batch:DescribeJobs                                              *
    batch:TerminateJob                                              jobs
    s3:GetObject                                                    the lists of job ids, */_jobs/*
    sagemaker:SendPipelineExecutionStepSuccess, sagemaker:SendPipelineExecutionStepFailure    pipeline executions
    logs:CreateLogGroup, logs:CreateLogStream, logs:PutLogEvents

https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-steps-types.html
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
https://docs.aws.amazon.com/batch/latest/userguide/job_states.html
"""

import functools
import hashlib
import json
import os
import random
import re
import time
import traceback
from dataclasses import dataclass

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

DESCRIBE_JOBS_IDS = 100
TERMINATE_JOBS_IDS = 50
FAILURE_REASON_CHARACTERS = 256
SECONDS_FOR_A_LOOK = 15  # with less left before the function's timeout, a record waits for the next invocation
THROTTLING = {"TooManyRequestsException", "ThrottlingException", "Throttling", "RequestLimitExceeded", "SlowDown"}


def setting(name, default):
    return float(os.environ.get(name, default))


@functools.cache
def client(service):
    return boto3.client(service, config=Config(retries={"mode": "standard", "total_max_attempts": 3}))


def log(message, **fields):
    print(json.dumps({"message": message, **fields}, default=str))


class Unreadable(ValueError):
    """The message is not one of a CallbackStep; the text says why."""


class NotYet(Exception):
    """Nothing can be said about the step now; look again."""


class Problem(Exception):
    """Something that is wrong now and may yet come right; after PROBLEM_LOOKS looks it fails the step."""


@dataclass(frozen=True)
class Wait:
    """One CallbackStep waiting for its answer, as its message tells."""

    token: str
    execution_arn: str
    job_ids: str
    stopping: bool
    deadline_seconds: float
    looks: int  # how often SQS has delivered the message
    age_seconds: float  # since SageMaker sent it


@dataclass(frozen=True)
class Verdict:
    """The step's answer. Without a failure reason it is a success."""

    outputs: dict[str, str] | None = None
    failure: str | None = None


def lambda_handler(event, context):
    unfinished = []
    for number, record in enumerate(event["Records"]):
        # The first record is looked at in any case, or a short function timeout would mean never.
        if number and context.get_remaining_time_in_millis() < SECONDS_FOR_A_LOOK * 1000:
            look_again(record, None, "no time left in this invocation")
        elif handle(record):
            continue
        unfinished.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": unfinished}


def handle(record):
    """Look at one message; True when it is done with and SQS may delete it. Never raises: the others matter too."""
    wait = None
    try:
        wait = read(record)
        verdict = decide(wait)
        if verdict is None:
            raise NotYet("jobs are unfinished")
        answer(wait, verdict)
        return True
    except Unreadable as error:
        return fail_unreadable(record, str(error)) and bury(record, str(error))
    except Exception as error:  # noqa: BLE001 - whatever went wrong with one message, the others are looked at
        if not isinstance(error, NotYet):
            log("unexpected error", level="ERROR", error=repr(error), traceback=traceback.format_exc())
        if wait and gives_up(wait, error):
            return bury(record, f"Gave up after {wait.looks} looks: {error}")
        look_again(record, wait, error)
        return False


def gives_up(wait, error):
    """SageMaker refuses the answer for good, or the service that is needed for an answer fails for ever."""
    looks = setting("PROBLEM_LOOKS", 5) if isinstance(error, Problem) else setting("MAX_LOOKS", 900) + 50
    return wait.looks >= looks


# Reading the message


def read(record):
    """The Wait a record tells of; raises Unreadable."""
    attributes = record.get("attributes", {})
    body = parse_json(record["body"])
    arguments = body.get("arguments")
    if not token_of(body):
        raise Unreadable(f"The message has no callback token of 10 letters and digits: {body.get('token')!r}.")
    if not isinstance(body.get("pipelineExecutionArn"), str):
        raise Unreadable("The message has no pipelineExecutionArn.")
    if not isinstance(arguments, dict) or not isinstance(arguments.get("job_ids"), str) or not arguments["job_ids"]:
        raise Unreadable("The callback step's inputs lack job_ids: pass it the submitting step's output jobIds.")
    sent = int(attributes.get("SentTimestamp", time.time() * 1000)) / 1000
    return Wait(
        token=body["token"],
        execution_arn=body["pipelineExecutionArn"],
        job_ids=arguments["job_ids"],
        stopping=body.get("status") == "Stopping",
        deadline_seconds=seconds(arguments.get("deadline_seconds", setting("DEADLINE_SECONDS", 86_400))),
        looks=int(attributes.get("ApproximateReceiveCount", 1)),
        age_seconds=max(0.0, time.time() - sent),  # the clocks of SQS and of this function may differ
    )


def parse_json(text):
    try:
        body = json.loads(text)
    except ValueError as error:
        raise Unreadable(f"The message is not JSON: {error}.") from error
    if not isinstance(body, dict):
        raise Unreadable("The message is not a JSON object.")
    return body


def token_of(body):
    token = body.get("token")
    return token if isinstance(token, str) and re.fullmatch("[A-Za-z0-9]{10}", token) else None


def seconds(value):
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = 0.0
    if not 0 < number < float("inf"):
        raise Unreadable(f"deadline_seconds must be a positive number of seconds, but it is {value!r}.")
    return number


# Deciding


def decide(wait):
    """The Verdict on a waiting step, or None while its jobs go on. Raises NotYet when nobody can tell now."""
    try:
        return look(wait)
    except Problem as problem:
        if past_deadline(wait) or wait.looks >= setting("PROBLEM_LOOKS", 5):
            return Verdict(failure=str(problem))
        raise NotYet(problem) from problem


def look(wait):
    ids = list_job_ids(wait.job_ids)
    jobs = describe(ids)
    unknown = [id for id in ids if id not in jobs]
    unfinished = [id for id in ids if id in unknown or jobs[id]["status"] not in ("SUCCEEDED", "FAILED")]
    failed = [job for job in jobs.values() if job["status"] == "FAILED"]

    if wait.stopping:
        terminate(unfinished, "The pipeline execution was stopped.")
        if unknown:
            raise Problem(f"{unknown_reason(unknown, len(ids))} They may not have been terminated.")
        return Verdict(failure=f"The pipeline execution was stopped; {len(unfinished)} of {len(ids)} jobs terminated.")
    if failed:
        log_failed(wait, failed)
        return Verdict(failure=failure_reason(failed, len(ids)))
    if not unfinished:
        counts = {"jobs_total": len(ids), "jobs_succeeded": len(ids), "jobs_failed": 0}
        return Verdict(outputs={"job_status": "Completed", **{name: str(count) for name, count in counts.items()}})
    if past_deadline(wait):
        terminate(unfinished, "The pipeline step's deadline has passed.")
        return Verdict(failure=deadline_reason(wait, unfinished, jobs, len(ids)))
    if unknown:
        raise Problem(unknown_reason(unknown, len(ids)))
    return None


def past_deadline(wait):
    return wait.age_seconds > wait.deadline_seconds or wait.looks >= setting("MAX_LOOKS", 900)


def list_job_ids(job_ids):
    """The ids, each once, from the step's input: ids joined by spaces or the s3:// URI of a list."""
    if not job_ids.startswith("s3://"):
        ids = job_ids.split()
    else:
        bucket, _, key = job_ids.removeprefix("s3://").partition("/")
        body = calling(client("s3").get_object, Bucket=bucket, Key=key)["Body"].read()
        try:
            ids = json.loads(body)["job_ids"]
        except (ValueError, KeyError, TypeError) as error:
            raise Problem(f"{job_ids} is not a list of job ids as submit_jobs writes it.") from error
    if not ids:
        raise Problem("The callback step waits for no jobs at all: the submitting step returned no job ids.")
    return list(dict.fromkeys(ids))


def describe(ids):
    """{id: JobDetail} of those jobs that Batch knows; it skips the others without a word."""
    jobs = {}
    for chunk in chunks(ids, DESCRIBE_JOBS_IDS):
        for job in calling(client("batch").describe_jobs, jobs=chunk)["jobs"]:
            jobs[job["jobId"]] = job
    return jobs


def terminate(ids, reason):
    """Cancel the jobs that wait and kill those that run; a job that has ended meanwhile is left as it is."""
    batch = client("batch")
    if hasattr(batch, "terminate_jobs"):  # boto3 has the bulk call since 1.43.106; Lambda's own may be older
        for chunk in chunks(ids, TERMINATE_JOBS_IDS):
            errors = calling(batch.terminate_jobs, jobs=chunk, reason=reason)["errors"]
            if errors:
                raise NotYet(f"{len(errors)} jobs could not be terminated yet, first: {errors[0]}")
    else:
        for id in ids:
            try:
                calling(batch.terminate_job, jobId=id, reason=reason)
            except Problem as problem:
                if problem.__cause__.response["Error"]["Code"] != "ClientException":
                    raise
                log("job not terminated", level="WARNING", job_id=id, refusal=str(problem))  # Batch doesn't know it


def chunks(items, size):
    return [items[i : i + size] for i in range(0, len(items), size)]


def calling(operation, **request):
    """Call an AWS operation; its passing troubles are a NotYet, its refusals a Problem."""
    try:
        return operation(**request)
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if status >= 500 or status == 429 or error.response["Error"]["Code"] in THROTTLING:
            raise NotYet(error) from error
        raise Problem(str(error)) from error
    except BotoCoreError as error:
        raise NotYet(error) from error


# Putting it into words


def failure_reason(failed, total):
    """What SageMaker shows as the step's failure reason, from the job that failed first."""
    first = min(failed, key=lambda job: (job.get("stoppedAt", float("inf")), job["jobName"]))
    end = last_attempt(first)
    many = f" ({len(failed)} of {total} jobs failed)" if len(failed) > 1 else ""
    exit_code = f", exit code {end['exit_code']}" if end["exit_code"] is not None else ""
    log_stream = f" Log stream: {end['log_stream']}" if end["log_stream"] else ""
    head = f"Job {first['jobName']} failed{many}{exit_code}: "
    room = FAILURE_REASON_CHARACTERS - len(head) - len(log_stream)
    return (head + shorten(end["reason"], max(room, 40)) + log_stream)[:FAILURE_REASON_CHARACTERS]


def last_attempt(job):
    """Why and where the job's last attempt ended. Exit code and log stream are None if its container never started."""
    attempt = (job.get("attempts") or [{}])[-1]
    containers = (attempt.get("container") or {}, job.get("container") or {})
    found = {
        key: next((c[member] for c in containers if c.get(member) not in (None, "")), None)
        for key, member in (("exit_code", "exitCode"), ("reason", "reason"), ("log_stream", "logStreamName"))
    }
    found["reason"] = found["reason"] or job.get("statusReason") or attempt.get("statusReason") or "no reason given"
    return found


def shorten(text, length):
    return text if len(text) <= length else text[: length - 1] + "…"


def deadline_reason(wait, unfinished, jobs, total):
    first = jobs.get(unfinished[0], {"jobName": unfinished[0], "status": "UNKNOWN"})
    why = f" ({first['statusReason']})" if first.get("statusReason") else ""
    limit = (
        f"the deadline of {wait.deadline_seconds:.0f} s"
        if wait.age_seconds > wait.deadline_seconds
        else f"{wait.looks} looks"
    )
    return shorten(
        f"{len(unfinished)} of {total} jobs were unfinished after {limit} and terminated; "
        f"first {first['jobName']}: {first['status']}{why}",
        FAILURE_REASON_CHARACTERS,
    )


def unknown_reason(unknown, total):
    return (
        f"AWS Batch does not know {len(unknown)} of {total} jobs, first {unknown[0]}: "
        "the id is wrong, or the job ended over 7 days ago."
    )


def log_failed(wait, failed):
    for job in failed:
        log(
            "job failed",
            level="WARNING",
            execution=wait.execution_arn,
            job_id=job["jobId"],
            job_name=job["jobName"],
            **last_attempt(job),
        )


# Answering


def answer(wait, verdict):
    """Tell SageMaker; an answer it has already had, or no longer wants, is no error."""
    sagemaker = client("sagemaker")
    kind = "Failure" if verdict.failure else "Success"
    # The same answer sent again carries the same token, by which SageMaker can tell it from a second one.
    request = hashlib.sha256(f"{wait.execution_arn} {wait.token} {kind}".encode()).hexdigest()
    common = {"CallbackToken": wait.token, "ClientRequestToken": request}
    try:
        if verdict.failure:
            reason = verdict.failure[:FAILURE_REASON_CHARACTERS]
            calling(sagemaker.send_pipeline_execution_step_failure, **common, FailureReason=reason)
        else:
            outputs = [{"Name": name, "Value": value} for name, value in verdict.outputs.items()]
            calling(sagemaker.send_pipeline_execution_step_success, **common, OutputParameters=outputs)
    except Problem as problem:
        if not is_already_answered(problem.__cause__):
            raise
        log("step already answered", execution=wait.execution_arn, answer=kind, refusal=str(problem))
        return
    log(
        "step answered",
        execution=wait.execution_arn,
        answer=kind,
        reason=verdict.failure,
        outputs=verdict.outputs,
        looks=wait.looks,
        age_seconds=round(wait.age_seconds, 1),
    )


def is_already_answered(error):
    """SageMaker doesn't wait for this token (any more): answered before, or the execution has ended or is deleted."""
    # AWS does not document which of its two modelled errors a second answer gets: both mean that nobody waits.
    codes = ("ConflictException", "ResourceNotFound")
    return isinstance(error, ClientError) and error.response["Error"]["Code"] in codes


# Doing it later, or never


def look_again(record, wait, reason):
    """Hide the message until its next look; it is reported as failed, so SQS keeps it."""
    delay = next_look_seconds(wait.age_seconds if wait else 0.0)
    log(
        "not yet",
        execution=wait.execution_arn if wait else None,
        reason=str(reason),
        looks=wait.looks if wait else None,
        next_look_seconds=delay,
    )
    try:
        # AWS doesn't say whether the mapping leaves this visibility alone. If it did not, the queue's own
        # visibility timeout would hold: a later look, never a wrong one.
        client("sqs").change_message_visibility(
            QueueUrl=queue_url(record["eventSourceARN"]),
            ReceiptHandle=record["receiptHandle"],
            VisibilityTimeout=delay,
        )
    except (ClientError, BotoCoreError) as error:
        log("the next look waits for the queue's own visibility timeout", level="WARNING", error=str(error))


def next_look_seconds(age_seconds):
    """A quarter of the time waited so far, give or take a fifth, so that many steps don't look all at once."""
    low, high = setting("POLL_MIN_SECONDS", 10), setting("POLL_MAX_SECONDS", 300)
    return round(min(max(age_seconds / 4 * random.uniform(0.8, 1.2), low), high * random.uniform(0.8, 1.0)))


@functools.cache
def queue_url(queue_arn):
    account, name = queue_arn.split(":")[4:6]
    return client("sqs").get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"]


def fail_unreadable(record, why):
    """Fail the step of an unreadable message, if its token can be read; False when that must be tried again."""
    log("unreadable message", level="ERROR", message_id=record["messageId"], reason=why)
    try:
        body = parse_json(record["body"])
    except Unreadable:
        return True
    if token_of(body):
        arn = str(body.get("pipelineExecutionArn"))
        try:
            answer(Wait(body["token"], arn, "", False, 0.0, 1, 0.0), Verdict(failure=why))
        except Problem as problem:
            log("could not fail the step", level="ERROR", execution=arn, error=str(problem))
        except NotYet as reason:
            look_again(record, None, reason)
            return False
    return True


def bury(record, why):
    """Put a message that can't be worked on into the dead-letter queue; True when it may leave its own queue."""
    dead_letter_queue = os.environ.get("DEAD_LETTER_QUEUE_URL")
    if not dead_letter_queue:
        # The queue's redrive policy, if it has one, moves the message after maxReceiveCount deliveries.
        log("no DEAD_LETTER_QUEUE_URL is set", level="ERROR", message_id=record["messageId"], reason=why)
        return False
    attributes = {"Reason": why, "SourceQueueArn": record["eventSourceARN"]}
    try:
        client("sqs").send_message(
            QueueUrl=dead_letter_queue,
            MessageBody=record["body"],
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            },
        )
    except (ClientError, BotoCoreError) as error:
        log("could not move the message to the dead-letter queue", level="ERROR", error=str(error))
        look_again(record, None, error)
        return False
    log("message moved to the dead-letter queue", level="ERROR", message_id=record["messageId"], reason=why)
    return True
