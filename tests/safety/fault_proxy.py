"""A proxy between a client and the embedded AWS, which injects the faults that AWS has now and then.

    with FaultInjectionProxy(endpoint_url, [throttled(3), roles_take(2.0), one_item_a_page()]) as proxy:
        boto3.client("iam", endpoint_url=proxy.endpoint_url, ...)

An HTTP server in a thread. It recognizes each request as an API call by botocore's models, passes it to one fault after
another, and forwards it. A fault is an object with any of

    before(call) -> (code, message, status) | None     the call is answered with this error instead
    change(call) -> None                                the call's parameters are edited; it is signed anew
    lose(call) -> (code, message, status) | None        the call has succeeded, and is answered with this error
    after(call, answer) -> None                         the answer (a dict) of a JSON service is edited
    after_xml(call, root) -> None                       the answer of IAM, in XML, is edited
    there(text) -> text, back(text) -> text             a request's or an answer's text is edited, unseen by the others

Everything is counted: `proxy.calls` is every call that was made, errors included.
"""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache, partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, NamedTuple
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit
from xml.etree import ElementTree

import botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

_SCOPE = re.compile(r"Credential=([^/,]+)/\d+/([^/,]*)/([^/,]+)/aws4_request")
# What the credential scope calls a service, and what botocore calls it.
_MODELS = {"tagging": "resourcegroupstaggingapi", "monitoring": "cloudwatch", "servicequotas": "service-quotas"}
# The header of S3 that makes of a Put a Copy.
_COPY = "x-amz-copy-source"
_KNOWN = {"iam", "sts", "sqs", "lambda", "events", "logs", "ec2", "batch", "ecs", "sagemaker", *_MODELS}
WRITES_NOTHING = re.compile(r"(Get|List|Describe|Head|Lookup|Search|Filter|BatchGet|Simulate|Receive)[A-Z]?")


@dataclass
class Call:
    """One API call on its way."""

    service: str  # as in an ARN
    operation: str
    region: str
    access_key: str
    params: dict[str, Any]
    error: str = ""
    message: str = ""
    status: int = 0
    changed: bool = field(default=False, repr=False)

    @property
    def action(self) -> str:
        return f"{self.service}:{self.operation}"

    @property
    def writes(self) -> bool:
        """Whether the call may change something, judged by its name."""
        return not WRITES_NOTHING.match(self.operation)


class FaultInjectionProxy:
    def __init__(self, endpoint_url: str, faults: Iterable[Any] = (), secrets: dict[str, str] | None = None) -> None:
        self.target, self.faults = urlsplit(endpoint_url).netloc, list(faults)
        self.secrets = {"test": "test", **(secrets or {})}  # of the keys whose changed calls must be signed anew
        self.calls: list[Call] = []
        self.lock = threading.Lock()
        owner = self

        class Handler(_Handler):
            proxy = owner

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.netloc = f"127.0.0.1:{self.server.server_address[1]}"
        self.endpoint_url = f"http://{self.netloc}"

    def __enter__(self) -> FaultInjectionProxy:
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def writes(self) -> list[str]:
        """The actions that changed something, or tried to, in order."""
        return [call.action for call in self.calls if call.writes]

    def ask(self, hook: str, *arguments: Any) -> Any:
        """The first answer a fault has."""
        with self.lock:
            for fault in self.faults:
                answer = getattr(fault, hook)(*arguments) if hasattr(fault, hook) else None
                if answer is not None:
                    return answer
        return None

    def edit(self, hook: str, text: Any) -> Any:
        """The text (or bytes) after all faults that edit it have done so."""
        for fault in self.faults:
            text = getattr(fault, hook)(text) if hasattr(fault, hook) else text
        return text


