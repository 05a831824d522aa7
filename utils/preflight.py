"""What a person and an account need before anything is built (notebook 01): all that is missing, at once."""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import Any

import boto3
import pandas as pd
from botocore.exceptions import BotoCoreError, ClientError

from utils import batch, cleanup, data, iam, studio
from utils.config import Config

# https://docs.aws.amazon.com/batch/latest/userguide/service_limits.html
MOST_QUEUES = MOST_ENVIRONMENTS = 50

# What the kit's compute environment may use at once (notebook 02, `kit.deploy`): as many as AWS grants a new account.
# https://docs.aws.amazon.com/general/latest/gr/ecs-service.html
MAX_VCPUS = 6
# Calls of functions at once: two of check_jobs, by its mapping (`queues.ensure_mapping`), and one by a pipeline's step.
FUNCTION_CALLS = 3

# Code and name that Service Quotas has for Fargate's vCPUs, by whether they are Spot; and for Lambda's concurrency.
# https://docs.aws.amazon.com/servicequotas/latest/userguide/request-quota-increase.html
FARGATE_QUOTAS = {
    False: ("L-3032A538", "Fargate On-Demand vCPU resource count"),
    True: ("L-36FBB829", "Fargate Spot vCPU resource count"),
}
LAMBDA_QUOTA = ("L-B99A9384", "Concurrent executions")

# A part of an action's name, and the only kind of resource that it applies to of those in its statement. An action that
# is not here applies to all of them: a job is submitted to a queue, by a definition.
KINDS = {
    "ComputeEnvironment": "compute-environment",
    "JobDefinition": "job-definition",
    "JobQueue": "job-queue",
    "batch:TerminateJob": "job",
    "EventSourceMapping": "event-source-mapping",
    "Function": "function",
    "lambda:AddPermission": "function",
    "Alarm": "alarm",
    "cloudwatch:ListTagsForResource": "alarm",
    "cloudwatch:TagResource": "alarm",
    "Dashboard": "dashboard",
}

