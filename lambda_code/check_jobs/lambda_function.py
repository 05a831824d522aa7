"""Look at the AWS Batch jobs a CallbackStep waits for, and answer the step once.

It is called by an SQS event source mapping with the messages of callback steps (polling), and, where there is an
EventBridge rule for it, with the ends of Batch jobs (push).

A message's body, as SageMaker sends it:

    {"token": "...", "pipelineExecutionArn": "...", "arguments": {"job_ids": "..."}, "status": "Stopping"}

`status` is there only when the execution is being stopped; `arguments` are the CallbackStep's inputs:

    job_ids            what submit_jobs returned: ids joined by spaces, the s3:// URI of a list of them, or "none" when
                       it was told that there may be nothing to do
    deadline_seconds   optional; how long the step may wait before its jobs are terminated (default DEADLINE_SECONDS),
                       at most 13 days and less than the queue's retention period. Batch forgets a job 7 days after its
                       end: a step that waits longer needs an array.
    tolerated_failure_percentage
                       optional, 0 to 100; with it the step waits until every job has ended, and succeeds if no more
                       than this share has failed. Without it, the first failed job fails the step.
    report_uri         optional; s3:// URI for the list of failed items, which can be the next run's manifest_uri. It is
                       written when the step has a tolerated_failure_percentage and items have failed; each item has
                       the member "batch_failure" added, with the cause.

Every message is looked at alone, and comes to one of these ends:

    all jobs SUCCEEDED               the step succeeds with the outputs job_status=Completed, jobs_total,
                                     jobs_succeeded, jobs_failed and failed_items_uri (empty if there is no report)
    a job FAILED                     the step fails with the job's name, exit code, reason and log stream. Its other
                                     jobs run on: what they finish need not be done again. (Those that never start
                                     are for the job queue's jobStateTimeLimitActions to cancel.)
    the execution is being stopped   its jobs are terminated and the step is answered, so that the pipeline can stop
    past its deadline                its jobs are terminated and the step fails
    Batch doesn't know a job         its other jobs are terminated and the step fails, after a few looks: right after
                                     SubmitJob Batch may only be late
    the message makes no sense       it goes to the dead-letter queue at once; the step fails if the token is readable
    else, and when throttled         not yet: its visibility is set to the next look and it is reported in
                                     batchItemFailures, so SQS delivers it again. The function never fails for this.
    nothing works                    some time after its deadline its jobs are terminated and the step fails, as far as
                                     that can be done; the message goes to the dead-letter queue

Answering a step twice is harmless: the second answer is refused by SageMaker, logged, and the message deleted.

Push (PUSH_EVENTS=true): the first look writes the step's token as a tag on its first job. When a job ends, the event
brings its name; its siblings have the same name but for the number, the first of them has the token, and so the step is
answered without any message. Polling goes on beside it, at PUSH_POLL_SECONDS, for the event that never came. The rule:

    {"source": ["aws.batch"], "detail-type": ["Batch Job State Change"],
     "detail": {"status": ["SUCCEEDED", "FAILED"], "jobQueue": ["<the queue's ARN>"],
                "arrayProperties": {"index": [{"exists": false}]}}}          not for each child of an array

Stops: an execution that is stopped while its jobs are being submitted never comes to its callback step, so no message
tells of its jobs. An EventBridge rule whose target is the queue itself sends one, and the jobs are terminated
(JOB_QUEUES). In the queue it is tried again until it is done, which a function that EventBridge calls would not be:

    {"source": ["aws.sagemaker"],
     "detail-type": ["SageMaker Model Building Pipeline Execution Status Change"],
     "detail": {"currentPipelineExecutionStatus": ["Stopped", "Failed"]}}    Failed: see was_stopped

Settings, as environment variables:

    POLL_MIN_SECONDS, POLL_MAX_SECONDS  bounds of the time between two looks (10, 300). A look comes after a quarter
                                        of the time the step has waited, so the answer is at most a quarter late.
    DEADLINE_SECONDS                    how long a step may wait (86400). Keep it under the queue's retention period.
    MAX_LOOKS                           how often one message may be looked at (900); the second half of the looks is
                                        spread over the time to the deadline. Keep it 100 under maxReceiveCount of the
                                        queue's redrive policy, which counts every look.
    PROBLEM_LOOKS                       how many looks an unknown job or a refused call is given before it counts (5)
    DEAD_LETTER_QUEUE_URL               where unreadable messages go; without it the redrive policy moves them in time
    PUSH_EVENTS                         "true" when EventBridge calls this function for ended jobs
    PUSH_POLL_SECONDS                   the least time between two looks then (300)
    JOB_QUEUES                          names of job queues, separated by spaces, to clear of a stopped execution's jobs
    METRICS_NAMESPACE                   CloudWatch namespace of the metrics in the log ("sagemaker-batch")

The mapping needs FunctionResponseTypes=["ReportBatchItemFailures"].

Permissions of its role (Batch allows no resources narrower than "*" for DescribeJobs and ListJobs):
    sqs:ReceiveMessage, sqs:DeleteMessage, sqs:GetQueueAttributes   the queue (used by the mapping)
    sqs:ChangeMessageVisibility, sqs:GetQueueUrl                    the queue
    sqs:SendMessage                                                 the dead-letter queue
    batch:DescribeJobs, batch:ListJobs                              *
    batch:TerminateJob, batch:TagResource                           jobs (TagResource only with PUSH_EVENTS)
    s3:GetObject, s3:PutObject                                      _jobs/*, */_jobs/* (lists of ids, items, reports)
    sagemaker:SendPipelineExecutionStepSuccess, sagemaker:SendPipelineExecutionStepFailure    pipeline executions
    logs:CreateLogGroup, logs:CreateLogStream, logs:PutLogEvents

https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-steps-types.html
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
https://docs.aws.amazon.com/batch/latest/userguide/batch_job_events.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import contextlib
import functools
import hashlib
import json
import os
import random
import re
import tempfile
import time
import traceback
from dataclasses import dataclass
from datetime import datetime

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

DESCRIBE_JOBS_IDS = 100
LIST_JOBS_RESULTS = 1_000
LIST_JOBS_FILTERED_RESULTS = 100
FAILURE_REASON_CHARACTERS = 256
TERMINATE_REASON_CHARACTERS = 1_024
SECONDS_FOR_A_LOOK = 15  # with less left before the function's timeout, a message waits for the next invocation
LONGEST_DEADLINE_SECONDS = 13 * 86_400  # SQS forgets a message after 14 days at most, and then nobody answers
LONGEST_HIDING_SECONDS = 43_000  # a message may be hidden for 12 hours from its delivery
FAILED_JOBS_TO_LOG = 20
SECONDS_UNTIL_LISTED = 30  # ListJobs may be behind SubmitJob, AWS doesn't say how far: a generous guess
EVENT_TIME_SECONDS = 2  # an event's time is in whole seconds, rounded down; Batch's clock may be a little ahead
GIVE_UP_SECONDS = 900  # how long after a step's deadline a look may go wrong before the step is ended without it
NO_LOOK_SECONDS = 86_400  # and how long until no look is tried: this function is cut off in each, perhaps
LOOKS_IN_RESERVE = 50  # after MAX_LOOKS, for a step that must be ended; the queue's redrive policy comes after them
JOBS_TO_DESCRIBE = 1_000  # of a step's failed children, for their log streams: ten calls of DescribeJobs
READ_BYTES = 1 << 20
SECONDS_UNTIL_COUNTED = 300  # Batch doesn't say how far an array's statusSummary may be behind: a generous guess
TERMINAL = ("SUCCEEDED", "FAILED")
DEADLINE_PASSED = "The pipeline step's deadline has passed."
# Tags of the first job: submit_jobs has written its step, the first look what on_job_event must know of the Wait.
STEP_TAG = "sagemaker-batch:step"
TOKEN_TAG, ARN_TAG, COUNT_TAG = "sagemaker-batch:token", "sagemaker-batch:execution-arn", "sagemaker-batch:jobs"
TOLERATED_TAG, REPORT_TAG = "sagemaker-batch:tolerated-failure-percentage", "sagemaker-batch:report-uri"
THROTTLING = {"TooManyRequestsException", "ThrottlingException", "Throttling", "RequestLimitExceeded", "SlowDown"}


def setting(name, default):
    text = os.environ.get(name, "")
    try:
        value = float(text or default)
    except ValueError:
        value = float("nan")
    if not 0 <= value < float("inf"):
        raise ValueError(f"The environment variable {name} must be a number of 0 or more, but it is {text!r}.")
    return value


def setting_is_true(name):
    text = os.environ.get(name, "").lower()
    if text not in ("", "true", "false"):
        raise ValueError(f"The environment variable {name} must be true or false, but it is {os.environ[name]!r}.")
    return text == "true"


# A wrong setting makes every invocation an error, which the function's alarm reports.
for name in (
    "POLL_MIN_SECONDS",
    "POLL_MAX_SECONDS",
    "PUSH_POLL_SECONDS",
    "DEADLINE_SECONDS",
    "MAX_LOOKS",
    "PROBLEM_LOOKS",
):
    setting(name, 0)
setting_is_true("PUSH_EVENTS")


@functools.cache
def client(service):
    # Short timeouts: a service that accepts calls and never answers must not use up this function's own.
    retries = {"mode": "standard", "total_max_attempts": 3}
    return boto3.client(service, config=Config(connect_timeout=5, read_timeout=20, retries=retries))


TIME_LIMIT = {"terminate_until": float("inf")}  # on time.monotonic's clock


def limit_time(context):
    """Leave a quarter of the remaining time for the answer or the next delivery, however many jobs there are."""
    TIME_LIMIT["terminate_until"] = time.monotonic() + 0.75 * context.get_remaining_time_in_millis() / 1000


ABOUT = {}  # what the log's lines are about at the moment: execution, step, job_ids


def about(**fields):
    ABOUT.clear()
    ABOUT.update(fields)


def log(message, metrics=None, **fields):
    """One line of JSON. CloudWatch makes its metrics {name: value} into metrics of this function."""
    if metrics:
        names = [{"Name": name, "Unit": "Seconds" if name.endswith("Lag") else "Count"} for name in metrics]
        namespace = os.environ.get("METRICS_NAMESPACE", "sagemaker-batch")
        directive = {"Namespace": namespace, "Dimensions": [["FunctionName"]], "Metrics": names}
        fields["_aws"] = {"Timestamp": round(time.time() * 1000), "CloudWatchMetrics": [directive]}
        fields = {**fields, **metrics, "FunctionName": os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "check_jobs")}
    print(json.dumps({"message": message, **ABOUT, **fields}, default=str))


class Unreadable(ValueError):
    """The message is not one of a CallbackStep; the text says why."""


class NotYet(Exception):
    """Nothing can be said about the step now; look again.

    `pushed`: an event will tell, so there is no hurry. `settling`: Batch is only behind and will be there in minutes.
    """

    def __init__(self, reason, pushed=False, settling=False):
        super().__init__(str(reason))
        self.pushed, self.settling = pushed, settling


class Problem(Exception):
    """Something that is wrong now and may yet come right; after PROBLEM_LOOKS looks it fails the step.

    `unfinished`: ids of jobs that are terminated then, since nobody will wait for them.
    """

    def __init__(self, reason, unfinished=()):
        super().__init__(str(reason))
        self.unfinished = unfinished


@dataclass(frozen=True)
class Wait:
    """One CallbackStep waiting for its answer, as its message or the tags of its first job tell."""

    token: str
    execution_arn: str
    job_ids: str
    stopping: bool = False
    deadline_seconds: float = float("inf")
    tolerated_failure_percentage: float | None = None
    report_uri: str = ""
    looks: int = 1  # how often SQS has delivered the message
    sent: float = 0.0  # when SageMaker sent it, in seconds since 1970
    age_seconds: float = 0.0  # since then


@dataclass(frozen=True)
class Verdict:
    """The step's answer. Without a failure reason it is a success."""

    outputs: dict[str, str] | None = None
    failure: str | None = None
    jobs_ended: float | None = None  # when the last job ended, in seconds since 1970


