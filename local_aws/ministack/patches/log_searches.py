"""What walks through all lines of a log group runs in a thread: of a million lines it would hold every other call."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
from typing import Any


def apply() -> None:
    """Search, and count the stored bytes, off the event loop. All else about logs is quick, and stays on it."""
    from ministack import app
    from ministack.services import cloudwatch_logs

    known = app.SERVICE_HANDLERS["logs"]
    walks = {
        "FilterLogEvents": cloudwatch_logs._filter_log_events,
        "DescribeLogGroups": cloudwatch_logs._describe_log_groups,
        "DescribeLogStreams": cloudwatch_logs._describe_log_streams,
    }

    @functools.wraps(known)
    async def handle(method: str, path: str, headers: dict, body: bytes, query: dict) -> Any:
        walk = walks.get(headers.get("x-amz-target", "").rpartition(".")[2])
        if walk:
            # A group or a stream may come or go meanwhile. It can't on the loop, where the walk is done then.
            with contextlib.suppress(KeyError, RuntimeError):
                return await asyncio.to_thread(walk, json.loads(body or b"{}"))
        return await known(method, path, headers, body, query)

    app.SERVICE_HANDLERS["logs"] = handle
