"""Requests and responses of Batch, Pipelines and Service Quotas, driven by botocore's service models.

One `Api` per service turns an HTTP request into a validated `Request`, hands it to the service's method of the
operation's name, and checks and serializes what the method returns. The models are the ones every AWS SDK for Python
is generated from, so whatever parses here parses at the client, and a response that would not is an error here.

Protocols: `rest-json` (Batch) and `json` 1.1 (SageMaker, ECS, Service Quotas), https://smithy.io/2.0/aws/protocols/index.html
"""

from __future__ import annotations

import base64
import datetime as dt
import inspect
import json
import logging
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote

import botocore.session
from botocore import xform_name
from botocore.model import OperationModel, ServiceModel, Shape
from botocore.validate import ParamValidator

from local_aws.shapes import JSON_TYPES, BadValue, broken_constraints, from_wire, json_object

log = logging.getLogger("local_aws.protocol")


class ApiError(Exception):
    """An error AWS would answer, with its code, its message and its HTTP status.

    `names_request` says that the message ends with the request's id, which the answer adds.
    """

    def __init__(self, code: str, message: str, status: int = 400, *, names_request: bool = False) -> None:
        super().__init__(message)
        self.code, self.message, self.status, self.names_request = code, message, status, names_request


def _refuse(request: Request, action: str, resource_arn: str, _: dict[str, Any]) -> None:
    why = f"User: {request.caller_arn} is not authorized to perform: {action} on resource: {resource_arn}"
    raise ApiError("AccessDeniedException", why, 403)


@dataclass
class Request:
    """One API call, parsed, validated against the botocore input shape, and signed by `caller_arn`."""

    operation: str
    params: dict[str, Any]
    account: str
    region: str
    partition: str
    caller_arn: str
    access_key_id: str = ""
    service: str = ""
    request_id: str = ""
    # Who says yes or no: `ministack.authorize`. A request that nothing has identified may do nothing.
    authorizer: Callable[[Request, str, str, dict], None] = field(default=_refuse, repr=False)
    # The tags of a resource by its ARN: the service's `tags_of`, when it has one.
    tags_of: Callable[[str], dict[str, str]] = field(default=lambda _: {}, repr=False)

    def authorize(self, action: str, *resource_arns: str, context: dict[str, Any] | None = None) -> None:
        """Refuse the call unless the caller's policies allow `action` on every one of `resource_arns` ("*" if none).

        Raises:
            ApiError: AccessDeniedException, in AWS's words, naming caller, action and resource.
        """
        keys = {**_tag_context(self.params), **(context or {})}
        for arn in resource_arns or ("*",):
            held = {f"aws:ResourceTag/{key}": value for key, value in self.tags_of(arn).items()}
            self.authorizer(self, action, arn, held | keys)

    def authorize_pass_role(self, role_arn: str, service: str) -> None:
        """Refuse the call unless the caller may hand `role_arn` to `service` (iam:PassRole).

        https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html
        """
        self.authorize("iam:PassRole", role_arn, context={"iam:PassedToService": service})


def _tag_context(params: dict[str, Any]) -> dict[str, Any]:
    """aws:RequestTag/… and aws:TagKeys of a call that carries tags (a map in Batch, a list in SageMaker)."""
    tags = params.get("tags") or params.get("Tags")
    if isinstance(tags, list):
        tags = {tag["Key"]: tag["Value"] for tag in tags}
    if not tags:
        return {}
    return {"aws:TagKeys": list(tags), **{f"aws:RequestTag/{key}": value for key, value in tags.items()}}


def reserved_tag_key(tags: Any) -> str | None:
    """The first key that begins with `aws:`, which are AWS's own, in the tags of a call: a map, or a list of pairs.

    https://docs.aws.amazon.com/tag-editor/latest/userguide/tagging.html
    """
    pairs = tags if isinstance(tags, list) else []
    keys = tags if isinstance(tags, dict) else [pair.get("Key", "") for pair in pairs if isinstance(pair, dict)]
    return next((key for key in keys if key.lower().startswith("aws:")), None)


@dataclass(frozen=True)
class Response:
    status: int
    headers: dict[str, str]
    body: bytes


