"""MiniStack's waiting goes by the wall clock: set back by a day, its queues hide their messages for another day.

Whoever asks there for the time first moves along with the clock all that waits. So it is due when it was before, and a
message is as old as it is.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

from local_aws import clock

POLL_SECONDS = 0.1  # of a long poll, as MiniStack has it
# Times of a message, in seconds since 1970.
MESSAGE_TIMES = ("sent_at", "visible_at", "first_receive_at", "enqueued_at")
# What Lambda shows the time in. Else it asks for the time to measure how long something takes.
SHOWING = ("_emit_lambda_logs", "_route_async_failure", "_create_esm", "_update_esm", "_put_event_invoke_config")

_shown: contextvars.ContextVar[bool] = contextvars.ContextVar("local_aws_time_is_shown", default=False)
_lock = threading.Lock()
_jumps = clock.Jumps()


class _Following:
    """The module `time` for those that put messages into queues and take them out, or run rules by their schedule."""

    def time(self) -> float:
        follow()
        return clock.now()

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


class _Measuring(_Following):
    """The module `time` for Lambda."""

    def time(self) -> float:
        return super().time() if _shown.get() else clock.steady()


def apply(saved_at: float = 0) -> None:
    """Watch the clock wherever MiniStack reads it to wait.

    Args:
        saved_at: when the state that MiniStack starts with was saved.
    """
    global _jumps
    from ministack.services import eventbridge, lambda_svc, s3, sns, sqs

    _jumps = clock.Jumps(saved_at)
    for module in (eventbridge, s3, sns, sqs):
        module.time = _Following()
    lambda_svc.time = _Measuring()
    for name in SHOWING:
        setattr(lambda_svc, name, _showing(getattr(lambda_svc, name)))
    sqs._HANDLERS["ReceiveMessage"] = _polling(sqs._HANDLERS["ReceiveMessage"])


def follow() -> None:
    """Move what waits along with the clock, if that was set."""
    with _lock:
        if seconds := _jumps.last():
            _move(seconds)


def _move(seconds: float) -> None:
    from ministack.services import eventbridge, sqs, sts

    queues = list(sqs._queues._data.values())
    messages = {id(message): message for queue in queues for message in list(queue["messages"])}
    for message in messages.values():
        for name in MESSAGE_TIMES:
            if message.get(name):
                message[name] += seconds
        if sent := message.get("sys", {}).get("SentTimestamp"):
            message["sys"]["SentTimestamp"] = str(int(sent) + round(seconds * 1000))
    for queue in queues:
        for known in list(queue["dedup_cache"].values()):
            known["expire"] += seconds
    for key, fired in list(eventbridge._rule_last_fired.items()):
        rule = eventbridge._rules._data.get(key) or {}
        if eventbridge._parse_rate_seconds(rule.get("ScheduleExpression", "")) is not None:
            eventbridge._rule_last_fired[key] = fired + seconds
        else:  # at a time of the day, which comes once more if the clock was set back
            eventbridge._rule_last_fired[key] = min(fired, clock.now())
    if seconds > 0:  # set back, they are valid for longer, as those think who were told when they expire
        for session in list(sts._sessions.values()):
            if isinstance(session.get("Expiration"), int | float):
                session["Expiration"] += seconds


def _showing(known: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with the time that the clock shows."""

    @functools.wraps(known)
    def call(*arguments: Any, **more: Any) -> Any:
        token = _shown.set(True)
        try:
            return known(*arguments, **more)
        finally:
            _shown.reset(token)

    return call


def _polling(known: Callable[..., Awaitable[dict]]) -> Callable[..., Awaitable[dict]]:
    """ReceiveMessage, whose long poll lasts as long as it says."""
    from ministack.services import sqs

    @functools.wraps(known)
    async def receive(data: dict[str, Any], url: str) -> dict[str, Any]:
        seconds = data.get("WaitTimeSeconds")
        if seconds is None:
            attributes = sqs._get_q(data.get("QueueUrl", url), "sqs:ReceiveMessage")["attributes"]
            seconds = attributes.get("ReceiveMessageWaitTimeSeconds", "0")
        until = clock.steady() + int(seconds)
        while True:
            answer = await known({**data, "WaitTimeSeconds": 0}, url)
            left = until - clock.steady()
            if answer or left <= 0:
                return answer
            await asyncio.sleep(min(POLL_SECONDS, left))

    return receive
