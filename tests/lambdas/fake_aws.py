"""An AWS in memory, for the Lambdas' tests: Batch, SQS, S3 and SageMaker's callbacks on a clock that tests move.

Every call is checked against botocore's own service model, in and out, so that neither a Lambda nor this fake can use a
parameter that AWS does not have. Jobs follow a plan made beforehand; their status is a function of the clock.
"""

import functools
import hashlib
import importlib
import io
import itertools
import json
import random
import re
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import botocore.session
from botocore import xform_name
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator

ACCOUNT, REGION = "000000000000", "us-east-1"
EXECUTION = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:pipeline/flights-sagemaker/execution/a1b2c3d4e5f6"
# What a LambdaStep gives submit_jobs, for three files.
EVENT = {
    "input_uri": "s3://bucket-sagemaker/input",
    "output_uri": "s3://bucket-sagemaker/output",
    "max_jobs": 3,
    "job_queue": "queue-sagemaker",
    "job_definition": "copy",
    "execution_id": EXECUTION,
    "step_name": "SubmitCopies",
}
LAMBDA_CODE = Path(__file__).parents[2] / "lambda_code"
TERMINAL = ("SUCCEEDED", "FAILED")


class AwsError(Exception):
    def __init__(self, code: str, message: str, status: int = 400):
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


THROTTLED = AwsError("TooManyRequestsException", "Too Many Requests", 429)
UNAVAILABLE = AwsError("ServerException", "Internal failure", 500)


class Clock:
    """Stands in for the module `time`: sleeping moves it."""

    def __init__(self, now: float = 1_800_000_000.0):
        self.now = now

    def iso(self) -> str:
        """As EventBridge writes an event's time."""
        return datetime.fromtimestamp(int(self.now), UTC).isoformat().replace("+00:00", "Z")

    def time(self) -> float:
        return self.now

    monotonic = perf_counter = time

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@functools.cache
def service_model(service: str):
    return botocore.session.get_session().get_service_model(service)


@functools.cache
def operations(service: str) -> dict[str, str]:
    return {xform_name(name): name for name in service_model(service).operation_names}


class Client:
    """A boto3 client's look: snake_case operations, get_paginator, ClientError."""

    def __init__(self, aws: "FakeAws", service: str):
        self._aws, self._service = aws, service

    def __getattr__(self, name: str) -> Callable[..., dict]:
        operation = operations(self._service).get(name)
        if operation is None:
            raise AttributeError(name)
        return functools.partial(self._call, name, operation)

    def get_paginator(self, name: str) -> types.SimpleNamespace:
        assert name == "list_objects_v2", "the only one used so far"
        return types.SimpleNamespace(paginate=lambda **params: iter([getattr(self, name)(**params)]))

    def _call(self, name: str, operation: str, **params: Any) -> dict:
        model = service_model(self._service).operation_model(operation)
        check(params, model.input_shape, f"{operation} input")
        self._aws.calls.append((operation, params))
        fault = self._aws.fault(operation, params)
        try:
            if fault and not fault.after:
                raise fault.error
            backend = getattr(self._aws, self._service.replace("-", ""))
            result = getattr(backend, name)(**params) or {}
            if fault:
                raise fault.error
        except AwsError as error:
            response = {
                "Error": {"Code": error.code, "Message": error.message},
                "ResponseMetadata": {"HTTPStatusCode": error.status},
            }
            raise ClientError(response, operation) from error
        if model.output_shape and self._aws.checks_answers:
            check({k: v for k, v in result.items() if k != "Body"}, model.output_shape, f"{operation} output")
        return result


def check(params: dict, shape: Any, what: str) -> None:
    report = ParamValidator().validate(params, shape)
    assert not report.has_errors(), f"{what}: {report.generate_report()}"
    for name, value in params.items():
        limits = shape.members[name].metadata
        if isinstance(value, str) and "max" in limits:  # botocore leaves maximum and pattern to the service
            assert len(value) <= limits["max"], f"{what}: {name} has {len(value)} characters of {limits['max']}"
        if isinstance(value, str) and "pattern" in limits:
            assert re.fullmatch(limits["pattern"], value), f"{what}: {name}={value!r} is not {limits['pattern']}"