# IAM is called in one region of a partition, whichever is yours.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-requestedregion
IAM_REGIONS = {"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}

# Keys that the simulator knows, or is told where they matter.
KNOWN_KEYS = ("aws:requestedregion", "aws:username", "iam:awsservicename", "iam:passedtoservice", "iam:policyarn")

# What the person at the notebooks needs in each layout of the roles.
POLICIES = {"separate": ("operator.json",), "shared": ("operator.json", "operator_shared.json")}

# The statement of operator.json that not everybody needs.
FIRST_TIME = "LetBatchMakeItsServiceLinkedRole"

# Those whose name says more of the policy than of what it is for.
IN_WORDS = {
    FIRST_TIME: "permission to let Batch make its service-linked role",
    "LookWithNoNarrowerResource": "permission to see what the account has already",
    "MapWithNoNarrowerResource": "permission to create a mapping",
}

# The need of operator.json's statement ManageTheBucket.
BUCKET = "permission to manage the bucket"

# The one row there is of the permissions where the caller may not ask about its own.
UNSEEN = "your permissions"


class NotReady(RuntimeError):
    """Something is missing; the message lists all of it."""


def check(
    session: boto3.Session,
    config: Config,
    *,
    max_vcpus: float = MAX_VCPUS,
    job_vcpus: float | None = None,
    spot: bool = False,
) -> pd.DataFrame:
    """Look, and change nothing: permissions, network, quotas and room, names that somebody else may have taken.

    Args:
        max_vcpus: that the jobs may use at once.
        job_vcpus: of a job; None is what those of notebook 02 take.
        spot: the jobs are to run on Fargate Spot, which has a quota of its own.

    Returns:
        Columns need, ok (True, False, or None where it can't be told) and then, what to do or know about it.
    """
    permissions = _permissions(session, config)
    found = [
        *permissions,
        _network(session),
        _room(session, config),
        _fargate(session, max_vcpus, job_vcpus or _vcpus(batch.copy_job(config, "", "")), spot),
        _function_calls(session),
        _roles(session, config),
        _names(session, config),
        _bucket(session, config, may_look=(BUCKET, True, "") in permissions),
    ]
    return pd.DataFrame(found, columns=["need", "ok", "then"])


def require(found: pd.DataFrame, *, unseen_ok: bool = False) -> None:
    """Stop here, before anything is half built, if `check` found something missing or could not see permissions.

    Args:
        unseen_ok: go on although the caller's permissions could not be looked at. AWS refuses at the first call that
            lacks one, and what was made until then stays.

    Raises:
        NotReady: it names everything that is missing.
    """
    missing = [f"{row.need}: {row.then}" for row in found[found["ok"].eq(False)].itertuples()]
    if not unseen_ok:
        unseen = found[found["need"].eq(UNSEEN)]
        missing += [
            f"{row.need} were {row.then}, or pass unseen_ok=True to build all the same" for row in unseen.itertuples()
        ]
    if missing:
        raise NotReady("; ".join(missing))


def statements(config: Config) -> list[dict[str, Any]]:
    """What the person at the notebooks must be allowed, as the statements of one or two policies."""
    return [each for policy in POLICIES[config.role_layout] for each in iam.render(policy, config)["Statement"]]


def _permissions(session: boto3.Session, config: Config) -> list[tuple[str, bool | None, str]]:
    """One row a statement of the operator's policies, as IAM's simulator judges the caller's own; or `UNSEEN` alone.

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
            refused = {} if asking else _refused(session, config, principal, statement)
            denied = [action for action, keys in refused.items() if not keys]
            then = f"ask for {', '.join(denied)}" if denied else ""
            if denied and statement["Sid"] == FIRST_TIME:
                rows.append((need, None, f"{then}, unless the account has had a compute environment before"))
            elif denied or not refused:
                rows.append((need, not denied, then))
            else:
                told = (f"{action} depends on {', '.join(sorted(keys))}" for action, keys in refused.items())
                rows.append((need, None, "; ".join(told)))
    except ClientError as error:
        if "AccessDenied" not in error.response["Error"]["Code"]:
            raise
        return [(UNSEEN, None, f"not looked at: {_to_ask_for(caller)}")]
    return rows


def _refused(session: boto3.Session, config: Config, principal: str, statement: dict[str, Any]) -> dict[str, set[str]]:
    """The statement's actions that the principal may not do on one or more of their resources.

    Returns:
        For each the keys of the call that it depends on and that the simulator was not told; none if it is denied.
    """
    resources = set(_listed(statement["Resource"]))
    # AWS asks for most actions on a log group with ":*" at the end of its name, for those on its tags without: of the
    # two names one will do.
    resources |= {f"{one}:*" for one in resources if ":log-group:" in one and not one.endswith(":*")}
    missing: dict[tuple[str, str], list[set[str]]] = defaultdict(list)
    pages = session.client("iam").get_paginator("simulate_principal_policy")
    calls = itertools.product(resources, _by_region(config, statement).items(), _contexts(statement))
    for resource, (region, actions), context in calls:
        asked = [action for action in actions if _applies(action, resource)]
        if not asked:
            continue
        # A pattern stands for any name; this is one.
        name = resource if resource == "*" else resource.replace("*", "preflight")
        entries = [*context, _entry("aws:RequestedRegion", region)]
        for page in pages.paginate(
            PolicySourceArn=principal, ActionNames=asked, ResourceArns=[name], ContextEntries=entries
        ):
            for result in page["EvaluationResults"]:
                if result["EvalDecision"] != "allowed":
                    missing[result["EvalActionName"], resource].append(_missing_keys(result))
    refused: dict[str, list[set[str]]] = defaultdict(list)
    for (action, resource), keys in missing.items():
        names = {resource, resource.removesuffix(":*"), f"{resource}:*"} & resources
        if all((action, name) in missing for name in names):
            refused[action] += keys
    return {action: set().union(*keys) if all(keys) else set() for action, keys in sorted(refused.items())}


def _applies(action: str, resource: str) -> bool:
    """Whether AWS asks for the action on resources of this kind."""
    if resource == "*":
        return True
    kind = next((kind for part, kind in KINDS.items() if part in action), None)
    return resource.split(":")[2] == action.partition(":")[0] and kind in (None, _kind(resource))


def _kind(arn: str) -> str:
    """The word that an ARN's last part begins with: "job-queue" of job-queue/NAME."""
    return arn.split(":", 5)[5].replace("/", ":").partition(":")[0]


def _by_region(config: Config, statement: dict[str, Any]) -> dict[str, list[str]]:
    """The statement's actions by the region that they are called in."""
    found: dict[str, list[str]] = defaultdict(list)
    for action in _listed(statement["Action"]):
        of_iam = action.startswith("iam:")
        found[IAM_REGIONS.get(config.partition, config.region) if of_iam else config.region].append(action)
    return found


def _missing_keys(result: dict[str, Any]) -> set[str]:
    """What the simulator would have had to know of the call; for a resource, it tells that beside the resource."""
    results = [result, *result.get("ResourceSpecificResults", [])]
    keys = {key for one in results for key in one.get("MissingContextValues", [])}
    return {key for key in keys if key.lower() not in KNOWN_KEYS}


def _contexts(statement: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """What the simulator must be told of the call, once for each value that the statement's condition allows."""
    entries = [
        [_entry(key, value) for value in _listed(values)]
        for conditions in statement.get("Condition", {}).values()
        for key, values in conditions.items()
    ]
    return [list(entry) for entry in itertools.product(*entries)]


def _entry(key: str, value: str) -> dict[str, Any]:
    return {"ContextKeyName": key, "ContextKeyType": "string", "ContextKeyValues": [value]}


def _principal(session: boto3.Session, caller: str) -> str:
    """The user or role whose policies count: of an assumed role's session, the role, path included."""
    if ":assumed-role/" not in caller:
        return caller
    return _studios_role(caller) or session.client("iam").get_role(RoleName=caller.split("/")[1])["Role"]["Arn"]


def _studios_role(caller: str) -> str | None:
    """The ARN of an assumed role if it is Studio's own.

    Studio knows its role's path, which a role that may not call GetRole can't learn otherwise.
    """
    app = studio.here()
    return app.role if app and app.role and app.role.rsplit("/", 1)[1] == caller.split("/")[1] else None


def _to_ask_for(caller: str) -> str:
    """What the caller lacks to ask about itself."""
    name = caller.split("/")[1]
    if ":assumed-role/" not in caller:
        if caller.count("/") == 1:
            return f"ask for iam:SimulatePrincipalPolicy on the user {name}"
        # The name alone, which is what operator.json can tell, is not a user's ARN then.
        return (
            f"ask for iam:SimulatePrincipalPolicy on the user {caller}, as in utils/policies/operator_as_role.json, "
            "for operator.json has no users with a path"
        )
    return (
        f"ask for iam:GetRole and iam:SimulatePrincipalPolicy on the role {_studios_role(caller) or name}, "
        "as in utils/policies/operator_as_role.json"
    )


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


def _fargate(session: boto3.Session, max_vcpus: float, job_vcpus: float, spot: bool) -> tuple[str, bool | None, str]:
    """Whether a job fits into the account's vCPUs. That fewer fit at once than may run only makes them wait.

    https://docs.aws.amazon.com/servicequotas/2019-06-24/apireference/API_GetServiceQuota.html
    """
    need, (code, name) = f"vCPUs of Fargate{' Spot' * spot} for the jobs", FARGATE_QUOTAS[spot]
    where = f"Service Quotas, AWS Fargate, {name} ({code})"
    client = session.client("service-quotas")
    try:
        vcpus = client.get_service_quota(ServiceCode="fargate", QuotaCode=code)["Quota"].get("Value")
    except client.exceptions.NoSuchResourceException:
        vcpus = None  # "If the applied quota value is not available for a quota, the quota is not retrieved."
    except (BotoCoreError, ClientError) as error:
        return (need, None, _why_not(error, "servicequotas:GetServiceQuota"))
    if vcpus is None:
        return (need, None, f"AWS does not tell this account's number: a job takes {job_vcpus:g}, see {where}")
    if vcpus < job_vcpus:
        return (need, False, f"the account has {vcpus:g} and a job takes {job_vcpus:g}: ask for more in {where}")
    at_once, wanted = int(vcpus / job_vcpus), int(max_vcpus / job_vcpus)
    then = f"{at_once} of the {wanted} jobs that may run at once will, the others wait; for more ask in {where}"
    return (need, True, then if at_once < wanted else "")


def _vcpus(definition: dict[str, Any]) -> float:
    """What a job of this definition takes."""
    needs = definition["containerProperties"]["resourceRequirements"]
    return next(float(need["value"]) for need in needs if need["type"] == "VCPU")


def _function_calls(session: boto3.Session) -> tuple[str, bool | None, str]:
    """Whether the functions may run beside each other: Lambda's limit, less what is reserved for others.

    New accounts have less than the usual 1,000: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
    """
    need = f"room for {FUNCTION_CALLS} calls of functions at once"
    try:
        free = session.client("lambda").get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]
    except (BotoCoreError, ClientError) as error:
        return (need, None, _why_not(error, "lambda:GetAccountSettings"))
    code, name = LAMBDA_QUOTA
    then = f"there is room for {free}: ask for more in Service Quotas, AWS Lambda, {name} ({code}), or reserve less"
    return (need, True, "") if free >= FUNCTION_CALLS else (need, False, then)


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


def _bucket(session: boto3.Session, config: Config, *, may_look: bool) -> tuple[str, bool | None, str]:
    """Whether the bucket is there or can be.

    Args:
        may_look: the caller's own policies allow it; so who is refused all the same is so by the bucket's owner.
    """
    need = f"the bucket's name, {config.bucket}"
    try:
        data.check_bucket(session, config.bucket, tags=config.tags)
    except iam.NotOurs as refusal:
        return (need, False, str(refusal))
    except LookupError as refusal:
        if may_look:
            taken = "it is taken by another account, or the bucket's own policy keeps you out: choose another prefix"
            return (need, False, taken)
        return (need, None, str(refusal))
    return (need, True, "")


def _names(session: boto3.Session, config: Config) -> tuple[str, bool | None, str]:
    """Whether the kit can be built without meeting what has one of its names and is somebody else's."""
    need, refusals = "the names", []
    try:
        refusals += iam.roles_of_others(session, config)
        refusals += [
            iam.NotOurs(f'{each.kind} "{each.name}"', "it lacks our tag") for each in cleanup.of_others(session, config)
        ]
    except ClientError as error:
        then = f"not looked at: you lack the permission for {error.operation_name} or its like"
        return (need, _unless_denied(error), then)
    if len(refusals) < 2:
        return (need, not refusals, "".join(map(str, refusals)))
    *others, last = (f"the {refusal.what}" for refusal in refusals)
    told = f"{', '.join(others)} and {last} exist and are not this kit's, since they lack our tag"
    return (need, False, f"T{told[1:]}; choose another prefix, or delete them.")


def _why_not(error: BotoCoreError | ClientError, action: str) -> str:
    """Why an account's number can't be told: no permission, no such quota, or no such service in the region."""
    denied = isinstance(error, ClientError) and "AccessDenied" in error.response["Error"]["Code"]
    return f"not looked at: {f'you lack {action}' if denied else error}"


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
