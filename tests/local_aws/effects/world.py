"""An account for one probe, and what a probe is."""

from __future__ import annotations

import copy
import io
import itertools
import json
import re
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError

Look = tuple[str, str, dict[str, Any]]
_accounts = itertools.count(310_000_000_000)
_ONCE = Config(
    retries={"total_max_attempts": 1}, parameter_validation=False, request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)  # fmt: skip
# What differs from call to call.
_VOLATILE = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{32,}\b"
    r"|20\d\d-\d\d-\d\d[T ][\d:.+Z]*|\b1[789]\d{8}(?:\d{3})?(?:\.\d+)?\b|\b[A-Z]{4}[A-Z0-9]{16,17}\b|-[0-9a-f]{8,17}\b"
)
ECHO = "def h(event, context):\n    print('called')\n    return event\n"
_DROPPED = (
    "ResponseMetadata",
    "ReceiptHandle",
    "RequestId",
    "HostId",
    "Date",
    "CodeSha256",
    "ETag",
    "UploadId",
    "Location",
    "AccessKeyId",
    "SecretAccessKey",
    "SessionToken",
    "AssumedRoleId",
    "RoleId",
)


class Clients:
    """Clients that act as the root of the account at hand: a key of twelve digits is the root of that account."""

    def __init__(self, aws: Any) -> None:
        self.endpoint_url = aws.endpoint_url
        self.session = boto3.Session("1" * 12, "any", region_name="us-east-1")
        self.made: dict[str, Any] = {}

    def client(self, service: str, account: str) -> Any:
        self.session._session.get_credentials().access_key = account
        if service not in self.made:
            name = {"tagging": "resourcegroupstaggingapi", "monitoring": "cloudwatch"}.get(service, service)
            self.made[service] = self.session.client(name, endpoint_url=self.endpoint_url, config=_ONCE)
        return self.made[service]


class World:
    """An account that has nothing yet."""

    def __init__(self, clients: Clients) -> None:
        self.clients, self.account, self.elapsed = clients, str(next(_accounts)), 0.0
        self.of_a_user: dict[str, Any] = {}  # clients of services that are not called as root

    def client(self, service: str) -> Any:
        return self.of_a_user.get(service) or self.clients.client(service, self.account)

    def call_as_user(self, service: str) -> None:
        """From now on a service is called by a user who may do all, since its operation is none for root."""
        self.call("iam", "CreateUser", UserName="somebody")
        document = allow("*")
        self.call("iam", "PutUserPolicy", UserName="somebody", PolicyName="all", PolicyDocument=document)
        key = self.call("iam", "CreateAccessKey", UserName="somebody")["AccessKey"]
        self.of_a_user[service] = self.session_client(service, key)

    def call(self, service: str, operation: str, **params: Any) -> dict[str, Any]:
        return getattr(self.client(service), xform_name(operation))(**params)

    def arn(self, service: str, resource: str) -> str:
        region = "" if service == "iam" else "us-east-1"
        return f"arn:aws:{service}:{region}:{self.account}:{resource}"

    def session_client(self, service: str, credentials: dict[str, str]) -> Any:
        return boto3.client(
            service, region_name="us-east-1", endpoint_url=self.clients.endpoint_url,
            aws_access_key_id=credentials["AccessKeyId"], aws_secret_access_key=credentials["SecretAccessKey"],
            aws_session_token=credentials.get("SessionToken"),
        )  # fmt: skip

    # --- what probes begin with ---

    def role(self, name: str = "own", *actions: str, trust: dict[str, Any] | None = None) -> str:
        arn = self.call("iam", "CreateRole", RoleName=name, AssumeRolePolicyDocument=trusting(**(trust or {})))
        if actions:
            self.call("iam", "PutRolePolicy", RoleName=name, PolicyName="p", PolicyDocument=allow(*actions))
        return arn["Role"]["Arn"]

    def queue(self, name: str = "own", **attributes: str) -> str:
        return self.call("sqs", "CreateQueue", QueueName=name, Attributes=attributes)["QueueUrl"]

    def url(self, name: str) -> str:
        return f"{self.clients.endpoint_url}/{self.account}/{name}"

    def open_queue(self, name: str = "own", service: str = "events.amazonaws.com") -> str:
        """The ARN of a queue that a service may send to."""
        arn = self.arn("sqs", name)
        self.queue(name, Policy=allow("sqs:SendMessage", resource=arn, Principal={"Service": service}))
        return arn

    def function(self, name: str = "own", code: str = ECHO, **more: Any) -> str:
        return self.call("lambda", "CreateFunction", **self.configuration(name, code, **more))["FunctionArn"]

    def configuration(self, name: str = "own", code: str = ECHO, **more: Any) -> dict[str, Any]:
        role = more.pop("Role", None) or self.role(f"of-{name}", "logs:*", "sqs:*")
        given = {"FunctionName": name, "Runtime": "python3.13", "Handler": "f.h", "Role": role, "Timeout": 10}
        return {**given, "Code": {"ZipFile": zipped(code)}, **more}

    def bucket(self, name: str = "own", **more: Any) -> str:
        own = f"{name}-{self.account}"
        self.call("s3", "CreateBucket", Bucket=own, **more)
        return own

    def put(self, bucket: str, key: str = "k", body: bytes = b"0123456789", **more: Any) -> dict[str, Any]:
        return self.call("s3", "PutObject", Bucket=bucket, Key=key, Body=body, **more)


