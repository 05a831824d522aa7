"""The event bus."""

from __future__ import annotations

import json
from typing import Any

from local_aws.ministack.ports.scope import scope


def publish_event(
    *, source: str, detail_type: str, detail: dict[str, Any], resources: list[str], account: str, region: str
) -> None:
    """Put one event of an AWS service (`source` like "aws.batch") on the default event bus, to its rules' targets.

    PutEvents rightly refuses an "aws." source, so this enters where MiniStack's own services do.
    """
    from ministack.services import eventbridge

    entry = {
        "Source": source,
        "DetailType": detail_type,
        "Detail": json.dumps(detail),
        "Resources": resources,
        "EventBusName": "default",
    }

    # Without a rule nobody can see the event.
    if could_be_seen(source, detail_type, {}, account, region):
        with scope(account, region):
            eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)


def could_be_seen(source: str, detail_type: str, detail: dict[str, str], account: str, region: str) -> bool:
    """Whether a rule's pattern may match an event of which so much is known. Only an event that a rule matches is made.

    Args:
        detail: members of the event's detail with their values. Others may have any value.
    """
    from ministack.services import eventbridge

    known = {"source": source, "detail-type": detail_type}
    with scope(account, region):
        if any(True for _ in eventbridge._archives.values()):
            return True
        for rule in eventbridge._rules.values():
            if rule.get("State") == "ENABLED" and rule.get("EventPattern"):
                pattern = json.loads(rule["EventPattern"])
                inside = pattern.get("detail")
                if _admits(pattern, known) and _admits(inside if isinstance(inside, dict) else {}, detail):
                    return True
    return False


def _admits(pattern: dict[str, Any], known: dict[str, str]) -> bool:
    """False when the pattern lists plain values for a known member, and its value is not among them."""
    return not any(
        isinstance(pattern.get(name), list)
        and all(isinstance(allowed, str) for allowed in pattern[name])
        and value not in pattern[name]
        for name, value in known.items()
    )
