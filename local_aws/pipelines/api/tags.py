"""The operations on the tags of pipelines."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from local_aws.pipelines import views
from local_aws.pipelines.api.resources import Resources
from local_aws.pipelines.state import Pipeline
from local_aws.protocol import ApiError, Request

MAX_TAGS = 50


class TagOperations(Resources):
    """AddTags, ListTags and DeleteTags."""

    def add_tags(self, request: Request) -> dict[str, Any]:
        """Add tags to a pipeline, or replace their values."""
        pipeline = self._tagged_pipeline(request, "sagemaker:AddTags")
        tags = pipeline.tags | views.tag_map(request.params["Tags"])
        if len(tags) > MAX_TAGS:
            raise ApiError("ValidationException", f"Pipeline {pipeline.name} can't have more than {MAX_TAGS} tags.")
        pipeline.tags = tags
        self.storage.save_pipeline(pipeline)
        return {"Tags": views.tag_list(tags)}

    def list_tags(self, request: Request) -> dict[str, Any]:
        """The tags of a pipeline."""
        pipeline = self._tagged_pipeline(request, "sagemaker:ListTags")
        tags = views.tag_list(pipeline.tags)
        page, token = views.page(tags, lambda tag: (tag["Key"],), request.params, descending=False)
        return {"Tags": page, "NextToken": token}

    def delete_tags(self, request: Request) -> dict[str, Any]:
        """Remove tags of a pipeline. Tags that it does not have are no error."""
        pipeline = self._tagged_pipeline(request, "sagemaker:DeleteTags")
        for key in request.params["TagKeys"]:
            pipeline.tags.pop(key, None)
        self.storage.save_pipeline(pipeline)
        return {}

    def _tagged_pipeline(self, request: Request, action: str) -> Pipeline:
        arn = request.params["ResourceArn"]
        request.authorize(action, arn)
        if arn not in self.pipelines:
            raise ApiError(
                "ResourceNotFound", f"'{arn}' does not exist, or is no pipeline. Only pipelines have tags here."
            )
        return self.find(request, arn)

    def tagged(self, account: str, region: str) -> Iterable[tuple[str, dict[str, str]]]:
        """The pipelines of an account and Region with their tags, for GetResources."""
        for pipeline in self.pipelines.values():
            if (pipeline.account, pipeline.region) == (account, region):
                yield pipeline.arn, pipeline.tags
