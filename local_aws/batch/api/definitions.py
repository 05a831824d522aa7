"""The operations on job definitions."""

from __future__ import annotations

from typing import Any

from local_aws.batch.api.catalogue import Catalogue
from local_aws.batch.api.requests import MAX_DESCRIBED, arn_of, check_count, own_prefix, page_of
from local_aws.batch.model import definitions
from local_aws.batch.model.errors import client_error
from local_aws.protocol import Request


class DefinitionOperations(Catalogue):
    """Register, describe and deregister job definitions."""

    def register_job_definition(self, request: Request) -> dict[str, Any]:
        params = request.params
        name = params["jobDefinitionName"]
        family = f"{own_prefix(request)}:job-definition/{name}"
        container = params.get("containerProperties", {})
        request.authorize("batch:RegisterJobDefinition", family, context=_container_keys(container))
        if params.get("tags"):
            request.authorize("batch:TagResource", family)
        for member in ("jobRoleArn", "executionRoleArn"):
            if container.get(member):
                request.authorize_pass_role(container[member], "ecs-tasks.amazonaws.com")
        definition = definitions.checked_definition(params)
        revision = self.revisions.get(family, 0) + 1
        arn = f"{family}:{revision}"
        self.revisions[family] = revision
        self.definitions[arn] = {
            "jobDefinitionName": name,
            "jobDefinitionArn": arn,
            "revision": revision,
            "status": "ACTIVE",
            **definition,
        }
        self.records.put("definition", arn, self.definitions[arn])
        return {"jobDefinitionName": name, "jobDefinitionArn": arn, "revision": revision}

    def describe_job_definitions(self, request: Request) -> dict[str, Any]:
        params = request.params
        request.authorize("batch:DescribeJobDefinitions")
        prefix = own_prefix(request) + ":"
        wanted = params.get("jobDefinitions")
        if wanted:
            if {"jobDefinitionName", "status", "maxResults"} & set(params):
                raise client_error("jobDefinitions can't be used with other parameters.")
            check_count(wanted, MAX_DESCRIBED, "job definitions")
            arns = [arn_of(request, "job-definition", name) for name in wanted]
            definitions = [self.definitions[arn] for arn in arns if arn in self.definitions]
        else:
            definitions = [definition for arn, definition in self.definitions.items() if arn.startswith(prefix)]
            if "jobDefinitionName" in params:
                name = params["jobDefinitionName"].rsplit("/", 1)[-1]
                definitions = [definition for definition in definitions if definition["jobDefinitionName"] == name]
            if "status" in params:
                definitions = [definition for definition in definitions if definition["status"] == params["status"]]
        page, token = page_of(
            params, definitions, lambda definition: [definition["jobDefinitionName"], -definition["revision"]]
        )
        return {"jobDefinitions": page, **token}

    def deregister_job_definition(self, request: Request) -> dict[str, Any]:
        arn = arn_of(request, "job-definition", request.params["jobDefinition"])
        request.authorize("batch:DeregisterJobDefinition", arn)
        if not arn.rpartition(":")[2].isdecimal():
            raise client_error(f"{arn} needs a revision, as in {arn}:1.")
        if arn not in self.definitions:
            raise client_error(f"{arn} does not exist")
        self.definitions[arn]["status"] = "INACTIVE"
        self.records.put("definition", arn, self.definitions[arn])
        return {}


def _container_keys(container: dict[str, Any]) -> dict[str, Any]:
    """The condition keys of RegisterJobDefinition."""
    log = container.get("logConfiguration", {})
    options = log.get("options", {})
    keys = {
        "batch:Image": container.get("image"),
        "batch:Privileged": container.get("privileged"),
        "batch:User": container.get("user"),
        "batch:LogDriver": log.get("logDriver"),
        "batch:AWSLogsGroup": options.get("awslogs-group"),
        "batch:AWSLogsRegion": options.get("awslogs-region"),
        "batch:AWSLogsStreamPrefix": options.get("awslogs-stream-prefix"),
        "batch:AWSLogsCreateGroup": options.get("awslogs-create-group"),
    }
    return {name: str(value).lower() if isinstance(value, bool) else value for name, value in keys.items() if value}
