"""Service Quotas, for the vCPUs that Fargate grants. It answers GetServiceQuota with AWS's defaults.

The embedded Batch does not enforce them. They are here so that a check that asks gets the answer of a new account.
https://docs.aws.amazon.com/servicequotas/2019-06-24/apireference/API_GetServiceQuota.html
"""

from __future__ import annotations

from typing import Any

from local_aws.protocol import ApiError, Request

SERVICE = "fargate"
# Code: name and default. https://docs.aws.amazon.com/general/latest/gr/ecs-service.html
QUOTAS = {
    "L-3032A538": ("Fargate On-Demand vCPU resource count", 6.0),
    "L-36FBB829": ("Fargate Spot vCPU resource count", 6.0),
}


class QuotasService:
    """The `service-quotas` of the embedded AWS."""

    name = "servicequotas"  # as requests are signed, and as IAM calls it

    async def start(self) -> None:
        """Start nothing, since all is constant."""

    async def stop(self) -> None:
        """As above."""

    def get_service_quota(self, request: Request) -> dict[str, Any]:
        service, code = request.params["ServiceCode"], request.params["QuotaCode"]
        arn = f"arn:{request.partition}:servicequotas:{request.region}:{request.account}:{service}/{code}"
        request.authorize("servicequotas:GetServiceQuota", arn, context={"servicequotas:service": service})
        if "ContextId" in request.params:
            raise ApiError(
                "IllegalArgumentException", "The embedded AWS does not cover ContextId. Service Quotas does."
            )
        if service != SERVICE or code not in QUOTAS:
            known = " and ".join(QUOTAS)
            raise ApiError(
                "NoSuchResourceException",
                f"The embedded AWS does not know the quota {code} of {service}. It knows {known} of {SERVICE}.",
            )
        name, value = QUOTAS[code]
        return {
            "Quota": {
                "ServiceCode": service,
                "ServiceName": "AWS Fargate",
                "QuotaArn": arn,
                "QuotaCode": code,
                "QuotaName": name,
                "Value": value,
                "Unit": "None",
                "Adjustable": True,
                "GlobalQuota": False,
                "QuotaAppliedAtLevel": "ACCOUNT",
            }
        }
