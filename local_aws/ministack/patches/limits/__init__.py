"""What AWS's pages refuse beyond the models: sizes, names, reserved words, policies that are none."""

from __future__ import annotations

from local_aws.ministack.patches.limits import access, filters, functions, tags, topics
from local_aws.ministack.requests import Call

_CHECKS = {
    "iam": access.check,
    "sts": access.check_session,
    "events": access.check,
    "logs": access.check,
    "lambda": functions.check,
    "ec2": filters.check,
    "sns": topics.check,
}


def check(call: Call, body: bytes) -> None:
    """Refuse a call that AWS refuses.

    Args:
        body: the request's body, which is the payload of an invocation.

    Raises:
        ApiError: the refusal, in AWS's code.
    """
    tags.check(call)
    if call.service in _CHECKS:
        _CHECKS[call.service](call, body)
