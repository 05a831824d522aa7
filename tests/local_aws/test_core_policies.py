"""Policies that are none are refused where they are set: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html"""

from __future__ import annotations

import json
from typing import Any

import pytest

from local_aws.ministack import policies

from .functions import name, queue, refusal

ALLOW = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
TRUST = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}


def policy(*statements: Any, **more: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements), **more})


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ("{", "Syntax errors in policy."),
        ("[" * 100_000, "Syntax errors in policy."),
        ("[]", "Syntax errors in policy."),
        (policy(), "Syntax errors in policy."),
        (policy("x"), "Syntax errors in policy."),
        (policy(ALLOW, Unknown=1), "Syntax errors in policy."),
        (policy(ALLOW, Version="2020-01-01"), "The policy must contain a valid version string"),
        (policy({**ALLOW, "Efect": "Allow"}), "Syntax errors in policy."),
        (policy({"Action": "s3:*", "Resource": "*"}), "Missing required field Effect"),
        (policy({**ALLOW, "Effect": "allow"}), "Invalid effect: allow"),
        (policy({"Effect": "Allow", "Resource": "*"}), "Missing required field Action"),
        (policy({**ALLOW, "NotAction": "s3:*"}), "Syntax errors in policy."),
        (policy({**ALLOW, "Action": "GetObject"}), "must be prefaced by a vendor"),
        (policy({**ALLOW, "Action": []}), "Missing required field Action"),
        (policy({**ALLOW, "Action": [1]}), "Syntax errors in policy."),
        (policy({"Effect": "Allow", "Action": "s3:*"}), "Policy statement must contain resources."),
        (policy({**ALLOW, "Resource": "my-bucket"}), 'Resource my-bucket must be in ARN format or "*".'),
        (policy({**ALLOW, "Principal": "*"}), "Policy document should not specify a principal."),
        (policy({**ALLOW, "Condition": "x"}), "Syntax errors in policy."),
        (policy({**ALLOW, "Condition": {"Equals": {"a": "b"}}}), "Syntax errors in policy."),
        (policy({**ALLOW, "Condition": {"StringEquals": {"a": {"b": "c"}}}}), "Syntax errors in policy."),
        (policy({**ALLOW, "Sid": "a b"}), "must be alpha-numeric"),
        (policy({**ALLOW, "Sid": "a"}, {**ALLOW, "Sid": "a"}), "must be unique"),
    ],
)  # fmt: skip
def test_policies_of_identities_that_are_none(document: str, says: str) -> None:
    assert says in (policies.problem(document, "identity") or "")


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ("{", "This policy contains invalid Json"),
        (policy({**TRUST, "Resource": "*"}), "Has prohibited field Resource"),
        (policy({"Effect": "Allow", "Action": "sts:AssumeRole"}), "Missing required field Principal"),
        (policy({**TRUST, "Action": "s3:GetObject"}), "may only specify STS AssumeRole actions."),
        (policy({**TRUST, "Principal": {}}), "Invalid principal in policy"),
        (policy({**TRUST, "Principal": "lambda.amazonaws.com"}), "Invalid principal in policy"),
        (policy({**TRUST, "Principal": {"service": "lambda.amazonaws.com"}}), 'Invalid principal in policy: "service"'),
        (policy({**TRUST, "Principal": {"Service": "lambda"}}), 'Invalid principal in policy: "SERVICE":"lambda"'),
    ],
)  # fmt: skip
def test_trust_policies_that_are_none(document: str, says: str) -> None:
    assert says in (policies.problem(document, "trust") or "")


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        (policy(ALLOW), "identity"),
        (json.dumps({"Statement": {**ALLOW, "Sid": ""}}), "identity"),
        (policy({"Effect": "Deny", "NotAction": ["iam:*", "*"], "NotResource": "arn:aws:s3:::b/*"}), "identity"),
        (policy({**ALLOW, "Condition": {"ForAllValues:StringLikeIfExists": {"aws:TagKeys": ["a", "b"]}}}), "identity"),
        (policy({**ALLOW, "Condition": {"Bool": {"aws:SecureTransport": False}, "Null": {"k": "true"}}}), "identity"),
        (policy(TRUST), "trust"),
        (policy({**TRUST, "Principal": {"AWS": ["000000000000", "*"]}, "Action": ["sts:TagSession"]}), "trust"),
        (policy({"Sid": "a b", "Effect": "Allow", "Principal": "*", "Action": "SQS:*"}), "resource"),
    ],
)
def test_policies_that_are_some(document: str, kind: policies.Kind) -> None:
    assert policies.problem(document, kind) is None


