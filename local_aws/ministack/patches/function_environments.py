"""A function has the variables that Lambda gives it, and none of MiniStack's settings.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
"""

from __future__ import annotations

import contextvars
import functools
import subprocess
import types
import uuid
from collections.abc import Callable
from typing import Any

from local_aws import clock
from local_aws.ministack import settings

_worker: contextvars.ContextVar[Any] = contextvars.ContextVar("local_aws_worker", default=None)  # that is started
_stream_ids: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar("local_aws_stream_ids", default=None)
_written_to: dict[str, str] = {}  # the log stream's id of each invocation, until its lines are written


def apply() -> None:
    """Set the variables where a function's process is started, and write its lines to the stream that they name."""
    from ministack.core import lambda_runtime
    from ministack.services import lambda_svc

    popen: Any = subprocess.Popen

    def start(*arguments: Any, env: dict[str, str] | None = None, **more: Any) -> Any:
        worker = _worker.get()
        if env is not None and worker is not None:
            env = _environment(worker.config, env, worker.log_stream_id)
        return popen(*arguments, env=env, **more)

    lambda_runtime.subprocess = types.SimpleNamespace(**{**vars(subprocess), "Popen": start})
    for kind in (lambda_runtime.Worker, lambda_runtime.ProvidedWorker):
        kind._spawn, kind.invoke = _spawning(kind._spawn), _invoking(kind.invoke)

    emit, new_id = lambda_svc._emit_lambda_logs, lambda_svc.new_uuid

    @functools.wraps(emit)
    def emit_to_its_stream(function: dict[str, Any], request_id: str, *arguments: Any, **more: Any) -> None:
        """MiniStack makes a stream for each invocation, with a new id. On AWS a process has one."""
        stream = _written_to.pop(request_id, None)
        token = _stream_ids.set([stream] if stream else None)
        try:
            emit(function, request_id, *arguments, **more)
        finally:
            _stream_ids.reset(token)

    @functools.wraps(new_id)
    def known_or_new_id() -> str:
        known = _stream_ids.get()
        return known.pop() if known else new_id()

    lambda_svc._emit_lambda_logs, lambda_svc.new_uuid = emit_to_its_stream, known_or_new_id


def _spawning(spawn: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(spawn)
    def call(worker: Any, *arguments: Any, **more: Any) -> None:
        worker.log_stream_id = uuid.uuid4().hex
        token = _worker.set(worker)
        try:
            spawn(worker, *arguments, **more)
        finally:
            _worker.reset(token)

    return call


def _invoking(invoke: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(invoke)
    def call(worker: Any, event: Any, request_id: str, *arguments: Any, **more: Any) -> Any:
        try:
            return invoke(worker, event, request_id, *arguments, **more)
        finally:
            if stream := getattr(worker, "log_stream_id", None):
                _written_to[request_id] = stream

    return call


def _environment(configuration: dict[str, Any], env: dict[str, str], stream_id: str) -> dict[str, str]:
    """The variables of a process, where MiniStack would start it with `env`."""
    own = (configuration.get("Environment") or {}).get("Variables") or {}
    name, version = configuration.get("FunctionName", ""), configuration.get("Version", "$LATEST")
    group = (configuration.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{name}"
    runtime = configuration.get("Runtime", "")
    kept = {key: value for key, value in env.items() if key in own or key not in settings.OWN}
    if not runtime.startswith("provided"):
        kept["AWS_EXECUTION_ENV"] = f"AWS_Lambda_{runtime}"
    return kept | {
        "TZ": own.get("TZ", ":UTC"),
        "_HANDLER": configuration.get("Handler", ""),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": group,
        "AWS_LAMBDA_LOG_STREAM_NAME": f"{clock.date():%Y/%m/%d}/[{version}]{stream_id}",
    }
