"""The events about jobs that EventBridge gets.

https://docs.aws.amazon.com/batch/latest/userguide/batch_job_events.html
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from local_aws.batch import views
from local_aws.batch.state.jobs import Array, Job

EVENT_SOURCE = "aws.batch"
STATE_CHANGE = "Batch Job State Change"
QUEUE_BLOCKED = "Batch Job Queue Blocked"
EVENTS_PER_TURN = 50


class Events:
    """Publishes what a rule could see."""

    def __init__(self, ministack: Any, clock: Any) -> None:
        self.ministack, self.clock = ministack, clock
        self._subscribed: dict[tuple[str, str, str], bool] = {}

    def publish_unstarted(self, array: Array) -> None:
        """The children of an array that are still alike made a transition."""
        if self.has_subscribers(array.queue.arn, array.unstarted_status):
            self._publish_some(array.unstarted_view(index) for index in list(array.unstarted_indices()))

    def _publish_some(self, jobs: Iterator[Job]) -> None:
        """Events of many children, a few a turn, so that the server answers meanwhile. EventBridge keeps no order."""
        few = list(islice(jobs, EVENTS_PER_TURN))
        for job in few:
            self.publish(job)
        if few:
            self.clock.call_soon(self._publish_some, jobs)

    def has_subscribers(self, queue_arn: str, status: str, detail_type: str = STATE_CHANGE) -> bool:
        """Whether any rule could match an event. It is asked once a turn of the loop, not once a job."""
        key = (queue_arn, status, detail_type)
        if key not in self._subscribed:
            if not self._subscribed:
                self.clock.call_soon(self._subscribed.clear)
            _, _, _, region, account, _ = queue_arn.split(":", 5)
            known = {"status": status, "jobQueue": queue_arn}
            self._subscribed[key] = self.ministack.could_be_seen(EVENT_SOURCE, detail_type, known, account, region)
        return self._subscribed[key]

    def publish(self, job: Job, detail_type: str = STATE_CHANGE) -> None:
        if not self.has_subscribers(job.queue.arn, job.status, detail_type):
            return
        _, _, _, region, account, _ = job.queue.arn.split(":", 5)
        self.ministack.publish_event(
            source=EVENT_SOURCE, detail_type=detail_type, detail=views.event_detail(job), resources=[job.arn],
            account=account, region=region,
        )  # fmt: skip