@dataclass(frozen=True)
class Tally:
    """How the jobs of a step stand, with the children of arrays counted as jobs."""

    jobs: dict[str, dict]  # JobDetails by id, of those that Batch knows
    unknown: list[str]
    unfinished: list[str]
    total: int
    succeeded: int
    failed: int


def lambda_handler(event, context):
    if "Records" in event:
        return on_messages(event["Records"], context)
    if event.get("source") == "aws.batch":
        limit_time(context)
        return on_job_event(event["detail"])
    raise ValueError(f"Neither SQS messages nor an event of aws.batch: {sorted(event)}.")


# Polling: messages


def on_messages(records, context):
    unfinished = []
    for number, record in enumerate(records):
        about(message_id=record["messageId"])
        limit_time(context)
        # The first message is looked at in any case, or a short function timeout would mean never.
        if number and context.get_remaining_time_in_millis() < SECONDS_FOR_A_LOOK * 1000:
            look_again(record, None, NotYet("no time left in this invocation"))
        elif handle(record):
            continue
        unfinished.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": unfinished}


def handle(record):
    """Look at one message; True when it is done with and SQS may delete it. Never raises: the others matter too."""
    wait = None
    try:
        body = parse_json(record["body"])
        if body.get("source") == "aws.sagemaker":
            return handle_stop(record, body)
        wait = read(record, body)
        about(execution=wait.execution_arn, job_ids=wait.job_ids)
        if is_hopeless(wait):
            return end_without_a_look(record, wait, "no look has come to an end")
        answer(wait, decide(wait))
        return True
    except Unreadable as error:
        return fail_unreadable(record, shorten(str(error), FAILURE_REASON_CHARACTERS))
    except Exception as error:  # noqa: BLE001 - whatever went wrong with one message, the others are looked at
        if not isinstance(error, NotYet):
            log_unexpected(error)
        if wait and goes_wrong_for_good(wait, error):
            return give_up(record, wait, error)
        look_again(record, wait, error)
        return False


