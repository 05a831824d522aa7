"""IAM's policy simulator, which MiniStack only begins.

MiniStack leaves out ContextEntries, all resources but the first, permissions boundaries, groups, and the path of a
principal. It allows any action on any ARN, and answers for principals that do not exist.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
AWS was recorded at it: https://github.com/radkawar/stackd (testdata/aws/iam, 2026). The words of its refusals are from
there and from https://github.com/aws-cloudformation/rain (internal/aws/iam).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

from local_aws.ministack.patches.resource_types import fits, is_known

DECISIONS = {"Allow": "allowed", "Deny": "explicitDeny", "ImplicitDeny": "implicitDeny"}
# The strictest counts for several resources together.
STRICTNESS = ("allowed", "implicitDeny", "explicitDeny")


class Refused(Exception):
    """The simulator does not answer. Code and message are AWS's."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


@dataclass
class Principal:
    """Whose policies are simulated.

    Attributes:
        policies: each a list of parsed statements.
        limits: the permissions boundary, if there is one, each such a list of policies.
    """

    arn: str
    policies: list[list[Any]]
    limits: list[list[list[Any]]] = field(default_factory=list)


@dataclass
class Verdict:
    decision: str
    missing: list[str]
    within_boundary: bool | None = None

    def xml(self, decision: str) -> str:
        """Its members, named as AWS does: EvalDecision, and EvalResourceDecision for one of several resources."""
        keys = "".join(f"<member>{escape(key)}</member>" for key in self.missing)
        parts = f"<{decision}>{self.decision}</{decision}><MissingContextValues>{keys}</MissingContextValues>"
        if self.within_boundary is None:
            return parts
        inside = str(self.within_boundary).lower()
        detail = f"<AllowedByPermissionsBoundary>{inside}</AllowedByPermissionsBoundary>"
        return f"{parts}<PermissionsBoundaryDecisionDetail>{detail}</PermissionsBoundaryDecisionDetail>"


def apply() -> None:
    """Put AWS's two operations of the simulator in the place of MiniStack's."""
    from ministack.services import iam

    def answers(operation: str, principal: Callable[[dict], Principal]) -> Callable[[dict], tuple]:
        def answer(params: dict) -> tuple:
            try:
                results = _page(params, _results(params, principal))
            except Refused as refused:
                return iam._error(refused.status, refused.code, escape(refused.message))
            return iam._xml(200, f"{operation}Response", f"<{operation}Result>{results}</{operation}Result>", ns="iam")

        return answer

    for operation, principal in (("SimulatePrincipalPolicy", _principal), ("SimulateCustomPolicy", _custom)):
        iam._IAM_HANDLERS[operation] = answers(operation, principal)


def _results(params: dict, principal: Callable[[dict], Principal]) -> list[str]:
    actions, resources = _members(params, "ActionNames"), _members(params, "ResourceArns") or ["*"]
    _check(actions, resources)
    context, whose = _context(params), principal(params)
    return [_result(whose, action, resources, context) for action in actions]


def _page(params: dict, results: list[str]) -> str:
    """MaxItems of the results, 100 unless the caller says otherwise, from the marker of the page before."""
    from ministack.services import iam

    marker, most = iam._p(params, "Marker") or "0", iam._p(params, "MaxItems") or "100"
    if not (marker.isdecimal() and int(marker) <= len(results)):
        raise Refused("ValidationError", f"Invalid Marker: {marker}")
    if not (most.isdecimal() and 1 <= int(most) <= 1000):
        raise Refused("ValidationError", f"Value '{most}' at 'maxItems' failed to satisfy constraint: 1 to 1000")
    end = int(marker) + int(most)
    more = f"<IsTruncated>true</IsTruncated><Marker>{end}</Marker>" if end < len(results) else ""
    page = f"<EvaluationResults>{''.join(results[int(marker) : end])}</EvaluationResults>"
    return page + (more or "<IsTruncated>false</IsTruncated>")


def _result(principal: Principal, action: str, resources: list[str], context: dict[str, Any]) -> str:
    verdicts = [_verdict(principal, action, resource, context) for resource in resources]
    name = f"<EvalActionName>{escape(action)}</EvalActionName>"
    if len(resources) == 1:
        resource = f"<EvalResourceName>{escape(resources[0])}</EvalResourceName>"
        if resources == ["*"]:
            return f"<member>{name}{resource}{verdicts[0].xml('EvalDecision')}</member>"
        name += resource
    each = "".join(
        f"<member><EvalResourceName>{escape(arn)}</EvalResourceName>{verdict.xml('EvalResourceDecision')}</member>"
        for arn, verdict in zip(resources, verdicts, strict=True)
    )
    boundaries = [verdict.within_boundary for verdict in verdicts]
    # "If you include a list of resources, then any missing context values are instead included under the
    # ResourceSpecificResults section."
    together = Verdict(
        max((verdict.decision for verdict in verdicts), key=STRICTNESS.index),
        [],
        None if None in boundaries else all(boundaries),
    )
    specific = f"<ResourceSpecificResults>{each}</ResourceSpecificResults>"
    return f"<member>{name}{together.xml('EvalDecision')}{specific}</member>"


