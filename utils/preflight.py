"""What a person and an account need before anything is built (notebook 01): all that is missing, at once."""

from __future__ import annotations

from typing import Any

import boto3
import pandas as pd
from botocore.exceptions import ClientError

from utils import batch, iam
from utils.config import Config

# https://docs.aws.amazon.com/batch/latest/userguide/service_limits.html
MOST_QUEUES = MOST_ENVIRONMENTS = 50


class NotReady(RuntimeError):
    """Something is missing; the message lists all of it."""


def check(session: boto3.Session, config: Config) -> pd.DataFrame:
    """Look, and change nothing: permissions, network, room for one more queue, the bucket's name.

    Returns:
        Columns need, ok (True, False, or None where it can't be told) and then, what to do or know about it.
    """
    rows = [*_permissions(session, config), _network(session), _room(session, config), _bucket(session, config)]
    return pd.DataFrame(rows, columns=["need", "ok", "then"])


def require(found: pd.DataFrame) -> None:
    """Stop here, before anything is half built, if `check` found something missing.

    Raises:
        NotReady: it names everything that is missing.
    """
    missing = found[found["ok"].eq(False)]
    if len(missing):
        raise NotReady("; ".join(f"{row.need}: {row.then}" for row in missing.itertuples()))


def _permissions(session: boto3.Session, config: Config) -> list[tuple[str, bool | None, str]]:
    """One row a statement of operator.json, as IAM's simulator judges the caller's own policies.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_testing-policies.html
    """
    caller = session.client("sts").get_caller_identity()["Arn"]
    if caller.endswith(":root"):
        return [("permissions", True, "you are the account's root user; for more than trying out use another")]
    rows: list[tuple[str, bool | None, str]] = []
    for statement in iam.render("operator.json", config)["Statement"]:
        need = f"permission to {_words(statement['Sid'])}"
        if "Condition" in statement:
            rows.append((need, None, "the simulator can't tell: it depends on the call"))
            continue
        try:
            denied = _denied(session, _principal(session, caller), statement)
        except ClientError as error:
            if "AccessDenied" not in error.response["Error"]["Code"]:
                raise
            why = "not looked at: you lack iam:GetRole or iam:SimulatePrincipalPolicy for yourself"
            return [("permissions", None, f"{why}; utils/policies/operator.json is what you need")]
        rows.append((need, not denied, f"ask for {', '.join(denied)}" if denied else ""))
    return rows


def _denied(session: boto3.Session, principal: str, statement: dict[str, Any]) -> list[str]:
    """The statement's actions that the principal may not do on one or more of its resources."""
    actions, resources = (
        [value] if isinstance(value, str) else value for value in (statement["Action"], statement["Resource"])
    )
    client, denied = session.client("iam"), set()
    # A statement lists actions of several kinds of resources, each of which makes sense with one of them only: what is
    # allowed on any is not missing.
    allowed: set[str] = set()
    for resource in resources:
        name = resource if resource == "*" else resource.replace("*", "preflight")
        pages = client.get_paginator("simulate_principal_policy").paginate(
            PolicySourceArn=principal, ActionNames=actions, ResourceArns=[name]
        )
        for result in (result for page in pages for result in page["EvaluationResults"]):
            (allowed if result["EvalDecision"] == "allowed" else denied).add(result["EvalActionName"])
    return sorted(denied - allowed)


def _principal(session: boto3.Session, caller: str) -> str:
    """The user or role whose policies count: of an assumed role's session, the role, path included."""
    if ":assumed-role/" not in caller:
        return caller
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


def _bucket(session: boto3.Session, config: Config) -> tuple[str, bool | None, str]:
    need = f"the bucket's name, {config.bucket}"
    try:
        session.client("s3").head_bucket(Bucket=config.bucket)
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status == 404:
            return (need, True, "")
        if status == 403:
            return (need, None, "it is taken by another account, or you lack s3:ListBucket on it")
        raise
    return (need, True, "")


def _unless_denied(error: ClientError) -> None:
    """Being refused is told in its own row; anything else is not for here."""
    code = error.response["Error"]["Code"]
    if "AccessDenied" not in code and code != "UnauthorizedOperation":
        raise error


def _words(sid: str) -> str:
    """`ManageTheRoles` as "manage the roles"."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in sid).strip()