def goes_wrong_for_good(wait, error):
    """SageMaker refuses the answer, or what is needed for an answer fails long after the deadline."""
    few = setting("PROBLEM_LOOKS", 5)
    if isinstance(error, Problem):
        return wait.looks >= few
    if getattr(error, "settling", False):
        return False
    return no_looks_left(wait) or (wait.looks >= few and wait.age_seconds > wait.deadline_seconds + GIVE_UP_SECONDS)


def is_hopeless(wait):
    """Nothing was caught, and yet it goes on: this function is killed in every look, for its time or its memory."""
    late = wait.age_seconds > wait.deadline_seconds + NO_LOOK_SECONDS and wait.looks >= setting("PROBLEM_LOOKS", 5)
    return late or no_looks_left(wait)


def no_looks_left(wait):
    return wait.looks >= setting("MAX_LOOKS", 900) + LOOKS_IN_RESERVE


def give_up(record, wait, error):
    """Look three times more, in case it was only a bad moment; then end the step. As `handle`, it never raises."""
    verdict = None
    for _ in range(3):
        time.sleep(2)
        try:
            verdict = decide(wait)
            answer(wait, verdict)
            return True
        except Exception as again:  # noqa: BLE001 - as in handle
            error = again
    if verdict and isinstance(error, NotYet) and not no_looks_left(wait):
        look_again(record, wait, error)  # the jobs are known, only SageMaker can't be told now
        return False
    return end_without_a_look(record, wait, error)


def end_without_a_look(record, wait, error):
    """The last resort: terminate the jobs if the deadline is past, fail the step, and keep the message for a person."""
    why = shorten(f"Gave up after {wait.looks} looks: {error}", FAILURE_REASON_CHARACTERS)
    try:
        if past_deadline(wait):
            terminate_if_possible(wait, why)
        answer(wait, Verdict(failure=why))
    except Exception as trouble:  # noqa: BLE001 - as in handle
        if isinstance(trouble, NotYet) and not no_looks_left(wait):
            look_again(record, wait, trouble)
            return False
        log("could not fail the step", level="ERROR", error=repr(trouble))
    return bury(record, why)


def terminate_if_possible(wait, why):
    """Terminate a step's jobs; what Batch refuses is logged. Its passing troubles are a NotYet, though not for ever."""
    try:
        terminate(list_job_ids(wait.job_ids), why)
    except Exception as trouble:
        if isinstance(trouble, NotYet) and wait.age_seconds < wait.deadline_seconds + 4 * GIVE_UP_SECONDS:
            raise
        log("could not terminate the jobs", level="ERROR", error=repr(trouble))


def read(record, body):
    """The Wait a message tells of; raises Unreadable."""
    attributes = record.get("attributes", {})
    arguments = body.get("arguments")
    if not token_of(body):
        raise Unreadable(f"The message has no callback token of 10 letters and digits: {body.get('token')!r}.")
    if not isinstance(body.get("pipelineExecutionArn"), str):
        raise Unreadable("The message has no pipelineExecutionArn.")
    if not isinstance(arguments, dict) or not isinstance(arguments.get("job_ids"), str) or not arguments["job_ids"]:
        raise Unreadable("The callback step's inputs lack job_ids: pass it the submitting step's output jobIds.")
    report_uri = arguments.get("report_uri") or ""
    if not re.fullmatch("(s3://[^/]+/.+)?", str(report_uri)):
        raise Unreadable(f"report_uri must look like s3://bucket/key, but it is {report_uri!r}.")
    sent = int(attributes.get("SentTimestamp", time.time() * 1000)) / 1000
    return Wait(
        token=body["token"],
        execution_arn=body["pipelineExecutionArn"],
        job_ids=arguments["job_ids"],
        # AWS's guide has an example with "status", and calls it "Status" in its prose.
        stopping="Stopping" in (body.get("status"), body.get("Status")),
        deadline_seconds=number_of(arguments, "deadline_seconds", 1, LONGEST_DEADLINE_SECONDS)
        or setting("DEADLINE_SECONDS", 86_400),
        tolerated_failure_percentage=number_of(arguments, "tolerated_failure_percentage", 0, 100),
        report_uri=report_uri,
        looks=looks_at(record),
        sent=sent,
        age_seconds=max(0.0, time.time() - sent),  # the clocks of SQS and of this function may differ
    )


