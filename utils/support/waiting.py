"""Wait for AWS by calling again, with pauses that grow, until the answer will do.

The pauses have a random part, so that programs that began together do not call together.
https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from botocore.exceptions import ClientError
from tenacity import RetryCallState, Retrying, retry, retry_if_exception, retry_if_result, stop_after_delay
from tenacity.wait import wait_base, wait_exponential_jitter

Answer = TypeVar("Answer")
GROWTH = 1.25  # of the pauses: a change is noticed after about a quarter more than the time it took


def wait(
    call: Callable[[], Answer],
    *,
    until: Callable[[Answer], Any],
    seconds: float,
    first_pause: float = 0.1,
    longest_pause: float = 5,
    otherwise: Callable[[Answer], str] | None = None,
) -> Answer:
    """Call until the answer will do, and return it.

    Args:
        call: asks AWS.
        until: whether an answer will do.
        seconds: after these it is not called again. It is called once at least.
        first_pause: seconds between the first two calls. Default: 0.1.
        longest_pause: seconds that no pause exceeds by more than a tenth. Default: 5.
        otherwise: what is wrong, from the last answer. Default: the last answer is returned, whatever it is.

    Raises:
        TimeoutError: no answer will do within `seconds`. Its message is that of `otherwise`.
    """

    def end(state: RetryCallState) -> Any:
        assert state.outcome is not None  # it is None only before the first call
        answer = state.outcome.result()
        if otherwise:
            raise TimeoutError(otherwise(answer))
        return answer

    return Retrying(
        retry=retry_if_result(lambda answer: not until(answer)),
        wait=_pauses(first_pause, longest_pause),
        stop=stop_after_delay(seconds),
        retry_error_callback=end,
    )(call)


def retry_on(
    refusal: Callable[[ClientError], bool], *, seconds: float, first_pause: float = 0.2, longest_pause: float = 5
) -> Callable[[Callable[..., Answer]], Callable[..., Answer]]:
    """Return a decorator that calls again while AWS refuses for a reason that passes by itself.

    Args:
        refusal: whether an error of AWS is such a refusal.
        seconds: after these the error is raised.
        first_pause: seconds between the first two calls. Default: 0.2.
        longest_pause: seconds that no pause exceeds by more than a tenth. Default: 5.
    """
    return retry(
        retry=retry_if_exception(lambda error: isinstance(error, ClientError) and refusal(error)),
        wait=_pauses(first_pause, longest_pause),
        stop=stop_after_delay(seconds),
        reraise=True,
    )


def has_code(*codes: str) -> Callable[[ClientError], bool]:
    """Whether an error has one of these codes. Give it to `retry_on`."""
    return lambda error: error.response["Error"]["Code"] in codes


def _pauses(first: float, longest: float) -> wait_base:
    return wait_exponential_jitter(multiplier=first, exp_base=GROWTH, max=longest, jitter=first / 2)
