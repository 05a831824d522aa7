"""What the person at the notebooks is allowed, as IAM's simulator judges it.

https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_testing-policies.html
https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, EndpointConnectionError

from .. import iam
from ..config import Config
from . import caller as callers
from .asking import BriefSession, Row, is_denied
from .resources import arns_to_ask

# What the person at the notebooks needs in each layout of the roles.
POLICIES = {"separate": ("operator.json",), "shared": ("operator.json", "operator_shared.json")}

# The statement of operator.json that not everybody needs.
FIRST_TIME = "CreateBatchServiceLinkedRole"

# Those whose name says more of the policy than of what it is for.
IN_WORDS = {
    FIRST_TIME: "permission to let Batch create its service-linked role",
    "ReadAndMapTakeNoNarrowerResource": ("permission to see what the account has, and to create a mapping"),
}

# The need of operator.json's statement ManageTheBucket.
BUCKET = "permission to manage the bucket"

# The one row there is of the permissions where they could not be checked.
UNVERIFIED = "your permissions"

# IAM is called in one region of a partition, whichever is yours; a partition that is not here has one region only.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-requestedregion
IAM_REGIONS = {
    "aws": "us-east-1",
    "aws-cn": "cn-north-1",
    "aws-us-gov": "us-gov-west-1",
    "aws-iso": "us-iso-east-1",
    "aws-iso-b": "us-isob-east-1",
    "aws-iso-f": "us-isof-south-1",
}

# Keys that the simulator knows, or is given where they matter.
KNOWN_KEYS = ("aws:requestedregion", "aws:username", "iam:awsservicename", "iam:passedtoservice", "iam:policyarn")


@dataclass(frozen=True)
class Refusal:
    """One "no" of the simulator's.

    Attributes:
        given: what it was given of the call, such as "iam:PassedToService batch.amazonaws.com", or "" if nothing.
        keys: what else of the call the answer depends on.
        doubt: why it may be wrong, or "" if it is not known to be.
        boundary: whether the permissions boundary is what refuses.
    """

    given: str = ""
    keys: frozenset[str] = frozenset()
    doubt: str = ""
    boundary: bool = False


def statements(config: Config) -> list[dict[str, Any]]:
    """What the person at the notebooks must be allowed, as the statements of one or two policies."""
    return [each for policy in POLICIES[config.role_layout] for each in iam.render(policy, config)["Statement"]]


def rows(session: BriefSession, config: Config) -> list[Row]:
    """One row per statement of the operator's policies, or `UNVERIFIED` alone where they could not be checked."""
    caller = ""
    try:
        caller = session.client("sts").get_caller_identity()["Arn"]
        if caller.endswith(":root"):
            root = Row(
                "permissions narrower than root's", None,
                "not tested: you are the account's root user, who is allowed everything",
            )  # fmt: skip
            return [*(Row(need(each), True, "") for each in statements(config)), root]
        principal = callers.principal(session, caller)
        return [_row(session, config, principal, statement) for statement in statements(config)]
    except (BotoCoreError, ClientError) as error:
        return [Row(UNVERIFIED, None, _why_not(session, error, caller))]


def need(statement: dict[str, Any]) -> str:
    """A statement's name in words, such as "permission to manage the roles" for `ManageTheRoles`."""
    sid = statement["Sid"]
    return IN_WORDS.get(sid) or "permission to" + "".join(f" {c.lower()}" if c.isupper() else c for c in sid)


def _why_not(session: BriefSession, error: BotoCoreError | ClientError, caller: str) -> str:
    if caller and is_denied(error):
        return f"not checked: {callers.what_to_ask_for(caller)}"
    reason = session.reason(error)
    if isinstance(error, (ConnectTimeoutError, EndpointConnectionError)):
        reason += (
            " From a VPC without a way to the internet IAM is out of reach. README, In SageMaker Studio, says more"
        )
    return reason


def _row(session: BriefSession, config: Config, principal: str, statement: dict[str, Any]) -> Row:
    if "${aws:username}" in statement["Resource"]:  # to ask about yourself, which is being done
        return Row(need(statement), True, "")
    refusals = _refusals(session, config, principal, statement)
    denied = [action for action, each in refusals.items() if not all(one.keys or one.doubt for one in each)]
    if denied:
        tried = len(_contexts(statement))
        remedy = "ask for " + ", ".join(_in_words(action, refusals[action], tried) for action in denied)
        if statement["Sid"] == FIRST_TIME:
            return Row(need(statement), None, f"{remedy}, unless the account has had a compute environment before")
        return Row(need(statement), False, remedy)
    unknown = [_unknown(action, each) for action, each in refusals.items()]
    return Row(need(statement), None if unknown else True, "; ".join(unknown))


def _in_words(action: str, refusals: list[Refusal], tried: int) -> str:
    """The action, with the values of the condition that it is refused for, unless those are all."""
    given = sorted({each.given for each in refusals if not each.keys and not each.doubt})
    words = f"{action} ({', '.join(given)})" if len(given) < tried else action
    return f"{words}, which your permissions boundary leaves out" if any(r.boundary for r in refusals) else words


