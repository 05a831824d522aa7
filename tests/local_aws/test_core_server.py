"""The server as a whole, and our side of the wire, with two small services of the test's own."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime as dt
import gc
import http.client
import io
import json
import queue
import socket
import threading
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
import yaml
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

import local_aws
from local_aws import clock, ministack, server
from local_aws.protocol import ApiError
from local_aws.server import App, Context, serve

ACCOUNT = ministack.ACCOUNT


class Batch:
    """Keeps what it was asked, and answers what the test wants."""

    name = "batch"

    def __init__(self) -> None:
        self.requests: list = []
        self.answer: dict = {"jobs": []}

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def describe_jobs(self, request) -> dict:
        request.authorize("batch:DescribeJobs")
        self.requests.append(request)
        return self.answer

    async def list_tags_for_resource(self, request) -> dict:
        request.authorize("batch:ListTagsForResource", request.params["resourceArn"])
        self.requests.append(request)
        return {"tags": {"a": "b"}}

    def untag_resource(self, request) -> dict:
        self.requests.append(request)
        return {}

    def create_job_queue(self, request) -> dict:
        request.authorize("batch:CreateJobQueue", "arn:aws:batch:us-east-1:000000000000:job-queue/q")
        request.authorize_pass_role(f"arn:aws:iam::{ACCOUNT}:role/passed", "batch.amazonaws.com")
        return {"jobQueueName": "q", "jobQueueArn": "arn:q"}

    def submit_job(self, request) -> dict:
        raise ApiError("ClientException", "No such queue.", 404)

    def terminate_job(self, request) -> dict:
        raise ZeroDivisionError


class SageMaker:
    name = "sagemaker"
    answer: dict | None = None

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def describe_pipeline(self, request) -> dict:
        return self.answer or {"PipelineName": request.params["PipelineName"], "CreationTime": dt.datetime.now(dt.UTC)}


class Running:
    def __init__(self, port: int, batch: Batch, sagemaker: SageMaker) -> None:
        self.port, self.batch, self.sagemaker = port, batch, sagemaker

    def client(self, service: str, key: dict | None = None):
        key = key or {"AccessKeyId": "test", "SecretAccessKey": "test"}
        return boto3.client(
            service,
            region_name="us-east-1",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            aws_access_key_id=key["AccessKeyId"],
            aws_secret_access_key=key["SecretAccessKey"],
            config=Config(retries={"total_max_attempts": 1}),  # the errors here are meant
        )

    def user(self, name: str, *statements: dict) -> dict:
        """An IAM user with these statements; its access key."""
        iam = self.client("iam")
        iam.create_user(UserName=name)
        document = {"Version": "2012-10-17", "Statement": list(statements)}
        if statements:
            iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(document))
        return iam.create_access_key(UserName=name)["AccessKey"]

    def role(self, name: str, trust: dict, *statements: dict) -> str:
        iam = self.client("iam")
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))["Role"]["Arn"]
        if statements:
            iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps({"Statement": statements}))
        return arn

    def signed(self, key: dict, method: str, path: str, body: dict) -> tuple[int, str]:
        """A call of Lambda at a path that no client would write."""
        content = json.dumps(body)
        request = AWSRequest(method, f"http://127.0.0.1:{self.port}{path}", data=content)
        SigV4Auth(Credentials(key["AccessKeyId"], key["SecretAccessKey"]), "lambda", "us-east-1").add_auth(request)
        return self.http(method, path, content, **dict(request.headers.items()))

    def http(self, method: str, path: str, body: str = "", **headers: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, response.read().decode()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    listening = socket.create_server(("127.0.0.1", 0), backlog=local_aws.BACKLOG)
    port = listening.getsockname()[1]
    work = tmp_path_factory.mktemp("work")
    context = Context(f"http://127.0.0.1:{port}", work)
    context.local_routes["echo"] = lambda body: {"echo": body["word"]}
    batch, sagemaker = Batch(), SageMaker()
    app = App(ministack.load(port, None), context, [batch, sagemaker], {"instance": "test"})
    patch = pytest.MonkeyPatch()
    patch.setattr(server, "IDLE_SECONDS", 2)
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(app, listening, stop),), daemon=True)
    thread.start()
    running = Running(port, batch, sagemaker)
    deadline = time.monotonic() + 20
    while True:
        try:
            running.http("GET", "/_local_aws/health")
            break
        except OSError:
            assert time.monotonic() < deadline, "the server did not come up"
            time.sleep(0.02)
    yield running
    loop.call_soon_threadsafe(stop.set)
    thread.join(20)
    patch.undo()


def test_what_is_loaded_at_the_start_is_never_collected(running: Running) -> None:
    """Each full collection would walk all modules and models, and hold every call meanwhile."""
    assert gc.get_freeze_count() > 100_000


def refusal(call, **arguments) -> dict:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value.response["Error"]


def allow(action: str, resource: str = "*", **condition) -> dict:
    return {
        "Effect": "Allow",
        "Action": action,
        "Resource": resource,
        **({"Condition": condition} if condition else {}),
    }


def trust(service: str, **condition) -> dict:
    return {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
        **({"Condition": condition} if condition else {}),
    }


# --- the wire --------------------------------------------------------------------------------------------------------


def test_parameters_come_from_path_query_and_body(running: Running) -> None:
    arn = "arn:aws:batch:us-east-1:000000000000:job-definition/with space:1"
    client = running.client("batch")
    assert client.list_tags_for_resource(resourceArn=arn)["tags"] == {"a": "b"}
    client.untag_resource(resourceArn=arn, tagKeys=["one", "two"])
    client.describe_jobs(jobs=["x"])
    listed, untagged, described = running.batch.requests[-3:]
    assert listed.params == {"resourceArn": arn}
    assert untagged.params == {"resourceArn": arn, "tagKeys": ["one", "two"]}
    assert described.params == {"jobs": ["x"]}
    assert (described.account, described.region, described.partition) == (ACCOUNT, "us-east-1", "aws")
    assert described.caller_arn == f"arn:aws:iam::{ACCOUNT}:root"


def test_timestamps_arrive_as_datetimes(running: Running) -> None:
    assert isinstance(running.client("sagemaker").describe_pipeline(PipelineName="p")["CreationTime"], dt.datetime)


@pytest.mark.parametrize(
    ("answer", "why"),
    [({"jobs": [{"jobName": "lacks the rest"}]}, "required"), ({"nosuch": 1}, "unknown"), ({"jobs": [3]}, "type")],
)
def test_an_answer_the_client_could_not_parse_is_an_error_of_ours(running: Running, answer: dict, why: str) -> None:
    running.batch.answer = answer
    try:
        assert refusal(running.client("batch").describe_jobs, jobs=["x"])["Code"] == "ServerException"
    finally:
        running.batch.answer = {"jobs": []}


def test_a_bug_of_ours_is_a_500_without_details(running: Running) -> None:
    with pytest.raises(ClientError) as caught:
        running.client("batch").terminate_job(jobId="x", reason="y")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    assert "ZeroDivision" not in str(caught.value)


def test_a_services_refusal_keeps_code_and_status(running: Running) -> None:
    client = running.client("batch")
    with pytest.raises(client.exceptions.ClientException) as caught:
        client.submit_job(jobName="j", jobQueue="q", jobDefinition="d")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    assert caught.value.response["Error"]["Message"] == "No such queue."


def test_model_limits_are_checked(running: Running) -> None:
    sagemaker = running.client("sagemaker")
    bad_name = refusal(sagemaker.describe_pipeline, PipelineName="-p")
    assert bad_name["Code"] == "ValidationException"
    assert "satisfy regular expression pattern" in bad_name["Message"]
    arn = "arn:aws:sagemaker:us-east-1:000000000000:pipeline/p/execution/abcdefghijkl"
    too_long = refusal(sagemaker.send_pipeline_execution_step_failure, CallbackToken="a" * 10, FailureReason="x" * 257)
    assert "length less than or equal to 256" in too_long["Message"]
    assert refusal(sagemaker.stop_pipeline_execution, PipelineExecutionArn=arn, ClientRequestToken="t" * 129)
    queue = {"jobQueueName": "q", "priority": 1, "computeEnvironmentOrder": []}
    bad_enum = refusal(running.client("batch").create_job_queue, **queue, state="SLEEPING")
    assert bad_enum["Code"] == "ClientException"
    assert "[ENABLED, DISABLED]" in bad_enum["Message"]


def test_an_uncovered_operation_is_named(running: Running) -> None:
    answer = refusal(running.client("batch").list_service_jobs)
    assert answer["Code"] == "NotImplementedException"
    assert "batch:ListServiceJobs" in answer["Message"]


def signed(service: str) -> str:
    return (
        f"AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
    )


@pytest.mark.parametrize("body", ["{", "[]", '{"jobs": "x"}', '{"jobs": [1]}', '{"jobs": null}', "\x00"])
def test_malformed_bodies_are_client_errors(running: Running, body: str) -> None:
    status, text = running.http("POST", "/v1/describejobs", body, Authorization=signed("batch"))
    assert status == 400, text


def test_unknown_paths_and_targets_are_client_errors(running: Running) -> None:
    assert running.http("POST", "/v1/nosuch", "{}", Authorization=signed("batch"))[0] == 404
    status, _ = running.http("POST", "/", "{}", Authorization=signed("sagemaker"), X_Amz_Target="SageMaker.NoSuch")
    assert status == 400


# --- who may ---------------------------------------------------------------------------------------------------------


def test_a_caller_needs_the_action(running: Running) -> None:
    key = running.user("nobody")
    denied = refusal(running.client("batch", key).describe_jobs, jobs=["x"])
    assert denied["Code"] == "AccessDeniedException"
    assert f"arn:aws:iam::{ACCOUNT}:user/nobody is not authorized to perform: batch:DescribeJobs" in denied["Message"]


def test_a_wrong_secret_and_an_unknown_key_are_refused(running: Running) -> None:
    key = running.user("somebody", allow("batch:DescribeJobs"))
    assert running.client("batch", key).describe_jobs(jobs=["x"])["jobs"] == []
    wrong = {**key, "SecretAccessKey": "wrong"}
    assert refusal(running.client("batch", wrong).describe_jobs, jobs=["x"])["Code"] == "InvalidSignatureException"
    unknown = {"AccessKeyId": "AKIANOSUCHKEY", "SecretAccessKey": "x"}
    assert refusal(running.client("batch", unknown).describe_jobs, jobs=["x"])["Code"] == "UnrecognizedClientException"


def test_an_unsigned_request_is_refused(running: Running) -> None:
    unnamed = "AWS4-HMAC-SHA256 Credential=/20260101/us-east-1/batch/aws4_request, SignedHeaders=host, Signature=0"
    assert running.http("POST", "/v1/describejobs", "{}", Authorization=unnamed)[0] in (400, 403)


def test_passing_a_role_needs_pass_role_to_that_service(running: Running) -> None:
    arguments = {"jobQueueName": "q", "priority": 1, "computeEnvironmentOrder": []}
    create = allow("batch:CreateJobQueue")
    elsewhere = allow("iam:PassRole", StringEquals={"iam:PassedToService": "lambda.amazonaws.com"})
    here = allow("iam:PassRole", StringEquals={"iam:PassedToService": "batch.amazonaws.com"})
    denied = refusal(running.client("batch", running.user("passer-1", create, elsewhere)).create_job_queue, **arguments)
    assert "iam:PassRole on resource" in denied["Message"]
    running.client("batch", running.user("passer-2", create, here)).create_job_queue(**arguments)


def test_tags_of_a_request_are_condition_keys(running: Running) -> None:
    tagged = allow("batch:CreateJobQueue", StringEquals={"aws:RequestTag/team": "a"})
    client = running.client("batch", running.user("tagger", tagged, allow("iam:PassRole")))
    arguments = {"jobQueueName": "q", "priority": 1, "computeEnvironmentOrder": []}
    client.create_job_queue(**arguments, tags={"team": "a"})
    assert refusal(client.create_job_queue, **arguments, tags={"team": "b"})["Code"] == "AccessDeniedException"


# --- roles, logs, events: what ministack.py gives the services ------------------------------------------------------


def test_only_a_service_the_role_trusts_assumes_it(running: Running) -> None:
    arn = running.role("trusting", trust("ecs-tasks.amazonaws.com"), allow("batch:DescribeJobs"))
    credentials = ministack.assume_role(arn, "ecs-tasks.amazonaws.com", session_name="job-1")
    client = ministack.client("batch", credentials, "us-east-1")
    client.describe_jobs(jobs=["x"])
    assert running.batch.requests[-1].caller_arn == f"arn:aws:sts::{ACCOUNT}:assumed-role/trusting/job-1"
    for role, service in (
        (arn, "lambda.amazonaws.com"),
        (arn.replace("trusting", "absent"), "ecs-tasks.amazonaws.com"),
    ):
        with pytest.raises(ApiError, match=service):
            ministack.assume_role(role, service, session_name="s")


def test_trust_conditions_guard_against_the_confused_deputy(running: Running) -> None:
    mine = trust("sagemaker.amazonaws.com", StringEquals={"aws:SourceAccount": ACCOUNT})
    other = trust("sagemaker.amazonaws.com", StringEquals={"aws:SourceAccount": "111122223333"})
    pipeline = trust("sagemaker.amazonaws.com", ArnLike={"aws:SourceArn": "arn:aws:sagemaker:*:*:pipeline/p/*"})
    assert ministack.trusts(running.role("t-mine", mine), "sagemaker.amazonaws.com")
    assert not ministack.trusts(running.role("t-other", other), "sagemaker.amazonaws.com")
    arn = running.role("t-arn", pipeline)
    assert ministack.trusts(
        arn, "sagemaker.amazonaws.com", source_arn=f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:pipeline/p/execution/1"
    )
    other = "arn:aws:sagemaker:us-east-1:1:pipeline/q/execution/1"
    assert not ministack.trusts(arn, "sagemaker.amazonaws.com", source_arn=other)
    assert not ministack.trusts(arn, "sagemaker.amazonaws.com")


@pytest.mark.parametrize("how", [{}, {"first_line_wait": 0.1}], ids=["an invocation", "a runtime that does not start"])
def test_a_line_that_a_busy_machine_brings_late_is_of_the_invocation_that_printed_it(
    running: Running, monkeypatch: pytest.MonkeyPatch, how: dict[str, float]
) -> None:
    from ministack.core import lambda_runtime

    lines = [(0.0, "one"), (0.02, "two"), (9.0, "of the next")]  # each with the second when it arrives
    hand = SimpleNamespace(now=0.0)

    def get(timeout: float) -> str:
        if lines[0][0] > hand.now + timeout:
            hand.now += timeout
            raise queue.Empty
        hand.now = max(hand.now, lines[0][0])
        return lines.pop(0)[1]

    monkeypatch.setattr(clock, "steady", lambda: hand.now)
    worker = SimpleNamespace(_stderr_queue=SimpleNamespace(get=get))
    assert lambda_runtime.ProvidedWorker._drain_stderr_bounded(worker, **how) == "one\ntwo"


def test_logs_are_written_as_the_execution_role(running: Running) -> None:
    logs, group = running.client("logs"), "/aws/batch/job"
    may = running.role(
        "logger", trust("ecs-tasks.amazonaws.com"), allow("logs:CreateLogStream"), allow("logs:PutLogEvents")
    )
    may_not = running.role("silent", trust("ecs-tasks.amazonaws.com"), allow("logs:PutLogEvents"))
    ministack.create_log_group(group, ACCOUNT, "us-east-1")
    ministack.create_log_group(group, ACCOUNT, "us-east-1")
    credentials = ministack.assume_role(may, "ecs-tasks.amazonaws.com", session_name="s")
    now = int(time.time() * 1000)
    ministack.put_log_events(credentials, group, "d/default/1", [(now, "one"), (now, "two")], ACCOUNT, "us-east-1")
    events = logs.get_log_events(logGroupName=group, logStreamName="d/default/1", startFromHead=True)["events"]
    assert [event["message"] for event in events] == ["one", "two"]
    refused = ministack.assume_role(may_not, "ecs-tasks.amazonaws.com", session_name="s")
    with pytest.raises(ApiError, match="logs:CreateLogStream"):
        ministack.put_log_events(refused, group, "d/default/2", [(now, "x")], ACCOUNT, "us-east-1")
    with pytest.raises(ApiError, match="log group does not exist"):
        ministack.put_log_events(credentials, "nosuch", "s", [(now, "x")], ACCOUNT, "us-east-1")


def test_our_events_reach_the_targets_of_rules(running: Running) -> None:
    events, sqs = running.client("events"), running.client("sqs")
    url = sqs.create_queue(QueueName="events-here")["QueueUrl"]
    arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:events-here"
    policy = {
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "events.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": arn,
            }
        ]
    }
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
    events.put_rule(Name="r", EventPattern=json.dumps({"source": ["aws.batch"], "detail": {"status": ["FAILED"]}}))
    events.put_targets(Rule="r", Targets=[{"Id": "1", "Arn": arn}])
    for status in ("SUCCEEDED", "FAILED"):
        ministack.publish_event(
            source="aws.batch", detail_type="Batch Job State Change", detail={"status": status, "jobId": "1"},
            resources=["arn:job"], account=ACCOUNT, region="us-east-1",
        )  # fmt: skip
    messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=5)["Messages"]
    assert [json.loads(message["Body"])["detail"]["status"] for message in messages] == ["FAILED"]


@pytest.mark.parametrize("service", ["sqs", "lambda"])
def test_a_rule_reaches_only_what_lets_it(running: Running, service: str) -> None:
    events, sqs, functions = running.client("events"), running.client("sqs"), running.client("lambda")
    name = f"let-in-{service}"
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}"
    if service == "lambda":
        role = running.role(name, trust("lambda.amazonaws.com"), allow("sqs:SendMessage", arn))
        code = (
            "import boto3\n"
            "def b(event, context):\n"
            f"    boto3.client('sqs').send_message(QueueUrl='{url}', MessageBody=event['detail']['n'])"
        )
        arn = functions.create_function(
            FunctionName=name, Runtime="python3.13", Handler="a.b", Role=role, Code={"ZipFile": package(code)}
        )["FunctionArn"]
    rule = events.put_rule(Name=name, EventPattern=json.dumps({"source": ["aws.batch"]}))["RuleArn"]
    events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": arn}])

    def let(source: str) -> None:
        if service == "lambda":
            functions.add_permission(
                FunctionName=name, StatementId=source.rpartition("/")[2], Action="lambda:InvokeFunction",
                Principal="events.amazonaws.com", SourceArn=source,
            )  # fmt: skip
            return
        condition = {"ArnEquals": {"aws:SourceArn": source}}
        statement = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": arn, "Condition": condition}
        policy = {"Statement": [{**statement, "Principal": {"Service": "events.amazonaws.com"}}]}
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})

    def publish(n: str) -> None:
        ministack.publish_event(
            source="aws.batch", detail_type="x", detail={"n": n}, resources=[], account=ACCOUNT, region="us-east-1"
        )

    publish("nobody is let in")
    let(f"{rule}-other")
    publish("another rule is let in")
    let(rule)
    publish("this rule is let in")
    (message,) = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=20)["Messages"]
    assert "this rule is let in" in message["Body"]
    assert "Messages" not in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1)


def test_tags_of_our_services_are_found_by_get_resources(running: Running) -> None:
    arn = f"arn:aws:batch:us-east-1:{ACCOUNT}:job-queue/q"
    ministack.register_tags("batch", lambda *_: [(arn, {"project": "x"})])
    pages = running.client("resourcegroupstaggingapi").get_resources(TagFilters=[{"Key": "project", "Values": ["x"]}])
    assert [mapping["ResourceARN"] for mapping in pages["ResourceTagMappingList"]] == [arn]


def test_the_default_network_exists(running: Running) -> None:
    ec2 = running.client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    assert ministack.subnet_exists(subnet, ACCOUNT, "us-east-1")
    assert ministack.security_group_exists(group, ACCOUNT, "us-east-1")
    assert not ministack.subnet_exists("subnet-nosuch", ACCOUNT, "us-east-1")


# --- Lambda's roles --------------------------------------------------------------------------------------------------


def package(code: str = "def b(event, context): return event") -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a.py", code)
    return content.getvalue()


def zipped() -> dict:
    """A function's code as it is on the wire."""
    return {"ZipFile": base64.b64encode(package()).decode()}


