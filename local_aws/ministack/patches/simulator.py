"""IAM's policy simulator."""

from __future__ import annotations

import itertools
from typing import Any
from xml.sax.saxutils import escape


def apply() -> None:
    """IAM's simulator is told of the call in ContextEntries, which MiniStack leaves out.

    And MiniStack takes a principal's path for a part of its name, of which there are no policies then.

    https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
    """
    from ministack.core.iam_evaluator import EvalContext, _gather_role_policies, _gather_user_policies, evaluate
    from ministack.services import iam

    known = iam._extract_simulate_params
    decisions = {"Allow": "allowed", "Deny": "explicitDeny", "ImplicitDeny": "implicitDeny"}

    def members(params: dict, name: str) -> list[str]:
        return list(itertools.takewhile(bool, (iam._p(params, f"{name}.member.{n}") for n in itertools.count(1))))

    def extract(params: dict) -> tuple[list[str], tuple[str, dict[str, Any]]]:
        actions, resource = known(params)
        entries = range(1, 1 + len({name.split(".")[2] for name in params if name.startswith("ContextEntries.")}))
        context = {
            iam._p(params, f"ContextEntries.member.{n}.ContextKeyName").lower(): members(
                params, f"ContextEntries.member.{n}.ContextKeyValues"
            )
            for n in entries
        }
        return actions, (resource, {key: values[0] if len(values) == 1 else values for key, values in context.items()})

    def build(actions: list, about: tuple[str, dict], principal: str, account: str, policies: list) -> str:
        resource, context = about
        if principal.count("/") > 1:
            policies_of = _gather_role_policies if ":role/" in principal else _gather_user_policies
            policies = policies_of(principal.rpartition("/")[2], account)
        answer = ""
        for action in actions:
            asked = EvalContext(
                principal_arn=principal, principal_type="User", principal_account=account, action=action,
                resource_arn=resource, region=context.get("aws:requestedregion", ""), secure_transport=False,
                service_context=context,
            )  # fmt: skip
            decision = decisions[evaluate(asked, policies).decision if policies else "ImplicitDeny"]
            answer += (
                f"<member><EvalActionName>{escape(action)}</EvalActionName><EvalResourceName>{escape(resource)}"
                f"</EvalResourceName><EvalDecision>{decision}</EvalDecision></member>"
            )
        return answer

    iam._extract_simulate_params, iam._build_simulate_results_real = extract, build
