"""Whether a resource is as it should be already."""

from __future__ import annotations

from typing import Any

# Lists whose order has no meaning. Batch may answer environment variables in another one; that it keeps the order of
# the others is nowhere said.
# https://github.com/hashicorp/terraform-provider-aws/blob/main/internal/service/batch/container_properties.go
_UNORDERED = (
    "environment",
    "resourceRequirements",
    "platformCapabilities",
    "subnets",
    "securityGroupIds",
    "jobStateTimeLimitActions",
)


def matches_desired(actual: Any, desired: Any, key: str = "") -> bool:
    """Whether AWS's answer holds all of `desired`. It adds defaults, and gives some values another form."""
    if isinstance(desired, dict):
        return isinstance(actual, dict) and all(
            matches_desired(actual.get(name), value, name) for name, value in desired.items()
        )
    if isinstance(desired, list):
        if not isinstance(actual, list) or len(actual) != len(desired):
            return False
        if key in _UNORDERED:
            return all(any(matches_desired(one, other) for one in actual) for other in desired)
        return all(matches_desired(one, other, key) for one, other in zip(actual, desired, strict=True))
    if key == "action" and isinstance(actual, str):
        # Batch answers evaluateOnExit's action in lower case, and API_EvaluateOnExit says that case does not matter.
        # https://github.com/hashicorp/terraform-provider-aws/issues/19624
        return actual.upper() == desired.upper()
    return actual == desired
