"""The operations on scheduling policies."""

from __future__ import annotations

from typing import Any

from local_aws.batch.api.catalogue import Catalogue
from local_aws.batch.api.requests import MAX_DESCRIBED, authorize_tagged, check_count, own_prefix, page_of
from local_aws.batch.model import members, queues
from local_aws.batch.model.checks import check_name, check_tags
from local_aws.batch.model.errors import client_error
from local_aws.batch.model.queues import SchedulingPolicy
from local_aws.protocol import Request


class PolicyOperations(Catalogue):
    """Create, describe, list, update and delete scheduling policies."""

    def create_scheduling_policy(self, request: Request) -> dict[str, Any]:
        params = request.params
        arn = f"{own_prefix(request)}:scheduling-policy/{params['name']}"
        authorize_tagged(request, "batch:CreateSchedulingPolicy", arn)
        check_name(params["name"], "name")
        check_tags(params.get("tags", {}))
        members.check("CreateSchedulingPolicy", params)
        if arn in self.policies:
            raise client_error(f"Object already exists: the scheduling policy {arn}")
        queues.check_fairshare(params.get("fairsharePolicy", {}))
        detail = {
            "name": params["name"],
            "arn": arn,
            "fairsharePolicy": params.get("fairsharePolicy", {}),
            "tags": dict(params.get("tags", {})),
        }
        self.policies[arn] = SchedulingPolicy(arn, detail)
        self.records.put("policy", arn, detail)
        return {"name": params["name"], "arn": arn}

    def update_scheduling_policy(self, request: Request) -> dict[str, Any]:
        params = request.params
        request.authorize("batch:UpdateSchedulingPolicy", params["arn"])
        policy = self._policy(request, params["arn"])
        members.check("UpdateSchedulingPolicy", params)
        if "fairsharePolicy" in params:
            queues.check_fairshare(params["fairsharePolicy"])
            policy.detail["fairsharePolicy"] = params["fairsharePolicy"]
            self.records.put("policy", policy.arn, policy.detail)
            self.scheduler.wake()
        return {}

    def describe_scheduling_policies(self, request: Request) -> dict[str, Any]:
        arns = request.params["arns"]
        check_count(arns, MAX_DESCRIBED, "scheduling policies")
        request.authorize("batch:DescribeSchedulingPolicies")
        own = (arn for arn in arns if arn.startswith(own_prefix(request) + ":"))
        return {"schedulingPolicies": [self.policies[arn].detail for arn in own if arn in self.policies]}

    def list_scheduling_policies(self, request: Request) -> dict[str, Any]:
        request.authorize("batch:ListSchedulingPolicies")
        prefix = own_prefix(request)
        policies = [policy for arn, policy in self.policies.items() if arn.startswith(prefix + ":")]
        page, token = page_of(request.params, policies, lambda policy: policy.detail["name"])
        return {"schedulingPolicies": [{"arn": policy.arn} for policy in page], **token}

    def delete_scheduling_policy(self, request: Request) -> dict[str, Any]:
        arn = request.params["arn"]
        request.authorize("batch:DeleteSchedulingPolicy", arn)
        self._policy(request, arn)
        if any(queue.policy_arn == arn for queue in self.queues.values()):
            raise client_error(f"Cannot delete, {arn} is used by a job queue.")
        del self.policies[arn]
        self.records.delete("policy", arn)
        return {}