def looks_at(record):
    """How often SQS has delivered the message, this time included."""
    return int(record.get("attributes", {}).get("ApproximateReceiveCount", 1))


def parse_json(text):
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"The message is not JSON: {error}.") from error
    if not isinstance(body, dict):
        raise Unreadable("The message is not a JSON object.")
    return body


def token_of(body):
    token = body.get("token")
    return token if isinstance(token, str) and re.fullmatch("[A-Za-z0-9]{10}", token) else None


def number_of(arguments, name, low, high):
    """An argument as a number, or None when it isn't given; a pipeline passes numbers as strings too."""
    value = arguments.get(name)
    if value in (None, ""):
        return None
    try:
        number = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not low <= number <= high:
        raise Unreadable(f"{name} must be a number from {low} to {high:,.0f}, but it is {shorten(repr(value), 80)}.")
    return number


def look_again(record, wait, reason, delay=None):
    """Hide the message until its next look; it is reported as failed, so SQS keeps it."""
    if delay is None:
        delay = next_look_seconds(wait, getattr(reason, "pushed", False))
    log("not yet", reason=str(reason), next_look_seconds=delay)
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


def next_look_seconds(wait=None, pushed=False):
    """A quarter of the time waited so far, give or take a fifth, so that many steps don't look all at once."""
    low, high = setting("POLL_MIN_SECONDS", 10), setting("POLL_MAX_SECONDS", 300)
    if pushed:
        low = setting("PUSH_POLL_SECONDS", 300)
    age = wait.age_seconds if wait else 0.0
    if wait and wait.looks > setting("MAX_LOOKS", 900) / 2:
        looks_left = max(1, setting("MAX_LOOKS", 900) - wait.looks)
        high = max(high, 2 * (wait.deadline_seconds - age) / looks_left)  # so the deadline comes before the last look
    wanted = max(age / 4 * random.uniform(0.8, 1.2), low)
    delay = min(wanted, max(low, high) * random.uniform(0.8, 1.0), LONGEST_HIDING_SECONDS)
    if wait and wait.deadline_seconds >= age:
        delay = min(delay, wait.deadline_seconds - age + 1)  # a look right after the deadline
    return round(delay)


@functools.cache
def queue_url(queue_arn):
    account, name = queue_arn.split(":")[4:6]
    return client("sqs").get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"]


def fail_unreadable(record, why):
    """Put an unreadable message aside, and fail its step if the token can be read; False when SQS must keep it.

    Nobody will wait for the step's jobs, and no deadline end them: as far as they can be read they are terminated.
    """
    log("unreadable message", level="ERROR", reason=why)
    try:
        body = parse_json(record["body"])
    except Unreadable:
        return bury(record, why)
    if token_of(body):
        arn, arguments = str(body.get("pipelineExecutionArn")), body.get("arguments")
        ABOUT["execution"] = arn
        job_ids = arguments.get("job_ids") if isinstance(arguments, dict) else None
        looks = looks_at(record)
        wait = Wait(body["token"], arn, job_ids if isinstance(job_ids, str) and job_ids else "none", looks=looks)
        try:
            terminate_if_possible(wait, why)
            answer(wait, Verdict(failure=why))
        except (NotYet, Problem) as trouble:
            if not no_looks_left(wait) and (isinstance(trouble, NotYet) or looks < setting("PROBLEM_LOOKS", 5)):
                look_again(record, None, trouble)
                return False
            log("could not fail the step", level="ERROR", error=str(trouble))
    return bury(record, why)


def bury(record, why):
    """Put a message that can't be worked on into the dead-letter queue; True when it may leave its own queue."""
    dead_letter_queue = os.environ.get("DEAD_LETTER_QUEUE_URL")
    if not dead_letter_queue:
        # The queue's redrive policy, if it has one, moves the message after maxReceiveCount deliveries.
        log("no DEAD_LETTER_QUEUE_URL is set", level="ERROR", reason=why)
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
    log("message moved to the dead-letter queue", metrics={"DeadLetters": 1}, level="ERROR", reason=why)
    return True


# Stops: messages that EventBridge puts into the queue


def handle_stop(record, event):
    """An execution was stopped: terminate its jobs. What goes wrong is tried again, and put aside if it is refused."""
    try:
        stopped, execution = was_stopped(event["detail"]), event["detail"]["pipelineExecutionArn"]
        happened = datetime.fromisoformat(event["time"]).timestamp()
        about(execution=execution)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unreadable(f"The event is not one of a pipeline execution: {error!r}.") from error
    if not stopped:
        return True
    looks = looks_at(record)
    try:
        terminate_what_is_left(execution, happened)
        if looks > 1:
            return True
        trouble = NotYet("jobs that were submitted a moment ago may not be listed yet")
    except Problem as problem:
        if looks >= setting("PROBLEM_LOOKS", 5):
            return bury(record, shorten(f"Could not terminate a stopped execution's jobs: {problem}", 256))
        trouble = problem
    except NotYet as reason:
        trouble = reason
    # Further and further apart: the thousand deliveries that a queue may allow last for days then.
    delay = round(min(SECONDS_UNTIL_LISTED * looks, 900) * random.uniform(1.0, 1.2))
    look_again(record, None, trouble, delay)
    return False


def was_stopped(detail):
    """Whether the event tells the end of a stop: one that outlasts its submitting step's timeout makes it Failed.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_StopPipelineExecution.html
    """
    now, before = detail["currentPipelineExecutionStatus"], detail.get("previousPipelineExecutionStatus")
    return now == "Stopped" or (now == "Failed" and before == "Stopping")