@dataclass
class Fault:
    error: Exception
    after: bool = False  # the call was done, only its answer got lost


class FakeAws:
    def __init__(self, clock: Clock | None = None):
        self.clock = clock or Clock()
        self.calls: list[tuple[str, dict]] = []
        self.checks_answers = True
        self.faults: dict[str, list[Fault]] = {}
        self.fault_rule: Callable[[str, dict], Fault | None] | None = None
        self.batch, self.sqs, self.s3, self.sagemaker = Batch(self), Sqs(self), S3(self), SageMaker(self)

    def client(self, service: str, **_: Any) -> Client:
        return Client(self, service)

    def fail_next(self, operation: str, *errors: Exception, after: bool = False) -> None:
        self.faults.setdefault(operation, []).extend(Fault(error, after) for error in errors)

    def fault(self, operation: str, params: dict) -> Fault | None:
        if self.faults.get(operation):
            return self.faults[operation].pop(0)
        return self.fault_rule(operation, params) if self.fault_rule else None

    def called(self, operation: str) -> list[dict]:
        return [params for name, params in self.calls if name == operation]


@dataclass
class Plan:
    """What becomes of a job: it starts and ends so many seconds after it was submitted."""

    start: float = 5.0
    end: float = 60.0
    exit_code: int | None = 0
    reason: str = ""
    runnable_reason: str = ""


NEVER_STARTS = Plan(start=float("inf"), end=float("inf"), runnable_reason="MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT")


@dataclass
class Job:
    id: str
    name: str
    queue: str
    definition: str
    created: float
    plans: list[Plan]  # one, or one for each child of an array
    parameters: dict
    overrides: dict
    tags: dict
    is_array: bool
    visible_from: float  # DescribeJobs and ListJobs don't know it before
    terminated: float | None = None
    terminate_reason: str = ""


