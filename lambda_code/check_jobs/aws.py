"""Calls to AWS, and how much of the invocation's time they may take."""

import contextlib
import functools
import time

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from errors import PollLater, UnconfirmedError

THROTTLING = {"TooManyRequestsException", "ThrottlingException", "Throttling", "RequestLimitExceeded", "SlowDown"}
READ_BYTES = 1 << 20
TIME_LIMIT = {"at": float("inf")}  # on time.monotonic's clock


@functools.cache
def client(service, attempts=3):
    # Short timeouts: a service that accepts calls and never answers must not use up this function's own.
    retries = {"mode": "standard", "total_max_attempts": attempts}
    return boto3.client(service, config=Config(connect_timeout=5, read_timeout=20, retries=retries))


def limit_time(context):
    """Leave a quarter of the remaining time for the answer or the next delivery, however many jobs there are."""
    TIME_LIMIT["at"] = time.monotonic() + 0.75 * context.get_remaining_time_in_millis() / 1000


def time_is_up():
    return time.monotonic() >= TIME_LIMIT["at"]


def call_aws(operation, **request):
    """Call an AWS operation.

    Raises:
        PollLater: throttled, or failing on AWS's side.
        UnconfirmedError: AWS refuses the call.
    """
    try:
        return operation(**request)
    except ClientError as error:
        if is_throttling(error) or http_status(error) >= 500:
            raise PollLater(error) from error
        raise UnconfirmedError(error) from error
    except ParamValidationError as error:  # boto3 itself refuses what AWS would always refuse
        raise UnconfirmedError(error) from error
    except BotoCoreError as error:
        raise PollLater(error) from error


def http_status(error):
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)


def is_throttling(error):
    if not isinstance(error, ClientError):
        return False
    return http_status(error) == 429 or error.response["Error"]["Code"] in THROTTLING


def error_code(error):
    """The code with which AWS refused the call behind a PollLater or an UnconfirmedError."""
    return getattr(error.__cause__, "response", {}).get("Error", {}).get("Code")


def open_object(uri):
    """An object's body, to be read in pieces or as a whole."""
    with naming(uri):
        return call_aws(client("s3").get_object, **bucket_and_key(uri))["Body"]


def lines_of(body):
    """Yield an object's lines one by one, because a manifest may be larger than this function's memory."""
    rest = b""
    while piece := call_aws(lambda: body.read(READ_BYTES)):
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
    if rest:
        yield rest


def read_object(uri):
    """A small object's body and ETag."""
    with naming(uri):
        answer = call_aws(client("s3").get_object, **bucket_and_key(uri))
        return call_aws(answer["Body"].read), answer["ETag"]


def put_object(uri, body, **conditions):
    """Write an object and return its ETag."""
    with naming(uri):
        return call_aws(client("s3").put_object, **bucket_and_key(uri), Body=body, **conditions)["ETag"]


def bucket_and_key(uri):
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return {"Bucket": bucket, "Key": key}


@contextlib.contextmanager
def naming(uri):
    """Put an object's URI before S3's own message, which doesn't name it."""
    try:
        yield
    except UnconfirmedError as error:
        raise UnconfirmedError(f"{uri}: {error}") from error.__cause__
