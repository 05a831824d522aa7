"""Whether a failed attempt is followed by another.

https://docs.aws.amazon.com/batch/latest/userguide/job_retries.html
"""

from __future__ import annotations

from local_aws.batch.model.submissions import Spec
from local_aws.batch.state.jobs import Attempt


def will_retry(spec: Spec, attempts_made: int, attempt: Attempt) -> bool:
    """Whether another attempt follows a failed one. The first rule that matches decides, and none means retry.

    https://docs.aws.amazon.com/batch/latest/APIReference/API_EvaluateOnExit.html
    """
    if attempts_made >= spec.attempts:
        return False
    values = {
        "onStatusReason": attempt.status_reason,
        "onReason": attempt.reason,
        "onExitCode": None if attempt.exit_code is None else str(attempt.exit_code),
    }
    for rule in spec.rules:
        if all(_matches(rule[name], value) for name, value in values.items() if name in rule):
            return rule["action"].upper() == "RETRY"
    return True


def _matches(pattern: str, value: str | None) -> bool:
    """A pattern is a whole value, or its beginning followed by an asterisk. An asterisk alone matches a missing one."""
    if pattern.endswith("*"):
        return (value or "").startswith(pattern[:-1])
    return value == pattern