class _Handler(BaseHTTPRequestHandler):
    proxy: ClassVar[FaultInjectionProxy]
    protocol_version = "HTTP/1.1"

    def handle_one(self) -> None:
        body = self._body()
        edit = self.proxy.edit
        kept = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        headers = {name: edit("there", value) for name, value in kept.items()}
        self.path = edit("there", self.path)
        if body[:1] in (b"{", b"<", b"A"):  # JSON, XML and a query's "Action=...", not an object's content
            body = edit("there", body)
        call, put_back = recognize(self.command, self.path, headers, body)
        self.proxy.calls.append(call)
        refusal = self.proxy.ask("before", call)
        if refusal:
            call.error, call.message, call.status = refusal
            self._answer(*error(call.service, *refusal))
            return
        path = self.path
        self.proxy.ask("change", call)
        if call.changed:
            path, body = put_back(call.params)
            headers = self._signed(call, path, body, headers)
        connection = http.client.HTTPConnection(self.proxy.target, timeout=90)
        try:
            connection.request(self.command, path, body, headers)
            response = connection.getresponse()
            data = response.read()
        finally:
            connection.close()
        call.status = response.status
        if response.status < 400 and (lost := self.proxy.ask("lose", call)):
            call.error, call.message, call.status = lost
            self._answer(*error(call.service, *lost))
            return
        if response.headers.get("content-type", "").startswith(("application/json", "application/x-amz-json")):
            answer = json.loads(data or b"{}")
            if response.status >= 400:
                name = response.headers.get("x-amzn-errortype") or answer.get("__type") or answer.get("code") or "?"
                call.error = name.rpartition("#")[2].partition(":")[0]
                call.message = answer.get("message") or answer.get("Message") or ""
            elif isinstance(answer, dict):
                self.proxy.ask("after", call, answer)
                data = json.dumps(answer).encode()
        elif response.status >= 400:
            code = re.search(rb"<Code>([^<]+)", data)
            call.error = code.group(1).decode() if code else str(response.status)
            said = re.search(rb"<Message>([^<]+)", data)
            call.message = said.group(1).decode() if said else ""
        elif call.service == "iam":
            root = ElementTree.fromstring(data)
            self.proxy.ask("after_xml", call, root)
            data = ElementTree.tostring(root)
        if call.service == "sqs":  # a queue's URL has the address that was called; pipelines know the server's only
            data = data.replace(self.proxy.netloc.encode(), self.proxy.target.encode())
        if data[:1] in (b"{", b"<"):
            data = edit("back", data)
        kept = {name: value for name, value in response.getheaders() if name.lower() not in _HOP_BY_HOP}
        self._answer(response.status, kept, data)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = handle_one

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            chunks = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _signed(self, call: Call, path: str, body: bytes, headers: dict[str, str]) -> dict[str, str]:
        unsigned = {"authorization", "x-amz-date", "content-length", "x-amz-content-sha256"}
        kept = {name: value for name, value in headers.items() if name.lower() not in unsigned}
        request = AWSRequest(self.command, f"http://{self.headers['Host']}{path}", headers=kept, data=body)
        key = call.access_key
        token = self.headers.get("X-Amz-Security-Token")
        credentials = Credentials(key, self.proxy.secrets.get(key, "test"), token)
        SigV4Auth(credentials, call.service, call.region).add_auth(request)
        return dict(request.headers.items())

    def _answer(self, status: int, headers: dict[str, str], data: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header(
            "Content-Length", headers.get("content-length", "0") if self.command == "HEAD" else str(len(data))
        )
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


_HOP_BY_HOP = {"connection", "content-length", "transfer-encoding", "keep-alive", "expect"}


@cache
def _model(service: str) -> Any:
    return botocore.session.Session().get_service_model(_MODELS.get(service, service))


@cache
def _routes(service: str) -> list[tuple[str, re.Pattern[str], str]]:
    model = _model(service)
    operations = [model.operation_model(name) for name in model.operation_names]
    routes = []
    for operation in sorted(operations, key=lambda operation: operation.http["requestUri"].count("{")):
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+)", re.escape(operation.http["requestUri"].rstrip("/")))
        routes.append((operation.http["method"], re.compile(pattern + "/?"), operation.name))
    return routes


