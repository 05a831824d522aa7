"""When the result of an earlier run of a step is taken instead of another run.

https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-caching.html
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from typing import Any

_UNITS = {"y": 365 * 86400, "w": 7 * 86400, "d": 86400}
_TIME_UNITS = {"h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"p?((?:\d+[ymwd])*)(?:t((?:\d+[hms])+))?", re.IGNORECASE)


def check(cache: Any) -> str | None:
    """What is wrong with a CacheConfig, or None."""
    if (
        not isinstance(cache, dict)
        or not isinstance(cache.get("Enabled", False), bool)
        or set(cache) - {"Enabled", "ExpireAfter"}
    ):
        return "has Enabled, true or false, and ExpireAfter"
    if (cache.get("Enabled") or "ExpireAfter" in cache) and seconds(cache.get("ExpireAfter")) is None:
        return f"needs a duration like P30D or PT1H in ExpireAfter, not {cache.get('ExpireAfter')!r}"
    return None


def seconds(duration: Any) -> float | None:
    """The seconds of an ISO 8601 duration, with or without its P, in either case, as AWS's examples write them.

    https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-caching-enabling.html
    """
    match = _DURATION.fullmatch(duration) if isinstance(duration, str) and duration else None
    if not match or not (match.group(1) or match.group(2)):
        return None
    total = 0.0
    for text, units in ((match.group(1), _UNITS | {"m": 30 * 86400}), (match.group(2) or "", _TIME_UNITS)):
        for count, unit in re.findall(r"(\d+)([a-z])", text.lower()):
            total += int(count) * units[unit]
    return total


def key(arguments: dict[str, Any]) -> str:
    """What must be the same for an earlier run to be reused.

    https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-default-keys.html
    """
    relevant = {name: arguments.get(name) for name in ("AppSpecification", "Environment", "ProcessingInputs")}
    return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()


def is_fresh(ended: dt.datetime, cache: dict[str, Any], now: dt.datetime) -> bool:
    """Whether a run that ended then is still young enough to be reused."""
    return (now - ended).total_seconds() <= (seconds(cache.get("ExpireAfter")) or 0)
