"""A request to S3, read and checked as botocore's model of S3 says: its path, query, headers and XML.

Timestamps of HTTP's own headers are not checked, since a server ignores those that it can't read.
https://smithy.io/2.0/aws/protocols/aws-restxml-protocol.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any
from xml.etree.ElementTree import Element, ParseError

import botocore.session
from botocore.model import OperationModel, Shape
from defusedxml import DefusedXmlException  # type: ignore[import-untyped]
from defusedxml.ElementTree import fromstring  # type: ignore[import-untyped]

from local_aws.ministack.requests import Call
from local_aws.protocol import ApiError
from local_aws.shapes import BadValue, from_wire

Query = dict[str, list[str]]

# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
_MALFORMED = "The XML you provided was not well-formed or did not validate against our published schema"
_CODES = {
    "StorageClass": "InvalidStorageClass",
    "ServerSideEncryption": "InvalidEncryptionAlgorithmError",
    "ChecksumAlgorithm": "InvalidRequest",
    "ChecksumType": "InvalidRequest",
}

# Numbers that AWS holds to more than their type.
_RANGES = {
    "PartNumber": (1, 10_000),
    "MaxKeys": (0, 2**31 - 1),
    "MaxParts": (0, 2**31 - 1),
    "MaxUploads": (1, 2**31 - 1),
    "PartNumberMarker": (0, 2**31 - 1),
    "MaxBuckets": (1, 10_000),
}
_LARGEST = {"integer": 2**31 - 1, "long": 2**63 - 1}

# Enumerations that grow, and whose refusals have codes of their own: MiniStack checks them.
_OPEN = {"BucketLocationConstraint", "Event"}


def read(method: str, bucket: str, key: str, headers: dict[str, str], query: Query, body: bytes) -> Call | None:
    """The call that a request makes, or None for one that the model does not know.

    Raises:
        ApiError: the parameters are not what the model says, in S3's code.
    """
    operation = _operation(method, bucket, key, headers, query)
    if operation is None or operation.input_shape is None:
        return None
    shape, params = operation.input_shape, dict[str, Any]()
    payload = shape.serialization.get("payload")
    for name, member in shape.members.items():
        wire, location = member.serialization.get("name", name), member.serialization.get("location")
        if location == "uri":
            params[name] = bucket if name == "Bucket" else key
        elif location == "querystring" and wire in query:
            params[name] = _value(query[wire][0], member, name, wire)
        elif location == "header" and wire.lower() in headers:
            params[name] = _value(headers[wire.lower()], member, name, wire)
        elif location == "headers":
            params[name] = {one[len(wire) :]: value for one, value in headers.items() if one.startswith(wire)}
        elif name == payload and member.type_name == "structure":
            params |= _document(body, member, name, name in shape.required_members)
    return Call("s3", operation, params)


# --- which operation -------------------------------------------------------------------------------------------------


@cache
def _operations() -> list[OperationModel]:
    model = botocore.session.Session().get_service_model("s3")
    operations = map(model.operation_model, model.operation_names)
    # Directory buckets, and answers of Object Lambda, are at other addresses.
    elsewhere = {"ListDirectoryBuckets", "CreateSession", "WriteGetObjectResponse"}
    return [one for one in operations if not one.deprecated and one.name not in elsewhere]


def _operation(method: str, bucket: str, key: str, headers: dict[str, str], query: Query) -> OperationModel | None:
    """The operation that asks for most of what the request has."""
    depth = 2 if key else 1 if bucket else 0
    fits = []
    for one in _operations():
        path, _, fixed = one.http["requestUri"].partition("?")
        if one.http["method"] != method or path.count("{") != depth:
            continue
        wanted = list(_wanted(one, fixed))
        if all(_has(where, name, value, headers, query) for where, name, value in wanted):
            fits.append((len(wanted), one))
    return max(fits, key=lambda fit: fit[0])[1] if fits else None


def _wanted(operation: OperationModel, fixed: str) -> Iterator[tuple[str, str, str]]:
    """Place, name and value of what a request of the operation must have. No value means any."""
    for pair in filter(None, fixed.split("&")):
        name, _, value = pair.partition("=")
        yield "querystring", name, value
    shape = operation.input_shape
    for name in shape.required_members if shape else ():
        member = shape.members[name]
        location = member.serialization.get("location")
        # Without its attributes or its annotation's name a request is not another operation's.
        if location in ("querystring", "header") and name not in ("ObjectAttributes", "AnnotationName"):
            yield location, member.serialization.get("name", name), ""


def _has(where: str, name: str, value: str, headers: dict[str, str], query: Query) -> bool:
    if where == "header":
        return name.lower() in headers
    return name in query and (not value or query[name][0] == value)


# --- query and headers -----------------------------------------------------------------------------------------------


def _value(text: str, shape: Shape, name: str, wire: str) -> Any:
    """The value that a text of the query or of a header stands for."""
    kind = shape.type_name
    if kind == "list":
        return [_value(item.strip(), shape.member, name, wire) for item in text.split(",")]
    if kind in _LARGEST:
        return _number(text, kind, name, wire)
    if kind == "boolean" and text.lower() not in ("true", "false"):
        raise ApiError("InvalidArgument", f"The value of {wire} must be true or false, not {text!r}.")
    if kind == "timestamp":
        return text
    values = shape.metadata.get("enum")
    if values and text not in values and shape.name not in _OPEN:
        code = _CODES.get(shape.name, "InvalidArgument")
        raise ApiError(code, f"The value of {wire} must be one of {', '.join(values)}, not {text!r}.")
    return text.lower() == "true" if kind == "boolean" else text


def _number(text: str, kind: str, name: str, wire: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,19}", text) or abs(int(text)) > _LARGEST[kind]:
        raise ApiError("InvalidArgument", f"Provided {wire} not an integer or within integer range")
    low, high = _RANGES.get(name, (-_LARGEST[kind], _LARGEST[kind]))
    if not low <= int(text) <= high:
        what = "Part number" if name == "PartNumber" else f"Argument {wire}"
        raise ApiError("InvalidArgument", f"{what} must be an integer between {low} and {high}, inclusive")
    return int(text)


# --- XML -------------------------------------------------------------------------------------------------------------


def _document(body: bytes, shape: Shape, name: str, required: bool) -> dict[str, Any]:
    if not body.strip():
        if required:
            raise ApiError("MissingRequestBodyError", "Request body is empty.")
        return {}
    try:
        root = fromstring(body, forbid_dtd=True)
        if _local(root.tag) != shape.serialization.get("name", name):
            raise BadValue(f"The document is {_local(root.tag)}.")
        return {name: _element(root, shape)}
    except (ParseError, DefusedXmlException, BadValue, LookupError, ValueError):
        raise ApiError("MalformedXML", _MALFORMED) from None


def _element(element: Element, shape: Shape) -> Any:
    """The value of an element.

    Raises:
        BadValue: the model has no such element here, or none with such a text, or lacks one.
    """
    if shape.type_name == "structure":
        return _structure(element, shape)
    if shape.type_name == "list":
        if any(_local(child.tag) != shape.member.serialization.get("name", "member") for child in element):
            raise BadValue(f"{_local(element.tag)} has other items.")
        return [_element(child, shape.member) for child in element]
    text = element.text or ""
    if len(element):
        raise BadValue(f"{_local(element.tag)} is a text.")
    return _text(text, shape, _local(element.tag))


def _structure(element: Element, shape: Shape) -> dict[str, Any]:
    values: dict[str, Any] = {}
    names = {member.serialization.get("name", name): name for name, member in shape.members.items()}
    for wire, name in names.items():
        if shape.members[name].serialization.get("xmlAttribute"):
            attributes = {_local(key): value for key, value in element.attrib.items()}
            if text := attributes.get(wire.rpartition(":")[2]):
                values[name] = _text(text, shape.members[name], wire)
    for child in element:
        name = names.get(_local(child.tag), "")
        member = shape.members.get(name)
        if member is None or (name in values and not member.serialization.get("flattened")):
            raise BadValue(f"{_local(element.tag)} can't have this {_local(child.tag)}.")
        if member.serialization.get("flattened"):
            values.setdefault(name, []).append(_element(child, member.member))
        else:
            values[name] = _element(child, member)
    if missing := set(shape.required_members) - values.keys():
        raise BadValue(f"{_local(element.tag)} lacks {', '.join(sorted(missing))}.")
    return values


def _text(text: str, shape: Shape, name: str) -> Any:
    kind, values = shape.type_name, shape.metadata.get("enum")
    if kind in _LARGEST:
        if not re.fullmatch(r"\s*-?[0-9]{1,19}\s*", text) or abs(int(text)) > _LARGEST[kind]:
            raise BadValue(f"{name} is not an {kind}.")
        return int(text)
    if kind == "boolean":
        return from_wire({"true": True, "false": False}.get(text.strip()), shape, name)
    if kind == "timestamp":
        return from_wire(text.strip(), shape, name)
    if values and text not in values and shape.name not in _OPEN:
        raise BadValue(f"{name} is none of {', '.join(values)}.")
    return text


def _local(tag: str) -> str:
    """A name without its namespace."""
    return tag.rpartition("}")[2]
