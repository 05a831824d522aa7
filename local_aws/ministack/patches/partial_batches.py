"""A function's answer says which messages of a batch are done: what says it wrongly leaves them all in the queue.

https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#services-sqs-batchfailurereporting
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection
from typing import Any

from local_aws import clock

log = logging.getLogger("local_aws.ministack")


def apply() -> None:
    """Read answers as AWS does. MiniStack takes what it can't read for success."""
    from ministack.services import lambda_svc

    lambda_svc._run_sqs_batch = _run


def _run(mapping: dict, function: dict, event: dict, batch: list[dict], queue_url: str, queue_name: str) -> None:
    """Invoke the function with a batch, and delete the messages that are done."""
    from ministack.services import lambda_svc, sqs

    result = lambda_svc._execute_function(function, event)
    ids = {message["id"] for message in batch}
    if result.get("error"):
        failed = ids
    elif "ReportBatchItemFailures" in (mapping.get("FunctionResponseTypes") or []):
        failed = failures(result.get("body"), ids)
    else:
        failed = set()
    done = {message["receipt_handle"] for message in batch if message["id"] not in failed}
    if done:
        try:
            sqs._delete_messages_for_esm(queue_url, done)
        except sqs._Err as error:
            if error.code != "QueueDoesNotExist":  # it was deleted while the function ran, with its messages
                raise
        lambda_svc._esm_backoff_until.pop(mapping["UUID"], None)
    mapping["LastProcessingResult"] = "FAILED" if result.get("error") else "OK"
    if result.get("error"):
        # The messages stay hidden for their visibility timeout; a broken function is called once a second at most.
        lambda_svc._esm_backoff_until[mapping["UUID"]] = clock.steady() + lambda_svc._ESM_BACKOFF_SECONDS
        body = result.get("body")
        log.warning("%s failed with a batch of %s: %s", mapping["FunctionName"], queue_name, json.dumps(body)[:500])


def failures(answer: Any, ids: Collection[str]) -> set[str]:
    """The messages that an answer leaves in the queue.

    Args:
        answer: what the function returned, in Python's types.
        ids: the batch's messages.

    Returns:
        What `batchItemFailures` lists. None of them for an empty or a null list or answer. All of them for an answer
        that is no object, and for an identifier that is empty, null, under another key or of no message of the batch.
    """
    everything = set(ids)
    if answer is None or answer == {}:
        return set()
    items = answer.get("batchItemFailures") if isinstance(answer, dict) else everything
    if items is None:
        return set()
    if not isinstance(items, list):
        return everything
    named: list[Any] = [item.get("itemIdentifier") if isinstance(item, dict) else None for item in items]
    return set(named) if all(isinstance(one, str) and one in everything for one in named) else everything
