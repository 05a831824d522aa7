"""Each request is answered by the service it is signed for."""

from __future__ import annotations

import re

from local_aws.ministack.settings import SERVICES
from local_aws.protocol import ApiError


def check_scope(
    service: str, method: str, path: str, headers: dict[str, str], query: dict[str, list[str]], body: bytes
) -> None:
    """Refuse a request that MiniStack would have another service answer than the one it is signed for.

    Raises:
        ApiError: as AWS answers, or 501 for a service not covered. Also for a path that Lambda's API does not have.
    """
    from ministack import app
    from ministack.core import router

    if service not in SERVICES.split(","):
        message = f"The embedded AWS does not have the service {service!r}. local_aws/README.md lists what it has."
        raise ApiError("NotImplementedException", message, 501)
    detected = router.detect_service(method, path, headers, app._routing_params(method, path, headers, body, query))
    if detected != service:
        message = f"Credential should be scoped to correct service: '{detected}'."
        raise ApiError("SignatureDoesNotMatch", message, 403)
    if service == "lambda" and not _LAMBDA_PATH.fullmatch(path):
        raise ApiError("UnknownOperationException", f"Lambda has no operation at {method} {path}.", 404)


# MiniStack reads other spellings too, and another action from them than the one it takes.
_LAMBDA_PATH = re.compile(r"/\d{4}-\d\d-\d\d/[a-z-]+(?:/[^/%]+)*/?")