def test_lambda_refuses_a_role_it_cannot_assume_or_the_caller_may_not_pass(running: Running) -> None:
    function = {"FunctionName": "f", "Runtime": "python3.13", "Handler": "a.b", "Code": {"ZipFile": package()}}
    foreign = running.role("not-for-lambda", trust("ecs-tasks.amazonaws.com"))
    error = refusal(running.client("lambda").create_function, Role=foreign, **function)
    assert error["Code"] == "InvalidParameterValueException"
    assert "cannot be assumed by Lambda" in error["Message"]
    mine = running.role("for-lambda", trust("lambda.amazonaws.com"))
    key = running.user("no-passer", allow("lambda:*"))
    assert "iam:PassRole" in refusal(running.client("lambda", key).create_function, Role=mine, **function)["Message"]
    running.client("lambda").create_function(Role=mine, **function)


@pytest.mark.parametrize(
    "path",
    [
        "/2015-03-31/functions//",
        "/2015-03-31/functions%2f",
        "/2015-03-31/functions%252f",
        "/2015-03-31%252ffunctions",
        "/x/functions",
        "//functions",
    ],
)
def test_no_spelling_of_the_path_leads_round_the_check_of_a_functions_role(running: Running, path: str) -> None:
    name = f"spelt-{path.encode().hex()}"
    role = running.role(name, trust("lambda.amazonaws.com"))
    function = {"FunctionName": name, "Runtime": "python3.13", "Handler": "a.b", "Role": role, "Code": zipped()}
    key = running.user(name, allow("lambda:*"))
    status, answer = running.signed(key, "POST", path, function)
    assert status in (403, 404), answer
    status, answer = running.signed(running.user(f"{name}-2", allow("iam:PassRole")), "POST", path, function)
    assert status in (403, 404), answer
    assert name not in [one["FunctionName"] for one in running.client("lambda").list_functions()["Functions"]]


