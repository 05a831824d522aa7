"""What a person and an account need before anything is built (notebook 01): all that is missing, at once."""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import Any

import boto3
import pandas as pd
from botocore.exceptions import ClientError

from utils import batch, data, iam, studio
from utils.config import Config

# https://docs.aws.amazon.com/batch/latest/userguide/service_limits.html
MOST_QUEUES = MOST_ENVIRONMENTS = 50

# A job is submitted to a queue, by a definition; and all of Batch's resources are tagged.
ON_EACH_KIND = ("batch:SubmitJob", "batch:TagResource")

# What the person at the notebooks needs in each layout of the roles.
POLICIES = {"separate": ("operator.json",), "shared": ("operator.json", "operator_shared.json")}

# The statement of operator.json that not everybody needs.
FIRST_TIME = "LetBatchMakeItsServiceLinkedRole"

# Those whose name says more of the policy than of what it is for.
IN_WORDS = {
    FIRST_TIME: "permission to let Batch make its service-linked role",
    "LookAroundWithNoNarrowerResource": "permission to see what the account has already",
    "CreateAMappingWithNoNarrowerResource": "permission to create a mapping",
}


class NotReady(RuntimeError):
    """Something is missing; the message lists all of it."""


def check(session: boto3.Session, config: Config) -> pd.DataFrame:
    """Look, and change nothing: permissions, network, room for what is new, names that somebody else may have taken.

    Returns:
        Columns need, ok (True, False, or None where it can't be told) and then, what to do or know about it.
    """
    looks = (_room, _roles, _names, _bucket)
    found = [*_permissions(session, config), _network(session), *(look(session, config) for look in looks)]
    return pd.DataFrame(found, columns=["need", "ok", "then"])


def require(found: pd.DataFrame) -> None:
    """Stop here, before anything is half built, if `check` found something missing.

    Raises:
        NotReady: it names everything that is missing.
    """
    missing = found[found["ok"].eq(False)]
    if len(missing):
        raise NotReady("; ".join(f"{row.need}: {row.then}" for row in missing.itertuples()))


def statements(config: Config) -> list[dict[str, Any]]:
    """What the person at the notebooks must be allowed, as the statements of one or two policies."""
    return [each for policy in POLICIES[config.role_layout] for each in iam.render(policy, config)["Statement"]]


def _permissions(session: boto3.Session, config: Config) -> list[tuple[str, bool | None, str]]:
    """One row a statement of the operator's policies, as IAM's simulator judges the caller's own.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_testing-policies.html
    """
    caller = session.client("sts").get_caller_identity()["Arn"]
    needs = {_need(statement): statement for statement in statements(config)}
    if caller.endswith(":root"):
        who = ("permissions narrower than root's", None, "not tested: you are the account's root user, who may do all")
        return [*((need, True, "") for need in needs), who]
    rows: list[tuple[str, bool | None, str]] = []
    try:
        principal = _principal(session, caller)
        for need, statement in needs.items():
            asking = "${aws:username}" in statement["Resource"]  # about yourself, which is being done
            denied = [] if asking else _denied(session, principal, statement)
            then = f"ask for {', '.join(denied)}" if denied else ""
            if denied and statement["Sid"] == FIRST_TIME:
                rows.append((need, None, f"{then}, unless the account has had a compute environment before"))
            else:
                rows.append((need, not denied, then))
    except ClientError as error:
        if "AccessDenied" not in error.response["Error"]["Code"]:
            raise
        why = "not looked at: you lack iam:GetRole or iam:SimulatePrincipalPolicy for yourself"
        return [(need, None, why) for need in needs]
    return rows


def _denied(session: boto3.Session, principal: str, statement: dict[str, Any]) -> list[str]:
    """The statement's actions that the principal may not do on one or more of its resources."""
    actions, resources = _listed(statement["Action"]), _listed(statement["Resource"])
    # AWS asks for most actions on a log group with ":*" at the end of its name, for those on its tags without.
    resources = {*resources, *(f"{one}:*" for one in resources if ":log-group:" in one and not one.endswith(":*"))}
    decisions: dict[str, dict[str, bool]] = {action: dict.fromkeys(resources, True) for action in actions}
    pages = session.client("iam").get_paginator("simulate_principal_policy")
    for resource, context in itertools.product(resources, _contexts(statement)):
        # A pattern stands for any name; this is one.
        name = resource if resource == "*" else resource.replace("*", "preflight")
        for page in pages.paginate(
            PolicySourceArn=principal, ActionNames=actions, ResourceArns=[name], ContextEntries=context
        ):
            for result in page["EvaluationResults"]:
                decisions[result["EvalActionName"]][resource] &= result["EvalDecision"] == "allowed"
    return sorted(action for action, allowed in decisions.items() if not _enough(action, allowed))


