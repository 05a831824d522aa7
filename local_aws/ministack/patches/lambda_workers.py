"""The processes that Python functions run in are our own, and their last lines are waited for."""

from __future__ import annotations

import contextlib
import functools
import queue
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local_aws import clock

FIRST_LINE_SECONDS = 0.1
NEXT_LINE_SECONDS = 0.03
ALL_LINES_SECONDS = 2.0


def apply() -> None:
    """Have MiniStack run `lambda_worker.py`, go on with it after an exception, and wait for what a function prints.

    MiniStack ends the process of a function that raised, so that the next invocation starts another.

    A busy machine may take longer than MiniStack's 5 milliseconds to bring the next line. What came later would be
    logged with the function's next invocation, if there is one. MiniStack waits by the wall clock: set back meanwhile
    by an hour, the invocation would take an hour.
    """
    from ministack.core import lambda_runtime

    source = Path(__file__).with_name("lambda_worker.py").read_text()
    lambda_runtime._PYTHON_WORKER_SCRIPT = lambda_runtime.INVOKE_DEPTH_BOOTSTRAP + source
    lambda_runtime.Worker._drain_stderr_bounded = lines_until_silence
    lambda_runtime.Worker.invoke = _keeping_the_process(lambda_runtime.Worker.invoke)


def _keeping_the_process(invoke: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """The worker calls an exception an answer, since MiniStack ends it after an error."""

    @functools.wraps(invoke)
    def call(worker: Any, *arguments: Any, **more: Any) -> dict[str, Any]:
        answer = invoke(worker, *arguments, **more)
        raised = answer.pop("raised", None)
        return {**answer, "status": "error", **raised} if raised else answer

    return call


def lines_until_silence(worker: Any, first_line_wait: float = FIRST_LINE_SECONDS) -> str:
    """What a function has printed, once it prints nothing more. The argument has MiniStack's name."""
    lines: list[str] = []
    until, patience = clock.steady() + ALL_LINES_SECONDS, first_line_wait
    with contextlib.suppress(queue.Empty):
        while (left := until - clock.steady()) > 0:
            lines.append(worker._stderr_queue.get(timeout=min(patience, left)))
            patience = NEXT_LINE_SECONDS
    return "\n".join(lines)