@pytest.mark.parametrize("path", ["", "/", "//", "/x", "%2f", "%252f"])
def test_nor_when_a_function_gets_another_role(running: Running, path: str) -> None:
    name = f"other-{path.encode().hex()}"
    role, other = (running.role(f"{name}-{n}", trust("lambda.amazonaws.com")) for n in (1, 2))
    function = {"FunctionName": name, "Runtime": "python3.13", "Handler": "a.b", "Role": role}
    running.client("lambda").create_function(**function, Code={"ZipFile": package()})
    key = running.user(name, allow("lambda:*"))
    where = f"/2015-03-31/functions/{name}/configuration{path}"
    status, answer = running.signed(key, "PUT", where, {"Role": other})
    assert status in (403, 404), answer
    assert running.client("lambda").get_function_configuration(FunctionName=name)["Role"] == role
    assert running.signed(key, "PUT", where, {"Timeout": 7})[0] in (200, 404), "it hands over no role"


# --- no hole ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Origin": "http://localhost:8888"}, {"Sec_Fetch_Site": "cross-site"}]
)
@pytest.mark.parametrize("path", ["/v1/describejobs", "/", "/_local_aws/echo"])
def test_web_pages_and_rebound_names_are_refused(running: Running, headers: dict, path: str) -> None:
    assert running.http("POST", path, '{"word": "x"}', Content_Type="application/json", **headers)[0] == 403