class Batch:
    def __init__(self, aws: FakeAws):
        self.aws = aws
        self.jobs: dict[str, Job] = {}
        self.queues = {"queue-sagemaker"}
        self.plan: Callable[[dict, int], Plan] = lambda _parameters, _index: Plan()
        self.plan_of_job: Callable[[Job, int], Plan] = lambda job, index: self.plan(job.parameters, index)
        self.seconds_until_visible = 0.0
        self.numbers = itertools.count(1)

    # The state of things, for tests

    def status(self, job: Job, index: int = 0) -> str:
        plan, age = job.plans[index], self.aws.clock.now - job.created
        if job.terminated is not None and job.terminated < job.created + plan.end:
            return "FAILED"
        if age >= plan.end:
            return "SUCCEEDED" if plan.exit_code == 0 else "FAILED"
        return "RUNNING" if age >= plan.start else "RUNNABLE"

    def statuses(self, job: Job) -> list[str]:
        return [self.status(job, index) for index in range(len(job.plans))]

    def unfinished(self) -> list[str]:
        return [job.id for job in self.jobs.values() for status in self.statuses(job) if status not in TERMINAL]

    # The operations

    def submit_job(self, jobName, jobQueue, jobDefinition, parameters=None, containerOverrides=None, **rest):
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}", jobName):
            raise AwsError("ClientException", "Job name should match valid pattern")
        if jobQueue not in self.queues or not jobDefinition:
            raise AwsError("ClientException", f"Job queue {jobQueue} or job definition {jobDefinition} does not exist.")
        if len(json.dumps(parameters)) > 30 * 1024:
            raise AwsError("ClientException", "Request is too large")
        size = rest.get("arrayProperties", {}).get("size")
        if size is not None and not 2 <= size <= 10_000:
            raise AwsError("ClientException", "Array size must be between 2 and 10000")
        number = next(self.numbers)
        job = Job(
            id=f"{number:08x}-aaaa-4bbb-8ccc-{number:012x}",
            name=jobName,
            queue=jobQueue,
            definition=jobDefinition,
            created=self.aws.clock.now,
            plans=[],
            parameters=parameters or {},
            overrides=containerOverrides or {},
            tags=rest.get("tags", {}),
            is_array=size is not None,
            visible_from=self.aws.clock.now + self.seconds_until_visible,
        )
        job.plans = [self.plan_of_job(job, index) for index in range(size or 1)]
        self.jobs[job.id] = job
        return {"jobName": jobName, "jobId": job.id, "jobArn": self.arn(job)}

    def describe_jobs(self, jobs):
        if len(jobs) > 100:
            raise AwsError("ClientException", "Maximum number of jobs supported is 100")
        return {"jobs": [detail for id in jobs if (detail := self.detail(id))]}

    def list_jobs(self, maxResults=100, nextToken="0", jobQueue=None, arrayJobId=None, jobStatus="RUNNING", filters=()):
        if arrayJobId:
            summaries = [self.detail(f"{arrayJobId}:{index}") for index in range(len(self.jobs[arrayJobId].plans))]
            summaries = [summary for summary in summaries if summary and summary["status"] == jobStatus]
        else:
            assert jobQueue.rsplit("/", 1)[-1] in self.queues, "ListJobs needs a queue or an array"
            summaries = [self.detail(job.id) for job in self.jobs.values()]
            summaries = [summary for summary in summaries if summary]
            if filters:
                name = filters[0]["values"][0].lower()
                assert filters[0]["name"] == "JOB_NAME"
                summaries = [s for s in summaries if matches(s["jobName"].lower(), name)]
            else:
                summaries = [summary for summary in summaries if summary["status"] == jobStatus]
        start = int(nextToken)
        page = [self.summary(detail) for detail in summaries[start : start + maxResults]]
        more = {"nextToken": str(start + maxResults)} if start + maxResults < len(summaries) else {}
        return {"jobSummaryList": page, **more}

    def summary(self, detail):
        """What ListJobs shows of a job: less than DescribeJobs, above all no log stream."""
        kept = ("jobId", "jobName", "jobArn", "status", "statusReason", "createdAt", "stoppedAt", "arrayProperties")
        container = {key: detail["container"][key] for key in ("exitCode", "reason") if key in detail["container"]}
        return {**{key: detail[key] for key in kept if key in detail}, "container": container}

    def terminate_job(self, jobId, reason):
        if len(reason) > 1_024:
            raise AwsError("ClientException", "Reason must have 1 to 1024 characters")
        job = self.jobs.get(jobId.partition(":")[0])
        if job is None:
            raise AwsError("ClientException", f"Job {jobId} does not exist.")
        if job.terminated is None:
            job.terminated, job.terminate_reason = self.aws.clock.now, reason

    def tag_resource(self, resourceArn, tags):
        self.jobs[resourceArn.rsplit("/", 1)[1]].tags.update(tags)
        return {}

    def end_of(self, job: Job) -> float:
        """When the job, or the last child of the array, ends."""
        last = job.created + max(plan.end for plan in job.plans)
        return last if job.terminated is None else min(last, job.terminated)

    def event(self, job: Job) -> dict:
        """What EventBridge delivers for the job's end. The tags are as AWS's own example of the event shows them."""
        detail = self.detail(job.id) or {}
        detail["tags"] = {"resourceArn": self.arn(job)}
        detail["jobQueue"] = f"arn:aws:batch:{REGION}:{ACCOUNT}:job-queue/{job.queue}"
        return {"source": "aws.batch", "detail-type": "Batch Job State Change", "detail": detail}

    def arn(self, job: Job) -> str:
        return f"arn:aws:batch:{REGION}:{ACCOUNT}:job/{job.id}"

    def detail(self, id: str) -> dict | None:
        """A JobDetail, of a job, an array's parent, or with `id:index` of its child."""
        parent_id, _, index = id.partition(":")
        job = self.jobs.get(parent_id)
        if job is None or self.aws.clock.now < job.visible_from:
            return None
        detail = {
            "jobArn": self.arn(job),
            "jobId": id,
            "jobName": job.name,
            "jobQueue": job.queue,
            "jobDefinition": job.definition,
            "createdAt": int(job.created * 1000),
            "startedAt": 0,
            "parameters": job.parameters,
            "tags": dict(job.tags),
            "container": {"environment": job.overrides.get("environment", [])},
        }
        if job.is_array and not index:
            statuses = self.statuses(job)
            summary = {status: statuses.count(status) for status in set(statuses)}
            if any(status not in TERMINAL for status in statuses):
                detail["status"] = "PENDING"
            else:
                detail["status"] = "FAILED" if "FAILED" in statuses else "SUCCEEDED"
                detail["stoppedAt"] = int(self.end_of(job) * 1000)
                if detail["status"] == "FAILED":
                    detail["statusReason"] = "Array Child Job failed"
            return {**detail, "arrayProperties": {"size": len(statuses), "statusSummary": summary}}
        plan, status = job.plans[int(index or 0)], self.status(job, int(index or 0))
        detail["status"] = status
        if index:
            detail["arrayProperties"] = {"index": int(index)}
        if status == "RUNNABLE" and plan.runnable_reason:
            detail["statusReason"] = plan.runnable_reason
        if status in TERMINAL:
            ended_by_us = job.terminated is not None and job.terminated < job.created + plan.end
            detail["stoppedAt"] = int((job.terminated if ended_by_us else job.created + plan.end) * 1000)
            started = plan.exit_code is not None and not ended_by_us
            stream = f"{job.definition}/default/{id.replace('-', '').replace(':', '')[-32:]}"
            detail["statusReason"] = job.terminate_reason if ended_by_us else "Essential container in task exited"
            detail["container"] = {
                **detail["container"],
                **({"exitCode": plan.exit_code, "logStreamName": stream} if started else {}),
                **({"reason": plan.reason} if plan.reason else {}),
            }
            attempt = {key: value for key, value in detail["container"].items() if key != "environment"}
            detail["attempts"] = [{"container": attempt, "statusReason": detail["statusReason"]}]
        return detail


