"""Metrics that a line of a log has: the embedded metric format, which MiniStack does not read.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import functools
import json
from typing import Any

from local_aws import clock

VALUES = 100  # "The array has no more than 100 members."


def apply() -> None:
    """Read what is appended to a log stream."""
    from ministack.services import cloudwatch_logs

    append = cloudwatch_logs._append_log_events

    @functools.wraps(append)
    def read(stream: dict[str, Any], events: list[dict[str, Any]]) -> None:
        append(stream, events)
        for event in events:
            if '"_aws"' in event["message"]:
                _record(event["message"])

    cloudwatch_logs._append_log_events = read


def _record(line: str) -> None:
    """Put the metrics of a line. A line that does not keep to the format has none, as on AWS."""
    try:
        document = json.loads(line)
        metadata = document["_aws"]
        moment = float(metadata["Timestamp"]) / 1000
        for directive in metadata["CloudWatchMetrics"]:
            for names in directive["Dimensions"]:
                dimensions = {name: str(document[name]) for name in names}
                for metric in directive["Metrics"]:
                    _put(directive["Namespace"], metric, document[metric["Name"]], dimensions, moment)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return


def _put(namespace: str, metric: dict[str, Any], value: Any, dimensions: dict[str, str], moment: float) -> None:
    from ministack.services import cloudwatch

    values = [float(one) for one in (value if isinstance(value, list) else [value])[:VALUES]]
    at = min(moment, clock.now())
    unit = metric.get("Unit", "None")
    cloudwatch._store_datum(namespace, metric["Name"], dimensions, at, unit, None, values, [1.0] * len(values), None)