class Api:
    """The wire format of one service."""

    # The codes each service answers for a request its model refuses, and for a failure of its own.
    _CODES: ClassVar[dict[str, tuple[str, str]]] = {
        "batch": ("ClientException", "ServerException"),
        "ecs": ("InvalidParameterException", "ServerException"),
        "sagemaker": ("ValidationException", "InternalFailure"),
        "servicequotas": ("IllegalArgumentException", "ServiceException"),
    }

    def __init__(self, service: Any) -> None:
        self.service = service

    @cached_property
    def model(self) -> ServiceModel:
        """The service's model, read at the first request, since SageMaker's alone takes a tenth of a server's start."""
        return _service_model(self.service.name)

    @cached_property
    def protocol(self) -> str:
        return self.model.metadata["protocol"]

    @cached_property
    def _routes(self) -> list[tuple[str, re.Pattern[str], OperationModel]]:
        """Method and address of each operation, for a protocol whose requests don't name it."""
        return [
            (operation.http["method"], _uri_pattern(operation.http["requestUri"]), operation)
            for operation in map(self.model.operation_model, self.model.operation_names)
        ]

    def operation(self, method: str, path: str, headers: dict[str, str]) -> tuple[OperationModel, dict[str, str]]:
        """The operation an HTTP request names, and the parameters found in its path."""
        if self.protocol == "json":
            target = headers.get("x-amz-target", "")
            name = target.partition(".")[2]
            if method != "POST" or name not in self.model.operation_names:
                raise ApiError("UnknownOperationException", f"{self.service.name} has no operation {target!r}.", 404)
            return self.model.operation_model(name), {}
        for route_method, pattern, operation in self._routes:
            match = pattern.fullmatch(path) if route_method == method else None
            if match:
                return operation, {key: unquote(value) for key, value in match.groupdict().items()}
        raise ApiError("UnknownOperationException", f"{self.service.name} has no operation at {method} {path}.", 404)

    def parse(self, operation: OperationModel, path: dict[str, str], query: str, body: bytes) -> dict[str, Any]:
        """The call's parameters, converted to Python and checked against the operation's input shape."""
        invalid, _ = self._CODES[self.service.name]
        try:
            payload = json_object(body)
        except BadValue as error:
            raise ApiError("SerializationException", str(error)) from None
        shape = operation.input_shape
        if shape is None:
            return {}
        queries = parse_qs(query, keep_blank_values=True)
        values: dict[str, Any] = {}
        for name, member in shape.members.items():
            wire = member.serialization.get("name", name)
            location = member.serialization.get("location")
            if location == "uri" and wire in path:
                values[name] = path[wire]
            elif location == "querystring" and wire in queries:
                values[name] = queries[wire] if member.type_name == "list" else queries[wire][0]
            elif location is None and payload.get(wire) is not None:
                values[name] = payload[wire]
        try:
            params = from_wire(values, shape, "")
        except BadValue as error:
            raise ApiError("SerializationException", str(error)) from None
        report = ParamValidator().validate(params, shape)
        if report.has_errors():
            raise ApiError(invalid, f"Error executing request, Exception : {report.generate_report()}.")
        broken = list(broken_constraints(params, shape, ""))
        if broken:
            count = f"{len(broken)} validation error{'s' if len(broken) > 1 else ''} detected: "
            raise ApiError(invalid, count + "; ".join(broken))
        if key := reserved_tag_key(params.get("tags") or params.get("Tags")):
            raise ApiError(invalid, f"aws: prefixed tag key names are not allowed for external use: {key}")
        return params

    async def call(self, operation: OperationModel, request: Request) -> Response:
        """Run the operation and serialize what it returns.

        Raises:
            ApiError: what the service refuses, or 501 for an operation the embedded AWS does not cover.
        """
        method = getattr(self.service, xform_name(operation.name), None)
        if method is None:
            raise ApiError(
                "NotImplementedException",
                f"The embedded AWS does not cover {self.service.name}:{operation.name}. "
                "local_aws/README.md lists the operations it does.",
                501,
            )
        result = method(request)
        if inspect.isawaitable(result):
            result = await result
        body = _writer(operation.output_shape, operation.name)(result or {}) if operation.output_shape else {}
        content_type = "application/x-amz-json-1.1" if self.protocol == "json" else "application/json"
        return Response(200, {"content-type": content_type}, json.dumps(body, separators=(",", ":")).encode())

    def error(self, error: ApiError) -> Response:
        """An error in the service's protocol."""
        if self.protocol == "json":
            # awsJson answers 400 for every client error, whatever the error's own status.
            status = error.status if error.status >= 500 else 400
            body = {"__type": error.code, "message": error.message}
            return Response(status, {"content-type": "application/x-amz-json-1.1"}, json.dumps(body).encode())
        headers = {"content-type": "application/json", "x-amzn-errortype": error.code}
        return Response(error.status, headers, json.dumps({"message": error.message}).encode())

    async def handle(
        self, method: str, path: str, query: str, headers: dict[str, str], body: bytes, identify: Callable[[], Request]
    ) -> Response:
        """Answer one HTTP request. `identify` checks the signature and returns a Request with the caller filled in."""
        request_id = str(uuid.uuid4())
        try:
            request = identify()
            operation, path_params = self.operation(method, path, headers)
            request.operation, request.service, request.request_id = operation.name, self.service.name, request_id
            request.tags_of = getattr(self.service, "tags_of", request.tags_of)
            request.params = self.parse(operation, path_params, query, body)
            response = await self.call(operation, request)
        except ApiError as error:
            if error.names_request:
                error.message += f", RequestId: {request_id}"
            response = self.error(error)
        except Exception:
            # A bug of ours: AWS's own words for it, with the details in the server's log.
            log.exception("%s %s failed", self.service.name, path)
            _, code = self._CODES[self.service.name]
            response = self.error(ApiError(code, "The embedded AWS failed to answer. See its log.", 500))
        return Response(response.status, {**response.headers, "x-amzn-requestid": request_id}, response.body)


