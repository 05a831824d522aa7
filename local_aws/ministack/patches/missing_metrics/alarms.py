"""Alarms are evaluated over their own dimensions, periods and missing data.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
The period that has begun counts as soon as it has data. AWS does not say when it evaluates one.
"""

from __future__ import annotations

import operator
from typing import Any

from local_aws import clock

COMPARISONS = {
    "GreaterThanOrEqualToThreshold": (operator.ge, "greater than or equal to"),
    "GreaterThanThreshold": (operator.gt, "greater than"),
    "LessThanThreshold": (operator.lt, "less than"),
    "LessThanOrEqualToThreshold": (operator.le, "less than or equal to"),
}
MISSING = {"breaching": True, "notBreaching": False}


def apply() -> None:
    """Put AWS's evaluation in the place of MiniStack's."""
    from ministack.services import cloudwatch

    cloudwatch._evaluate_alarm = evaluate


def evaluate(alarm: dict[str, Any]) -> None:
    """Set an alarm's state by its metric. When it changes, write its history and notify its actions.

    An alarm on several metrics or on a band stays as it is.
    """
    from ministack.services import cloudwatch

    if not alarm.get("MetricName") or alarm.get("ComparisonOperator") not in COMPARISONS:
        return
    state, reason = _state(alarm, _values(alarm, clock.now()))
    old = alarm["StateValue"]
    if state in (None, old):
        return
    alarm.update(StateValue=state, StateReason=reason, StateUpdatedTimestamp=int(clock.now()))
    cloudwatch._record_history(alarm["AlarmName"], old, state, reason)
    cloudwatch._dispatch_alarm_actions(alarm, old, state, reason)
    cloudwatch._evaluate_parent_alarms(alarm)


def _values(alarm: dict[str, Any], now: float) -> list[float | None]:
    """The statistic of each of the last periods, the latest first. None for a period without data."""
    from ministack.services import cloudwatch

    dimensions = cloudwatch._dims_key({one["Name"]: one["Value"] for one in alarm.get("Dimensions") or []})
    points = cloudwatch._metrics.get((alarm["Namespace"], alarm["MetricName"], dimensions)) or []
    period = int(alarm.get("Period") or 60)
    periods: dict[int, list[dict[str, Any]]] = {}
    for point in list(points):
        if not alarm.get("Unit") or point.get("Unit") == alarm["Unit"]:
            periods.setdefault(int(point["Timestamp"] // period), []).append(point)
    latest = int(now // period)
    latest -= latest not in periods
    statistic = alarm.get("ExtendedStatistic") or alarm.get("Statistic") or "Average"
    return [
        cloudwatch._stat_value(cloudwatch._calc_stats(periods[at]), statistic, periods[at]) if at in periods else None
        for at in range(latest, latest - int(alarm.get("EvaluationPeriods") or 1), -1)
    ]


def _state(alarm: dict[str, Any], values: list[float | None]) -> tuple[str | None, str]:
    """The state that the values ask for, None for the one it has, and why."""
    treat, threshold = alarm.get("TreatMissingData") or "missing", float(alarm.get("Threshold") or 0)
    breaches, words = COMPARISONS[alarm["ComparisonOperator"]]
    there = [value for value in values if value is not None]
    if not there and treat not in MISSING:
        return (None if treat == "ignore" else "INSUFFICIENT_DATA"), "Insufficient Data: no datapoints were received."
    breaching = [MISSING.get(treat, False) if value is None else breaches(value, threshold) for value in values]
    state = "ALARM" if sum(breaching) >= int(alarm.get("DatapointsToAlarm") or len(values)) else "OK"
    if not there:
        as_ = "Breaching" if MISSING[treat] else "NonBreaching"
        count = f"{len(values)} missing datapoint{'s were' if len(values) > 1 else ' was'} treated as [{as_}]"
        return state, f"Threshold Crossed: no datapoints were received and {count}."
    points = ", ".join(str(float(value)) for value in there)
    verb = "was" if len(there) == 1 else "were"
    said = verb if state == "ALARM" else f"{verb} not"
    count = f"{len(there)} datapoint{'s' if len(there) > 1 else ''}"
    return state, f"Threshold Crossed: {count} [{points}] {said} {words} the threshold ({threshold})."