def terminate_what_is_left(execution_arn, happened):
    """Terminate what a stopped execution has left in JOB_QUEUES: jobs that no callback step waited for.

    Events may be late: what a retry of the execution has submitted since it `happened` (in seconds since 1970) goes on.
    """
    execution, job_queues = execution_arn.rsplit("/", 1)[-1], os.environ.get("JOB_QUEUES", "").split()
    if not job_queues:
        log("no JOB_QUEUES are set: what a stopped execution has left goes on", level="WARNING")
    problems = []
    for job_queue in job_queues:
        filters = [{"name": "JOB_NAME", "values": [f"{execution}-*"]}]
        try:
            left = [
                job["jobId"]
                for job in list_jobs(jobQueue=job_queue, filters=filters)
                if job["status"] not in TERMINAL and job["createdAt"] / 1000 < happened + EVENT_TIME_SECONDS
            ]
            terminate(left, "The pipeline execution was stopped.")
        except Problem as problem:  # a queue that was deleted, perhaps: the others are cleared all the same
            problems.append(problem)
        else:
            log("jobs of a stopped execution terminated", job_queue=job_queue, job_ids=" ".join(left))
    if problems:
        raise problems[0]


# Push: events


def on_job_event(job):
    """A job has ended: answer its step if that was what it waited for. Whatever goes wrong here, polling makes good."""
    about(job_id=job["jobId"], job_name=job["jobName"], status=job["status"])
    name = re.fullmatch(r"(.+)-(\d+)", job["jobName"])
    if job["status"] not in TERMINAL or ":" in job["jobId"] or not name:
        return log("event ignored")
    try:
        siblings = list_siblings(job["jobQueue"], name[1])
        siblings.setdefault(job["jobName"], {"jobId": job["jobId"]})["status"] = job["status"]
        unfinished = sum(sibling["status"] not in TERMINAL for sibling in siblings.values())
        if unfinished and job["status"] == "SUCCEEDED":
            return log("job ended, others go on", unfinished=unfinished)
        wait = wait_of(siblings)
        if wait is None:
            return log("job ended, nobody to tell yet")
        about(execution=wait.execution_arn, job_ids=wait.job_ids)
        return answer(wait, decide(wait, ended={job["jobId"]: job}), path="push")
    except NotYet as reason:
        return log("job ended, left to polling", reason=str(reason))
    except Exception as error:  # noqa: BLE001 - raising would only make Lambda repeat what polling does better
        return log_unexpected(error)


def list_siblings(job_queue, prefix):
    """{job name: JobSummary} of the jobs that submit_jobs named alike; of two with one name, the earliest counts."""
    siblings = {}
    for job in list_jobs(jobQueue=job_queue, filters=[{"name": "JOB_NAME", "values": [f"{prefix}-*"]}]):
        if re.fullmatch(re.escape(prefix) + r"-\d+", job["jobName"]):
            earlier = siblings.get(job["jobName"], job)
            siblings[job["jobName"]] = min(earlier, job, key=lambda j: (j.get("createdAt", 0), j["jobId"]))
    return siblings


def list_jobs(**request):
    request["maxResults"] = LIST_JOBS_FILTERED_RESULTS if "filters" in request else LIST_JOBS_RESULTS
    while True:
        page = calling(client("batch").list_jobs, **request)
        yield from page["jobSummaryList"]
        if not page.get("nextToken"):
            return
        request["nextToken"] = page["nextToken"]


def job_number(job):
    return int(job["jobName"].rsplit("-", 1)[1])


def wait_of(siblings):
    """The Wait that the first look has written on the first job; None when nobody waits, or not all jobs are listed."""
    jobs = sorted(({"jobName": name, **job} for name, job in siblings.items()), key=job_number)
    first = describe([jobs[0]["jobId"]]).get(jobs[0]["jobId"], {})
    tags = first.get("tags", {})
    if TOKEN_TAG not in tags or int(tags[COUNT_TAG]) != len(jobs):
        return None
    return Wait(
        token=tags[TOKEN_TAG],
        execution_arn=tags[ARN_TAG],
        job_ids=" ".join(job["jobId"] for job in jobs),
        tolerated_failure_percentage=float(tags[TOLERATED_TAG]) if TOLERATED_TAG in tags else None,
        report_uri=tags.get(REPORT_TAG, ""),
    )


def announce(wait, ids, jobs):
    """Write the Wait on its first job, for on_job_event to find. Returns whether it is there, and whether it is new."""
    names = [re.fullmatch(r"(.+)-(\d+)", jobs[id]["jobName"]) for id in ids if id in jobs]
    if len(names) < len(ids) or None in names or len({name[1] for name in names}) > 1:
        return False, False  # not submitted by submit_jobs in one step, or not all visible yet
    tags = {TOKEN_TAG: wait.token, ARN_TAG: wait.execution_arn, COUNT_TAG: str(len(ids))}
    if wait.tolerated_failure_percentage is not None:
        tags[TOLERATED_TAG] = str(wait.tolerated_failure_percentage)
    if wait.report_uri:
        tags[REPORT_TAG] = wait.report_uri
    first = min((jobs[id] for id in ids), key=job_number)
    if tags.items() <= first.get("tags", {}).items():
        return True, False
    if not all(re.fullmatch(r"[\w .:/=+@-]{1,256}", value) for value in tags.values()):
        return False, False  # what a tag can't hold is left to polling
    try:
        calling(client("batch").tag_resource, resourceArn=first["jobArn"], tags=tags)
    except (NotYet, Problem) as trouble:
        log("could not tag the first job, polling only", level="WARNING", job_id=first["jobId"], error=str(trouble))
        return False, False
    return True, True


# Deciding


