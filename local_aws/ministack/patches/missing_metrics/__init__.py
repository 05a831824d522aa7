"""CloudWatch gets the metrics of queues and functions and those in log lines, and its alarms go off.

MiniStack measures direct invocations only. It evaluates an alarm when metrics are put, on all dimensions together.
"""

from __future__ import annotations

from local_aws.ministack.patches.missing_metrics import alarms, functions, log_lines


def apply() -> None:
    """Measure functions and log lines as they come. `clock` does what needs time."""
    functions.apply()
    log_lines.apply()
    alarms.apply()
