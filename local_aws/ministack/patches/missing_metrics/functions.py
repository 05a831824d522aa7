"""Lambda's metrics, of each invocation: MiniStack leaves out those by a mapping, a rule or a retry.

https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
"""

from __future__ import annotations

import functools
import time
from typing import Any


def apply() -> None:
    """Measure where every invocation passes."""
    from ministack.services import cloudwatch, lambda_svc

    execute = lambda_svc._execute_function

    @functools.wraps(execute)
    def measured(function: dict[str, Any], event: Any) -> dict[str, Any]:
        configuration = function.get("config") or function
        if lambda_svc._function_config_scope_mismatch(configuration):
            return execute(function, event)  # it calls itself again, in the function's Region
        begin = time.monotonic()
        result = execute(function, event)
        milliseconds = (time.monotonic() - begin) * 1000
        dimensions = {"FunctionName": configuration.get("FunctionName", "")}

        def count(metric: str, value: float, unit: str = "Count") -> None:
            cloudwatch.record_metric("AWS/Lambda", metric, value, unit, dimensions)

        throttled = bool(result.get("throttle"))
        count("Throttles", int(throttled))
        if not throttled:  # "Throttled requests and other invocation errors don't count as Invocations or Errors."
            count("Invocations", 1)
            count("Errors", int(bool(result.get("error"))))
            count("Duration", milliseconds, "Milliseconds")
        return result

    def measured_already(*_: Any, **__: Any) -> None:
        """MiniStack's own count of the direct invocations."""

    lambda_svc._execute_function, lambda_svc._emit_lambda_metrics = measured, measured_already
