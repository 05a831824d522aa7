"""SQS refuses what its model and its pages refuse, and takes an old receipt handle for a deletion.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_Operations.html
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from typing import Any

import botocore.session

from local_aws.ministack import members, policies
from local_aws.protocol import reserved_tag_key
from local_aws.shapes import BadValue, broken_constraints, from_wire, without_nulls

_SETTABLE = {
    "DelaySeconds", "MaximumMessageSize", "MessageRetentionPeriod", "Policy", "ReceiveMessageWaitTimeSeconds",
    "RedrivePolicy", "RedriveAllowPolicy", "VisibilityTimeout", "KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds",
    "SqsManagedSseEnabled", "FifoQueue", "ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit",
}  # fmt: skip
_OF_FIFO = {"FifoQueue", "ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit"}
_CHOICES = {
    "FifoQueue": ("true",),
    "ContentBasedDeduplication": ("true", "false"),
    "SqsManagedSseEnabled": ("true", "false"),
    "DeduplicationScope": ("messageGroup", "queue"),
    "FifoThroughputLimit": ("perQueue", "perMessageGroupId"),
}
_RANGES = {"WaitTimeSeconds": (0, 20), "VisibilityTimeout": (0, 43200), "DelaySeconds": (0, 900)}
_HANDLE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # what MiniStack gives out
_ATTRIBUTES, _TAGS = 10, 50


def apply() -> None:
    """Check each call where both of SQS's protocols have become one, and each message where batches come by too."""
    from ministack.services import sqs

    dispatch, send = sqs._dispatch, sqs._act_send_message
    model = botocore.session.Session().get_service_model("sqs")

    @functools.wraps(dispatch)
    async def checked(action: str, data: dict[str, Any], url: str) -> dict[str, Any]:
        if action in model.operation_names:
            operation = model.operation_model(action)
            data = without_nulls({**data, "QueueUrl": url} if url else data, operation.input_shape)
            data = _checked(sqs, operation.input_shape, data)
            _check(sqs, action, data)
            if path := members.unsupported("sqs", operation, data):
                why = f"the member {path} of {action}. local_aws/README.md lists what it has."
                raise sqs._Err("UnsupportedOperation", f"The embedded AWS does not have {why}")
        return await dispatch(action, data, url)

    @functools.wraps(send)
    def checked_send(data: dict[str, Any], url: str) -> dict[str, Any]:
        _check_range(sqs, data, "DelaySeconds")
        _check_message_attributes(sqs, data.get("MessageAttributes") or {})
        for attribute in (data.get("MessageSystemAttributes") or {}).values():
            if attribute.get("DataType") != "String":
                raise sqs._Err("InvalidParameterValue", "The type of the attribute AWSTraceHeader must be String.")
        return send(data, url)

    sqs._dispatch, sqs._act_send_message = checked, checked_send
    delete = _of_known_handles(sqs, sqs._act_delete_message, lambda _: None)
    change = _of_known_handles(sqs, _in_range(sqs, sqs._act_change_visibility), _refuse_unavailable)
    sqs._HANDLERS |= {
        "SendMessage": checked_send,
        "DeleteMessage": delete,
        "DeleteMessageBatch": _one_by_one(sqs, "DeleteMessage", delete),
        "ChangeMessageVisibility": change,
        "ChangeMessageVisibilityBatch": _one_by_one(sqs, "ChangeMessageVisibility", change),
    }


