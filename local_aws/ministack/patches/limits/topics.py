"""Subscriptions that the embedded AWS can't deliver to: it sends no mail, and calls no address outside."""

from __future__ import annotations

from local_aws.ministack.requests import Call
from local_aws.protocol import ApiError

PROTOCOLS = ("sqs", "lambda")


def check(call: Call, _: bytes) -> None:
    """Refuse a subscription of another kind."""
    protocol = call.params.get("Protocol")
    if call.operation.name == "Subscribe" and protocol not in PROTOCOLS:
        message = f"The embedded AWS delivers a topic's messages to queues and functions, not by {protocol}."
        raise ApiError("InvalidParameter", message)
