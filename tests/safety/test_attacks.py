"""Attacks on what reads requests: parsers, names that are paths, function packages, signatures. None gets through.

tests/safety/test_doors.py tries the doors themselves, tests/local_aws/test_core_buckets.py S3's documents.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import http.client
import io
import json
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, ParamValidationError
from servers import Server, package, user

TRAVERSALS = [
    "../escaped", "../../../../escaped", "a/../../../escaped", "/escaped", "//escaped", "..", ".", "a/..",
    "..\\escaped", "%2e%2e/escaped", "\u0000", "a\u0000b", "C:\\escaped", "~/escaped", "x" * 1024,
]  # fmt: skip
JSON_TARGETS = {
    "sqs": "AmazonSQS.SendMessage",
    "logs": "Logs_20140328.PutLogEvents",
    "events": "AWSEvents.PutEvents",
    "tagging": "ResourceGroupsTaggingAPI_20170126.GetResources",
    "sagemaker": "SageMaker.CreatePipeline",
}


def files_outside(server: Server) -> set[Path]:
    """The files beside the state directory and in the server's home, that no request may make."""
    beside = {path for path in server.state.parent.iterdir() if path != server.state}
    return beside | set(server.home.rglob("*escaped*")) | set(server.state.glob("escaped*"))


@pytest.fixture(autouse=True)
def nothing_escapes(server: Server) -> Iterator[None]:
    before = files_outside(server)
    yield
    assert files_outside(server) == before
    assert server.answers()
    assert "Traceback" not in server.info.log.read_text()


# --- parsers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", JSON_TARGETS)
@pytest.mark.parametrize(
    "body",
    [b"\xff\xfe", b'{"a": "\xc3"}', b"[" * 100_000, b'{"a":' * 100_000, b"NaN", b'"x"', b"1" * 10_000],
    ids=["UTF-16 mark", "torn UTF-8", "deep list", "deep object", "NaN", "a text", "long number"],
)
def test_json_that_is_none_is_a_client_error(server: Server, service: str, body: bytes) -> None:
    headers = {"X_Amz_Target": JSON_TARGETS[service], "Content_Type": "application/x-amz-json-1.1"}
    status, answer = server.signed(service, "/", body, **headers)
    assert (status, bool(json.loads(answer)["__type"])) == (400, True), answer


@pytest.mark.parametrize("service", ["iam", "sts", "monitoring", "ec2", "sqs"])
@pytest.mark.parametrize(
    "body",
    [b"Action=\xff", b"Action=%ff%fe", b"Action=ListRoles&Version=2010-05-08&" + b"a.member.1=x&" * 5000,
     b"Action=" + b"a." * 50_000 + b"=1", b"=" * 5000, b"Action=CreateUser&Action=ListUsers"],
    ids=["bytes", "quoted bytes", "many", "deep", "equals", "two actions"],
)  # fmt: skip
def test_a_form_that_is_none_is_no_crash(server: Server, service: str, body: bytes) -> None:
    status, answer = server.signed(service, "/", body, Content_Type="application/x-www-form-urlencoded")
    assert status < 500, answer


@pytest.mark.parametrize("size", [60_000, 1_000_000])
def test_headers_that_are_too_large_are_refused(server: Server, size: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    with contextlib.suppress(ConnectionError):  # it is closed while the client is still sending
        connection.request("GET", "/", headers={"X-Amz-Meta-A": "a" * size})
        assert 400 <= connection.getresponse().status < 500


# --- names as paths --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", TRAVERSALS)
def test_an_objects_key_is_no_path(server: Server, key: str) -> None:
    s3 = server.client("s3")
    s3.create_bucket(Bucket="keys-as-paths")
    try:
        s3.put_object(Bucket="keys-as-paths", Key=key, Body=b"mine")
    except ClientError as refused:
        assert refused.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    else:
        assert s3.get_object(Bucket="keys-as-paths", Key=key)["Body"].read() == b"mine"


@pytest.mark.parametrize("name", TRAVERSALS)
def test_a_resources_name_is_no_path(server: Server, name: str) -> None:
    role = _role(server)
    for call, arguments in (
        (server.client("s3", parameter_validation=False).create_bucket, {"Bucket": name}),
        (server.client("sqs").create_queue, {"QueueName": name}),
        (server.client("logs").create_log_group, {"logGroupName": name}),
        (server.client("iam").create_user, {"UserName": name}),
        (server.client("events").put_rule, {"Name": name, "EventPattern": "{}"}),
        (server.client("cloudwatch").put_dashboard, {"DashboardName": name, "DashboardBody": '{"widgets": []}'}),
        (
            server.client("lambda").create_function,
            {"FunctionName": name, "Runtime": "python3.13", "Handler": "a.b", "Role": role, "Code": package()},
        ),
    ):
        try:
            call(**arguments)
        except (ClientError, ParamValidationError) as refused:
            answer = getattr(refused, "response", {"ResponseMetadata": {"HTTPStatusCode": 400}})
            assert answer["ResponseMetadata"]["HTTPStatusCode"] < 500, refused


# --- function packages -----------------------------------------------------------------------------------------------


def _role(server: Server) -> str:
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam = server.client("iam")
    with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_role(RoleName="attacked", AssumeRolePolicyDocument=json.dumps({"Statement": trust}))
    return iam.get_role(RoleName="attacked")["Role"]["Arn"]


def _function(server: Server, name: str, files: dict[str | zipfile.ZipInfo, str | bytes]) -> dict[str, Any]:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    client = server.client("lambda", retries={"max_attempts": 0})
    client.create_function(
        FunctionName=name, Runtime="python3.13", Handler="a.b", Role=_role(server), Code={"ZipFile": packed.getvalue()}
    )  # fmt: skip
    return client.invoke(FunctionName=name)


def test_a_packages_paths_stay_within(server: Server, tmp_path: Path) -> None:
    outside = [tmp_path / "escaped-up", tmp_path / "escaped-absolute", tmp_path / "escaped-link"]
    link = zipfile.ZipInfo("link")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    code = "def b(event, context):\n    return 'ran'\n"
    up = "../" * 30 + str(outside[0]).lstrip("/")
    answer = _function(
        server, "slips", {"a.py": code, up: "x", str(outside[1]): "x", link: str(tmp_path), "link/escaped-link": "x"}
    )
    assert answer["StatusCode"] == 200
    assert not [path for path in outside if path.exists()]


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"a.py": "", "zeros": b"\0" * 263_000_000}, "Unzipped size must be smaller than 262144000 bytes"),
        (None, "Could not unzip uploaded file"),
    ],
    ids=["a bomb", "no archive"],
)
def test_a_package_that_is_a_bomb_or_none_is_refused(server: Server, files: Any, says: str) -> None:
    with pytest.raises(ClientError, match=says) as refused:
        if files:
            _function(server, "bomb", files)
        else:
            server.client("lambda").create_function(
                FunctionName="none", Runtime="python3.13", Handler="a.b", Role=_role(server), Code={"ZipFile": b"PK?"}
            )  # fmt: skip
    assert refused.value.response["Error"]["Code"] == "InvalidParameterValueException"