def _unknown(action: str, refusals: list[Refusal]) -> str:
    keys = set().union(*(each.keys for each in refusals))
    doubts = [f"{action}: {doubt}" for doubt in sorted({each.doubt for each in refusals if each.doubt})]
    return "; ".join([*([f"{action} depends on {', '.join(sorted(keys))}"] if keys else []), *doubts])


def _refusals(
    session: BriefSession, config: Config, principal: str, statement: dict[str, Any]
) -> dict[str, list[Refusal]]:
    """The statement's actions that the principal is refused on one or more of their resources, and how."""
    actions, patterns = _listed(statement["Action"]), _listed(statement["Resource"])
    wanted = {action: arns_to_ask(action, patterns) for action in actions}
    by_arn: dict[str, list[str]] = defaultdict(list)
    for action, resources in wanted.items():
        for arn in itertools.chain.from_iterable(resources):
            by_arn[arn].append(action)
    said: dict[tuple[str, str], list[Refusal]] = defaultdict(list)
    for arn, asked in by_arn.items():
        for region, called in _by_region(config, asked).items():
            for context in _contexts(statement):
                entries = [*context, _entry("aws:RequestedRegion", region)]
                given = ", ".join(f"{entry['ContextKeyName']} {entry['ContextKeyValues'][0]}" for entry in context)
                for action, refusal in _simulate(session.client("iam"), principal, called, arn, entries, given):
                    said[action, arn].append(refusal)
    refused: dict[str, list[Refusal]] = {}
    for action, resources in sorted(wanted.items()):
        for spellings in resources:
            if all((action, arn) in said for arn in spellings):
                refused.setdefault(action, []).extend(each for arn in spellings for each in said[action, arn])
    return refused


def _simulate(
    client: Any, principal: str, actions: list[str], arn: str, entries: list[dict[str, Any]], given: str
) -> Iterator[tuple[str, Refusal]]:
    """What the simulator refuses of these actions on this resource.

    It can refuse a question about several actions that it answers one by one: "Invalid Input Actions: [...] and [...]
    require different authorization information". AWS documents no rule for it.
    https://github.com/aws-cloudformation/rain/blob/main/internal/aws/iam/iam.go
    """
    pages = client.get_paginator("simulate_principal_policy").paginate(
        PolicySourceArn=principal, ActionNames=actions, ResourceArns=[arn], ContextEntries=entries
    )
    try:
        results = [result for page in pages for result in page["EvaluationResults"]]
    except client.exceptions.InvalidInputException:
        if len(actions) == 1:
            raise
        for action in actions:
            yield from _simulate(client, principal, [action], arn, entries, given)
        return
    for result in results:
        if result["EvalDecision"] != "allowed":
            yield result["EvalActionName"], _refusal(result, given)


def _refusal(result: dict[str, Any], given: str) -> Refusal:
    """The simulator's details of a refusal. For a resource, the missing keys stand beside the resource."""
    each = [result, *result.get("ResourceSpecificResults", [])]
    keys = {key for one in each for key in one.get("MissingContextValues", [])}
    organization = result.get("OrganizationsDecisionDetail", {}).get("AllowedByOrganizations", True)
    boundary = any(
        not one.get("PermissionsBoundaryDecisionDetail", {}).get("AllowedByPermissionsBoundary", True) for one in each
    )
    # AWS says that the simulator evaluates the conditions of organizations' policies. People report that conditions
    # break it, so that an administrator gets a "no" for what works. So this "no" is shown and does not stop.
    # https://github.com/aws/aws-sdk/issues/102, https://github.com/aws-containers/amazon-ecs-exec-checker/issues/70
    doubt = (
        ""
        if organization
        else "refused by a policy of your organization (SCP), says IAM's simulator, which can be wrong"
    )
    return Refusal(given, frozenset(key for key in keys if key.lower() not in KNOWN_KEYS), doubt, boundary)


def _by_region(config: Config, actions: list[str]) -> dict[str, list[str]]:
    """The actions by the region that they are called in."""
    regions: dict[str, list[str]] = defaultdict(list)
    for action in actions:
        of_iam = action.startswith("iam:")
        regions[IAM_REGIONS.get(config.partition, config.region) if of_iam else config.region].append(action)
    return regions


def _contexts(statement: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """The context for the simulator, once for each value that the statement's condition allows."""
    entries = [
        [_entry(key, value) for value in _listed(values)]
        for conditions in statement.get("Condition", {}).values()
        for key, values in conditions.items()
    ]
    return [list(entry) for entry in itertools.product(*entries)]


def _entry(key: str, value: str) -> dict[str, Any]:
    return {"ContextKeyName": key, "ContextKeyType": "string", "ContextKeyValues": [value]}


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
