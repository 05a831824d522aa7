"""AWS Batch's refusals have one code, and two ways to say why.

What Batch finds wrong with a request itself begins with "Error executing request, Exception :" and ends with the
request's id. What it finds when it looks at the queue or the definition is the bare sentence. The sentences are those
that were recorded of AWS, and ours where none was.

https://docs.aws.amazon.com/batch/latest/APIReference/CommonErrors.html
"""

from __future__ import annotations

from local_aws.protocol import ApiError


def client_error(message: str) -> ApiError:
    """Batch's one code for everything a caller does wrong."""
    return ApiError("ClientException", message)


def rejected(message: str) -> ApiError:
    """The same for a request that is wrong in itself."""
    return ApiError("ClientException", f"Error executing request, Exception : {message}", names_request=True)


def not_covered(what: str) -> ApiError:
    """AWS can do this and the embedded AWS can't, so it refuses instead of ignoring the request."""
    return client_error(f"The embedded AWS does not cover {what}. AWS Batch does.")
