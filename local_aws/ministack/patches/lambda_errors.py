"""A function's error has the type that Lambda reports."""

from __future__ import annotations

import functools
import re
from typing import Any


def apply() -> None:
    """A function's error has its exception's name as its type; MiniStack says "Runtime.HandlerError" of all.

    https://docs.aws.amazon.com/lambda/latest/dg/python-exceptions.html
    """
    from ministack.services import lambda_svc

    known = lambda_svc._execute_function_warm

    @functools.wraps(known)
    def execute(func: dict, event: Any, request_id: str) -> dict:
        answer = known(func, event, request_id)
        body = answer.get("body")
        if answer.get("error") and isinstance(body, dict) and body.get("errorType") == "Runtime.HandlerError":
            begin = body["errorMessage"].partition("\n")[0]
            # The traceback's last line: "module.Exception: message", or the name alone.
            message = f": {re.escape(begin)}" if begin else "$"
            raised = re.findall(rf"^(?:\w+\.)*(\w+){message}", answer.get("log", "").rstrip(), re.MULTILINE)
            if raised:
                body["errorType"] = raised[-1]
        return answer

    lambda_svc._execute_function_warm = execute