def matches(name: str, pattern: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


@dataclass
class Message:
    id: str
    body: str
    sent: float
    visible_at: float
    attributes: dict = field(default_factory=dict)
    receives: int = 0
    first_receive: float = 0.0
    receipt: str = ""


class Sqs:
    """Standard queues. `invoke` is the event source mapping with ReportBatchItemFailures."""

    def __init__(self, aws: FakeAws):
        self.aws = aws
        self.queues: dict[str, list[Message]] = {"callbacks-sagemaker": [], "dead-letters-sagemaker": []}
        self.visibility_timeout = 900
        self.random: random.Random | None = None  # makes it deliver out of order, and what was deleted once more
        self.numbers = itertools.count(1)

    def url(self, name: str) -> str:
        return f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name}"

    def get_queue_url(self, QueueName, QueueOwnerAWSAccountId=ACCOUNT):
        assert QueueOwnerAWSAccountId == ACCOUNT
        if QueueName not in self.queues:
            raise AwsError("AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.")
        return {"QueueUrl": self.url(QueueName)}

    def send_message(self, QueueUrl, MessageBody, MessageAttributes=None):
        message = Message(f"message-{next(self.numbers)}", MessageBody, self.aws.clock.now, self.aws.clock.now)
        message.attributes = MessageAttributes or {}
        self.queues[QueueUrl.rsplit("/", 1)[1]].append(message)
        return {"MessageId": message.id}

    def change_message_visibility(self, QueueUrl, ReceiptHandle, VisibilityTimeout):
        assert 0 <= VisibilityTimeout <= 43_200
        for message in self.queues[QueueUrl.rsplit("/", 1)[1]]:
            if message.receipt == ReceiptHandle:
                message.visible_at = self.aws.clock.now + VisibilityTimeout
                return
        raise AwsError("InvalidParameterValue", "The receipt handle has expired.")

    def receive(self, queue: str = "callbacks-sagemaker", at_most: int = 10) -> list[Message]:
        visible = [m for m in self.queues[queue] if m.visible_at <= self.aws.clock.now]
        if self.random:
            self.random.shuffle(visible)
            at_most = self.random.randint(1, at_most)
        visible = visible[:at_most]
        for message in visible:
            message.receives += 1
            message.first_receive = message.first_receive or self.aws.clock.now
            message.visible_at = self.aws.clock.now + self.visibility_timeout
            message.receipt = f"{message.id}#{message.receives}"
        return visible

    def record(self, message: Message, queue: str = "callbacks-sagemaker") -> dict:
        return {
            "messageId": message.id,
            "receiptHandle": message.receipt,
            "body": message.body,
            "attributes": {
                "ApproximateReceiveCount": str(message.receives),
                "SentTimestamp": str(int(message.sent * 1000)),
                "ApproximateFirstReceiveTimestamp": str(int(message.first_receive * 1000)),
            },
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}",
            "awsRegion": REGION,
        }

    def invoke(self, handler: Callable[[dict, Any], Any], messages: list[Message] | None = None) -> Any:
        """One invocation by the mapping with all visible messages; returns the handler's answer, or its exception."""
        messages = self.receive() if messages is None else messages
        if not messages:
            return None
        try:
            result = handler({"Records": [self.record(message) for message in messages]}, Context())
        except Exception as error:  # noqa: BLE001 - the mapping's own rule: the whole batch stays in the queue
            return error
        kept = {item["itemIdentifier"] for item in (result or {}).get("batchItemFailures", [])}
        assert kept <= {message.id for message in messages}, "unknown ids would fail the whole batch"
        done = {message.id for message in messages} - kept
        queue = self.queues["callbacks-sagemaker"]
        for message in [message for message in queue if message.id in done]:
            if self.random and self.random.random() < 0.1:
                message.visible_at = self.aws.clock.now + self.random.uniform(0, 60)
            else:
                queue.remove(message)
        return result

    def run(self, handler: Callable, until: float, stop_when: Callable[[], bool] = lambda: False) -> Iterator[Any]:
        """Let the mapping work until a time on the clock; yields every invocation's result."""
        while not stop_when():
            waiting = [message.visible_at for message in self.queues["callbacks-sagemaker"]]
            if not waiting or min(waiting) > until:
                self.aws.clock.now = max(self.aws.clock.now, until)
                break
            self.aws.clock.now = max(self.aws.clock.now, min(waiting))
            yield self.invoke(handler)


