"""The operations on the processing jobs that Processing steps ran."""

from __future__ import annotations

from typing import Any

from local_aws.pipelines.api.resources import Resources
from local_aws.protocol import ApiError, Request


class ProcessingJobOperations(Resources):
    """DescribeProcessingJob and StopProcessingJob."""

    def describe_processing_job(self, request: Request) -> dict[str, Any]:
        """A processing job that a Processing step ran."""
        return self._job(request, "sagemaker:DescribeProcessingJob")

    def stop_processing_job(self, request: Request) -> dict[str, Any]:
        """Ask a running processing job to stop. One that has ended stays as it is."""
        self.orchestrator.jobs.terminate(self._job(request, "sagemaker:StopProcessingJob")["ProcessingJobArn"])
        return {}

    def _job(self, request: Request, action: str) -> dict[str, Any]:
        name = request.params["ProcessingJobName"]
        arn = f"arn:{request.partition}:sagemaker:{request.region}:{request.account}:processing-job/{name}"
        request.authorize(action, arn)
        if arn not in self.orchestrator.jobs.records:
            raise ApiError("ValidationException", f"Could not find requested job with name: {name}")
        return self.orchestrator.jobs.records[arn]