def decide(wait, ended=None, tries=3):
    """The Verdict on a waiting step. Raises NotYet while its jobs go on, or when nobody can tell now."""
    try:
        return look(wait, ended or {})
    except Problem as problem:
        if not past_deadline(wait) and wait.looks < setting("PROBLEM_LOOKS", 5):
            raise NotYet(problem) from problem
        if tries == 1:
            terminate(problem.unfinished, shorten(str(problem), FAILURE_REASON_CHARACTERS))
            return Verdict(failure=str(problem))
        log("looking once more before this fails the step", level="WARNING", problem=str(problem))
    time.sleep(2)  # after an hour of good looks one odd answer must not be the end
    return decide(wait, ended, tries - 1)


def look(wait, ended, announced=False):
    ids = list_job_ids(wait.job_ids)
    tally = count(ids, describe(ids, ended))
    ABOUT["step"] = next((job.get("tags", {}).get(STEP_TAG) for job in tally.jobs.values()), None)
    log(
        "looked",
        metrics={"Looks": 1},
        looks=wait.looks,
        total=tally.total,
        succeeded=tally.succeeded,
        failed=tally.failed,
        unknown=len(tally.unknown),
        stopping=wait.stopping,
    )

    if wait.stopping:
        terminate(tally.unfinished, "The pipeline execution was stopped.")
        if tally.unknown:
            raise Problem(f"{unknown_reason(tally)} They may not have been terminated.")
        stopped = f"{len(tally.unfinished)} of {len(ids)} jobs terminated."
        return Verdict(failure=f"The pipeline execution was stopped; {stopped}")
    late = [id for id, job in tally.jobs.items() if was_late(wait, job)]
    if not late:
        if tally.failed and (wait.tolerated_failure_percentage is None or not tally.unfinished):
            return verdict_on_failures(wait, tally)
        if not tally.unfinished:
            return success(tally)
    if late or past_deadline(wait):
        terminate(tally.unfinished, DEADLINE_PASSED)
        return verdict_on_lateness(wait, tally, [*late, *tally.unfinished])
    if tally.unknown:
        raise Problem(unknown_reason(tally), unfinished=[id for id in tally.unfinished if id in tally.jobs])

    pushed = False
    if setting_is_true("PUSH_EVENTS"):
        pushed, is_new = announce(wait, ids, tally.jobs)
        if is_new and not announced:  # a job that ended before the tag was there has found nobody to tell
            return look(wait, ended, announced=True)
    raise NotYet("jobs are unfinished", pushed)


def was_late(wait, job):
    """Whether the deadline has ended this job: an earlier look terminated it, and could not tell SageMaker.

    What the deadline of an earlier try of the step has ended is a failed job like any other.
    """
    ended_after = (job.get("stoppedAt") or 0) / 1000 - wait.sent
    if job["status"] != "FAILED" or ended_after < 0:
        return False
    # What an array says of its children's termination isn't documented; when it ended is.
    return job.get("statusReason") == DEADLINE_PASSED or (array_of(job)[0] > 1 and ended_after > wait.deadline_seconds)


def past_deadline(wait):
    return wait.age_seconds > wait.deadline_seconds or wait.looks >= setting("MAX_LOOKS", 900)


def list_job_ids(job_ids):
    """The ids, each once, from the step's input: ids joined by spaces or the s3:// URI of a list."""
    if job_ids == "none":
        return []
    if not job_ids.startswith("s3://"):
        ids = job_ids.split()
    else:
        try:
            ids = json.loads(open_object(job_ids).read())["job_ids"]
        except (ValueError, KeyError, TypeError) as error:
            raise Problem(f"{job_ids} is not a list of job ids as submit_jobs writes it.") from error
    if not ids:
        raise Problem("The callback step waits for no jobs at all: the submitting step returned no job ids.")
    return list(dict.fromkeys(ids))


def describe(ids, ended=None):
    """{id: JobDetail} of those jobs that Batch knows; it skips the others without a word.

    Args:
        ended: {id: JobDetail} of jobs an event has told the end of; DescribeJobs may be behind it.
    """
    jobs = {}
    for chunk in chunks(ids, DESCRIBE_JOBS_IDS):
        for job in calling(client("batch").describe_jobs, jobs=chunk)["jobs"]:
            jobs[job["jobId"]] = job
    for id, job in (ended or {}).items():
        if id in ids and jobs.get(id, {}).get("status") not in TERMINAL:
            jobs[id] = {**job, "tags": jobs.get(id, {}).get("tags", {})}
    return jobs


def count(ids, jobs):
    total = succeeded = failed = 0
    unknown, unfinished = [], []
    for id in ids:
        job = jobs.get(id)
        size, children = array_of(job) if job else (1, {})
        total += size
        if job is None:
            unknown.append(id)
        if job is None or job["status"] not in TERMINAL:
            unfinished.append(id)
            succeeded += children.get("SUCCEEDED", 0)
            failed += children.get("FAILED", 0)
        elif job["status"] == "SUCCEEDED":
            succeeded += size
        else:
            # Of a failed array, only what is known to have succeeded has: cancelled early, it may have no children.
            succeeded += children.get("SUCCEEDED", 0)
            failed += size - children.get("SUCCEEDED", 0)
    return Tally(jobs, unknown, unfinished, total, succeeded, failed)


def array_of(job):
    """How many jobs an array is, and its children by status; 1 and none for a plain job."""
    array = job.get("arrayProperties") or {}
    return array.get("size") or 1, array.get("statusSummary") or {}


def terminate(ids, reason):
    """Cancel the jobs that wait and kill those that run; a job that has ended meanwhile is left as it is."""
    # Job by job: TerminateJobs takes 50 at once, but the boto3 of a Lambda runtime may be too old to have it.
    for number, id in enumerate(ids):
        if number and time.monotonic() >= TIME_LIMIT["terminate_until"]:
            raise NotYet(f"{number} of {len(ids)} jobs terminated in the time of this invocation", settling=True)
        terminate_one(id, shorten(reason, TERMINATE_REASON_CHARACTERS))


