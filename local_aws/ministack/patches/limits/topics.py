"""What SNS refuses of topics and subscriptions, and what the embedded AWS does not have of it.

That is mobile push and texts, mail, calls of an address outside.

https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html
https://docs.aws.amazon.com/sns/latest/api/API_Subscribe.html
https://docs.aws.amazon.com/sns/latest/dg/subscription-filter-policy-constraints.html
"""

from __future__ import annotations

import json
from typing import Any

from local_aws.ministack import policies
from local_aws.ministack.members import HONOURED
from local_aws.ministack.requests import Call
from local_aws.protocol import ApiError
from local_aws.shapes import no_constant

PROTOCOLS = ("sqs", "lambda")

# The attributes that have their effect, by operation, and those that only AWS has.
ATTRIBUTES = {
    "CreateTopic": "ContentBasedDeduplication DisplayName FifoTopic Policy",
    "Subscribe": "FilterPolicy FilterPolicyScope RawMessageDelivery",
}
ABSENT = {
    "CreateTopic": "ArchivePolicy DataProtectionPolicy DeliveryPolicy FifoThroughputScope KmsMasterKeyId "
    "MaximumMessageSize SignatureVersion TracingConfig "
    + " ".join(
        f"{one}SuccessFeedbackRoleArn {one}SuccessFeedbackSampleRate {one}FailureFeedbackRoleArn"
        for one in ("Application", "Firehose", "HTTP", "Lambda", "SQS")
    ),
    "Subscribe": "DeliveryPolicy RedrivePolicy ReplayPolicy ReplayStatus SubscriptionRoleArn",
}
_REASON = "Invalid parameter: Attributes Reason: "
_SCOPES = ("MessageAttributes", "MessageBody")


def check(call: Call, _: bytes) -> None:
    """Refuse an operation, a subscription and an attribute of another kind."""
    operation = call.operation.name
    if operation not in HONOURED["sns"]:
        message = f"The embedded AWS does not cover sns:{operation}. local_aws/README.md lists what it does."
        raise ApiError("NotImplementedException", message, 501)
    protocol = call.params.get("Protocol")
    if operation == "Subscribe" and protocol not in PROTOCOLS:
        raise _invalid(f"The embedded AWS delivers a topic's messages to queues and functions, not by {protocol}.")
    if operation in ATTRIBUTES:
        _check_attributes(operation, call.params.get("Attributes") or {})


def _invalid(message: str) -> ApiError:
    return ApiError("InvalidParameter", message)


def _check_attributes(operation: str, attributes: dict[str, str]) -> None:
    for name, value in attributes.items():
        if name in ABSENT[operation].split():
            raise _invalid(f"The embedded AWS does not have the attribute {name} of {operation}. AWS does.")
        if name not in ATTRIBUTES[operation].split():
            raise _invalid(f"{_REASON}Unknown attribute: {name}")
        if name == "Policy" and policies.problem(value, "resource"):
            raise _invalid("Invalid parameter: Policy Error: null")
        if name == "RawMessageDelivery" and value not in ("true", "false"):
            raise _invalid(f"{_REASON}{name}: Invalid value [{value}]. Must be true or false.")
        if name == "FilterPolicyScope" and value not in _SCOPES:
            raise _invalid(f"{_REASON}{name}: Invalid value [{value}]. Please use either {_SCOPES[1]} or {_SCOPES[0]}")
    if text := attributes.get("FilterPolicy"):
        nested = attributes.get("FilterPolicyScope") == "MessageBody"
        if why := _problem(text, nested):
            raise _invalid(f"{_REASON}FilterPolicy: {why}")


def _problem(text: str, nested: bool) -> str | None:
    """What is wrong with a filter policy.

    Args:
        nested: whether objects may be in it, as in the body of a message.
    """
    try:
        policy = json.loads(text, parse_constant=no_constant)
    except (ValueError, RecursionError):
        return "failed to parse JSON."
    if not isinstance(policy, dict):
        return "A filter policy must be an object."
    return _problem_of_rules(policy, nested)


def _problem_of_rules(policy: dict[str, Any], nested: bool) -> str | None:
    for name, rules in policy.items():
        if isinstance(rules, dict):
            if not nested:
                return "Filter policy scope MessageAttributes does not support nested filter policy"
            if why := _problem_of_rules(rules, nested):
                return why
        elif not isinstance(rules, list):
            return f'"{name}" must be an object or an array'
        elif not rules:
            return "Empty arrays are not allowed"
    return None
