"""The operations on compute environments."""

from __future__ import annotations

from typing import Any

from local_aws.batch.api.catalogue import CREATE_SECONDS, DELETE_SECONDS, UPDATE_SECONDS, Catalogue
from local_aws.batch.api.requests import authorize_tagged, check_quota, named_resources, own_prefix, page_of
from local_aws.batch.model import environments
from local_aws.batch.model.environments import ComputeEnvironment
from local_aws.batch.model.errors import client_error
from local_aws.protocol import Request


class EnvironmentOperations(Catalogue):
    """Create, describe, update and delete compute environments."""

    def create_compute_environment(self, request: Request) -> dict[str, Any]:
        params = request.params
        arn = f"{own_prefix(request)}:compute-environment/{params['computeEnvironmentName']}"
        authorize_tagged(request, "batch:CreateComputeEnvironment", arn)
        self._authorize_environment_roles(request, params.get("serviceRole"), params.get("computeResources", {}))
        if arn in self.environments:
            raise client_error(f"Object already exists: the compute environment {arn}")
        check_quota(self.environments, request, "compute environments")
        detail = environments.compute_environment(
            params, own_prefix(request), request.account, request.region, self.ministack
        )
        environment = self.environments[arn] = ComputeEnvironment(arn, detail)
        self.records.put("environment", arn, detail)
        self.clock.call_later(CREATE_SECONDS, self.settle_environment, environment)
        return {"computeEnvironmentName": environment.name, "computeEnvironmentArn": arn}

    def _authorize_environment_roles(self, request: Request, service_role: str | None, compute: dict[str, Any]) -> None:
        def arn(role: str) -> str:
            return role if role.startswith("arn:") else f"arn:{request.partition}:iam::{request.account}:role/{role}"

        if service_role:
            request.authorize_pass_role(arn(service_role), "batch.amazonaws.com")
        if compute.get("instanceRole"):
            role = self.ministack.instance_profile_role(compute["instanceRole"], request.account)
            if role:
                request.authorize_pass_role(role, "ec2.amazonaws.com")
        if compute.get("spotIamFleetRole"):
            request.authorize_pass_role(arn(compute["spotIamFleetRole"]), "spotfleet.amazonaws.com")

    def update_compute_environment(self, request: Request) -> dict[str, Any]:
        environment = self._environment(request, request.params["computeEnvironment"])
        request.authorize("batch:UpdateComputeEnvironment", environment.arn)
        self._authorize_environment_roles(
            request, request.params.get("serviceRole"), request.params.get("computeResources", {})
        )
        if environment.detail["status"] not in ("VALID", "INVALID"):
            raise client_error(f"Cannot update, resource is being modified: {environment.arn}")
        environment.detail |= environments.update_compute_environment(
            environment, request.params, request.account, request.region, self.ministack
        )
        environment.detail["status"] = "UPDATING"  # the reason stays, "ComputeEnvironment Healthy"
        self.records.put("environment", environment.arn, environment.detail)
        self.clock.call_later(UPDATE_SECONDS, self.settle_environment, environment)
        return {"computeEnvironmentName": environment.name, "computeEnvironmentArn": environment.arn}

    def describe_compute_environments(self, request: Request) -> dict[str, Any]:
        request.authorize("batch:DescribeComputeEnvironments")
        environments = named_resources(request, self.environments, "computeEnvironments", "compute-environment")
        page, token = page_of(request.params, environments, lambda environment: environment.name)
        return {"computeEnvironments": [environment.detail for environment in page], **token}

    def delete_compute_environment(self, request: Request) -> dict[str, Any]:
        environment = self._environment(request, request.params["computeEnvironment"])
        request.authorize("batch:DeleteComputeEnvironment", environment.arn)
        if environment.detail["status"] not in ("VALID", "INVALID"):
            raise client_error("Cannot delete, resource is being modified.")
        if environment.detail["state"] != "DISABLED":
            raise client_error(f"Cannot delete, the state of {environment.arn} must be DISABLED first.")
        if any(environment.arn in queue.environment_arns for queue in self.queues.values()):
            raise client_error("Cannot delete, found existing JobQueue relationship.")
        environment.detail |= {"status": "DELETING", "statusReason": ""}
        self.records.put("environment", environment.arn, environment.detail)
        self.clock.call_later(DELETE_SECONDS, self.remove_environment, environment)
        return {}
