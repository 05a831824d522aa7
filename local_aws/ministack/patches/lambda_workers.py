"""The processes that Python functions run in are our own, and their last lines are waited for."""

from __future__ import annotations

from pathlib import Path


def apply() -> None:
    """Have MiniStack run `lambda_worker.py`, and wait longer for what a function prints at its end.

    A busy machine may take longer than MiniStack's 5 milliseconds to bring the next line. What came later would be
    logged with the function's next invocation, if there is one.
    """
    from ministack.core import lambda_runtime

    source = Path(__file__).with_name("lambda_worker.py").read_text()
    lambda_runtime._PYTHON_WORKER_SCRIPT = lambda_runtime.INVOKE_DEPTH_BOOTSTRAP + source
    # first_line_wait, idle_confirm, hard_cap
    lambda_runtime.Worker._drain_stderr_bounded.__defaults__ = (0.100, 0.030, 2.0)
