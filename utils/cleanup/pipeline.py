"""The pipeline."""

from __future__ import annotations

from collections.abc import Iterator

import boto3

from ..config import Config
from .executions import stop_executions
from .resource import Resource, has_our_tag


def find_pipeline(session: boto3.Session, config: Config) -> Iterator[Resource]:
    """The pipeline; before it is deleted, its executions are stopped."""
    sagemaker = session.client("sagemaker")
    try:
        arn = sagemaker.describe_pipeline(PipelineName=config.pipeline)["PipelineArn"]
    except sagemaker.exceptions.ResourceNotFound:
        return
    ours = has_our_tag(config, sagemaker.list_tags(ResourceArn=arn).get("Tags", []))

    def delete() -> None:
        stop_executions(session, config)
        sagemaker.delete_pipeline(PipelineName=config.pipeline)

    yield Resource("pipeline", config.pipeline, arn, delete, ours)