def recognize(method: str, target: str, headers: Any, body: bytes) -> tuple[Call, Callable[[dict], tuple[str, bytes]]]:
    """The API call an HTTP request makes, and how to put its parameters back into the request's path and body."""
    path, _, query = target.partition("?")
    scope = _SCOPE.search(headers.get("Authorization", ""))
    key, region, service = scope.groups() if scope else ("", "", "")
    if service == "s3":
        bucket, _, key_of_object = unquote(path).strip("/").partition("/")
        name = _s3_operation(method, bool(bucket), bool(key_of_object), query, headers)
        call = Call(service, name, region, key, {"path": unquote(path)})
        return call, lambda _: (target, body)
    if service not in _KNOWN:
        call = Call(service, method, region, key, {"path": unquote(path)})
        return call, lambda _: (target, body)
    protocol = _model(service).metadata["protocol"]
    json_target = headers.get("X-Amz-Target", "")
    if json_target:
        call = Call(service, json_target.rpartition(".")[2], region, key, json.loads(body or b"{}"))
        return call, lambda params: (target, json.dumps(params).encode())
    if protocol in ("query", "ec2"):
        params = dict(parse_qsl(body.decode(), keep_blank_values=True))
        call = Call(service, params.get("Action", ""), region, key, params)
        return call, lambda params: (target, urlencode(params).encode())
    for route_method, pattern, name in _routes(service):
        match = pattern.fullmatch(path) if route_method == method else None
        if match:
            in_query = dict(parse_qsl(query, keep_blank_values=True))
            posted = json.loads(body) if body[:1] == b"{" else {}
            in_path = {name: unquote(value) for name, value in match.groupdict().items()}
            call = Call(service, name, region, key, {**in_query, **posted, **in_path})
            return call, partial(_put_back, method, target, set(in_path), body)
    return Call(service, f"{method} {path}", region, key, {}), lambda _: (target, body)


def _s3_operation(method: str, bucket: bool, key: bool, query: str, headers: Any) -> str:
    """The name of an operation of S3, which method, address, the query's words and one header tell."""
    words = {name for name, _ in parse_qsl(query, keep_blank_values=True)}
    copies = _COPY in {name.lower() for name in headers}
    fitting = []
    for name, route in _s3_routes().items():
        if route.address == (method, bucket, key) and route.words <= words and ("Copy" in name) == copies:
            fitting.append((len(route.words), -len(name), name))  # of two that fit the plain one, with the short name
    return max(fitting)[2] if fitting else f"{method} ?{query}"


class _S3Route(NamedTuple):
    """What tells an operation: method, whether it is about a bucket and an object, words that its query must have."""

    address: tuple[str, bool, bool]
    words: set[str]


@cache
def _s3_routes() -> dict[str, _S3Route]:
    routes = {}
    for name in _model("s3").operation_names:
        operation = _model("s3").operation_model(name)
        path, _, query = operation.http["requestUri"].partition("?")
        shape = operation.input_shape
        required = [shape.members[member] for member in shape.required_members] if shape else []
        words = {each.serialization["name"] for each in required if each.serialization.get("location") == "querystring"}
        words |= {word.partition("=")[0] for word in query.split("&") if word}
        routes[name] = _S3Route((operation.http["method"], "{Bucket}" in path, "{Key+}" in path), words)
    return routes


def _put_back(method: str, target: str, in_path: set[str], body: bytes, params: dict[str, Any]) -> tuple[str, bytes]:
    rest = {name: value for name, value in params.items() if name not in in_path}
    if method in ("GET", "DELETE", "HEAD"):
        return f"{target.partition('?')[0]}?{urlencode(sorted(rest.items()))}", body
    return target, json.dumps(rest).encode()


def error(service: str, code: str, message: str, status: int) -> tuple[int, dict[str, str], bytes]:
    """An error as the service's protocol words it."""
    protocol = _model(service).metadata["protocol"] if service in _KNOWN else "rest-xml"
    if protocol in ("json", "rest-json"):
        headers = {"content-type": "application/json", "x-amzn-errortype": code}
        return status, headers, json.dumps({"__type": code, "message": message, "Message": message}).encode()
    inner = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    text = {"query": f"<ErrorResponse>{inner}<RequestId>r</RequestId></ErrorResponse>",
            "ec2": f"<Response><Errors>{inner}</Errors><RequestID>r</RequestID></Response>"}  # fmt: skip
    return status, {"content-type": "text/xml"}, text.get(protocol, inner).encode()
