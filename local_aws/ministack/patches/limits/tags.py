"""Keys that begin with `aws:` are AWS's own: https://docs.aws.amazon.com/tag-editor/latest/userguide/tagging.html"""

from __future__ import annotations

from typing import Any

from local_aws.ministack.requests import Call
from local_aws.protocol import ApiError, reserved_tag_key

_CODES = {
    "iam": "InvalidInput",
    "sts": "InvalidInput",
    "lambda": "InvalidParameterValueException",
    "events": "ValidationException",
    "logs": "InvalidParameterException",
    "tagging": "InvalidParameterException",
    "monitoring": "InvalidParameterValue",
    "sns": "InvalidParameter",
    "ec2": "InvalidParameterValue",
    "cloudformation": "ValidationError",
}


def check(call: Call) -> None:
    """Refuse a call that sets a reserved key."""
    groups: list[Any] = [call.params.get(name) for name in ("Tags", "tags")]
    groups += [one.get("Tags") for one in call.params.get("TagSpecifications") or []]
    if key := next(filter(None, map(reserved_tag_key, groups)), None):
        raise ApiError(_CODES[call.service], f"aws: prefixed tag key names are not allowed for external use: {key}")
