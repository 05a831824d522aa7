"""SQS's metrics, which MiniStack lacks.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
AWS sends them once a minute, and none of a queue that is idle. Here they are sent every few seconds while a queue has
messages, and once more when it has none.
"""

from __future__ import annotations

from typing import Any

from local_aws import clock

RECEIPTS = 3  # a message that was received so often is left out of the oldest message's age


def measure(queues: dict[str, dict[str, Any]], active: set[str]) -> set[str]:
    """Send the metrics of the queues that have messages.

    Args:
        queues: those of one account and Region, by URL.
        active: the URLs of those that had messages the last time.

    Returns:
        The URLs of those that have messages.
    """
    full = {url for url, queue in queues.items() if queue["messages"]}
    for url in full | (active & queues.keys()):
        _measure(queues[url], url.rpartition("/")[2])
    return full


def _measure(queue: dict[str, Any], name: str) -> None:
    now, messages = clock.now(), list(queue["messages"])
    visible = sum(message["visible_at"] <= now for message in messages)
    delayed = sum(message["visible_at"] > now and not message["receive_count"] for message in messages)
    ages = [now - message["sent_at"] for message in messages if message["receive_count"] < RECEIPTS]
    _put(name, "ApproximateNumberOfMessagesVisible", visible)
    _put(name, "ApproximateNumberOfMessagesDelayed", delayed)
    _put(name, "ApproximateNumberOfMessagesNotVisible", len(messages) - visible - delayed)
    _put(name, "ApproximateAgeOfOldestMessage", int(max(ages, default=0)), "Seconds")


def _put(name: str, metric: str, value: float, unit: str = "Count") -> None:
    """Send a value. The same one again in the same minute is counted, so a queue that waits for long takes no room."""
    from ministack.services import cloudwatch

    dimensions = {"QueueName": name}
    points = cloudwatch._metrics.get(("AWS/SQS", metric, cloudwatch._dims_key(dimensions)))
    last = points[-1] if points else None
    if last and last["Value"] == value and last["Timestamp"] // 60 == clock.now() // 60:
        last["Count"] = last.get("Count", 1.0) + 1
    else:
        cloudwatch.record_metric("AWS/SQS", metric, value, unit, dimensions)
