"""One process, one port, one event loop: MiniStack and our own services behind one ASGI application.

The SigV4 credential scope of a request names its service; `batch`, `ecs`, `sagemaker` and `servicequotas` are answered
here, everything else by MiniStack. The server listens on 127.0.0.1 only; it answers no request that a web page could
have sent, and unsigned ones at /_local_aws/ only.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import re
import resource
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config

import local_aws
from local_aws import clock, ministack, refusals, work_directory
from local_aws.disk import Disk, NotWritten
from local_aws.protocol import Api, ApiError, Response
from local_aws.saving import Saver
from local_aws.shapes import json_object
from local_aws.store import Store

log = logging.getLogger("local_aws.server")

Scope = Mapping[str, Any]  # what ASGI says of a connection

LOCAL_PATH = "/_local_aws/"
LEAST_FILES = 256
IDLE_SECONDS = 75  # a connection without a request, or before a request's headers are there
READ_SECONDS = 20  # the next bytes of a body

# How large a request's body may be. It is kept in memory; AWS's own limits are below, but for S3's, which takes 5 GiB:
# the SDKs and the CLI upload parts of 8 MiB. Lambda's is AWS's, for a package of 50 MB in base64.
BODY_BYTES = 16 * 1024 * 1024
BODY_BYTES_OF = {"s3": 256 * 1024 * 1024, "lambda": 70_167_211, LOCAL_PATH: 64 * 1024}


@dataclass
class Context:
    """What the server gives its services."""

    endpoint_url: str
    work_dir: Path
    store: Store | None = None
    disk: Disk | None = None
    ministack: Any = ministack
    images: Mapping[str, Path] = field(default_factory=dict)  # folders of the environments that stand for images
    # POST /_local_aws/<name> with a JSON body: things a teacher needs and AWS has no API for (a Spot reclaim).
    local_routes: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = field(default_factory=dict)
    # GET /_local_aws/credentials with a job's own token: what ECS answers a container that asks for its role.
    container_credentials: Callable[[str], dict[str, Any] | None] = field(default=lambda _: None)


class App:
    """The ASGI application."""

    def __init__(self, ministack_app: Callable, context: Context, services: list[Any], health: dict[str, Any]) -> None:
        self.ministack_app, self.context, self.services, self.health = ministack_app, context, services, health
        self.apis = {service.name: Api(service) for service in services}
        self.saver = Saver(ministack.fork_save, context.disk) if context.disk else None
        self.closed = False

    async def __call__(self, scope: Scope, receive: Callable, send: Callable) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        if scope["type"] == "websocket":  # no service of ours, and none of MiniStack's that we load, has them
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = _headers(scope["headers"])
        if refusal := _foreign(headers):
            await _respond(send, Response(403, {"content-type": "application/json"}, json.dumps(refusal).encode()))
            return
        if scope["path"].startswith(LOCAL_PATH):
            await self._local(scope, receive, send, headers)
            return
        query = scope.get("query_string", b"").decode("latin-1")
        service = _signed_for(headers, query)
        api = self.apis.get(service)
        try:
            body = await _read(receive, service)  # of any request: what is not read ends the connection
            if self.closed:  # a client asks again: an event would be taken, and no function would get it
                raise ApiError("ServiceUnavailable", "The embedded AWS is ending.", 503)
            if not service or scope["path"].startswith("/_"):
                # MiniStack would take it for the account's root, and answer its own /_ministack/reset to anyone.
                raise ApiError("MissingAuthenticationToken", "Missing Authentication Token", 403)
            if not api:
                ministack.check_readable(service, scope["path"], headers, scope.get("query_string", b""), body)
                parameters = parse_qs(query, keep_blank_values=True)
                ministack.check_scope(service, scope["method"], scope["path"], headers, parameters, body)
        except _Gone:
            return
        except ApiError as error:
            await _respond(send, api.error(error) if api else refusals.response(error, service, headers))
            return
        try:
            if api:
                await self._ours(api, scope, send, headers, query, body)
            else:
                await self.ministack_app(scope, _again(body, receive), send)
        except NotWritten as missing:
            await _respond(send, refusals.response(ApiError("InternalError", str(missing), 500), service, headers))
        finally:
            if self.saver and scope["method"] != "GET":
                self.saver.changed = True  # now, since a save that began before this does not have it

    async def _ours(
        self, api: Api, scope: Scope, send: Callable, headers: dict[str, str], query: str, body: bytes
    ) -> None:
        raw_path = (scope.get("raw_path") or quote(scope["path"]).encode()).decode("latin-1")

        def identify():
            return _identify(scope, raw_path, query, body)

        await _respond(
            send, await api.handle(scope["method"], raw_path.partition("?")[0], query, headers, body, identify)
        )

    async def _local(self, scope: Scope, receive: Callable, send: Callable, headers: dict[str, str]) -> None:
        name = scope["path"].removeprefix(LOCAL_PATH)
        try:
            body = await _read(receive, LOCAL_PATH)  # of any request: what is not read ends the connection
        except _Gone:
            return
        except ApiError as error:
            await _respond(send, refusals.response(error, "", headers))
            return
        status, answer = 404, {"message": f"The embedded AWS has no {LOCAL_PATH}{name}."}
        if name == "health" and scope["method"] == "GET":
            status, answer = 200, self.health
        elif name == "credentials" and scope["method"] == "GET":
            credentials = self.context.container_credentials(headers.get("authorization", ""))
            status, answer = (
                (200, credentials) if credentials else (403, {"message": "This token is of no running job."})
            )
        elif name in self.context.local_routes and scope["method"] == "POST":
            # A JSON content type makes a browser ask first (CORS), and _foreign() refuses its Origin.
            if headers.get("content-type", "").partition(";")[0] != "application/json":
                status, answer = 415, {"message": "Send application/json."}
            else:
                try:
                    status, answer = 200, self.context.local_routes[name](json_object(body))
                except (ApiError, ValueError, KeyError, TypeError) as error:
                    status, answer = 400, {"message": str(error)}
        await _respond(send, Response(status, {"content-type": "application/json"}, json.dumps(answer).encode()))

    async def _lifespan(self, scope: Scope, receive: Callable, send: Callable) -> None:
        """MiniStack starts first and stops last, with our services between."""
        measuring: asyncio.Task | None = None

        async def starting(message: dict) -> None:
            nonlocal measuring
            if message["type"] == "lifespan.startup.complete":
                for service in self.services:
                    await service.start()
                measuring = asyncio.create_task(ministack.watch_metrics())
                if self.saver:
                    self.saver.start()
                _set_aside()
            await send(message)

        async def stopping() -> dict:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                if measuring:
                    measuring.cancel()
                await self.close()
                if self.saver:
                    await self.saver.close()
            return message

        await self.ministack_app(scope, stopping, starting)

    async def close(self) -> None:
        """Start nothing any more. Stop our services, then the Lambda functions that run. A second call does nothing."""
        if not self.closed:
            self.closed = True
            ministack.start_no_functions()
            for service in reversed(self.services):
                await service.stop()
            await asyncio.to_thread(ministack.stop_functions)


def _set_aside() -> None:
    """Let the garbage collector pass over what has been loaded, which lives as long as the server.

    A full collection would hold the event loop while it walks all of that. While a save is written, it would have the
    system copy the memory that both processes share, too: https://docs.python.org/3/library/gc.html#gc.freeze
    """
    gc.collect()
    gc.freeze()


def _identify(scope: Scope, raw_path: str, query: str, body: bytes):
    client = (scope.get("client") or ("127.0.0.1",))[0]
    return ministack.identify(
        scope["method"], raw_path, parse_qs(query, keep_blank_values=True), scope["headers"], body, client
    )


# What a signature names by its algorithm: key, date, Region and service; SigV4A's Regions are in a header.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-authentication-methods.html
_SCOPES = {
    "AWS4-HMAC-SHA256": re.compile(r"[^/,\s]+/\d{8}/[^/,\s]+/([^/,\s]+)/aws4_request"),
    "AWS4-ECDSA-P256-SHA256": re.compile(r"[^/,\s]+/\d{8}/([^/,\s]+)/aws4_request"),
}
_AUTHORIZATION = re.compile(r"(\S+) Credential=([^=,\s]+),\s*SignedHeaders=[^=,\s]+,\s*Signature=[^=,\s]+")
_PRESIGNED = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Signature")


def _signed_for(headers: dict[str, str], query: str) -> str:
    """The service that a request is signed for, in its header or (presigned) in its query. "" when it is not signed.

    Whether the signature is right is for who answers to check, once. What is no signature MiniStack would not check.
    """
    if "authorization" in headers:
        match = _AUTHORIZATION.fullmatch(headers["authorization"])
        algorithm, credential = match.groups() if match else ("", "")
    else:
        given = parse_qs(query, keep_blank_values=True)
        algorithm, credential, *others = (given.get(name, []) for name in _PRESIGNED)
        if not all(len(values) == 1 and values[0] for values in (algorithm, credential, *others)):
            return ""
        algorithm, credential = algorithm[0], credential[0]
    scope = _SCOPES.get(algorithm)
    match = scope.fullmatch(credential) if scope else None
    return match.group(1) if match else ""


def _headers(raw: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by their names in lower case. The values of a repeated header are joined, as MiniStack does."""
    headers: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


