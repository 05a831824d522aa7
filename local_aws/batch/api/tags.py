"""The operations on the tags of every kind of resource."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from local_aws.batch.api.catalogue import Catalogue
from local_aws.batch.api.requests import own_prefix
from local_aws.batch.model.checks import check_tags
from local_aws.batch.model.errors import client_error
from local_aws.protocol import Request


class TagOperations(Catalogue):
    """Tag and untag resources, and list their tags."""

    def tag_resource(self, request: Request) -> dict[str, Any]:
        arn = request.params["resourceArn"]
        request.authorize("batch:TagResource", arn)
        check_tags(request.params["tags"])
        tags, save = self._tags(request, arn)
        check_tags({**tags, **request.params["tags"]})
        tags |= request.params["tags"]
        save()
        return {}

    def untag_resource(self, request: Request) -> dict[str, Any]:
        arn = request.params["resourceArn"]
        request.authorize("batch:UntagResource", arn, context={"aws:TagKeys": request.params["tagKeys"]})
        tags, save = self._tags(request, arn)
        for key in request.params["tagKeys"]:
            tags.pop(key, None)
        save()
        return {}

    def list_tags_for_resource(self, request: Request) -> dict[str, Any]:
        request.authorize("batch:ListTagsForResource", request.params["resourceArn"])
        return {"tags": self._tags(request, request.params["resourceArn"])[0]}

    def tags_of(self, arn: str) -> dict[str, str]:
        """The tags that a condition on aws:ResourceTag compares. A child has its array's tags."""
        for resources in (self.environments, self.queues, self.policies):
            if arn in resources:
                return resources[arn].detail["tags"]
        if arn in self.definitions:
            return self.definitions[arn]["tags"]
        job = self.engine.find(arn.partition(":job/")[2])
        return job.tags if job else {}

    def _tags(self, request: Request, arn: str) -> tuple[dict[str, str], Callable[[], None]]:
        """A resource's tags, to be changed in place, and what keeps the change."""
        if not arn.startswith(own_prefix(request) + ":"):
            raise client_error(f"{arn} is not a resource of Batch in this account and Region.")
        for kind, resources in (("environment", self.environments), ("queue", self.queues), ("policy", self.policies)):
            if arn in resources:
                detail = resources[arn].detail
                return detail["tags"], lambda: self.records.put(kind, arn, detail)  # noqa: B023 - returned at once
        if arn in self.definitions:
            return self.definitions[arn]["tags"], lambda: self.records.put("definition", arn, self.definitions[arn])
        job_id = arn.partition(":job/")[2]
        if ":" in job_id:
            raise client_error("Tags of the children of an array job aren't supported.")
        job = self.engine.jobs.get(job_id)
        if job is None or job.arn != arn:
            raise client_error(f"{arn} does not exist")
        if not job.ended:
            self.job_tags[arn] = job.tags
        return job.tags, lambda: self.records.put_job(job)

    def _tagged(self, account: str, region: str) -> Iterable[tuple[str, dict[str, str]]]:
        """Every tagged resource in use. Definitions leave when they are INACTIVE, and jobs when they have ended."""
        infix = f":batch:{region}:{account}:"
        for resources in (self.environments, self.queues, self.policies):
            yield from (
                (arn, resources[arn].detail["tags"])
                for arn in resources
                if infix in arn and resources[arn].detail["tags"]
            )
        for arn, definition in self.definitions.items():
            if infix in arn and definition["tags"] and definition["status"] == "ACTIVE":
                yield arn, definition["tags"]
        yield from ((arn, tags) for arn, tags in self.job_tags.items() if infix in arn)