def zipped(code: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(zipfile.ZipInfo("f.py"), code)
    return packed.getvalue()


def allow(*actions: str, resource: str = "*", effect: str = "Allow", **more: Any) -> str:
    statement = {"Effect": effect, "Action": list(actions), "Resource": resource, **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def trusting(service: str = "lambda.amazonaws.com", **more: Any) -> str:
    principal = {"AWS": "*"} if service == "*" else {"Service": service}
    statement = {"Effect": "Allow", "Principal": principal, "Action": ["sts:AssumeRole", "sts:TagSession"], **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


class Instead:
    """Members that a request gets together, in place of its own. None takes one away."""

    def __init__(self, **members: Any) -> None:
        self.members = members


@dataclass
class Versus:
    """Two requests that differ in one member, where it needs others beside it that the probe's request has not."""

    usual: Instead
    other: Instead


@dataclass
class Probe:
    """A request that succeeds, and how to see what its members do.

    Attributes:
        request: the parameters.
        changes: by member, the value it gets instead.
        looks: calls after it whose answers are compared, too, or functions of the world and the answer.
    """

    request: dict[str, Any]
    changes: dict[str, Any] = field(default_factory=dict)
    looks: list[Look | Callable[[World, Any], Any]] = field(default_factory=list)


def changed(request: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    if isinstance(value, Instead):
        return {name: given for name, given in {**request, **value.members}.items() if given is not None}
    request = copy.deepcopy(request)
    place: Any = request
    *way, last = re.findall(r"\w+|\[\]|\{\}", path)
    for step, following in zip(way, [*way, last][1:], strict=True):
        if step == "[]":
            place = place[0]
        elif step == "{}":
            place = next(iter(place.values()))
        else:
            place = place.setdefault(step, [{}] if following == "[]" else {})
    place[last] = value
    return request


def seen(world: World, service: str, operation: str, request: dict[str, Any], probe: Probe) -> str:
    """How a call ends and how the account looks then, without what differs from call to call."""
    begin = time.monotonic()
    answer = _attempt(world, service, operation, request)
    world.elapsed = time.monotonic() - begin
    parts = [answer]
    for look in probe.looks:
        parts.append(look(world, answer) if callable(look) else _attempt(world, *look))
    text = json.dumps(_without(parts), default=_plain, sort_keys=True)
    return _VOLATILE.sub("VOLATILE", text.replace(world.account, "ACCOUNT"))


def _attempt(world: World, service: str, operation: str, params: dict[str, Any]) -> Any:
    try:
        answer = world.call(service, operation, **params)
    except ClientError as error:
        return {"refused": error.response["Error"].get("Code"), "why": error.response["Error"].get("Message")}
    if operation == "GetObject" or operation == "Invoke":
        body = answer.get("Body") or answer.get("Payload")
        answer["Body" if "Body" in answer else "Payload"] = body.read()
    return answer


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without(item) for key, item in value.items() if key not in _DROPPED}
    return [_without(item) for item in value] if isinstance(value, list) else value


def _plain(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
