"""Calls to AWS, repeated while they are throttled."""

import functools
import random
import time

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as BotoConnectionError

from log import log


@functools.cache
def client(service):
    # SubmitJob has no idempotency token, so botocore must not resend it by itself: submit() decides that.
    attempts = 1 if service == "batch" else 5
    return boto3.client(service, config=Config(retries={"mode": "standard", "total_max_attempts": attempts}))


def call_aws(operation, request, give_up_at):
    """Call an operation that may safely be repeated, until it is no longer throttled or failing on Batch's side."""
    while True:
        try:
            return operation(**request)
        except (ClientError, BotoCoreError) as error:
            pause_or_raise(error, give_up_at, request.get("jobName", ""))


def pause_or_raise(error, give_up_at, job_name):
    """Wait a random moment before the next try. Raise the error if trying again can't help or time is up."""
    if not (is_throttling(error) or is_unclear(error)):
        raise error
    if time.monotonic() >= give_up_at:
        raise TimeoutError(
            f"Batch kept refusing calls until this function's timeout came near ({error}). "
            "Run the step again. It continues where this call stopped."
        ) from error
    log("retrying", error=str(error), job_name=job_name)
    time.sleep(random.uniform(0.1, 1.5))  # around 1 s: the account's whole budget of 50 calls a second comes anew


def is_throttling(error):
    """Batch refused the call for its rate, so it certainly did nothing."""
    if not isinstance(error, ClientError):
        return False
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status == 429 or error.response["Error"]["Code"] in {
        "TooManyRequestsException",
        "ThrottlingException",
        "Throttling",
        "RequestLimitExceeded",
    }


def is_unclear(error):
    """The answer was lost, or Batch failed. The call may have been done or not."""
    if isinstance(error, ClientError):
        return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500
    return isinstance(error, (HTTPClientError, BotoConnectionError))
