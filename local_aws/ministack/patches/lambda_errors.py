"""A function's error has the type and the words that Lambda gives it. MiniStack says "Runtime.HandlerError" of all.

https://docs.aws.amazon.com/lambda/latest/dg/python-exceptions.html
https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
"""

from __future__ import annotations

import functools
import signal
import threading
from typing import Any

_ended = threading.local()  # the exit status of the worker that ended last in this thread


def apply() -> None:
    """Run Python functions here, with MiniStack's workers. Functions of other runtimes stay with MiniStack."""
    from ministack.core import lambda_runtime
    from ministack.services import lambda_svc

    known, collect = lambda_svc._execute_function_warm, lambda_runtime._collect

    @functools.wraps(collect)
    def collect_status(process: Any, deadline: float) -> None:
        collect(process, deadline)  # MiniStack forgets the process with this, and so how it ended
        _ended.status = (
            process.returncode if process else None
        )  # None: the process never came up, or was collected before

    @functools.wraps(known)
    def execute(function: dict, event: Any, request_id: str) -> dict:
        config = function.get("config") or function
        if not config.get("Runtime", "").startswith("python"):
            return known(function, event, request_id)
        return _execute(lambda_svc, config, function["code_zip"], event, request_id)

    lambda_runtime._collect, lambda_svc._execute_function_warm = collect_status, execute


def _execute(lambda_svc: Any, config: dict, code: bytes, event: Any, request_id: str) -> dict:
    name, version, handler = config["FunctionName"], config.get("Version", "$LATEST"), config.get("Handler", "")
    if "." not in handler:
        why = f"Bad handler '{handler}': not enough values to unpack (expected 2, got 1)"
        return _error(request_id, "Runtime.MalformedHandlerName", why)
    lambda_svc._ensure_reaper_thread()
    worker, _ = lambda_svc.acquire_worker(name, config, code, qualifier=version)
    try:
        answer = worker.invoke(
            event,
            request_id,
            trace_id=lambda_svc._xray_trace_id_for_invocation(config),
            invoked_function_arn=config.get("FunctionArn", ""),
            depth=lambda_svc._invoke_depth.get(),
        )
    except (OSError, RuntimeError) as error:  # MiniStack's, when the process did not come up
        lambda_svc.invalidate_worker(name, qualifier=version)
        return _error(request_id, "Runtime.ExitError", f"RequestId: {request_id} Error: {error}")
    finally:
        lambda_svc.release_worker(worker)
    log = answer.get("log", "")
    if answer.get("status") == "ok":
        return {"body": answer.get("result"), "log": log}
    if "errorType" in answer:
        log = "\n".join(filter(None, [log, answer["trace"]]))
        return _error(request_id, answer["errorType"], answer["error"], answer["stackTrace"], log)
    if lambda_svc._RIE_TIMEOUT_TEXT_RE.fullmatch(answer["error"]):
        why = f"RequestId: {request_id} Error: {answer['error']}"
        return _error(request_id, "Sandbox.Timedout", why, log="\n".join(filter(None, [log, answer["error"]])))
    why = f"RequestId: {request_id} Error: Runtime exited {_ending(_ended.status)}"
    return _error(request_id, "Runtime.ExitError", why, log="\n".join(filter(None, [log, why])))


def _ending(status: int | None) -> str:
    if not status:
        return "without providing a reason"
    if status < 0:
        description = signal.strsignal(-status) or f"signal {-status}"
        return f"with error: signal: {description.lower()}"
    return f"with error: exit status {status}"


def _error(request_id: str, kind: str, message: str, trace: list[str] | None = None, log: str = "") -> dict:
    body: dict[str, Any] = {"errorMessage": message, "errorType": kind}
    if trace is not None:
        body |= {"requestId": request_id, "stackTrace": trace}
    return {"body": body, "error": True, "log": log or message}
