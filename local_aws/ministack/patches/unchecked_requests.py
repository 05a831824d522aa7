"""What a service's model refuses is refused: MiniStack takes most of it, or fails at it."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable
from typing import Any

from local_aws import refusals
from local_aws.ministack import members, requests
from local_aws.ministack.patches import limits
from local_aws.protocol import ApiError
from local_aws.shapes import json_object, without_nulls

log = logging.getLogger("local_aws.ministack")

_XML = ("iam", "sts", "ec2", "monitoring", "sns", "sqs", "cloudformation")


def apply() -> None:
    """Check each request between its authorization and MiniStack's service."""
    from ministack import app

    for service in requests.MODELS:
        app.SERVICE_HANDLERS[service] = _checked(service, app.SERVICE_HANDLERS[service])
    for service, handler in app.SERVICE_HANDLERS.items():
        app.SERVICE_HANDLERS[service] = _readable(handler, always=service in _XML)


def _checked(service: str, handler: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(handler)
    async def handle(method: str, path: str, headers: dict, body: bytes, query: dict) -> tuple:
        try:
            call = requests.read(service, method, path, headers, query, body)
            if call:
                limits.check(call, body)
                _refuse_unsupported(call)
                body = _as_given(call, headers, body)
        except ApiError as error:
            answer = refusals.response(error, service, headers)
            return answer.status, dict(answer.headers), answer.body
        return await handler(method, path, headers, body, query)

    return handle


def _as_given(call: requests.Call, headers: dict[str, str], body: bytes) -> bytes:
    """The body of a call in JSON without its members that are null: MiniStack would fail at them."""
    shape = call.operation.input_shape
    if not (call.service == "lambda" or "x-amz-target" in headers) or shape.serialization.get("payload"):
        return body
    payload = json_object(body)
    given = without_nulls(payload, shape)
    return body if given == payload else json.dumps(given).encode()


def _refuse_unsupported(call: requests.Call) -> None:
    if path := members.unsupported(call.service, call.operation, call.params):
        what = f"the member {path} of {call.operation.name}"
        raise ApiError(
            requests.invalid_code(call.service),
            f"The embedded AWS does not have {what}. local_aws/README.md lists what it has.",
        )


def _readable(handler: Callable[..., Any], always: bool) -> Callable[..., Any]:
    """What an answer repeats of requests may have characters that XML can't have.

    Args:
        always: whether every answer in XML is the service's. False where objects or payloads are given out.
    """

    @functools.wraps(handler)
    async def handle(*arguments: Any) -> tuple:
        status, headers, body = await handler(*arguments)
        if (always or status >= 400) and isinstance(body, bytes) and body.startswith(b"<"):
            body = refusals.readable_xml(body.decode(errors="replace")).encode()
        return status, headers, body

    return handle
