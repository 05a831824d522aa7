"""The processes that functions run in keep their last lines, and end with the server."""

from __future__ import annotations


def apply() -> None:
    _wait_for_a_functions_last_lines()
    _end_functions_with_the_server()


def _wait_for_a_functions_last_lines() -> None:
    """A busy machine may take longer than MiniStack's 5 milliseconds to bring the next line a function has printed.

    What came later would be logged with the function's next invocation, if there is one.
    """
    from ministack.core.lambda_runtime import Worker

    Worker._drain_stderr_bounded.__defaults__ = (0.100, 0.030, 2.0)  # first_line_wait, idle_confirm, hard_cap


def _end_functions_with_the_server() -> None:
    """A function that runs when the server is killed would run on, beside its second invocation after a restart."""
    from ministack.core import lambda_runtime

    lambda_runtime._PYTHON_WORKER_SCRIPT = _END_WITH_THE_SERVER + lambda_runtime._PYTHON_WORKER_SCRIPT


# Standard input is a pipe of which the server alone has the other end. Only its end is waited for; nothing is read.
_END_WITH_THE_SERVER = """
def _end_with_the_server():
    import os, select, threading

    def watch():
        pipe = select.poll()
        pipe.register(0, 0)
        pipe.poll()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()

_end_with_the_server()
"""
