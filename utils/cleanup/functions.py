"""The functions, their queues, and the mapping between them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import boto3

from .. import queues
from ..config import Config
from .resource import Resource, has_our_tag
from .waiting import delete_if_there, delete_when_free, until_empty


def find_mapping(session: boto3.Session, config: Config) -> Iterator[Resource]:
    """The event source mapping from the callback queue to check_jobs."""
    client = session.client("lambda")
    queue = config.arn("sqs", config.callback_queue)
    mapping = queues.find_mapping(session, queue=queue, function=config.check_jobs_function)
    if mapping is None:
        return
    # Older botocore models have no EventSourceMappingArn.
    arn = mapping.get("EventSourceMappingArn") or config.arn("lambda", f"event-source-mapping:{mapping['UUID']}")
    ours = has_our_tag(config, client.list_tags(Resource=arn).get("Tags", {}))

    def delete() -> None:
        # While it is being created or updated it can't be deleted.
        delete_when_free("ResourceInUseException", client.delete_event_source_mapping, UUID=mapping["UUID"])
        until_empty(
            lambda: queues.find_mapping(session, queue=queue, function=config.check_jobs_function, deleting=True),
            "the event source mapping is still there",
        )

    name = f"{config.callback_queue} -> {config.check_jobs_function}"
    yield Resource("event source mapping", name, arn, delete, ours)


def find_queues(session: boto3.Session, config: Config) -> Iterator[Resource]:
    """The callback queue and its dead-letter queue."""
    sqs = session.client("sqs")
    for name in (config.callback_queue, config.dead_letter_queue):
        try:
            url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
            tags = sqs.list_queue_tags(QueueUrl=url).get("Tags", {})
        except sqs.exceptions.QueueDoesNotExist:
            continue
        delete = partial(delete_if_there, sqs.delete_queue, QueueUrl=url)
        yield Resource("queue", name, config.arn("sqs", name), delete, has_our_tag(config, tags))


def find_functions(session: boto3.Session, config: Config) -> Iterator[Resource]:
    """The kit's Lambda functions."""
    client = session.client("lambda")
    for name in function_names(config):
        try:
            tags = client.get_function(FunctionName=name).get("Tags", {})
        except client.exceptions.ResourceNotFoundException:
            continue
        delete = partial(delete_if_there, client.delete_function, FunctionName=name)
        yield Resource("function", name, config.arn("lambda", f"function:{name}"), delete, has_our_tag(config, tags))


def function_names(config: Config) -> list[str]:
    """The names of the kit's functions."""
    return [
        config.submit_jobs_function,
        config.check_jobs_function,
        config.count_inputs_function,
        config.merge_results_function,
    ]