def _contexts(statement: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """What the simulator must be told of the call, once for each value that the statement's condition allows."""
    entries = [
        [{"ContextKeyName": key, "ContextKeyType": "string", "ContextKeyValues": [value]} for value in _listed(values)]
        for conditions in statement.get("Condition", {}).values()
        for key, values in conditions.items()
    ]
    return [list(entry) for entry in itertools.product(*entries)]


def _enough(action: str, allowed: dict[str, bool]) -> bool:
    """Whether an action that is allowed on these resources and not on those will do.

    A statement lists resources of several kinds, and most actions make sense with one kind only; some are needed on
    each. Of a log group's two names (see `_denied`) one will do.
    """
    kinds: dict[str, dict[str, bool]] = defaultdict(dict)
    for resource, yes in allowed.items():
        end, name = resource.split(":", 5)[-1].replace("/", ":"), resource.removesuffix(":*")
        kind = end.partition(":")[0] if ":" in end else ""  # a queue's ARN ends with its name alone
        kinds[kind][name] = kinds[kind].get(name, False) or yes
    return (all if action in ON_EACH_KIND else any)(all(names.values()) for names in kinds.values())


def _principal(session: boto3.Session, caller: str) -> str:
    """The user or role whose policies count: of an assumed role's session, the role, path included."""
    if ":assumed-role/" not in caller:
        return caller
    app = studio.here()
    if app and app.role and app.role.rsplit("/", 1)[1] == caller.split("/")[1]:
        return app.role  # Studio knows its role's path, which a role that may not call GetRole can't learn otherwise
    return session.client("iam").get_role(RoleName=caller.split("/")[1])["Role"]["Arn"]


def _network(session: boto3.Session) -> tuple[str, bool | None, str]:
    try:
        subnets, groups = batch.default_network(session)
    except batch.BatchError as error:
        return ("a default VPC", False, str(error))
    except ClientError as error:
        return ("a default VPC", _unless_denied(error), "not looked at: you lack ec2:DescribeVpcs and its like")
    ok = bool(subnets and groups)
    return ("a default VPC", ok, "" if ok else "it has no subnet or no default security group: choose your own")


def _room(session: boto3.Session, config: Config) -> tuple[str, bool | None, str]:
    client, need = session.client("batch"), "room for one more queue and compute environment"
    try:
        queues = [q for page in client.get_paginator("describe_job_queues").paginate() for q in page["jobQueues"]]
        environments = [
            environment
            for page in client.get_paginator("describe_compute_environments").paginate()
            for environment in page["computeEnvironments"]
        ]
    except ClientError as error:
        return (need, _unless_denied(error), "not looked at: you lack batch:DescribeJobQueues and its like")
    others = sum(queue["jobQueueName"] != config.job_queue for queue in queues)
    other = sum(found["computeEnvironmentName"] != config.compute_environment for found in environments)
    ok = others < MOST_QUEUES and other < MOST_ENVIRONMENTS
    return (need, ok, "" if ok else f"{others} queues and {other} environments of {MOST_QUEUES} are taken: delete one")


def _roles(session: boto3.Session, config: Config) -> tuple[str, bool | None, str]:
    names = set(iam.role_names(config).values())
    need = f"room for {len(names)} more role{'s' if len(names) > 1 else ''}"
    client = session.client("iam")
    try:
        summary = client.get_account_summary()["SummaryMap"]
        room = summary["RolesQuota"] - summary["Roles"]
        if room < len(names):  # unless they are there already
            room += sum(_exists(client, name) for name in names)
    except ClientError as error:
        return (need, _unless_denied(error), "not looked at: you lack iam:GetAccountSummary")
    ok = room >= len(names)
    return (need, ok, "" if ok else f"{summary['Roles']} of {summary['RolesQuota']} roles are taken: delete some")


def _exists(client: Any, role: str) -> bool:
    try:
        client.get_role(RoleName=role)
    except client.exceptions.NoSuchEntityException:
        return False
    return True


def _bucket(session: boto3.Session, config: Config) -> tuple[str, bool | None, str]:
    need = f"the bucket's name, {config.bucket}"
    try:
        data.check_bucket(session, config.bucket, tags=config.tags)
    except iam.NotOurs as refusal:
        return (need, False, str(refusal))
    except LookupError as refusal:
        return (need, None, str(refusal))
    return (need, True, "")


def _names(session: boto3.Session, config: Config) -> tuple[str, bool | None, str]:
    need = "the roles' names"
    try:
        iam.check_roles(session, config)
    except iam.NotOurs as refusal:
        return (need, False, str(refusal))
    except ClientError as error:
        return (need, _unless_denied(error), "not looked at: you lack iam:GetRole and its like")
    return (need, True, "")


def _unless_denied(error: ClientError) -> None:
    """Being refused is told in its own row; anything else is not for here."""
    code = error.response["Error"]["Code"]
    if "AccessDenied" not in code and code != "UnauthorizedOperation":
        raise error


def _need(statement: dict[str, Any]) -> str:
    """A statement's name in words: `ManageTheRoles` as "permission to manage the roles"."""
    sid = statement["Sid"]
    return IN_WORDS.get(sid) or "permission to" + "".join(f" {c.lower()}" if c.isupper() else c for c in sid)


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