# --- signatures ------------------------------------------------------------------------------------------------------

SIGNED = {
    "s3": ("GET", "/", b""),
    "sqs": ("POST", "/", b"Action=ListQueues"),
    "iam": ("POST", "/", b"Action=ListRoles"),
    "sts": ("POST", "/", b"Action=GetSessionToken"),
    "lambda": ("GET", "/2015-03-31/functions", b""),
    "batch": ("POST", "/v1/describejobs", b'{"jobs": ["x"]}'),
    "monitoring": ("POST", "/", b"Action=DescribeAlarms"),
    "ec2": ("POST", "/", b"Action=DescribeVpcs"),
}


@pytest.fixture(scope="module")
def key(server: Server) -> dict[str, str]:
    return user(server, "signer", "*")


def _send(server: Server, service: str, key: dict[str, str], days: int = 0, **tampered: str) -> int:
    method, path, body = SIGNED[service]
    kind = {"Content-Type": "application/x-www-form-urlencoded"} if body.startswith(b"Action") else {}
    request = AWSRequest(method, server.info.endpoint_url + path, headers=kind, data=body)
    auth = (S3SigV4Auth if service == "s3" else SigV4Auth)(
        Credentials(key["AccessKeyId"], key["SecretAccessKey"]), service, "us-east-1"
    )
    auth.add_auth(request)
    if days:
        moment = (dt.datetime.now(dt.UTC) + dt.timedelta(days=days)).strftime("%Y%m%dT%H%M%SZ")
        del request.headers["Authorization"], request.headers["X-Amz-Date"]
        request.headers["X-Amz-Date"] = request.context["timestamp"] = moment
        to_sign = auth.string_to_sign(request, auth.canonical_request(request))
        auth._inject_signature_to_request(request, auth.signature(to_sign, request))
    headers = dict(request.headers.items()) | tampered
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request(method, path, body, headers)
    return connection.getresponse().status


@pytest.mark.parametrize("service", SIGNED)
def test_only_a_signature_that_is_right_now_counts(server: Server, key: dict[str, str], service: str) -> None:
    assert _send(server, service, key) == 200
    assert _send(server, service, key | {"SecretAccessKey": "guessed"}) in (400, 401, 403)
    assert _send(server, service, key | {"AccessKeyId": "AKIAOFNOBODY00000000"}) in (400, 401, 403)
    assert _send(server, service, key, days=-1) in (400, 401, 403)
    assert _send(server, service, key, days=1) in (400, 401, 403)
    assert _send(server, service, key, **{"X-Amz-Date": "20200101T000000Z"}) in (400, 401, 403)


def test_no_secret_is_in_the_log_or_in_arguments(server: Server, key: dict[str, str]) -> None:
    code = (
        "import os, pathlib\n"
        "def b(event, context):\n"
        "    return [p.read_bytes().decode(errors='replace') for p in pathlib.Path('/proc').glob('[0-9]*/cmdline')]\n"
    )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.py", code)
    client = server.client("lambda")
    client.create_function(
        FunctionName="secretive", Runtime="python3.13", Handler="a.b", Role=_role(server),
        Code={"ZipFile": packed.getvalue()}, Environment={"Variables": {"PASSWORD": "of-the-function"}},
    )  # fmt: skip
    arguments = client.invoke(FunctionName="secretive")["Payload"].read().decode()
    for secret in ("of-the-function", key["SecretAccessKey"]):
        assert secret not in arguments
        assert secret not in server.info.log.read_text()