def test_local_routes_take_json_only(running: Running) -> None:
    assert running.http("POST", "/_local_aws/echo", '{"word": "x"}', Content_Type="text/plain")[0] == 415
    assert running.http("POST", "/_local_aws/echo", '{"word": "x"}', Content_Type="application/json") == (
        200,
        '{"echo": "x"}',
    )
    assert running.http("POST", "/_local_aws/echo", "{}", Content_Type="application/json")[0] == 400
    assert running.http("POST", "/_local_aws/nosuch", "{}", Content_Type="application/json")[0] == 404


# --- what does not end, or does not come ----------------------------------------------------------------------------


def test_a_body_is_as_large_as_its_service_takes(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "BODY_BYTES", 2000)
    monkeypatch.setattr(server, "BODY_BYTES_OF", {"s3": 4000, "lambda": 3000})
    s3, sqs, batch = (running.client(name) for name in ("s3", "sqs", "batch"))
    s3.create_bucket(Bucket="sizes")
    s3.put_object(Bucket="sizes", Key="k", Body=b"x" * 4000)
    assert refusal(s3.put_object, Bucket="sizes", Key="k", Body=b"x" * 4001)["Code"] == "EntityTooLarge"
    url = sqs.create_queue(QueueName="sizes")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="x" * 1500)
    assert refusal(sqs.send_message, QueueUrl=url, MessageBody="x" * 2000)["Code"] == "RequestEntityTooLarge"
    batch.describe_jobs(jobs=["x" * 1500])
    assert refusal(batch.describe_jobs, jobs=["x" * 2000])["Code"] == "RequestEntityTooLarge"
    function = {"FunctionName": "sizes", "Runtime": "python3.13", "Handler": "a.b", "Role": "r"}
    large = {"ZipFile": b"x" * 2300}  # in base64
    assert refusal(running.client("lambda").create_function, **function, Code=large)["Code"] == (
        "RequestEntityTooLargeException"
    )


