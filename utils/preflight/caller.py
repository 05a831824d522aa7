"""Who is at the notebooks, for IAM's simulator."""

from __future__ import annotations

from ..support import studio
from .asking import BriefSession


def principal(session: BriefSession, caller: str) -> str:
    """The ARN of the user or role whose policies count. For an assumed role's session it is the role, path included."""
    if ":assumed-role/" not in caller:
        return caller
    return _studios_role(caller) or session.client("iam").get_role(RoleName=caller.split("/")[1])["Role"]["Arn"]


def what_to_ask_for(caller: str) -> str:
    """What the caller lacks to ask about itself."""
    name = caller.split("/")[1]
    if ":assumed-role/" not in caller:
        if caller.count("/") == 1:
            return f"ask for iam:SimulatePrincipalPolicy on the user {name}"
        # operator.json can give the name alone, which is not a user's ARN then.
        return (
            f"ask for iam:SimulatePrincipalPolicy on the user {caller}, as in utils/policies/operator_as_role.json, "
            "for operator.json has no users with a path"
        )
    return (
        f"ask for iam:GetRole and iam:SimulatePrincipalPolicy on the role {_studios_role(caller) or name}, "
        "as in utils/policies/operator_as_role.json"
    )


def _studios_role(caller: str) -> str | None:
    """The ARN of an assumed role if it is Studio's own.

    Studio knows its role's path, which a role that may not call GetRole can't learn otherwise.
    """
    app = studio.detect_studio()
    return app.role if app and app.role and app.role.rsplit("/", 1)[1] == caller.split("/")[1] else None
