"""The pipelines."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import boto3

from ..config import Config
from .executions import stop_executions
from .resource import Resource, has_our_tag
from .waiting import in_steps


def find_pipelines(session: boto3.Session, config: Config) -> Iterator[Resource]:
    """The pipelines of notebooks 05 and 04. Before each is deleted, its executions are stopped."""
    sagemaker = session.client("sagemaker")
    for name in (config.pipeline, config.pipeline_by_hand):
        try:
            arn = sagemaker.describe_pipeline(PipelineName=name)["PipelineArn"]
        except sagemaker.exceptions.ResourceNotFound:
            continue
        ours = has_our_tag(config, sagemaker.list_tags(ResourceArn=arn).get("Tags", []))
        yield Resource("pipeline", name, arn, in_steps(partial(_delete, session, config, name)), ours)


def _delete(session: boto3.Session, config: Config, name: str) -> None:
    stop_executions(session, config, name)
    session.client("sagemaker").delete_pipeline(PipelineName=name)
