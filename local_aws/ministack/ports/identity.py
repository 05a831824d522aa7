"""Who calls, and may they: signatures and policies."""

from __future__ import annotations

from typing import Any

from local_aws.protocol import ApiError, Request


def identify(
    method: str, raw_path: str, query: dict[str, list[str]], raw_headers: list[tuple[bytes, bytes]], body: bytes,
    client: str,
) -> Request:  # fmt: skip
    """Check a request's signature and say who sent it.

    Raises:
        ApiError: what AWS answers for a missing, unknown, expired or wrong signature.
    """
    from ministack.core import iam_evaluator, responses, router
    from ministack.core.sigv4 import decode_header_value

    headers = {name.decode("latin-1").lower(): decode_header_value(value) for name, value in raw_headers}
    responses.set_request_client_ip(client)
    iam_evaluator.pin_request_origin(client, False)
    access_key = router.extract_access_key_id(headers, query)
    try:
        responses.set_request_account_id(iam_evaluator.find_iam_access_key_account(access_key) or access_key)
    except iam_evaluator.AmbiguousAccessKeyError:
        raise ApiError(
            "UnrecognizedClientException", "The security token included in the request is invalid.", 403
        ) from None
    responses.set_request_region(router.extract_region(headers, query))
    iam_evaluator.pin_signed_request(method, raw_path, query, raw_headers)
    iam_evaluator.pin_signed_body(body)
    if not access_key:
        raise ApiError("MissingAuthenticationTokenException", "Missing Authentication Token", 403)
    failure = iam_evaluator.check_credentials(access_key)
    if failure:
        raise ApiError(AUTH_CODES.get(failure.code, failure.code), failure.message, 403)
    iam_evaluator.pin_request_caller(headers, query)
    return caller("", access_key)


def caller(service: str, access_key: str) -> Request:
    """The request under way as far as it says who calls. Its signature has been checked."""
    from ministack.core import iam_evaluator, responses

    return Request(
        operation="",
        params={},
        account=responses.get_account_id(),
        region=responses.get_region(),
        partition=partition(responses.get_region()),
        caller_arn=iam_evaluator.caller_arn(),
        access_key_id=access_key,
        service=service,
        authorizer=authorize,
    )


# JSON services answer an authentication failure under these names.
AUTH_CODES = {
    "SignatureDoesNotMatch": "InvalidSignatureException",
    "InvalidToken": "UnrecognizedClientException",
    "InvalidClientTokenId": "UnrecognizedClientException",
    "IncompleteSignature": "IncompleteSignatureException",
    "ExpiredToken": "ExpiredTokenException",
}


def partition(region: str) -> str:
    """The partition of a Region, by its name's prefix."""
    for prefix, name in (("cn-", "aws-cn"), ("us-gov-", "aws-us-gov")):
        if region.startswith(prefix):
            return name
    return "aws"


def authorize(request: Request, action: str, resource_arn: str, context: dict[str, Any]) -> None:
    """Evaluate the caller's policies for one action on one resource.

    Raises:
        ApiError: AccessDeniedException in AWS's words.
    """
    from ministack.core.iam_actions import identity_denial_message
    from ministack.core.iam_evaluator import AuthError, enforce

    denied = enforce(
        request.access_key_id,
        action,
        request.service,
        request.region,
        resource_arn=resource_arn,
        service_context=context,
    )
    if denied is None:
        return
    if isinstance(denied, AuthError):
        raise ApiError(AUTH_CODES.get(denied.code, denied.code), denied.message, 403)
    message = identity_denial_message(action, denied.principal_arn, resource_arn, denied.decision == "Deny")
    raise ApiError("AccessDeniedException", message, 403)