_LOOPBACK = re.compile(r"(?:[a-z0-9.-]+\.)?(?:localhost|127\.0\.0\.1)(?::\d+)?")


def _foreign(headers: dict[str, str]) -> dict[str, str] | None:
    """Why a request is refused. Its host is not this machine's name (DNS rebinding), or a web page sent it."""
    if not _LOOPBACK.fullmatch(headers.get("host", "").lower()):
        return {"message": "The embedded AWS answers to 127.0.0.1 and localhost only. The Host header names another."}
    if "origin" in headers or headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return {"message": "The embedded AWS does not answer requests from web pages."}
    return None


class _Gone(Exception):
    """The client has closed its connection in the middle of a request."""


async def _read(receive: Callable, service: str) -> bytes:
    """A request's body.

    Raises:
        ApiError: it is larger than the service takes, or does not go on.
        _Gone: no client waits for an answer.
    """
    limit = BODY_BYTES_OF.get(service, BODY_BYTES)
    chunks, size = [], 0
    while True:
        try:
            async with asyncio.timeout(READ_SECONDS):
                message = await receive()
        except TimeoutError:
            raise ApiError("RequestTimeout", f"Nothing of the request came for {READ_SECONDS} seconds.") from None
        if message["type"] == "http.disconnect":
            raise _Gone
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limit:
            chunks.clear()  # the rest is read and not kept: who is still sending hears no answer
        if not message.get("more_body"):
            break
    if size > limit:
        code = {"s3": "EntityTooLarge", "lambda": "RequestEntityTooLargeException"}.get(
            service, "RequestEntityTooLarge"
        )
        raise ApiError(code, f"The request must not be larger than {limit} bytes.", 413)
    return b"".join(chunks)


