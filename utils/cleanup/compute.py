"""Batch's job queue, compute environment and job definitions."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import boto3

from .. import batch
from ..config import Config
from .executions import end_jobs
from .resource import Resource, has_our_tag
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
    """The compute environment."""
    environment = batch.describe(session, "compute environment", config.compute_environment)
    if environment is None:
        return

    def delete() -> None:
        client, name = session.client("batch"), config.compute_environment
        if batch.settled(session, "compute environment", name) is None:
            return
        client.update_compute_environment(computeEnvironment=name, state="DISABLED")
        batch.settled(session, "compute environment", name)
        # For some moments Batch still counts the deleted queue as using it.
        delete_when_free("ClientException", client.delete_compute_environment, computeEnvironment=name)
        until_empty(
            lambda: batch.describe(session, "compute environment", name), "the compute environment is still there"
        )

    arn, ours = environment["computeEnvironmentArn"], has_our_tag(config, environment.get("tags", {}))
    yield Resource("compute environment", config.compute_environment, arn, delete, ours)


def find_job_definitions(session: boto3.Session, config: Config) -> Iterator[Resource]:
    """The active revisions of the job definitions."""
    client = session.client("batch")
    for name in (config.copy_job_definition, config.aggregate_job_definition):
        pages = client.get_paginator("describe_job_definitions").paginate(jobDefinitionName=name, status="ACTIVE")
        for revision in [revision for page in pages for revision in page["jobDefinitions"]]:
            arn, ours = revision["jobDefinitionArn"], has_our_tag(config, revision.get("tags", {}))
            delete = partial(client.deregister_job_definition, jobDefinition=arn)
            yield Resource("job definition", f"{name}:{revision['revision']}", arn, delete, ours)
