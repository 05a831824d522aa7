"""The clocks of the jobs, which are the event loop's and the wall clock."""

from __future__ import annotations

import asyncio
import time
from typing import Any


class LoopClock:
    """The event loop's clock, and the one on the wall."""

    def now(self) -> int:
        return int(time.time() * 1000)

    def call_later(self, seconds: float, function: Any, *arguments: Any) -> Any:
        return asyncio.get_running_loop().call_later(seconds, function, *arguments)

    def call_soon(self, function: Any, *arguments: Any) -> Any:
        return asyncio.get_running_loop().call_soon(function, *arguments)
