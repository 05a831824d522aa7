"""AWS's checks on the role a Lambda function is given, which MiniStack leaves out.

CreateFunction and UpdateFunctionConfiguration need iam:PassRole on the role, and Lambda refuses a role that does not
trust it: https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from local_aws import ministack
from local_aws.protocol import ApiError, Request

SERVICE = "lambda.amazonaws.com"
_PATHS = {
    "POST": re.compile(r"/2015-03-31/functions/?"),
    "PUT": re.compile(r"/2015-03-31/functions/[^/]+/configuration"),
}


def watches(method: str, path: str) -> bool:
    """Whether this HTTP request may hand a role to Lambda."""
    return method in _PATHS and bool(_PATHS[method].fullmatch(path))


def check(identify: Callable[[], Request], body: bytes) -> None:
    """Refuse a call that passes a role its caller may not pass, or that Lambda can't assume.

    Raises:
        ApiError: AccessDeniedException, or InvalidParameterValueException as Lambda answers.
    """
    try:
        role = json.loads(body or b"{}").get("Role")
    except (ValueError, AttributeError):
        return  # MiniStack words what it thinks of such a body
    if not isinstance(role, str):
        return
    request = identify()
    request.service = "lambda"
    request.authorize_pass_role(role, SERVICE)
    if not ministack.trusts(role, SERVICE):
        raise ApiError(
            "InvalidParameterValueException", "The role defined for the function cannot be assumed by Lambda."
        )