def terminate_one(id, reason):
    """Terminate a job. While Batch throttles, try again until this invocation's time is nearly over."""
    while True:
        try:
            calling(client("batch").terminate_job, jobId=id, reason=reason)
            return
        except NotYet as trouble:
            if not is_throttling(trouble.__cause__) or time.monotonic() >= TIME_LIMIT["terminate_until"]:
                raise
        except Problem as problem:
            if error_code(problem) != "ClientException":
                raise
            log("job not terminated", level="WARNING", job_id=id, refusal=str(problem))  # Batch doesn't know it
            return
        time.sleep(random.uniform(0.1, 1.5))  # Batch grants each account a number of calls per second


def chunks(items, size):
    return [items[i : i + size] for i in range(0, len(items), size)]


def calling(operation, **request):
    """Call an AWS operation; its passing troubles are a NotYet, its refusals a Problem."""
    try:
        return operation(**request)
    except ClientError as error:
        if is_throttling(error) or http_status(error) >= 500:
            raise NotYet(error) from error
        raise Problem(str(error)) from error
    except ParamValidationError as error:  # boto3 itself refuses what AWS would refuse for ever
        raise Problem(str(error)) from error
    except BotoCoreError as error:
        raise NotYet(error) from error


def http_status(error):
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)


def is_throttling(error):
    if not isinstance(error, ClientError):
        return False
    return http_status(error) == 429 or error.response["Error"]["Code"] in THROTTLING


def error_code(problem):
    return getattr(problem.__cause__, "response", {}).get("Error", {}).get("Code")


def open_object(uri):
    """An object's body, to be read in pieces or as a whole."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    with naming(uri):
        return calling(client("s3").get_object, Bucket=bucket, Key=key)["Body"]


@contextlib.contextmanager
def naming(uri):
    """Put an object's URI before what S3 says, which doesn't name it."""
    try:
        yield
    except Problem as problem:
        raise Problem(f"{uri}: {problem}") from problem.__cause__


# Putting it into words


def success(tally, failed_items_uri=""):
    counts = {"jobs_total": tally.total, "jobs_succeeded": tally.succeeded, "jobs_failed": tally.failed}
    outputs = {"job_status": "Completed", **{name: str(number) for name, number in counts.items()}}
    return Verdict(outputs={**outputs, "failed_items_uri": failed_items_uri}, jobs_ended=last_end(tally))


def verdict_on_failures(wait, tally):
    tolerated = wait.tolerated_failure_percentage
    first = first_failed(tally)
    if tolerated is None:
        log_failed([first])
        return Verdict(failure=failure_reason(first, tally), jobs_ended=last_end(tally))
    jobs = [job for job in tally.jobs.values() if job["status"] == "FAILED"]
    if any(is_behind(job) for job in jobs):
        raise NotYet("an array has ended, but not all of its children are counted yet", settling=True)
    log_failed([first])
    report_failures(wait, jobs, but=first["jobId"])
    if 100 * tally.failed <= tolerated * tally.total:
        return success(tally, failed_items_uri=wait.report_uri)
    return Verdict(failure=failure_reason(first, tally), jobs_ended=last_end(tally))


def verdict_on_lateness(wait, tally, late):
    """The deadline has passed. What had not succeeded by then is reported too: a next run can take it up."""
    if wait.tolerated_failure_percentage is not None:
        jobs = [job for id, job in tally.jobs.items() if job["status"] == "FAILED" or id in late]
        try:
            report_failures(wait, jobs)
        except (NotYet, Problem) as trouble:  # the deadline is more important
            log("could not write the report", level="ERROR", error=str(trouble))
    return Verdict(failure=deadline_reason(wait, tally, late))


def is_behind(job):
    """Whether the counts of an array that has just ended may still be those of a moment before."""
    size, children = array_of(job)
    counted = sum(children.get(status, 0) for status in TERMINAL)
    return size > 1 and counted < size and has_just_ended(job)


def has_just_ended(job):
    return time.time() - (job.get("stoppedAt") or 0) / 1000 < SECONDS_UNTIL_COUNTED


def failed_endings(job, to_describe):
    """The failed jobs of a job that has not succeeded: itself, or the children of an array that have not.

    Args:
        to_describe: how many children may be asked for their log streams, which ListJobs doesn't tell.
    """
    size, children = array_of(job)
    if size == 1:
        return [job]
    failed = {index_of(child): child for child in list_jobs(arrayJobId=job["jobId"], jobStatus="FAILED")}
    details = describe([child["jobId"] for child in list(failed.values())[:to_describe]])
    failed = {index: details.get(child["jobId"], child) for index, child in failed.items()}
    if len(failed) < size - children.get("SUCCEEDED", 0):  # ended before all had begun, or the list is behind
        if has_just_ended(job):
            raise NotYet("an array has ended, but not all of its failed children are listed yet", settling=True)
        succeeded = {index_of(child) for child in list_jobs(arrayJobId=job["jobId"], jobStatus="SUCCEEDED")}
        for index in set(range(size)) - succeeded - failed.keys():
            child = {"jobId": f"{job['jobId']}:{index}", "jobName": job["jobName"], "arrayProperties": {"index": index}}
            failed[index] = {**child, "statusReason": job.get("statusReason", "it had not ended")}
    return [failed[index] for index in sorted(failed)]


def index_of(job):
    return (job.get("arrayProperties") or {}).get("index", 0)


def first_failed(tally):
    """The JobDetail of the plain job or array child that failed first, as far as it takes no long search."""
    failed = [job for job in tally.jobs.values() if job["status"] == "FAILED" or array_of(job)[1].get("FAILED")]
    job = min(failed, key=lambda job: (job.get("stoppedAt", float("inf")), job["jobName"]))
    if array_of(job)[0] == 1:
        return job
    child = next(list_jobs(arrayJobId=job["jobId"], jobStatus="FAILED"), None)
    return describe([child["jobId"]]).get(child["jobId"], job) if child else job


def report_failures(wait, jobs, but=""):
    """Log the first failures, and write the items of all to report_uri, one a line: a manifest for the next run.

    Args:
        jobs: JobDetails of those that have not succeeded; of arrays, their children count.
        but: the id of a job that is in the log already.
    """
    to_describe, to_log = JOBS_TO_DESCRIBE, FAILED_JOBS_TO_LOG
    with tempfile.TemporaryFile() as report:  # the failures of a million items are more than fits into memory
        for job in jobs:
            endings = failed_endings(job, to_describe)
            to_describe = max(0, to_describe - len(endings))
            log_failed([ending for ending in endings[:to_log] if ending["jobId"] != but])
            to_log = max(0, to_log - len(endings))
            items = items_of(job, {index_of(ending) for ending in endings}) if wait.report_uri else {}
            for ending in endings if wait.report_uri else ():
                failure = {"job_id": ending["jobId"], "job_name": ending["jobName"], **last_attempt(ending)}
                line = json.dumps({**items[index_of(ending)], "batch_failure": failure})
                report.write(f"{line}\n".encode())
        if wait.report_uri:
            report.seek(0)
            bucket, _, key = wait.report_uri.removeprefix("s3://").partition("/")
            with naming(wait.report_uri):
                calling(client("s3").put_object, Bucket=bucket, Key=key, Body=report)


def items_of(job, indices):
    """{index: item} of what a job, or these children of it, worked on: lines of its manifest, or its two parameters."""
    environment = {pair["name"]: pair["value"] for pair in job.get("container", {}).get("environment", [])}
    uri = environment.get("MANIFEST_URI", "")
    if "/_jobs/" not in uri:  # not written by submit_jobs: a variable of the job's own
        parameters = job.get("parameters", {})
        return {index: {"input": parameters.get("s3Input"), "output": parameters.get("s3Output")} for index in indices}
    lines = enumerate(lines_of(open_object(uri)))
    items = {index: json.loads(line) for index, line in lines if index in indices}
    if len(items) < len(indices):
        raise Problem(f"{uri} has no line for each job of {job['jobName']}.")
    return items


def lines_of(body):
    """An object's lines, one after another: a manifest may be larger than this function's memory."""
    rest = b""
    while piece := calling(lambda: body.read(READ_BYTES)):
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
    if rest:
        yield rest


def failure_reason(job, tally):
    """What SageMaker shows as the step's failure reason, from the job that failed first."""
    end = last_attempt(job)
    child = f"[{job['arrayProperties']['index']}]" if "index" in (job.get("arrayProperties") or {}) else ""
    many = f" ({tally.failed} of {tally.total} jobs failed)" if tally.failed > 1 else ""
    exit_code = f", exit code {end['exit_code']}" if end["exit_code"] is not None else ""
    log_stream = f". Log stream: {end['log_stream']}" if end["log_stream"] else ""
    head = f"Job {job['jobName']}{child} failed{many}{exit_code}: "
    room = FAILURE_REASON_CHARACTERS - len(head) - len(log_stream)
    return (head + shorten(end["reason"].rstrip(". "), max(room, 40)) + log_stream)[:FAILURE_REASON_CHARACTERS]


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


