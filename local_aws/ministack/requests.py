"""A request to one of MiniStack's services, read and checked as botocore's model of the service says.

S3 is left out, since its requests are HTTP's own. SQS is checked in `patches/unchecked_sqs_requests.py`. It answers in
two protocols, and MiniStack brings both into one form.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import parse_qs

import botocore.session
from botocore.model import OperationModel, Shape

from local_aws.protocol import ApiError
from local_aws.shapes import BadValue, broken_constraints, from_wire, json_object

# The model of each service by the name that requests are signed for.
MODELS = {
    "iam": "iam",
    "sts": "sts",
    "lambda": "lambda",
    "events": "events",
    "logs": "logs",
    "ec2": "ec2",
    "tagging": "resourcegroupstaggingapi",
    "monitoring": "cloudwatch",
    "sns": "sns",
    "cloudformation": "cloudformation",
}

# The code of each service for a request that its model refuses.
_INVALID = {
    "iam": "ValidationError",
    "sts": "ValidationError",
    "lambda": "ValidationException",
    "events": "ValidationException",
    "logs": "InvalidParameterException",
    "tagging": "InvalidParameterException",
    "monitoring": "ValidationError",
    "sns": "InvalidParameter",
    "cloudformation": "ValidationError",
    "ec2": "InvalidParameterValue",
}


_JSON_ONLY = {"events", "logs", "tagging"}  # the other services also take forms


def invalid_code(service: str) -> str:
    """The code of a service for a parameter that it does not take."""
    return "InvalidParameterValueException" if service == "lambda" else _INVALID[service]


_FORM = "application/x-www-form-urlencoded"
_INVOCATION = re.compile(r"/[\d-]+/functions/[^/]+/(?:invocations|response-streaming-invocations|invoke-async/?)")


@dataclass(frozen=True)
class Call:
    """An operation with its parameters, in Python's types."""

    service: str
    operation: OperationModel
    params: dict[str, Any]


def check_readable(service: str, path: str, headers: dict[str, str], query: bytes, body: bytes) -> None:
    """Refuse what no parser reads, before MiniStack's parsers fail at it.

    Raises:
        ApiError: bytes that are not UTF-8; JSON that is none, too deep, or of other types than the model's; CBOR.
    """
    try:
        query.decode()
    except UnicodeDecodeError:
        raise ApiError("MalformedQueryString", "The query string is not UTF-8.") from None
    if not body or (service not in MODELS and service != "sqs"):
        return
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if "cbor" in kind or "cbor" in headers.get("smithy-protocol", ""):
        raise ApiError("UnsupportedProtocol", "The embedded AWS does not read CBOR. Use JSON or the query protocol.")
    if headers.get("content-encoding", "identity") not in ("identity", "aws-chunked", "utf-8"):
        return  # MiniStack inflates it; what is in it, `read` checks
    if target := headers.get("x-amz-target"):
        _typed_json(service, target, body)
    elif service in _JSON_ONLY or (service == "lambda" and not _INVOCATION.fullmatch(path)):
        _json(body)
    elif kind == _FORM:
        try:
            form = parse_qs(body.decode(), keep_blank_values=True)
        except UnicodeDecodeError:
            raise ApiError("MalformedQueryString", "The request's body is not UTF-8.") from None
        # MiniStack authorizes the query's action, and does the body's.
        if twice := sorted(form.keys() & parse_qs(query.decode(), keep_blank_values=True).keys()):
            raise ApiError("MalformedInput", f"The parameter {twice[0]} is in both the query string and the body.")


def _typed_json(service: str, target: str, body: bytes) -> None:
    payload, operation = _json(body), _operation(service, target.rpartition(".")[2])
    if operation and operation.input_shape:
        try:
            from_wire(payload, operation.input_shape, "")
        except BadValue as error:
            raise ApiError("SerializationException", str(error)) from None


def read(
    service: str, method: str, path: str, headers: dict[str, str], query: dict[str, list[str]], body: bytes
) -> Call | None:
    """The call that a request makes, or None for an operation that the model does not know.

    Raises:
        ApiError: the parameters are not what the model says, in the service's code and AWS's words.
    """
    target = headers.get("x-amz-target", "")
    if service == "lambda":
        operation, values = _rest_json(method, path, headers, query, body)
    elif target or service in _JSON_ONLY:
        operation = _operation(service, target.rpartition(".")[2])
        values = _json(body)
    else:
        form = dict(query)
        if body and headers.get("content-type", "").startswith(_FORM):
            form = parse_qs(body.decode(errors="replace"), keep_blank_values=True) | form
        operation = _operation(service, (form.get("Action") or [""])[0])
        flat = {name: given[0] for name, given in form.items()}
        shape = operation.input_shape if operation else None
        values = _from_query(flat, shape, "", service) if shape else {}
    if operation is None or operation.input_shape is None:
        return None
    try:
        params = from_wire(values, operation.input_shape, "")
    except BadValue as error:
        code = "SerializationException" if service == "lambda" or target else "MalformedInput"
        raise ApiError(code, str(error)) from None
    broken = list(broken_constraints(params, operation.input_shape, "", minimums=True))
    if broken:
        raise ApiError(*_refusal(service, operation, params, broken))
    return Call(service, operation, params)


