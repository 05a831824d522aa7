"""Policies that are none or too long, and sessions that are too long.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
"""

from __future__ import annotations

from local_aws.ministack import policies
from local_aws.ministack.requests import Call
from local_aws.protocol import ApiError

_MALFORMED = {"iam": "MalformedPolicyDocument", "events": "ValidationException", "logs": "InvalidParameterException"}

# The member that is a policy, its kind, and how many characters it may have: the quota's name and value.
_POLICIES: dict[str, tuple[str, policies.Kind, str, int]] = {
    "CreateRole": ("AssumeRolePolicyDocument", "trust", "ACLSizePerRole", 2048),
    "UpdateAssumeRolePolicy": ("PolicyDocument", "trust", "ACLSizePerRole", 2048),
    "CreatePolicy": ("PolicyDocument", "identity", "PolicySize", 6144),
    "CreatePolicyVersion": ("PolicyDocument", "identity", "PolicySize", 6144),
    "PutRolePolicy": ("PolicyDocument", "identity", "RoleName", 10240),
    "PutUserPolicy": ("PolicyDocument", "identity", "UserName", 2048),
    "PutGroupPolicy": ("PolicyDocument", "identity", "GroupName", 5120),
    "PutPermission": ("Policy", "resource", "", 0),  # EventBridge's
    "PutResourcePolicy": ("policyDocument", "resource", "", 0),  # CloudWatch Logs'
}


def check(call: Call, _: bytes) -> None:
    """Refuse a policy that does not keep to the grammar or its quota."""
    member, kind, quota, most = _POLICIES.get(call.operation.name, ("", "identity", "", 0))
    document = call.params.get(member)
    if document is None:
        return
    if why := policies.problem(document, kind):
        raise ApiError(_MALFORMED[call.service], why)
    holder = call.params.get(quota, "")
    inline = _inline(quota, holder) | {call.params.get("PolicyName"): document}
    if most and sum(map(policies.size, inline.values())) > most:
        if holder:
            who = quota.removesuffix("Name").lower()
            raise ApiError("LimitExceeded", f"Maximum policy size of {most} bytes exceeded for {who} {holder}", 409)
        raise ApiError("LimitExceeded", f"Cannot exceed quota for {quota}: {most}", 409)


def _inline(quota: str, holder: str) -> dict[str | None, str]:
    """The policies within a user, a group or a role, by name: they count together."""
    from ministack.services import iam

    if quota == "RoleName":
        return dict((iam._roles.get(holder) or {}).get("InlinePolicies", {}))
    kept = {"UserName": iam._user_inline_policies, "GroupName": iam._group_inline_policies}.get(quota)
    return dict((kept.get(holder) if kept else None) or {})


def check_session(call: Call, _: bytes) -> None:
    """Refuse a role to an account's root, and a session that is longer than the role allows.

    https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
    """
    from ministack.core import iam_evaluator
    from ministack.services import iam

    parts = call.params.get("RoleArn", "").split(":")
    if call.operation.name != "AssumeRole" or len(parts) != 6:
        return  # MiniStack refuses what is no ARN
    if iam_evaluator.caller_arn().endswith(":root"):  # to MiniStack, root is each service that a role trusts
        raise ApiError("AccessDenied", "Roles may not be assumed by root accounts.", 403)
    role = iam._roles.get_scoped(parts[4], None, parts[5].rpartition("/")[2])
    if role and call.params.get("DurationSeconds", 0) > role.get("MaxSessionDuration", 3600):
        why = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
        raise ApiError("ValidationError", why)
