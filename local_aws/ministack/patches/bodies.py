"""A request's JSON body, for patches that look into it."""

from __future__ import annotations

import json
from typing import Any


def parsed(body: bytes) -> dict[str, Any]:
    """The members of a JSON object, or none where the body is something else."""
    try:
        parsed = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}