def _refusal(service: str, operation: OperationModel, params: dict[str, Any], broken: list[str]) -> tuple[str, str]:
    if service == "ec2":
        for name in operation.input_shape.required_members:
            if params.get(name) is None:
                return "MissingParameter", f"The request must contain the parameter {name}."
    if service == "lambda" and any("at 'runtime'" in why for why in broken):
        return "InvalidParameterValueException", "; ".join(broken)
    count = f"{len(broken)} validation error{'s' if len(broken) > 1 else ''} detected: "
    return _INVALID[service], count + "; ".join(broken)


@cache
def _model(service: str) -> Any:
    return botocore.session.Session().get_service_model(MODELS.get(service, service))


def _operation(service: str, name: str) -> OperationModel | None:
    model = _model(service)
    return model.operation_model(name) if name in model.operation_names else None


def _json(body: bytes) -> dict[str, Any]:
    try:
        return json_object(body)
    except BadValue as error:
        raise ApiError("SerializationException", str(error)) from None


# --- Lambda ----------------------------------------------------------------------------------------------------------


@cache
def _routes() -> list[tuple[str, re.Pattern[str], OperationModel]]:
    model = _model("lambda")
    operations = map(model.operation_model, model.operation_names)
    return [(one.http["method"], _uri(one.http["requestUri"]), one) for one in operations]


def _uri(uri: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(uri.partition("?")[0]).rstrip("/")))


def _rest_json(
    method: str, path: str, headers: dict[str, str], query: dict[str, list[str]], body: bytes
) -> tuple[OperationModel | None, dict[str, Any]]:
    for verb, pattern, operation in _routes():
        matched = pattern.fullmatch(path.rstrip("/")) if verb == method else None
        if not matched or operation.input_shape is None:
            continue
        shape = operation.input_shape
        payload = shape.serialization.get("payload")
        raw = payload and shape.members[payload].type_name == "blob"
        values: dict[str, Any] = {payload: ""} if raw else _json(body)
        for name, member in shape.members.items():
            wire, location = member.serialization.get("name", name), member.serialization.get("location")
            if location == "uri":
                values[wire] = matched.groupdict().get(wire)
            elif location == "querystring" and wire in query:
                values[wire] = query[wire] if member.type_name == "list" else _typed(query[wire][0], member)
            elif location == "header" and wire.lower() in headers:
                values[wire] = _typed(headers[wire.lower()], member)
        return operation, values
    return None, {}


# --- the query protocol ----------------------------------------------------------------------------------------------


def _typed(text: str, shape: Shape) -> Any:
    """The value that a text of a form stands for, or the text itself when it stands for none."""
    if shape.type_name == "boolean":
        return {"true": True, "false": False}.get(text.lower(), text)
    if shape.type_name in ("integer", "long"):
        return int(text) if re.fullmatch(r"-?\d{1,18}", text) else text
    if shape.type_name in ("float", "double"):
        return float(text) if re.fullmatch(r"-?\d+(\.\d+)?([eE][+-]?\d{1,2})?", text) else text
    return text


def _from_query(form: dict[str, str], shape: Shape, prefix: str, service: str) -> Any:
    """The value under a prefix of a form: https://smithy.io/2.0/aws/protocols/aws-query-protocol.html"""
    inside = f"{prefix}." if prefix else ""
    if shape.type_name == "structure":
        values = {}
        for name, member in shape.members.items():
            at = inside + _query_name(name, member, service)
            if any(key == at or key.startswith(f"{at}.") for key in form):
                values[member.serialization.get("name", name)] = _from_query(form, member, at, service)
        return values
    if shape.type_name == "list":
        flat = service == "ec2" or shape.serialization.get("flattened")
        at = prefix if flat else f"{prefix}.{shape.member.serialization.get('name', 'member')}"
        if flat and service != "ec2" and (name := shape.member.serialization.get("name")):
            at = prefix.rpartition(".")[0] + "." * ("." in prefix) + name
        return [_from_query(form, shape.member, f"{at}.{number}", service) for number in _numbers(form, at)]
    if shape.type_name == "map":
        at = prefix if shape.serialization.get("flattened") else f"{prefix}.entry"
        key = shape.key.serialization.get("name", "key")
        value = shape.value.serialization.get("name", "value")
        return {
            form.get(f"{at}.{number}.{key}", ""): _from_query(form, shape.value, f"{at}.{number}.{value}", service)
            for number in _numbers(form, at)
        }
    text = form.get(prefix, "")
    return _typed(text, shape)


def _numbers(form: dict[str, str], prefix: str) -> list[int]:
    numbers = {key[len(prefix) + 1 :].partition(".")[0] for key in form if key.startswith(f"{prefix}.")}
    return sorted(int(number) for number in numbers if re.fullmatch(r"\d{1,5}", number))


def _query_name(name: str, shape: Shape, service: str) -> str:
    wire = shape.serialization.get("name", name)
    if service != "ec2":
        return wire
    return shape.serialization.get("queryName", wire[0].upper() + wire[1:])