# Where botocore's name of a service is not the one that requests are signed for.
_MODELS = {"servicequotas": "service-quotas"}


@lru_cache
def _service_model(name: str) -> ServiceModel:
    return botocore.session.Session().get_service_model(_MODELS.get(name, name))


def _uri_pattern(uri: str) -> re.Pattern[str]:
    # The ARN in /v1/tags/{resourceArn} may arrive with its slashes unescaped.
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+)", re.escape(uri)))


# --- to the wire -----------------------------------------------------------------------------------------------------


# The model calls JobDetail's startedAt required, but a job that has not started has none: the events AWS documents for
# RUNNABLE jobs lack it. https://docs.aws.amazon.com/batch/latest/userguide/batch_job_events.html
_LEFT_OUT_BY_AWS = {"startedAt"}


@cache
def _writer(shape: Shape, where: str) -> Callable[[Any], Any]:
    """Turns a value into JSON for `shape`. A value the client could not parse is our bug and raises.

    Made once for each place in an answer: an answer of 100 jobs has some 5,000 values.
    """
    kind = shape.type_name
    if kind == "structure":
        return _structure_writer(shape, where)
    if kind == "list":
        write_item = _writer(shape.member, where)
        return lambda value: [write_item(item) for item in value]
    if kind == "map":
        write_value = _writer(shape.value, f"{where}.*")
        return lambda value: {key: write_value(item) for key, item in value.items()}
    if kind == "timestamp":
        return lambda value: _checked(value, dt.datetime, where).timestamp()
    if kind == "blob":
        return lambda value: base64.b64encode(value).decode()
    expected = JSON_TYPES.get(kind, object)
    return lambda value: _checked(value, expected, where)


def _structure_writer(shape: Shape, where: str) -> Callable[[Any], Any]:
    members: dict[str, tuple[str, Callable[[Any], Any]]] = {}  # filled at the first use: a shape may contain itself
    required = [name for name in shape.required_members if name not in _LEFT_OUT_BY_AWS]

    def write(value: Any) -> dict[str, Any]:
        if not members:
            for name, member in shape.members.items():
                members[name] = member.serialization.get("name", name), _writer(member, f"{where}.{name}")
        if unknown := value.keys() - members.keys():
            raise TypeError(f"{where} has no member {', '.join(sorted(unknown))}")
        if missing := [name for name in required if value.get(name) is None]:
            raise TypeError(f"{where} lacks {', '.join(missing)}")
        wire = {}
        for name, item in value.items():
            if item is not None:
                wire_name, write_member = members[name]
                wire[wire_name] = write_member(item)
        return wire

    return write


def _checked(value: Any, expected: type | tuple[type, ...], where: str) -> Any:
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
        raise TypeError(f"{where} must be {expected}, not {value!r}")
    return value
