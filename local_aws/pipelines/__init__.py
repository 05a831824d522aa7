"""SageMaker Pipelines, as AWS documents it, run on this machine."""

from local_aws.pipelines.api.service import PipelinesService

__all__ = ["PipelinesService"]
