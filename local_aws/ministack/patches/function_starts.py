"""When the server ends no function begins any more, whoever asks for it: a queue, a rule, a topic, a retry, a caller.

MiniStack knows no end: it would go on polling queues, and start a new process for each that was ended.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from typing import Any

SECONDS = 10  # for processes that are being started, which end as soon as the system has made them

_forbidden = threading.Event()
_lock = threading.Lock()
_starting: set[Any] = set()  # workers whose process is being started: MiniStack may have forgotten them meanwhile


def apply() -> None:
    """Ask in each place where MiniStack starts a function, and before it takes messages for one."""
    from ministack.core import lambda_runtime
    from ministack.services import lambda_svc

    execute, concurrency, give_up = (
        lambda_svc._execute_function,
        lambda_svc._sqs_esm_concurrency,
        lambda_svc._route_async_failure,
    )

    @functools.wraps(execute)
    def execute_unless_ending(function: dict[str, Any], event: Any) -> dict[str, Any]:
        if _forbidden.is_set():  # an error, so that a batch's messages stay in their queue
            return lambda_svc._throttle_response("ConcurrentInvocationLimitExceeded", "The embedded AWS is ending.")
        return execute(function, event)

    @functools.wraps(concurrency)
    def none_when_ending(*arguments: Any) -> int:
        return 0 if _forbidden.is_set() else concurrency(*arguments)

    @functools.wraps(give_up)
    def give_up_unless_ending(*arguments: Any) -> None:
        if not _forbidden.is_set():  # else the function has not failed
            give_up(*arguments)

    lambda_svc._execute_function = execute_unless_ending
    lambda_svc._sqs_esm_concurrency = none_when_ending
    lambda_svc._route_async_failure = give_up_unless_ending
    for kind in (lambda_runtime.Worker, lambda_runtime.ProvidedWorker):
        kind._spawn = _unless_ending(kind._spawn)


def _unless_ending(spawn: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(spawn)
    def call(worker: Any, *arguments: Any, **more: Any) -> None:
        with _lock:
            if _forbidden.is_set():
                raise RuntimeError("The embedded AWS is ending.")
            _starting.add(worker)
        try:
            spawn(worker, *arguments, **more)
        except AttributeError as error:
            if not _forbidden.is_set():
                raise
            raise RuntimeError("The embedded AWS is ending.") from error  # `end` has taken its process from it
        finally:
            with _lock:
                _starting.discard(worker)

    return call


def forbid() -> None:
    """Start no function any more. Those that run go on."""
    with _lock:
        _forbidden.set()


def end() -> None:
    """End every function, those that are being started too. Call `forbid` first."""
    from ministack.core import lambda_runtime

    deadline, forgotten = time.monotonic() + SECONDS, set()
    while True:
        with _lock:
            done = not _starting
            forgotten |= _starting
        lambda_runtime.reset()
        lambda_runtime.kill_workers(forgotten)
        if done or time.monotonic() > deadline:
            return
        time.sleep(0.02)