def _checked(sqs: Any, shape: Any, data: dict[str, Any]) -> dict[str, Any]:
    """The call's parameters by the model. In the query protocol numbers are texts, and tags are called Tags."""
    if "tags" in shape.members and "Tags" in data:
        data = {"tags": data["Tags"], **data}
    given = {
        name: int(value) if _is_number(shape.members[name], value) else value
        for name, value in data.items()
        if name in shape.members
    }
    for name in shape.required_members:
        if given.get(name) in (None, ""):
            raise sqs._Err("MissingParameter", f"The request must contain the parameter {name}.")
    try:
        given = from_wire(given, shape, "")
    except BadValue as error:
        raise sqs._Err("InvalidParameterValue", str(error)) from None
    for why in broken_constraints(given, shape, "", minimums=True):
        if "enum value set" in why:
            raise sqs._Err("InvalidAttributeName", f"Unknown Attribute {why.split(chr(39))[1]}.")
        raise sqs._Err("InvalidParameterValue", why)
    return {name: value for name, value in data.items() if name in shape.members} | {
        name: value for name, value in given.items() if shape.members[name].type_name == "integer"
    }


def _is_number(shape: Any, value: Any) -> bool:
    return shape.type_name == "integer" and isinstance(value, str) and bool(re.fullmatch(r"-?\d{1,9}", value))


def _check(sqs: Any, action: str, data: dict[str, Any]) -> None:
    name = data.get("QueueName", "")
    attributes = data.get("Attributes") or {}
    if action == "CreateQueue":
        fifo = str(attributes.get("FifoQueue", "")).lower() == "true"
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,80}", name.removesuffix(".fifo") if fifo else name) or len(name) > 80:
            why = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
            raise sqs._Err("InvalidParameterValue", why)
        _check_attributes(sqs, attributes, fifo)
    if action == "SetQueueAttributes":
        _check_attributes(sqs, attributes, sqs._get_q(data["QueueUrl"])["is_fifo"])
    if action in ("CreateQueue", "TagQueue"):
        _check_tags(sqs, data.get("Tags") or data.get("tags") or {})
    if action == "ListQueues" and not re.fullmatch(r"\d{0,9}", data.get("NextToken") or ""):
        raise sqs._Err("InvalidParameterValue", "Value for parameter NextToken is invalid. Reason: Not a token.")
    if action == "ListQueues" and not 1 <= data.get("MaxResults", 1) <= 1000:
        raise sqs._Err("InvalidParameterValue", "Value for parameter MaxResults is invalid. Reason: Must be 1 to 1000.")
    if action == "ReceiveMessage":
        _check_range(sqs, data, "WaitTimeSeconds")
        _check_range(sqs, data, "VisibilityTimeout")


def _check_attributes(sqs: Any, attributes: dict[str, str], fifo: bool) -> None:
    for name, value in attributes.items():
        if name not in _SETTABLE or (name in _OF_FIFO and not fifo):
            raise sqs._Err("InvalidAttributeName", f"Unknown Attribute {name}.")
        if name in _CHOICES and value.lower() not in [choice.lower() for choice in _CHOICES[name]]:
            raise sqs._Err("InvalidAttributeValue", f"Invalid value for the parameter {name}.")
    if (policy := attributes.get("Policy")) and (why := policies.problem(policy, "resource")):
        raise sqs._Err("InvalidAttributeValue", f"Invalid value for the parameter Policy. {why}")
    if attributes.get("KmsMasterKeyId"):
        raise sqs._Err("InvalidAttributeValue", "The embedded AWS has no KMS, so a queue here can't have a KMS key.")
    allow = attributes.get("RedriveAllowPolicy")
    if allow:
        try:
            whole = isinstance(json.loads(allow), dict)
        except (ValueError, RecursionError):
            whole = False
        if not whole:
            raise sqs._Err("InvalidAttributeValue", "Invalid value for the parameter RedriveAllowPolicy.")


def _check_tags(sqs: Any, tags: dict[str, str]) -> None:
    if key := reserved_tag_key(tags):
        raise sqs._Err("InvalidParameterValue", f"aws: prefixed tag key names are not allowed for external use: {key}")
    if len(tags) > _TAGS:
        raise sqs._Err("InvalidParameterValue", f"Too many tags added for queue. Maximum {_TAGS}.")
    for key, value in tags.items():
        if not 1 <= len(key) <= 128 or len(value) > 256:
            raise sqs._Err("InvalidParameterValue", "A tag's key has 1 to 128 characters, its value 256 at most.")