def test_what_is_not_signed_is_as_small_as_what_is_sent_there(running: Running) -> None:
    status, text = running.http("POST", "/_local_aws/echo", json.dumps({"word": "x" * 70_000}))
    assert (status, json.loads(text)["__type"]) == (413, "RequestEntityTooLarge")


def test_a_body_too_large_is_not_kept(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read to its end, or who sends it would not hear the answer."""
    monkeypatch.setattr(server, "BODY_BYTES_OF", {"s3": 1 << 20})
    running.client("s3").create_bucket(Bucket="large")
    tracemalloc.start()
    answer = refusal(running.client("s3").put_object, Bucket="large", Key="k", Body=io.BytesIO(bytes(50 << 20)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert answer["Code"] == "EntityTooLarge"
    assert peak < 110 << 20  # the test's own two copies, and not a third


def said(port: int, *parts: bytes, pause: float = 0) -> bytes:
    """What the server says to bytes that are sent one after the other, until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        for part in parts:
            try:
                connection.sendall(part)
            except OSError:
                break
            time.sleep(pause)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while chunk := connection.recv(65536):
                received += chunk
        return received


@pytest.mark.parametrize("service", ["s3", "batch"])
def test_a_body_that_does_not_come_ends_the_connection(
    running: Running, monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    monkeypatch.setattr(server, "READ_SECONDS", 0.3)
    head = f"POST /b/k HTTP/1.1\r\nHost: localhost\r\nAuthorization: {signed(service)}\r\nContent-Length: 9\r\n\r\n"
    answer = said(running.port, head.encode(), b"half")
    assert answer.startswith(b"HTTP/1.1 400") and b"RequestTimeout" in answer
    head = "POST /_local_aws/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"
    assert b"RequestTimeout" in said(running.port, head.encode(), b"half")


def test_a_slow_body_is_waited_for(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "READ_SECONDS", 0.5)
    head = (
        f"POST /v1/describejobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: {signed('batch')}\r\n"
        "Connection: close\r\nContent-Length: 15\r\n\r\n"
    )
    assert b"HTTP/1.1 200" in said(running.port, head.encode(), b'{"jo', b'bs": ["', b'x"]}', pause=0.3)


def test_a_request_that_never_begins_ends_the_connection(running: Running) -> None:
    """Bytes that come slowly do not put it off; `running` was started with two seconds."""
    begun = time.monotonic()
    assert said(running.port, b"GET / HTTP/1.1\r\nHost: localhost\r\n", *[b"X: y\r\n"] * 12, pause=0.5) == b""
    assert time.monotonic() - begun < 9


def test_an_answer_may_take_longer_than_a_request(running: Running) -> None:
    sqs = running.client("sqs")
    url = sqs.create_queue(QueueName="slow")["QueueUrl"]
    begun = time.monotonic()
    assert "Messages" not in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=4)
    assert time.monotonic() - begun > 3.5


def test_only_loopback_listens(running: Running) -> None:
    listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ours = {fields[1] for fields in listening if fields[3] == "0A" and int(fields[1].split(":")[1], 16) == running.port}
    assert ours == {f"0100007F:{running.port:04X}"}


# --- what takes long is done off the event loop ----------------------------------------------------------------------


def answered_while(monkeypatch: pytest.MonkeyPatch, running: Running, owner: Any, name: str, call: Callable) -> Any:
    """What the call returns, once another call was answered in the middle of the work of this name."""
    work, begun, go_on = getattr(owner, name), threading.Event(), threading.Event()

    def held(*arguments: Any, **more: Any) -> Any:
        begun.set()
        assert go_on.wait(30)
        return work(*arguments, **more)

    monkeypatch.setattr(owner, name, held)
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(call()))
    thread.start()
    try:
        assert begun.wait(30)
        assert running.http("GET", "/_local_aws/health")[0] == 200
    finally:
        go_on.set()
        thread.join(60)
    return answers[0]


