"""Waiting until AWS has really deleted something, and deleting what may be gone already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_exponential_jitter

from ..waiting import last_result


def until_empty(remaining: Callable[[], Any], otherwise: str, seconds: float = 300) -> None:
    """Call `remaining` until it returns nothing.

    Args:
        otherwise: what is wrong if it still returns something, such as "the job queue is still there".

    Raises:
        TimeoutError: it still returns something after so many seconds.
    """
    if last_remaining(remaining, seconds):
        raise TimeoutError(f"After {seconds:.0f} seconds {otherwise}; run the cleanup again.")


def last_remaining(remaining: Callable[[], Any], seconds: float) -> Any:
    """Call `remaining` until it returns nothing, for at most so many seconds; returns its last answer."""
    return Retrying(
        retry=retry_if_result(bool),
        wait=wait_exponential_jitter(multiplier=0.1, exp_base=1.5, max=5, jitter=0.1),
        stop=stop_after_delay(seconds),
        retry_error_callback=last_result,
    )(remaining)


def retry_on(code: str, call: Callable[..., Any], seconds: float = 120, **arguments: Any) -> None:
    """Delete something, and call again while AWS answers with this error code.

    Raises:
        ClientError: AWS answers with another error, or with this one after so many seconds.
    """

    def attempt() -> ClientError | None:
        try:
            delete_if_there(call, **arguments)
        except ClientError as error:
            if error.response["Error"]["Code"] != code:
                raise
            return error
        return None

    def give_up(state: Any) -> None:
        raise state.outcome.result()

    Retrying(
        retry=retry_if_result(lambda error: error is not None),
        wait=wait_exponential_jitter(multiplier=0.2, exp_base=1.5, max=5, jitter=0.1),
        stop=stop_after_delay(seconds),
        retry_error_callback=give_up,
    )(attempt)


def delete_if_there(call: Callable[..., Any], **arguments: Any) -> None:
    """Delete something that another cleanup, or an interrupted one, may have deleted already."""
    try:
        call(**arguments)
    except ClientError as error:
        gone = ("NotFound", "NonExistent", "DoesNotExist", "NoSuch")
        if not any(word in error.response["Error"]["Code"] for word in gone):
            raise
