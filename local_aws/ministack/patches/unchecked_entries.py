"""An entry of PutEvents that lacks something fails by itself, and a rate is at least one. MiniStack takes both.

https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsResultEntry.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
"""

from __future__ import annotations

import functools
import json
import re
from typing import Any

from local_aws.shapes import no_constant

_RATE = re.compile(r"rate\((?:1 +(?:minute|hour|day)|(?:[2-9]|[1-9]\d+) +(?:minutes|hours|days))\)\Z")


def apply() -> None:
    """Check entries before they are events, and rates before they are rules."""
    from ministack.services import eventbridge

    eventbridge._RATE_RE = _RATE
    known = eventbridge._put_events

    @functools.wraps(known)
    def put(data: dict[str, Any], allow_aws_source: bool = False) -> tuple:
        entries = data.get("Entries", [])
        failures = [None if allow_aws_source else _failure(entry) for entry in entries]
        sound = [entry for entry, failure in zip(entries, failures, strict=True) if not failure]
        status, headers, body = known({**data, "Entries": sound}, allow_aws_source)
        if status != 200 or not any(failures):
            return status, headers, body
        answer = json.loads(body)
        taken = iter(answer["Entries"])
        answer["Entries"] = [failure or next(taken) for failure in failures]
        answer["FailedEntryCount"] += len(entries) - len(sound)
        return status, headers, json.dumps(answer).encode()

    eventbridge._put_events = put


def _failure(entry: dict[str, Any]) -> dict[str, str] | None:
    for name in ("Source", "DetailType", "Detail"):
        if not entry.get(name):
            why = f"Parameter {name} is not valid. Reason: {name} is a required argument."
            return {"ErrorCode": "InvalidArgument", "ErrorMessage": why}
    try:
        detail = json.loads(entry["Detail"], parse_constant=no_constant)
    except (ValueError, RecursionError):
        detail = None
    if isinstance(detail, dict):
        return None
    return {"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."}
