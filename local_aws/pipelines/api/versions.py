"""The operations on the versions of pipelines."""

from __future__ import annotations

from typing import Any

from local_aws.pipelines import views
from local_aws.pipelines.api.resources import Resources
from local_aws.protocol import Request


class VersionOperations(Resources):
    """List, name and describe versions."""

    def list_pipeline_versions(self, request: Request) -> dict[str, Any]:
        """The versions of a pipeline, the newest first unless asked otherwise."""
        pipeline = self.pipeline(request, "sagemaker:ListPipelineVersions")
        listed = [version for version in pipeline.versions.values() if views.within(version.created, request.params)]
        page, token = views.page(listed, lambda version: (version.id,), request.params)
        summaries = [
            {
                "PipelineArn": pipeline.arn,
                "PipelineVersionId": version.id,
                "CreationTime": version.created,
                "PipelineVersionDescription": version.description,
                "PipelineVersionDisplayName": version.display_name,
                "LastExecutionPipelineExecutionArn": version.last_execution,
            }
            for version in page
        ]
        return {"PipelineVersionSummaries": summaries, "NextToken": token}

    def update_pipeline_version(self, request: Request) -> dict[str, Any]:
        """Name and describe a version."""
        params = request.params
        request.authorize("sagemaker:UpdatePipelineVersion", params["PipelineArn"])
        pipeline = self.find(request, params["PipelineArn"])
        version = self.version(pipeline, params["PipelineVersionId"])
        version.display_name = params.get("PipelineVersionDisplayName", version.display_name)
        version.description = params.get("PipelineVersionDescription", version.description)
        self.storage.save_pipeline(pipeline)
        return {"PipelineArn": pipeline.arn, "PipelineVersionId": version.id}