def _again(body: bytes, receive: Callable) -> Callable:
    """A request's messages for the next who reads them, when its body has been read."""
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive_again() -> dict:
        return next(messages, None) or await receive()

    return receive_again


async def _respond(send: Callable[[dict], Awaitable[None]], response: Response) -> None:
    headers = {**response.headers, "content-length": str(len(response.body))}
    raw = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": raw})
    await send({"type": "http.response.body", "body": response.body})


def run(
    listening: socket.socket, home: Path, state_dir: Path | None, instance: str, images: Mapping[str, Path]
) -> None:
    """Serve on this socket until SIGTERM or SIGINT. The caller has made both directories and keeps the home's lock.

    Args:
        images: folders of the Python environments that stand for images, by the images' names.

    Raises:
        LocalAwsError: `home` has another's directory where ours has to be, or too few files may be open.
    """
    _raise_file_limit()
    port = listening.getsockname()[1]
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    work_dir = home / "local-aws-work"
    work_directory.make(work_dir)
    disk = Disk(state_dir) if state_dir else None
    store = Store(disk.directory / "services.sqlite3", disk.refuse) if disk else None
    ministack_app = ministack.load(port, disk)

    from local_aws.batch import BatchService, TasksService
    from local_aws.pipelines import PipelinesService
    from local_aws.quotas import QuotasService

    context = Context(f"http://127.0.0.1:{port}", work_dir, store, disk, images=images)
    health = {"instance": instance, "pid": os.getpid(), "started": clock.now()}
    batch = BatchService(context)
    services = [batch, TasksService(batch), PipelinesService(context), QuotasService()]
    app = App(ministack_app, context, services, health)
    asyncio.run(_until_signalled(app, listening))
    if store:
        store.close()
    work_directory.remove(work_dir)
    if disk and disk.refusal:
        raise local_aws.LocalAwsError(disk.refusal)


async def _until_signalled(app: App, listening: socket.socket) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    if app.context.disk:
        app.context.disk.stop = stop.set
    await serve(app, listening, stop)


async def serve(app: App, listening: socket.socket, stop: asyncio.Event) -> None:
    """Answer on this socket until `stop` is set."""
    config = Config()
    config.bind = [f"fd://{listening.detach()}"]  # hypercorn's from now on
    config.backlog = local_aws.BACKLOG
    config.keep_alive_timeout = IDLE_SECONDS
    config.keep_alive_max_requests = 1_000_000  # a client's pooled connection is its own to close
    config.graceful_timeout = 1
    config.accesslog = None
    config.errorlog = logging.getLogger("local_aws.http")
    config.include_server_header = False

    async def stopping() -> None:
        await stop.wait()
        await app.close()  # before hypercorn waits for the requests under way: one may wait for a function

    await hypercorn_serve(app, config, shutdown_trigger=stopping)


def _raise_file_limit() -> None:
    """Open as many files as the system grants, since each connection, job and function takes some.

    Raises:
        LocalAwsError: that is too few.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < LEAST_FILES:
        raise local_aws.LocalAwsError(
            f"The embedded AWS may have only {hard} files open here, and needs {LEAST_FILES}. Raise the limit with "
            "`ulimit -n 1024`, or in a new terminal if this one refuses that."
        )
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