class S3:
    def __init__(self, aws: FakeAws):
        self.objects: dict[str, bytes] = {}

    def put_object(self, Bucket, Key, Body, ContentType=None, IfNoneMatch=None, IfMatch=None):
        uri = f"s3://{Bucket}/{Key}"
        if (IfNoneMatch and uri in self.objects) or (IfMatch and self.etag(uri) != IfMatch):
            raise AwsError("PreconditionFailed", "At least one of the pre-conditions you specified did not hold", 412)
        body = Body.read() if hasattr(Body, "read") else Body
        self.objects[uri] = body if isinstance(body, bytes) else body.encode()
        return {"ETag": self.etag(uri)}

    def get_object(self, Bucket, Key):
        uri = f"s3://{Bucket}/{Key}"
        if uri not in self.objects:
            raise AwsError("NoSuchKey", f"The specified key does not exist: {uri}", 404)
        return {"Body": io.BytesIO(self.objects[uri]), "ETag": self.etag(uri)}

    def etag(self, uri):
        return f'"{hashlib.md5(self.objects[uri], usedforsecurity=False).hexdigest()}"' if uri in self.objects else None

    def list_objects_v2(self, Bucket, Prefix="", Delimiter=None):
        keys = [
            uri.removeprefix(f"s3://{Bucket}/") for uri in self.objects if uri.startswith(f"s3://{Bucket}/{Prefix}")
        ]
        keys = [key for key in keys if not (Delimiter and Delimiter in key.removeprefix(Prefix))]
        return {"Contents": [{"Key": key, "Size": len(self.objects[f"s3://{Bucket}/{key}"])} for key in sorted(keys)]}


