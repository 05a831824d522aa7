"""The clocks of the jobs, which are the event loop's, the wall clock and the steady one."""

from __future__ import annotations

import asyncio
from typing import Any

from local_aws import clock


class LoopClock:
    """The event loop's clock, and the one on the wall."""

    def now(self) -> int:
        return clock.milliseconds()

    def steady(self) -> int:
        return int(clock.steady() * 1000)

    def call_later(self, seconds: float, function: Any, *arguments: Any) -> Any:
        return asyncio.get_running_loop().call_later(seconds, function, *arguments)

    def call_soon(self, function: Any, *arguments: Any) -> Any:
        return asyncio.get_running_loop().call_soon(function, *arguments)
