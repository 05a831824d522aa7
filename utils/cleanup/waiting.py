"""Waiting until AWS has really deleted something, and deleting what may be gone already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from ..support.waiting import has_code, retry_on, wait


def until_empty(remaining: Callable[[], Any], otherwise: str, seconds: float = 300) -> None:
    """Call `remaining` until it returns nothing.

    Args:
        otherwise: what is wrong if it still returns something, such as "the job queue is still there".

    Raises:
        TimeoutError: it still returns something after so many seconds.
    """
    if last_remaining(remaining, seconds):
        raise TimeoutError(f"After {seconds:.0f} seconds {otherwise}. Run the cleanup again.")


def last_remaining(remaining: Callable[[], Any], seconds: float) -> Any:
    """Call `remaining` until it returns nothing, for at most so many seconds, and return its last answer."""
    return wait(remaining, until=lambda answer: not answer, seconds=seconds)


def delete_when_free(code: str, call: Callable[..., Any], seconds: float = 120, **arguments: Any) -> None:
    """Delete something, and call again while AWS answers with this error code, since something still uses it.

    Raises:
        ClientError: AWS answers with another error, or with this one after so many seconds.
    """
    retry_on(has_code(code), seconds=seconds)(delete_if_there)(call, **arguments)


def delete_if_there(call: Callable[..., Any], **arguments: Any) -> None:
    """Delete something that another cleanup, or an interrupted one, may have deleted already."""
    try:
        call(**arguments)
    except ClientError as error:
        if not _is_gone(error):
            raise


def in_steps(delete: Callable[[], None]) -> Callable[[], None]:
    """A deletion of several calls, for something that another cleanup may delete at the same time, or a part of it.

    When a part was gone, it begins again, to delete the other parts.
    """

    def call() -> None:
        try:
            delete()
        except ClientError as error:
            if not _is_gone(error):
                raise
            delete_if_there(delete)

    return call


def _is_gone(error: ClientError) -> bool:
    gone = ("NotFound", "NonExistent", "DoesNotExist", "NoSuch")
    return any(word in error.response["Error"]["Code"] for word in gone)