class SageMaker:
    """The callback half of SageMaker Pipelines: one answer to a token counts, every later one is refused."""

    def __init__(self, aws: FakeAws):
        self.aws = aws
        self.waiting: set[str] = set()
        self.answers: list[tuple[float, str, str, Any]] = []  # when, token, "Success" or "Failure", outputs or reason
        self.selected: list[str] = []  # the steps of a selective execution
        self.second_answer = "ResourceNotFound"  # AWS doesn't document which; tests try several
        self.second_answer_text = "No step waits for this callback token."
        self.numbers = itertools.count(1)

    def start_callback(self, job_ids: str, **arguments: Any) -> str:
        """The callback step begins: SageMaker sends its message. Returns the token."""
        token = f"Token{next(self.numbers):05d}"
        self.waiting.add(token)
        self.send(token, {"job_ids": job_ids, **arguments})
        return token

    def describe_pipeline_execution(self, PipelineExecutionArn):
        steps = [{"StepName": name} for name in self.selected]
        return {
            "PipelineExecutionArn": PipelineExecutionArn,
            **({"SelectiveExecutionConfig": {"SelectedSteps": steps}} if steps else {}),
        }

    def send(self, token: str, arguments: Any, **more: Any) -> None:
        body = {"token": token, "pipelineExecutionArn": EXECUTION, "arguments": arguments, **more}
        self.aws.sqs.send_message(self.aws.sqs.url("callbacks-sagemaker"), json.dumps(body))

    def answer(self, token: str, kind: str, what: Any) -> None:
        if token not in self.waiting:
            raise AwsError(self.second_answer, self.second_answer_text)
        self.waiting.remove(token)
        self.answers.append((self.aws.clock.now, token, kind, what))

    def send_pipeline_execution_step_success(self, CallbackToken, OutputParameters=(), ClientRequestToken=""):
        for output in OutputParameters:
            assert len(output["Name"]) <= 256
            assert len(output["Value"]) <= 1024
        self.answer(CallbackToken, "Success", {output["Name"]: output["Value"] for output in OutputParameters})
        return {"PipelineExecutionArn": EXECUTION}

    def send_pipeline_execution_step_failure(self, CallbackToken, FailureReason="", ClientRequestToken=""):
        self.answer(CallbackToken, "Failure", FailureReason)
        return {"PipelineExecutionArn": EXECUTION}


class Context:
    def __init__(self, milliseconds: int = 120_000):
        self.milliseconds = milliseconds

    def get_remaining_time_in_millis(self) -> int:
        return self.milliseconds


@dataclass
class Function:
    """A function's modules by name, loaded as by a cold start."""

    modules: dict[str, types.ModuleType]

    def __getitem__(self, name: str) -> types.ModuleType:
        return self.modules[name]

    @property
    def lambda_handler(self) -> Callable[[dict, Any], Any]:
        return self["lambda_function"].lambda_handler


def load_lambda(name: str) -> Function:
    """A fresh copy of a function. Its modules leave sys.modules again, since another function has some of one name."""
    folder = LAMBDA_CODE / name
    names = [path.stem for path in folder.glob("*.py")]
    outside = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        importlib.import_module("lambda_function")
        return Function({name: sys.modules[name] for name in names if name in sys.modules})
    finally:
        sys.path.remove(str(folder))
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(outside)


def connect(function: Function, aws: FakeAws, seed: int = 0, clock: Clock | None = None) -> Function:
    """Give a function's modules the fake AWS, its clock and a random that repeats."""
    replaced = {"client": aws.client, "time": clock or aws.clock, "random": random.Random(seed)}
    for module in function.modules.values():
        for name, value in replaced.items():
            if hasattr(module, name):
                setattr(module, name, value)
    return function
