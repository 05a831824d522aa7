"""The retry policies of a Processing step.

https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-retry-policy.html
"""

from __future__ import annotations

from typing import Any

from local_aws.pipelines.model.refusals import DefinitionError

INTERNAL_ERROR = "SageMaker.JOB_INTERNAL_ERROR"
_RETRYABLE = {
    "Step.SERVICE_FAULT",
    "Step.THROTTLING",
    INTERNAL_ERROR,
    "SageMaker.CAPACITY_ERROR",
    "SageMaker.RESOURCE_LIMIT",
}
_LIMITS: dict[str, tuple[type[int] | tuple[type[int], type[float]], int, int]] = {
    "MaxAttempts": (int, 1, 20),
    "ExpireAfterMin": (int, 0, 14_400),
    "IntervalSeconds": (int, 0, 43_200),
    "BackoffRate": ((int, float), 0, 1_000),  # AWS gives no limit; with this one a pause is always a number
}


def exceptions(policy: dict[str, Any]) -> list[str]:
    """The exceptions of a retry policy: a list in the guide and in what the SDK writes, one of them in the schema."""
    named: Any = policy.get("ExceptionType")
    return [named] if isinstance(named, str) else named


def check(policies: Any) -> None:
    """Check a step's RetryPolicies.

    Raises:
        DefinitionError: one is wrong.
    """
    if not isinstance(policies, list):
        raise DefinitionError("RetryPolicies must be a list.")
    for policy in policies:
        if problem := _problem(policy):
            raise DefinitionError(f"RetryPolicies: {problem}.")


def _problem(policy: Any) -> str | None:
    named = exceptions(policy) if isinstance(policy, dict) else None
    if not isinstance(named, list) or not all(isinstance(each, str) for each in named):
        return "each needs a list ExceptionType"
    if unknown := set(named or ["none"]) - _RETRYABLE:
        return f"{unknown.pop()!r} is not one of {', '.join(sorted(_RETRYABLE))}"
    if foreign := sorted(set(policy) - {"ExceptionType", *_LIMITS}):
        return f"a policy has no {foreign[0]}"
    if ("MaxAttempts" in policy) == ("ExpireAfterMin" in policy):
        return "each needs either MaxAttempts or ExpireAfterMin"
    for name, (kind, least, most) in _LIMITS.items():
        value = policy.get(name, least)
        if not isinstance(value, kind) or isinstance(value, bool) or not least <= value <= most:
            return f"{name} must be a number from {least} to {most:,}, not {value!r}"
    return None