def deadline_reason(wait, tally, late):
    first = tally.jobs.get(late[0], {"jobName": late[0], "status": "UNKNOWN"})
    why = f" ({first['statusReason']})" if first.get("statusReason") not in (None, DEADLINE_PASSED) else ""
    if wait.age_seconds > wait.deadline_seconds:
        limit = f"the deadline of {wait.deadline_seconds:.0f} s"
    else:
        limit = f"{wait.looks} looks" if past_deadline(wait) else "the deadline"
    unfinished = sum(still_to_do(tally.jobs.get(id)) for id in late)
    return shorten(
        f"{unfinished} of {tally.total} jobs were unfinished after {limit} and terminated; "
        f"first {first['jobName']}: {first['status']}{why}",
        FAILURE_REASON_CHARACTERS,
    )


def still_to_do(job):
    """How many jobs a job that was late stands for: itself, or the children of an array that had not ended."""
    size, children = array_of(job) if job else (1, {})
    ended = ("SUCCEEDED",) if job and job["status"] == "FAILED" else TERMINAL
    return size - sum(children.get(status, 0) for status in ended)


def unknown_reason(tally):
    return (
        f"AWS Batch does not know {len(tally.unknown)} of {tally.total} jobs, first {tally.unknown[0]}: "
        "the id is wrong, or the job ended over 7 days ago."
    )


def last_end(tally):
    """When the last job ended, in seconds since 1970; Batch tells it in milliseconds."""
    return max((job.get("stoppedAt") or 0 for job in tally.jobs.values()), default=0) / 1000 or None


def log_failed(failed):
    for job in failed:
        log("job failed", level="WARNING", job_id=job["jobId"], job_name=job["jobName"], **last_attempt(job))


def log_unexpected(error):
    what = {"error": repr(error), "traceback": traceback.format_exc()}
    log("unexpected error", metrics={"UnexpectedErrors": 1}, level="ERROR", **what)


# Answering


def answer(wait, verdict, path="poll"):
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
    except (NotYet, Problem) as refusal:
        if not is_already_answered(refusal):
            raise
        log("step already answered", answer=kind, path=path, refusal=str(refusal))
        return
    lag = {} if verdict.jobs_ended is None else {"AnswerLag": round(max(0.0, time.time() - verdict.jobs_ended), 3)}
    log(
        "step answered",
        metrics={f"Steps{'Failed' if verdict.failure else 'Succeeded'}": 1, **lag},
        answer=kind,
        path=path,
        reason=verdict.failure,
        outputs=verdict.outputs,
        looks=wait.looks,
        age_seconds=round(wait.age_seconds, 1),
    )


def is_already_answered(refusal):
    """SageMaker doesn't wait for this token (any more): answered before, or the execution has ended or is deleted."""
    # AWS does not document what a second answer gets: one of the two modelled errors, or an error of any code with the
    # text that people report, "Step ... is already in a terminal status".
    known = error_code(refusal) in ("ConflictException", "ResourceNotFound")
    return known or "already in a terminal status" in str(refusal).lower()
