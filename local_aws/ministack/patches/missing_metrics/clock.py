"""What CloudWatch does by itself: queues are measured and alarms evaluated every few seconds."""

from __future__ import annotations

import asyncio
import logging

from local_aws.ministack.patches.missing_metrics import queues
from local_aws.ministack.ports.scope import scope

SECONDS = 2

log = logging.getLogger("local_aws.ministack")
_active: dict[tuple[str, str], set[str]] = {}  # the queues that had messages, by account and Region


async def run() -> None:
    """Measure and evaluate until the task is cancelled, on the event loop, which alone changes queues."""
    while True:
        await asyncio.sleep(SECONDS)
        try:
            _tick()
        except Exception:
            log.exception("CloudWatch could not measure or evaluate")


def _tick() -> None:
    """Measure the queues and evaluate the alarms of each account and Region that has some."""
    from ministack.services import cloudwatch, sqs

    scopes = {key[:2] for store in (sqs._queues, cloudwatch._alarms) for key in list(store._data)}
    for account, region in scopes:
        with scope(account, region):
            here = dict(sqs._queues.items())
            _active[account, region] = queues.measure(here, _active.get((account, region), set()))
            for alarm in list(cloudwatch._alarms.values()):
                cloudwatch._evaluate_alarm(alarm)
