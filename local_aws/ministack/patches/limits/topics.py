"""What the embedded AWS does not have of SNS: mobile push and texts, mail, calls of an address outside."""

from __future__ import annotations

from local_aws.ministack.members import HONOURED
from local_aws.ministack.requests import Call
from local_aws.protocol import ApiError

PROTOCOLS = ("sqs", "lambda")


def check(call: Call, _: bytes) -> None:
    """Refuse an operation, and a subscription, of another kind."""
    if call.operation.name not in HONOURED["sns"]:
        message = f"The embedded AWS does not cover sns:{call.operation.name}. local_aws/README.md lists what it does."
        raise ApiError("NotImplementedException", message, 501)
    protocol = call.params.get("Protocol")
    if call.operation.name == "Subscribe" and protocol not in PROTOCOLS:
        message = f"The embedded AWS delivers a topic's messages to queues and functions, not by {protocol}."
        raise ApiError("InvalidParameter", message)
