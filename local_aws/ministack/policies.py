"""The grammar of policies: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Literal

Kind = Literal["identity", "trust", "resource"]

_STATEMENT = {
    "Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition",
}  # fmt: skip
_OPERATOR = re.compile(
    r"(?:ForAllValues:|ForAnyValue:)?(?:String(?:Not)?(?:Equals(?:IgnoreCase)?|Like)|Arn(?:Not)?(?:Equals|Like)"
    r"|(?:Numeric|Date)(?:NotEquals|Equals|LessThan(?:Equals)?|GreaterThan(?:Equals)?)|Bool|BinaryEquals"
    r"|(?:Not)?IpAddress|Null)(?:IfExists)?",
    re.IGNORECASE,
)
_SYNTAX = "Syntax errors in policy."


def problem(document: str, kind: Kind) -> str | None:
    """What is wrong with a policy document, in AWS's words, or None when it keeps to the grammar.

    Args:
        document: the policy's JSON.
        kind: "trust" for a role's trust policy, "resource" for a queue's or a bucket's.
    """
    try:
        policy = json.loads(document)
    except (ValueError, RecursionError):
        return "This policy contains invalid Json" if kind == "trust" else _SYNTAX
    return next(_problems(policy, kind), None)


def size(document: str) -> int:
    """A document's characters as quotas count them, which is without white space."""
    return len(re.sub(r"\s", "", document))


def _problems(policy: Any, kind: Kind) -> Iterator[str]:
    if not isinstance(policy, dict) or policy.keys() - {"Version", "Id", "Statement"}:
        yield _SYNTAX
        return
    if policy.get("Version", "2012-10-17") not in ("2012-10-17", "2008-10-17"):
        yield "The policy must contain a valid version string"
    statements = policy.get("Statement")
    statements = [statements] if isinstance(statements, dict) else statements
    if not isinstance(statements, list) or not statements:
        yield _SYNTAX
        return
    for statement in statements:
        if not isinstance(statement, dict) or statement.keys() - _STATEMENT:
            yield _SYNTAX
            return
        yield from _problems_of_statement(statement, kind)
    if kind != "resource":
        sids = [statement["Sid"] for statement in statements if "Sid" in statement]
        if not all(isinstance(sid, str) and re.fullmatch(r"[0-9A-Za-z]*", sid) for sid in sids):
            yield (
                "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression "
                "[0-9A-Za-z]*"
            )
        elif len(set(sids)) < len(sids):
            yield "Statement IDs (SID) in a single policy must be unique."


def _problems_of_statement(statement: dict[str, Any], kind: Kind) -> Iterator[str]:
    if "Effect" not in statement:
        yield "Missing required field Effect"
    elif statement["Effect"] not in ("Allow", "Deny"):
        yield f"Invalid effect: {statement['Effect']}"
    for element in ("Action", "Resource", "Principal"):
        if element in statement and f"Not{element}" in statement:
            yield _SYNTAX
    yield from _problems_of_actions(statement, kind)
    named = "Resource" in statement or "NotResource" in statement
    if kind == "trust" and named:
        yield "Has prohibited field Resource"
    if kind == "identity" and not named:
        yield "Policy statement must contain resources."
    for resource in _texts(statement.get("Resource", statement.get("NotResource", []))):
        if resource is None:
            yield _SYNTAX
        elif resource != "*" and not resource.startswith("arn:"):
            yield f'Resource {resource} must be in ARN format or "*".'
    principals = "Principal" in statement or "NotPrincipal" in statement
    if kind == "identity" and principals:
        yield "Policy document should not specify a principal."
    elif kind != "identity" and not principals:
        yield "Missing required field Principal"
    elif principals:
        yield from _problems_of_principal(statement.get("Principal", statement.get("NotPrincipal")))
    yield from _problems_of_condition(statement.get("Condition", {}))


def _problems_of_actions(statement: dict[str, Any], kind: Kind) -> Iterator[str]:
    actions = _texts(statement.get("Action", statement.get("NotAction", [])))
    if not actions:
        yield "Missing required field Action"
    for action in actions:
        if action is None:
            yield _SYNTAX
        elif action != "*" and not re.fullmatch(r"[\w-]+:[\w*?]+", action):
            yield "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
        elif kind == "trust" and not action.lower().startswith("sts:"):
            yield "AssumeRole policy may only specify STS AssumeRole actions."


def _problems_of_principal(principal: Any) -> Iterator[str]:
    if principal == "*":
        return
    if not isinstance(principal, dict) or not principal:
        yield "Invalid principal in policy"
        return
    for kind, given in principal.items():
        texts = _texts(given)
        if kind not in ("AWS", "Service", "Federated", "CanonicalUser") or not texts or None in texts:
            yield f"Invalid principal in policy: {json.dumps(kind)}"
        for text in texts if kind == "Service" else []:
            if text and not re.fullmatch(r"[a-z0-9.-]+\.amazonaws\.com(\.cn)?", text):
                yield f'Invalid principal in policy: "SERVICE":"{text}"'


def _problems_of_condition(condition: Any) -> Iterator[str]:
    if not isinstance(condition, dict):
        yield _SYNTAX
        return
    for operator, keys in condition.items():
        if not _OPERATOR.fullmatch(operator) or not isinstance(keys, dict):
            yield _SYNTAX
            return
        for values in keys.values():
            values = values if isinstance(values, list) else [values]
            if not all(isinstance(value, str | int | float) for value in values):
                yield _SYNTAX


def _texts(value: Any) -> list[str | None]:
    """A text or a list of texts as a list, with None for what is no text."""
    values = value if isinstance(value, list) else [value]
    return [one if isinstance(one, str) else None for one in values]
