"""Functions, queues and roles for tests of an embedded AWS that they share, under names of their own."""

from __future__ import annotations

import io
import itertools
import json
import time
import zipfile
from typing import Any

import pytest
from botocore.exceptions import ClientError

_numbers = itertools.count(1)
ACCOUNT_ARN = "arn:aws:{}:us-east-1:000000000000:{}"


def name(kind: str = "own") -> str:
    return f"{kind}-{next(_numbers)}"


def refusal(call: Any, **arguments: Any) -> tuple[str, str]:
    """The code and the message that a call is refused with."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def statement(*actions: str, effect: str = "Allow", resource: str = "*") -> str:
    allow = {"Effect": effect, "Action": list(actions), "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": [allow]})


def role(aws: Any, *actions: str) -> str:
    """A role that Lambda may assume, and that may do these actions."""
    iam, own = aws.client("iam"), name("role")
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    arn = iam.create_role(RoleName=own, AssumeRolePolicyDocument=json.dumps({"Statement": trust}))["Role"]["Arn"]
    if actions:
        iam.put_role_policy(RoleName=own, PolicyName="p", PolicyDocument=statement(*actions))
    return arn


def zipped(code: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("f.py", code)
    return packed.getvalue()


def configuration(aws: Any, code: str = "def h(event, context):\n    return event\n", **more: Any) -> dict[str, Any]:
    """The arguments of CreateFunction for this code."""
    own = more.pop("Role", None) or role(aws, "logs:*", "sqs:*")
    given = {"FunctionName": name("function"), "Runtime": "python3.13", "Handler": "f.h", "Role": own, "Timeout": 10}
    return {**given, "Code": {"ZipFile": zipped(code)}, **more}


def function(aws: Any, code: str = "def h(event, context):\n    return event\n", **more: Any) -> str:
    """A function's ARN."""
    return aws.client("lambda").create_function(**configuration(aws, code, **more))["FunctionArn"]


def queue(aws: Any, **attributes: str) -> tuple[str, str]:
    """A queue's URL and ARN."""
    sqs, own = aws.client("sqs"), name("queue") + (".fifo" if attributes.get("FifoQueue") else "")
    url = sqs.create_queue(QueueName=own, Attributes=attributes)["QueueUrl"]
    return url, ACCOUNT_ARN.format("sqs", own)


def messages(aws: Any, url: str) -> int:
    """How many messages a queue has, hidden ones too."""
    counts = aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return sum(int(counts[f"ApproximateNumberOfMessages{which}"]) for which in ("", "NotVisible", "Delayed"))


def until(condition: Any, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.05)
