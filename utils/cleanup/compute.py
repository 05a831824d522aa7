"""Batch's job queue, compute environment and job definitions."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import boto3

from .. import batch
from ..config import Config
from .executions import end_jobs
from .resource import NotDeleted, Resource, has_our_tag
from .waiting import delete_when_free, until_empty


def find_job_queue(session: boto3.Session, config: Config) -> Iterator[Resource]:
    """The job queue. Before it is deleted, its jobs are terminated."""
    queue = batch.describe(session, "job queue", config.job_queue)
    if queue is None:
        return

    def delete() -> None:
        client, name = session.client("batch"), config.job_queue
        if batch.settled(session, "job queue", name) is None:
            return  # an earlier cleanup's deletion has completed
        client.update_job_queue(jobQueue=name, state="DISABLED")
        end_jobs(client, name)
        batch.settled(session, "job queue", name)
        client.delete_job_queue(jobQueue=name)
        until_empty(lambda: batch.describe(session, "job queue", name), "the job queue is still there")

    ours = has_our_tag(config, queue.get("tags", {}))
    yield Resource("job queue", config.job_queue, queue["jobQueueArn"], delete, ours)


def find_compute_environment(session: boto3.Session, config: Config) -> Iterator[Resource]:
    """The compute environment. While a queue that is not deleted uses it, it stays as it is.

    https://docs.aws.amazon.com/batch/latest/APIReference/API_DeleteComputeEnvironment.html
    """
    environment = batch.describe(session, "compute environment", config.compute_environment)
    if environment is None:
        return

    def delete() -> None:
        client, name = session.client("batch"), config.compute_environment
        if batch.settled(session, "compute environment", name) is None:
            return
        # Before it is disabled, since that would hold up the queues' jobs.
        if queues := _queues_on(client, environment["computeEnvironmentArn"]):
            use, them = ("queues {} use", "them") if len(queues) > 1 else ("queue {} uses", "it")
            raise NotDeleted(
                f"The job {use.format(' and '.join(queues))} it. Delete {them}, or move {them} to another compute "
                "environment, then run the cleanup again."
            )
        client.update_compute_environment(computeEnvironment=name, state="DISABLED")
        batch.settled(session, "compute environment", name)
        # For some moments Batch still counts the deleted queue as using it.
        delete_when_free("ClientException", client.delete_compute_environment, computeEnvironment=name)
        until_empty(
            lambda: batch.describe(session, "compute environment", name), "the compute environment is still there"
        )

    arn, ours = environment["computeEnvironmentArn"], has_our_tag(config, environment.get("tags", {}))
    yield Resource("compute environment", config.compute_environment, arn, delete, ours)


def _queues_on(client: Any, environment: str) -> list[str]:
    """The names of the job queues on a compute environment that are not being deleted."""
    return sorted(
        queue["jobQueueName"]
        for page in client.get_paginator("describe_job_queues").paginate()
        for queue in page["jobQueues"]
        if queue["status"] not in ("DELETING", "DELETED")
        and environment in [each["computeEnvironment"] for each in queue.get("computeEnvironmentOrder", [])]
    )


def find_job_definitions(session: boto3.Session, config: Config) -> Iterator[Resource]:
    """The active revisions of the job definitions."""
    client = session.client("batch")
    for name in (config.copy_job_definition, config.aggregate_job_definition):
        pages = client.get_paginator("describe_job_definitions").paginate(jobDefinitionName=name, status="ACTIVE")
        for revision in [revision for page in pages for revision in page["jobDefinitions"]]:
            arn, ours = revision["jobDefinitionArn"], has_our_tag(config, revision.get("tags", {}))
            delete = partial(client.deregister_job_definition, jobDefinition=arn)
            yield Resource("job definition", f"{name}:{revision['revision']}", arn, delete, ours)