def _verdict(principal: Principal, action: str, resource: str, context: dict[str, Any]) -> Verdict:
    from ministack.core import iam_evaluator

    asked = iam_evaluator.EvalContext(
        principal_arn=principal.arn, principal_type="User", principal_account=principal.arn.split(":")[4],
        action=action, resource_arn=resource, region=context.get("aws:requestedregion", ""), secure_transport=False,
        service_context=context,
    )  # fmt: skip
    eligible = fits(action, resource)

    def decide(policies: list[list[Any]], *limits: list[list[Any]]) -> str:
        return DECISIONS[iam_evaluator.evaluate(asked, policies, *limits).decision] if eligible else "implicitDeny"

    decision = decide(principal.policies, *principal.limits)
    inside = all(decide(limit) == "allowed" for limit in principal.limits) if principal.limits else None
    if decision != "implicitDeny":
        return Verdict(decision, [], inside)
    # All keys that the policies' conditions have and the call lacks, those of other statements too:
    # https://github.com/aws/aws-sdk-java-v2/issues/1751
    policies = itertools.chain(principal.policies, *principal.limits)
    keys = {
        key
        for policy in policies
        for statement in policy
        for tests in statement.conditions.values()
        for key in tests
        if key.lower() not in context
    }
    return Verdict(decision, sorted(keys), inside)


def _check(actions: list[str], resources: list[str]) -> None:
    if not actions:
        raise Refused("ValidationError", "1 validation error detected: Value at 'actionNames' failed to satisfy "
                      "constraint: Member must not be null")  # fmt: skip
    for action in actions:
        if ":" not in action:
            raise Refused("InvalidInput", f"The action is invalid since it is missing names: {action}")
    if resources == ["*"]:
        return
    for arn in resources:
        parts = arn.split(":", 5)
        if len(parts) < 6 or parts[0] != "arn" or not (parts[1] and parts[2] and parts[5]):
            raise Refused("InvalidInput", f"ResourceNames are not in a valid ARN format: {arn}.")
    known = [action for action in actions if is_known(action)]
    unknown = [action for action in actions if not is_known(action)]
    if known and unknown:
        raise Refused(
            "InvalidInput",
            f"Invalid Input Actions: [{','.join(known)}] and [{','.join(unknown)}] require different authorization "
            "information.",
        )


def _members(params: dict, name: str) -> list[str]:
    from ministack.services import iam

    return list(itertools.takewhile(bool, (iam._p(params, f"{name}.member.{n}") for n in itertools.count(1))))


def _context(params: dict) -> dict[str, Any]:
    """The keys of the call that the caller gives, in lower case, each with its value or its list of them."""
    from ministack.services import iam

    context: dict[str, Any] = {}
    for n in range(1, 1 + len({name.split(".")[2] for name in params if name.startswith("ContextEntries.")})):
        entry = f"ContextEntries.member.{n}"
        values = _members(params, f"{entry}.ContextKeyValues")
        context[iam._p(params, f"{entry}.ContextKeyName").lower()] = values[0] if len(values) == 1 else values
    return context


def _custom(params: dict) -> Principal:
    from ministack.core.responses import get_account_id

    root = f"arn:aws:iam::{get_account_id()}:root"
    return Principal(root, _documents(params, "PolicyInputList"), _boundary(params))


def _documents(params: dict, name: str) -> list[list[Any]]:
    """Policies that the caller brings, parsed."""
    from ministack.core.iam_evaluator import parse_policy_document, validate_policy_document

    for text in _members(params, name):
        if validate_policy_document(text):
            raise Refused(
                "InvalidInput", f"The {name} has a policy that is not valid: {validate_policy_document(text)}"
            )
    return [parse_policy_document(text) for text in _members(params, name)]


def _boundary(params: dict) -> list[list[list[Any]]]:
    documents = _documents(params, "PermissionsBoundaryPolicyInputList")
    return [documents] if documents else []


def _principal(params: dict) -> Principal:
    from ministack.core import iam_evaluator
    from ministack.core.responses import get_account_id
    from ministack.services import iam

    arn, account = iam._p(params, "PolicySourceArn"), get_account_id()
    kind, _, path = arn.rpartition(":")[2].partition("/")
    name = path.rpartition("/")[2]
    stores = {"user": iam._users, "role": iam._roles, "group": iam._groups}
    if kind not in stores or ":iam::" not in arn:
        raise Refused("InvalidInput", f"Invalid Entity Arn: {arn} does not clearly define entity type and name.")
    entity = stores[kind].get_scoped(account, None, name)
    if entity is None:
        raise Refused("NoSuchEntity", f"The {kind} with name {name} cannot be found.", 404)
    extra = _documents(params, "PolicyInputList")
    if kind == "group":
        return Principal(arn, _of_group(name, entity, account) + extra)
    gather = iam_evaluator._gather_user_policies if kind == "user" else iam_evaluator._gather_role_policies
    boundary = _boundary(params) or iam_evaluator._permissions_boundary(stores[kind], name, account)
    return Principal(arn, gather(name, account) + extra, boundary)


def _of_group(name: str, group: dict[str, Any], account: str) -> list[list[Any]]:
    from ministack.core import iam_evaluator
    from ministack.services import iam

    attached = [
        iam_evaluator._resolve_managed_policy_document(arn, account) for arn in group.get("AttachedPolicies", [])
    ]
    documents = [*(iam._group_inline_policies.get(name) or {}).values(), *filter(None, attached)]
    return [iam_evaluator.parse_policy_document(document) for document in documents]
