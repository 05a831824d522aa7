"""Service Quotas tells Fargate's vCPUs as a new account has them; who asks must be allowed to."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

CODES = {"L-3032A538": "Fargate On-Demand vCPU resource count", "L-36FBB829": "Fargate Spot vCPU resource count"}
ARN = "arn:aws:servicequotas:us-east-1:000000000000:fargate/{}"
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)
_numbers = itertools.count(1)


def as_user(aws: Any, service: str, **statement: Any) -> Any:
    """A client of a new IAM user with this statement."""
    iam, name = aws.client("iam"), f"quotas-{next(_numbers)}"
    iam.create_user(UserName=name)
    document = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Resource": "*", **statement}]})
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)
    return aws.client(service, iam.create_access_key(UserName=name)["AccessKey"])


def quota(client: Any, code: str, service: str = "fargate", **more: str) -> dict[str, Any]:
    return client.get_service_quota(ServiceCode=service, QuotaCode=code, **more)["Quota"]


def refused(client: Any, *arguments: str, **more: str) -> str:
    with pytest.raises(ClientError) as refusal:
        quota(client, *arguments, **more)
    return refusal.value.response["Error"]["Code"]


@pytest.mark.parametrize("code", CODES)
def test_fargates_vcpus_are_those_of_a_new_account(aws: Any, code: str) -> None:
    answer = quota(aws.client("service-quotas"), code)
    assert (answer["QuotaName"], answer["Value"], answer["QuotaArn"]) == (CODES[code], 6.0, ARN.format(code))
    assert (answer["ServiceCode"], answer["QuotaCode"], answer["Adjustable"]) == ("fargate", code, True)


def test_what_it_does_not_know_is_refused(aws: Any) -> None:
    client = aws.client("service-quotas")
    assert refused(client, "L-00000000") == "NoSuchResourceException"
    assert refused(client, "L-3032A538", "lambda") == "NoSuchResourceException"
    assert refused(client, "L-3032A538", ContextId="arn:x") == "IllegalArgumentException"
    assert refused(client, "not a code") == "IllegalArgumentException"
    with pytest.raises(ClientError, match="does not cover servicequotas:ListServices"):
        client.list_services()


def test_who_may_ask_for_a_quota(aws: Any) -> None:
    code, action = "L-3032A538", "servicequotas:GetServiceQuota"
    assert refused(as_user(aws, "service-quotas", Action="servicequotas:ListServiceQuotas"), code) == (
        "AccessDeniedException"
    )
    one = as_user(aws, "service-quotas", Action=action, Resource=ARN.format(code))
    assert quota(one, code)["QuotaCode"] == code
    # What isn't there is told only to those who may know.
    assert refused(one, "L-36FBB829") == refused(one, "L-00000000") == "AccessDeniedException"
    for service, answer in (("fargate", "NoSuchResourceException"), ("lambda", "AccessDeniedException")):
        condition = {"StringEquals": {"servicequotas:service": service}}
        assert refused(as_user(aws, "service-quotas", Action=action, Condition=condition), "L-00000000") == answer


def test_who_may_ask_for_lambdas_concurrency(aws: Any) -> None:
    """MiniStack answers, and would answer anybody."""
    limits = as_user(aws, "lambda", Action="lambda:GetAccountSettings").get_account_settings()["AccountLimit"]
    assert limits["UnreservedConcurrentExecutions"] >= 10
    with pytest.raises(ClientError, match="not authorized to perform: lambda:GetAccountSettings"):
        as_user(aws, "lambda", Action="lambda:ListFunctions").get_account_settings()


def test_a_role_with_a_path_is_simulated_with_its_policies(aws: Any) -> None:
    iam, trust = aws.client("iam"), TRUST
    arn = iam.create_role(RoleName="quotas-path", Path="/a/b/", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    allowed = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_role_policy(RoleName="quotas-path", PolicyName="p", PolicyDocument=document)
    actions = ["sqs:SendMessage", "sqs:ReceiveMessage"]
    results = iam.simulate_principal_policy(PolicySourceArn=arn, ActionNames=actions)["EvaluationResults"]
    assert [result["EvalDecision"] for result in results] == ["allowed", "implicitDeny"]


def test_a_policy_names_a_role_with_its_path(aws: Any) -> None:
    """As Studio's execution roles have one."""
    iam, trust = aws.client("iam"), TRUST
    made = iam.create_role(RoleName="quotas-studio", Path="/service-role/", AssumeRolePolicyDocument=trust)["Role"]
    asks = as_user(aws, "iam", Action="iam:GetRole", Resource=made["Arn"])
    assert asks.get_role(RoleName="quotas-studio")["Role"]["Arn"] == made["Arn"]
    short = as_user(aws, "iam", Action="iam:GetRole", Resource=made["Arn"].replace("service-role/", ""))
    with pytest.raises(ClientError, match="not authorized to perform: iam:GetRole"):
        short.get_role(RoleName="quotas-studio")