def _check_range(sqs: Any, data: dict[str, Any], name: str) -> None:
    value, (low, high) = data.get(name), _RANGES[name]
    if value in (None, ""):
        return
    if isinstance(value, float) or not re.fullmatch(r"-?\d{1,9}", str(value)) or not low <= int(value) <= high:
        why = f"Value {value} for parameter {name} is invalid. Reason: Must be >= {low} and <= {high}, if provided."
        raise sqs._Err("InvalidParameterValue", why)


def _check_message_attributes(sqs: Any, attributes: dict[str, dict[str, Any]]) -> None:
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html"""
    if len(attributes) > _ATTRIBUTES:
        why = f"Number of message attributes [{len(attributes)}] exceeds the allowed maximum [{_ATTRIBUTES}]."
        raise sqs._Err("InvalidParameterValue", why)
    for name, attribute in attributes.items():
        kind = attribute.get("DataType") or ""
        begin = f"The message attribute '{name}'"
        if not re.fullmatch(r"(?![.])(?!.*[.]{2})[\w.-]{1,256}(?<![.])", name, re.ASCII):
            raise sqs._Err("InvalidParameterValue", f"{begin} has an invalid message attribute name.")
        if kind.partition(".")[0] not in ("String", "Number", "Binary"):
            why = "the set of supported type prefixes is Binary, Number, and String."
            raise sqs._Err("InvalidParameterValue", f"{begin} has an invalid message attribute type, {why}")
        if not attribute.get("BinaryValue" if kind.startswith("Binary") else "StringValue"):
            why = f"must contain non-empty message attribute value for message attribute type '{kind}'."
            raise sqs._Err("InvalidParameterValue", f"{begin} {why}")


def _in_range(sqs: Any, change: Callable[..., dict]) -> Callable[..., dict]:
    def checked(data: dict[str, Any], url: str) -> dict[str, Any]:
        _check_range(sqs, data, "VisibilityTimeout")
        return change(data, url)

    return checked


def _of_known_handles(sqs: Any, act: Callable[..., dict], otherwise: Callable[[str], None]) -> Callable[..., dict]:
    """`act`, and for the handle of a message that is gone or was received again since, `otherwise`.

    Such a deletion succeeds and deletes nothing. MiniStack refuses it as it refuses what is no handle at all.
    """

    @functools.wraps(act)
    def call(data: dict[str, Any], url: str) -> dict[str, Any]:
        handle = data.get("ReceiptHandle") or ""
        try:
            return act(data, url)
        except sqs._Err as error:
            if error.code != "ReceiptHandleIsInvalid" or not _HANDLE.fullmatch(handle):
                raise
        otherwise(handle)
        return {}

    return call


def _refuse_unavailable(handle: str) -> None:
    from ministack.services import sqs

    why = "Message does not exist or is not available for visibility timeout change."
    raise sqs._Err("InvalidParameterValue", f"Value {handle} for parameter ReceiptHandle is invalid. Reason: {why}")


def _one_by_one(sqs: Any, action: str, act: Callable[..., dict]) -> Callable[..., dict]:
    """A batch of `act`, in which each entry succeeds or fails for itself."""

    def batch(data: dict[str, Any], url: str) -> dict[str, Any]:
        url = data.get("QueueUrl", url)
        sqs._get_q(url, f"sqs:{action}")
        sqs._validate_batch_entries(data.get("Entries") or [], f"{action}BatchRequestEntry")
        done, failed = [], []
        for entry in data["Entries"]:
            try:
                act({**entry, "QueueUrl": url}, url)
                done.append({"Id": entry["Id"]})
            except sqs._Err as error:
                failed.append(
                    {"Id": entry["Id"], "Code": error.code, "Message": error.message, "SenderFault": error.status < 500}
                )
        return {"Successful": done, "Failed": failed}

    return batch
