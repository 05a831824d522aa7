"""A running embedded AWS, and the means to be rude to it."""

from __future__ import annotations

import http.client
import io
import json
import socket
import time
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

import local_aws


class Server:
    """One running server, with the means to be rude to it."""

    def __init__(self, home: Path, state: Path) -> None:
        self.home, self.state = home, state
        self.info = local_aws.start(port=0, home=home, state_dir=state)
        self.port = self.info.port

    def signed(self, service: str, path: str, body: bytes = b"{}", **headers: str) -> tuple[int, str]:
        """POST `body` with a valid signature."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        request = AWSRequest("POST", self.info.endpoint_url + path, headers=headers, data=body)
        SigV4Auth(Credentials("test", "test"), service, "us-east-1").add_auth(request)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("POST", path, body, dict(request.headers.items()))
        response = connection.getresponse()
        return response.status, response.read().decode()

    def raw(self, data: bytes, wait: float = 5, close: bool = True) -> bytes:
        """Send bytes, and read until the server closes or says nothing more."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait) as connection:
            connection.sendall(data)
            if close:
                connection.shutdown(socket.SHUT_WR)
            received = b""
            try:
                while chunk := connection.recv(65536):
                    received += chunk
            except (TimeoutError, ConnectionResetError):
                return received
            return received

    def answers(self) -> bool:
        """Whether both services still do their work."""
        self.client("batch").describe_jobs(jobs=["x"])
        self.client("sagemaker").list_pipelines()
        return True

    def client(self, service: str, key: dict[str, Any] | None = None, host: str = "127.0.0.1", **config: Any) -> Any:
        """A client with this access key; without one as the account's root."""
        key = key or {"AccessKeyId": "test", "SecretAccessKey": "test"}
        return boto3.client(
            service,
            endpoint_url=f"http://{host}:{self.port}",
            region_name="us-east-1",
            aws_access_key_id=key["AccessKeyId"],
            aws_secret_access_key=key["SecretAccessKey"],
            aws_session_token=key.get("SessionToken"),
            config=Config(**config),
        )


def user(server: Server, name: str, *actions: str) -> dict[str, Any]:
    """A new IAM user that may do these actions; its access key."""
    iam = server.client("iam")
    iam.create_user(UserName=name)
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)
    return iam.create_access_key(UserName=name)["AccessKey"]


def allow(iam: Any, name: str, statements: Iterable[dict[str, Any]]) -> None:
    """Give an IAM user these statements and no others, as managed policies: what is within a user has 2,048 characters.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
    """
    for policy in iam.list_attached_user_policies(UserName=name)["AttachedPolicies"]:
        iam.detach_user_policy(UserName=name, PolicyArn=policy["PolicyArn"])
        iam.delete_policy(PolicyArn=policy["PolicyArn"])
    documents: list[list[dict[str, Any]]] = [[]]
    for statement in statements:
        if len(_policy([*documents[-1], statement])) > 6_144:
            documents.append([])
        documents[-1].append(statement)
    for number, part in enumerate(filter(None, documents)):
        made = iam.create_policy(PolicyName=f"{name}-{number}", PolicyDocument=_policy(part))["Policy"]
        iam.attach_user_policy(UserName=name, PolicyArn=made["Arn"])


def _policy(statements: list[dict[str, Any]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))


def package() -> dict[str, bytes]:
    """The code of a Lambda function that does nothing."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.py", "def b(event, context): return event")
    return {"ZipFile": archive.getvalue()}


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Ask again and again until the answer is true, and return it."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)
    return answer
