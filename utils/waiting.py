"""What waits that end without an error have in common."""

from __future__ import annotations

from typing import Any

from tenacity import RetryCallState


def last_result(state: RetryCallState) -> Any:
    """What the last attempt returned, or raised. Give it to tenacity as the `retry_error_callback`.

    https://tenacity.readthedocs.io/en/latest/#custom-callbacks
    """
    assert state.outcome is not None  # it is None only before the first attempt
    return state.outcome.result()
