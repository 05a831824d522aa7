"""AWS's checks on the role a Lambda function is given, which MiniStack leaves out.

CreateFunction and UpdateFunctionConfiguration need iam:PassRole on the role, and Lambda refuses a role that does not
trust it: https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html
"""

from __future__ import annotations

from local_aws import ministack
from local_aws.protocol import ApiError, Request

SERVICE = "lambda.amazonaws.com"


def check(request: Request, role: str) -> None:
    """Refuse a call that passes a role its caller may not pass, or that Lambda can't assume.

    Raises:
        ApiError: AccessDeniedException, or InvalidParameterValueException as Lambda answers.
    """
    request.authorize_pass_role(role, SERVICE)
    if not ministack.trusts(role, SERVICE):
        raise ApiError(
            "InvalidParameterValueException", "The role defined for the function cannot be assumed by Lambda."
        )
