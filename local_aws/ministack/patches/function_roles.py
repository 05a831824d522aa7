"""A function's role is checked where a function is made or changed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from local_aws.ministack.ports import identity, roles
from local_aws.protocol import ApiError, Request

SERVICE = "lambda.amazonaws.com"


def apply() -> None:
    """CreateFunction and UpdateFunctionConfiguration check the role, by whatever spelling of the path a call came."""
    from ministack.core.responses import error_response_json
    from ministack.services import lambda_svc

    def checked(known: Callable[..., tuple]) -> Callable[..., tuple]:
        @functools.wraps(known)
        def call(*arguments: Any) -> tuple:
            params = arguments[-1]
            role = params.get("Role") if isinstance(params, dict) else None
            try:
                if isinstance(role, str):
                    check(identity.caller("lambda", lambda_svc._request_access_key.get()), role)
            except ApiError as error:
                return error_response_json(error.code, error.message, error.status)
            return known(*arguments)

        return call

    lambda_svc._create_function = checked(lambda_svc._create_function)
    lambda_svc._update_config = checked(lambda_svc._update_config)


def check(request: Request, role: str) -> None:
    """Refuse a call that passes a role its caller may not pass, or that Lambda can't assume.

    https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html

    Raises:
        ApiError: AccessDeniedException, or InvalidParameterValueException as Lambda answers.
    """
    request.authorize_pass_role(role, SERVICE)
    if not roles.trusts(role, SERVICE):
        raise ApiError(
            "InvalidParameterValueException", "The role defined for the function cannot be assumed by Lambda."
        )
