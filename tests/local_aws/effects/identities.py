"""Probes of IAM and STS."""

from __future__ import annotations

import time
from typing import Any

from botocore.exceptions import ClientError

from .world import Probe, World, allow, trusting

READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"
BASIC = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
TAGS = [{"Key": "a", "Value": "b"}]
ROLE = {"RoleName": "own"}
GET, POLICIES = ("iam", "GetRole", ROLE), ("iam", "ListRolePolicies", ROLE)
TAGGED, ATTACHED = ("iam", "ListRoleTags", ROLE), ("iam", "ListAttachedRolePolicies", ROLE)
INLINE = ("iam", "GetRolePolicy", {**ROLE, "PolicyName": "p"})


def create_role(w: World) -> Probe:
    return Probe(
        {**ROLE, "AssumeRolePolicyDocument": trusting()},
        {
            "Path": "/a/", "RoleName": "other", "AssumeRolePolicyDocument": trusting("ecs-tasks.amazonaws.com"),
            "Description": "d", "MaxSessionDuration": 7200, "PermissionsBoundary": READ_ONLY, "Tags": TAGS,
        },
        [GET, TAGGED],
    )  # fmt: skip


def of_role(request: dict[str, Any], changes: dict[str, Any], *looks: Any, managed: tuple[str, ...] = ()) -> Any:
    """A probe of a role with one policy of its own, and these managed ones."""

    def probe(w: World) -> Probe:
        w.role("own", "s3:GetObject")
        w.call("iam", "TagRole", **ROLE, Tags=[{"Key": "first", "Value": "tag"}])
        for arn in managed:
            w.call("iam", "AttachRolePolicy", **ROLE, PolicyArn=arn)
        return Probe({**ROLE, **request}, {"RoleName": "nosuch", **changes}, list(looks))

    return probe


def delete_role(w: World) -> Probe:
    w.role()
    return Probe(ROLE, {"RoleName": "nosuch"}, [GET])


def service_linked_role(w: World) -> Probe:
    name = {"RoleName": "AWSServiceRoleForBatch"}
    return Probe(
        {"AWSServiceName": "batch.amazonaws.com"},
        {"AWSServiceName": "ecs.amazonaws.com"},
        [("iam", "GetRole", name)],
    )


def simulation(**more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    condition = {"StringEquals": {"aws:RequestedRegion": "eu-west-1"}}
    key = {"ContextKeyName": "aws:RequestedRegion", "ContextKeyValues": ["eu-west-1"], "ContextKeyType": "string"}
    request = {
        "PolicyInputList": [allow("sqs:SendMessage", Condition=condition)], "ContextEntries": [key],
        "ActionNames": ["sqs:ListQueues", "sqs:SendMessage"], "ResourceArns": ["*"], **more,
    }  # fmt: skip
    changes = {
        "PolicyInputList": [allow("sqs:*")], "ActionNames": ["sqs:ListQueues"],
        "PermissionsBoundaryPolicyInputList": [allow("sqs:ListQueues")], "MaxItems": 1, "Marker": "1",
        "ResourceArns": ["arn:aws:sqs:us-east-1:000000000000:q"], "ContextEntries[].ContextKeyValues": ["us-east-1"],
        "ContextEntries[].ContextKeyName": "aws:PrincipalTag/a",
    }  # fmt: skip
    return request, changes


def simulate_custom(w: World) -> Probe:
    return Probe(*simulation())


def simulate_principal(w: World) -> Probe:
    own, other = w.role("own"), w.role("other", "sqs:ListQueues")
    request, changes = simulation(PolicySourceArn=own)
    return Probe(request, {**changes, "PolicySourceArn": other})


def assume_role(w: World) -> Probe:
    """The session may list queues if its tag is right, and see its user; its trust wants an id of outside."""
    w.call_as_user("sts")
    condition = {"StringEqualsIfExists": {"sts:ExternalId": "right"}}
    own = w.role("own", trust={"service": "*", "Condition": condition})
    tagged = allow("sqs:ListQueues", Condition={"StringNotEquals": {"aws:PrincipalTag/team": "b"}})
    w.call("iam", "PutRolePolicy", RoleName="own", PolicyName="p", PolicyDocument=tagged)
    other = w.role("other", trust={"service": "*"})

    def session(world: World, answer: dict[str, Any]) -> Any:
        if "refused" in answer:
            return None
        minutes = round((answer["Credentials"]["Expiration"].timestamp() - time.time()) / 60)
        try:
            world.session_client("sqs", answer["Credentials"]).list_queues()
        except ClientError as error:
            return minutes, error.response["Error"]["Code"]
        return minutes, "allowed"

    return Probe(
        {"RoleArn": own, "RoleSessionName": "one"},
        {
            "RoleArn": other, "RoleSessionName": "two", "PolicyArns": [{"arn": BASIC}],
            "Policy": allow("s3:GetObject"), "DurationSeconds": 900, "Tags": [{"Key": "team", "Value": "b"}],
            "ExternalId": "wrong",
        },
        [session],
    )  # fmt: skip


def nothing(w: World) -> Probe:
    return Probe({})


PUT = {"PolicyName": "p", "PolicyDocument": allow("s3:PutObject")}
PROBES = {
    "iam": {
        "CreateRole": create_role,
        "DeleteRole": delete_role,
        "GetRole": of_role({}, {}),
        "UpdateAssumeRolePolicy": of_role(
            {"PolicyDocument": trusting()}, {"PolicyDocument": trusting("ecs-tasks.amazonaws.com")}, GET
        ),
        "PutRolePolicy": of_role(PUT, {"PolicyName": "q", "PolicyDocument": allow("s3:ListBucket")}, POLICIES, INLINE),
        "GetRolePolicy": of_role({"PolicyName": "p"}, {"PolicyName": "q"}),
        "DeleteRolePolicy": of_role({"PolicyName": "p"}, {"PolicyName": "q"}, POLICIES),
        "AttachRolePolicy": of_role({"PolicyArn": READ_ONLY}, {"PolicyArn": BASIC}, ATTACHED),
        "DetachRolePolicy": of_role(
            {"PolicyArn": READ_ONLY}, {"PolicyArn": BASIC}, ATTACHED, managed=(READ_ONLY, BASIC)
        ),
        "ListRolePolicies": of_role({}, {}),
        "ListAttachedRolePolicies": of_role({}, {}),
        "ListRoleTags": of_role({}, {}),
        "TagRole": of_role({"Tags": TAGS}, {"Tags": [{"Key": "c", "Value": "d"}]}, TAGGED),
        "CreateServiceLinkedRole": service_linked_role,
        "GetAccountSummary": nothing,
        "SimulatePrincipalPolicy": simulate_principal,
        "SimulateCustomPolicy": simulate_custom,
    },
    "sts": {"GetCallerIdentity": nothing, "AssumeRole": assume_role},
}