@pytest.mark.parametrize(
    ("operation", "arguments", "member"),
    [
        ("filter_log_events", {"logGroupName": "walked", "filterPattern": "1"}, "events"),
        ("describe_log_groups", {"logGroupNamePrefix": "walked"}, "logGroups"),
        ("describe_log_streams", {"logGroupName": "walked"}, "logStreams"),
    ],
)
def test_a_walk_through_all_lines_holds_no_other_call(
    running: Running, monkeypatch: pytest.MonkeyPatch, operation: str, arguments: dict, member: str
) -> None:
    from ministack.services import cloudwatch_logs

    logs = running.client("logs")
    with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(logGroupName="walked")
        logs.create_log_stream(logGroupName="walked", logStreamName="s")
        events = [{"timestamp": int(time.time() * 1000), "message": str(number)} for number in range(3)]
        logs.put_log_events(logGroupName="walked", logStreamName="s", logEvents=events)
    found = answered_while(
        monkeypatch, running, cloudwatch_logs, "json_response", lambda: getattr(logs, operation)(**arguments)
    )
    assert len(found[member]) == 1


def test_a_walk_that_a_new_group_interrupts_is_done_again(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    from ministack.services import cloudwatch_logs

    logs, answer, interrupted = running.client("logs"), cloudwatch_logs.json_response, []

    def once(*arguments: Any, **more: Any) -> Any:
        if not interrupted:
            interrupted.append(True)
            raise RuntimeError("dictionary changed size during iteration")
        return answer(*arguments, **more)

    monkeypatch.setattr(cloudwatch_logs, "json_response", once)
    assert "logGroups" in logs.describe_log_groups()
    assert interrupted


def test_a_template_that_takes_long_holds_no_other_call(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read once: what the handler takes is not what the next one gets."""
    template = "Description: long\nResources:\n  Queue:\n    Type: AWS::SQS::Queue\n"
    stacks = running.client("cloudformation")
    summary = answered_while(
        monkeypatch, running, yaml, "load", lambda: stacks.get_template_summary(TemplateBody=template)
    )
    assert (summary["Description"], summary["ResourceTypes"]) == ("long", ["AWS::SQS::Queue"])
    monkeypatch.setattr(yaml, "load", None)
    assert stacks.get_template_summary(TemplateBody=template)["ResourceTypes"] == ["AWS::SQS::Queue"]


def test_events_that_have_passed_are_not_kept(running: Running) -> None:
    from ministack.services import eventbridge

    entry = {"Source": "own.source", "DetailType": "d", "Detail": "{}"}
    for _ in range(3):
        assert running.client("events").put_events(Entries=[entry] * 10)["FailedEntryCount"] == 0
    assert list(eventbridge._events_log.items()) == []
