"""Role sessions: who trusts whom, their credentials, and clients that use them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import secrets
from typing import Any

from local_aws import clock
from local_aws.ministack.ports.identity import AUTH_CODES
from local_aws.protocol import ApiError, Request

SESSION_SECONDS = 3600


@dataclasses.dataclass(frozen=True)
class Credentials:
    """Temporary credentials of an assumed role. `expiration` is in seconds since the epoch."""

    access_key_id: str
    secret_access_key: str = dataclasses.field(repr=False)
    session_token: str = dataclasses.field(repr=False)
    role_arn: str
    session_arn: str
    expiration: float


_sessions: dict[tuple[str, str, str], Credentials] = {}


def _role(role_arn: str) -> dict[str, Any] | None:
    from ministack.services import iam

    parts = role_arn.split(":", 5)
    if len(parts) != 6 or not parts[5].startswith("role/"):
        return None
    role = iam._roles.get_scoped(parts[4], None, parts[5].rsplit("/", 1)[-1])
    return role if role and role["Arn"] == role_arn else None


def role_exists(role_arn: str) -> bool:
    """Whether IAM has this role."""
    return _role(role_arn) is not None


def instance_profile_role(profile: str, account: str) -> str | None:
    """The role in an EC2 instance profile (name or ARN). None when there is no such profile or no role in it."""
    from ministack.services import iam

    instance_profile = iam._instance_profiles.get_scoped(account, None, profile.rsplit("/", 1)[-1])
    roles = instance_profile.get("Roles", []) if instance_profile else []
    if not roles:
        return None
    role = iam._roles.get_scoped(account, None, roles[0] if isinstance(roles[0], str) else roles[0]["RoleName"])
    return role["Arn"] if role else None


def trusts(role_arn: str, service: str, *, source_arn: str | None = None) -> bool:
    """Whether the role exists and its trust policy lets `service` (like "ecs-tasks.amazonaws.com") assume it.

    aws:SourceAccount is the role's account and aws:SourceArn is `source_arn`, as the services that guard against the
    confused deputy send them: https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html
    """
    from ministack.core import iam_evaluator as iam

    role = _role(role_arn)
    if role is None:
        return False
    document = role["AssumeRolePolicyDocument"]
    document = json.loads(document) if isinstance(document, str) else document
    account = role_arn.split(":")[4]
    keys = {"aws:sourceaccount": account, **({"aws:sourcearn": source_arn} if source_arn else {})}
    context = iam.EvalContext(
        principal_arn=service, principal_type="Service", principal_account=account, action="sts:AssumeRole",
        resource_arn=role_arn, region="", service_context=keys,
    )  # fmt: skip
    statements = document.get("Statement", [])
    allowed = False
    for statement in [statements] if isinstance(statements, dict) else statements:
        actions = statement.get("Action", [])
        if (
            iam._service_principal_matches(statement.get("Principal"), service)
            and iam._action_matches("sts:AssumeRole", [actions] if isinstance(actions, str) else actions, [])
            and iam._conditions_met(statement.get("Condition", {}), context)
        ):
            if statement.get("Effect") == "Deny":
                return False
            allowed = True
    return allowed


def assume_role(role_arn: str, service: str, *, session_name: str, source_arn: str | None = None) -> Credentials:
    """Credentials of `role_arn` for the service principal `service`, which the role's trust policy must name.

    The same role, service and session name get the same credentials until half their hour is over.

    Raises:
        ApiError: AccessDenied, naming the role and the principal it does not trust.
    """
    from ministack.services import sts

    if not trusts(role_arn, service, source_arn=source_arn):
        why = "does not trust it" if role_exists(role_arn) else "does not exist"
        raise ApiError("AccessDenied", f"{service} can't assume the role {role_arn}: the role {why}.", 403)
    key = (role_arn, service, session_name)
    known = _sessions.get(key)
    if known and known.expiration - clock.now() > SESSION_SECONDS / 2 and known.access_key_id in sts._sessions:
        return known
    parts = role_arn.split(":")
    role_name = parts[5].rsplit("/", 1)[-1]
    session_name = session_name[:64]
    credentials = Credentials(
        access_key_id="ASIA" + secrets.token_hex(8).upper(),
        secret_access_key=secrets.token_hex(20),
        session_token=secrets.token_hex(32),
        role_arn=role_arn,
        session_arn=f"arn:{parts[1]}:sts::{parts[4]}:assumed-role/{role_name}/{session_name}",
        expiration=clock.now() + SESSION_SECONDS,
    )
    role_id = (_role(role_arn) or {}).get("RoleId") or hashlib.sha256(role_arn.encode()).hexdigest()[:20].upper()
    sts.register_session(
        credentials.access_key_id,
        {
            "Arn": credentials.session_arn,
            "UserId": f"{role_id}:{session_name}",
            "SecretAccessKey": credentials.secret_access_key,
            "SessionToken": credentials.session_token,
            "Expiration": credentials.expiration,
            "AccountId": parts[4],
            "PrincipalType": "AssumedRole",
        },
    )
    for stale in [k for k, c in _sessions.items() if c.expiration < clock.now()]:
        del _sessions[stale]
    _sessions[key] = credentials
    return credentials


def caller_credentials(request: Request) -> Credentials:
    """The credentials of a call's own caller, for what a service does "as the caller" (reading a definition from S3).

    Raises:
        ApiError: the credentials have gone since the call was signed.
    """
    from ministack.core import iam_evaluator

    credential = iam_evaluator.resolve_credential(request.access_key_id, request.account)
    if isinstance(credential, iam_evaluator.CredentialResolutionError):
        raise ApiError(AUTH_CODES.get(credential.code, credential.code), credential.message, 403)
    return Credentials(
        access_key_id=credential.access_key_id,
        secret_access_key=credential.secret_access_key,
        session_token=credential.session_token or "",
        role_arn=credential.principal_arn,
        session_arn=request.caller_arn,
        expiration=credential.expiration or clock.now() + SESSION_SECONDS,
    )


def is_allowed(
    credentials: Credentials, action: str, resource_arn: str, region: str, keys: dict[str, Any] | None = None
) -> str | None:
    """None when the role session may do `action` on `resource_arn`, else AWS's sentence for the refusal.

    The resource's own policy counts, if it has one.

    Args:
        keys: condition keys of the action and their values, such as iam:PassedToService.
    """
    from ministack.core import iam_evaluator as iam
    from ministack.core.iam_actions import identity_denial_message

    account = credentials.role_arn.split(":")[4]
    principal = iam.resolve_principal(credentials.access_key_id, account)
    if isinstance(principal, iam.AuthError):
        return principal.message
    context = iam.EvalContext(
        principal_arn=principal.arn, principal_type=principal.type, principal_account=account, action=action,
        resource_arn=resource_arn, region=region, principal_keys=principal.keys,
        service_context={key.lower(): value for key, value in (keys or {}).items()},
    )  # fmt: skip
    result = iam.evaluate(context, principal.policies or [], *principal.limits)
    if policy := iam._resource_policy(action.partition(":")[0], resource_arn):
        result = iam.combine_resource_policy(result, context, *policy, limits=principal.limits)
    if result.decision == "Allow":
        return None
    return identity_denial_message(action, principal.arn, resource_arn, result.decision == "Deny")