def test_each_call_that_sets_a_policy_refuses_one_that_is_none(aws: Any) -> None:
    iam, role, user, group = aws.client("iam"), name("role"), name("user"), name("group")
    iam.create_role(RoleName=role, AssumeRolePolicyDocument=policy(TRUST))
    iam.create_user(UserName=user)
    iam.create_group(GroupName=group)
    arn = iam.create_policy(PolicyName=name("policy"), PolicyDocument=policy(ALLOW))["Policy"]["Arn"]
    for call, arguments in (
        (iam.create_role, {"RoleName": name("role"), "AssumeRolePolicyDocument": "{"}),
        (iam.update_assume_role_policy, {"RoleName": role, "PolicyDocument": "{"}),
        (iam.put_role_policy, {"RoleName": role, "PolicyName": "p", "PolicyDocument": "{"}),
        (iam.put_user_policy, {"UserName": user, "PolicyName": "p", "PolicyDocument": "{"}),
        (iam.put_group_policy, {"GroupName": group, "PolicyName": "p", "PolicyDocument": "{"}),
        (iam.create_policy, {"PolicyName": name("policy"), "PolicyDocument": "{"}),
        (iam.create_policy_version, {"PolicyArn": arn, "PolicyDocument": "{"}),
    ):
        assert refusal(call, **arguments)[0] == "MalformedPolicyDocument"


def test_other_services_refuse_it_in_codes_of_their_own(aws: Any) -> None:
    s3, sqs, bucket = aws.client("s3"), aws.client("sqs"), name("bucket")
    s3.create_bucket(Bucket=bucket)
    assert refusal(s3.put_bucket_policy, Bucket=bucket, Policy="{")[0] == "MalformedPolicy"
    lacking = policy({"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"})
    assert refusal(s3.put_bucket_policy, Bucket=bucket, Policy=lacking)[0] == "MalformedPolicy"
    set_attributes = sqs.set_queue_attributes
    assert refusal(set_attributes, QueueUrl=queue(aws)[0], Attributes={"Policy": "{"})[0] == "InvalidAttributeValue"
    assert refusal(aws.client("events").put_permission, Policy="{")[0] == "ValidationException"
    put = aws.client("logs").put_resource_policy
    assert refusal(put, policyName="p", policyDocument="{")[0] == "InvalidParameterException"


def test_policies_have_their_sizes_without_white_space(aws: Any) -> None:
    iam, role = aws.client("iam"), name("role")
    iam.create_role(RoleName=role, AssumeRolePolicyDocument=policy(TRUST))

    def long(size: int, statement: dict) -> str:
        """A policy of so many characters that count, and as many spaces."""
        filler = {"Condition": {"StringEquals": {"aws:PrincipalTag/x": ""}}}
        document = json.dumps({"Statement": {**statement, **filler}})
        missing = size - policies.size(document)
        return document.replace('x": ""', f'x": "{"y" * missing}"') + " " * size

    too_long = [
        (iam.create_policy, {"PolicyName": name("policy"), "PolicyDocument": long(6145, ALLOW)}, "PolicySize: 6144"),
        (iam.create_role, {"RoleName": name("r"), "AssumeRolePolicyDocument": long(2049, TRUST)}, "PerRole: 2048"),
        (
            iam.put_role_policy,
            {"RoleName": role, "PolicyName": "p", "PolicyDocument": long(10_241, ALLOW)},
            f"Maximum policy size of 10240 bytes exceeded for role {role}",
        ),
    ]
    for call, arguments, says in too_long:
        code, message = refusal(call, **arguments)
        assert code == "LimitExceeded"
        assert says in message
    iam.create_policy(PolicyName=name("policy"), PolicyDocument=long(6144, ALLOW))
    iam.put_role_policy(RoleName=role, PolicyName="half", PolicyDocument=long(6000, ALLOW))
    second = {"RoleName": role, "PolicyName": "other", "PolicyDocument": long(6000, ALLOW)}
    assert refusal(iam.put_role_policy, **second)[0] == "LimitExceeded"
    iam.put_role_policy(**{**second, "PolicyName": "half"})


def somebody(iam: Any) -> dict[str, str]:
    """The access key of a new user who may do all."""
    user = name("somebody")
    iam.create_user(UserName=user)
    iam.put_user_policy(UserName=user, PolicyName="all", PolicyDocument=policy({**ALLOW, "Action": "*"}))
    return iam.create_access_key(UserName=user)["AccessKey"]


@pytest.mark.parametrize("principal", [{"Service": "lambda.amazonaws.com"}, {"AWS": f"arn:aws:iam::{'0' * 12}:root"}])
def test_no_account_s_root_assumes_a_role(aws: Any, principal: dict[str, str]) -> None:
    trust = policy({**TRUST, "Principal": principal})
    arn = aws.client("iam").create_role(RoleName=name("trusting"), AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    for account in ("000000000000", "222222222222"):
        sts = aws.client("sts", {"AccessKeyId": account, "SecretAccessKey": "any"})
        refused = refusal(sts.assume_role, RoleArn=arn, RoleSessionName="own")
        assert refused == ("AccessDenied", "Roles may not be assumed by root accounts.")


def test_a_session_is_no_longer_than_its_role_allows(aws: Any) -> None:
    iam, own = aws.client("iam"), name("long")
    sts = aws.client("sts", somebody(iam))
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{'0' * 12}:root"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    arn = iam.create_role(RoleName=own, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    refused = refusal(sts.assume_role, RoleArn=arn, RoleSessionName="own", DurationSeconds=3601)
    assert refused == (
        "ValidationError",
        "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
    )
    iam.update_role(RoleName=own, MaxSessionDuration=7200)
    assert sts.assume_role(RoleArn=arn, RoleSessionName="own", DurationSeconds=3601)["Credentials"]
