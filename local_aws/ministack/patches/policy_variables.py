"""Policies see which policy is attached, and `${aws:username}`."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any


def apply() -> None:
    _tell_which_policy_is_attached()
    _fill_in_the_callers_name()


def _tell_which_policy_is_attached() -> None:
    """A policy may say which managed policies one may attach and detach: iam:PolicyARN, which MiniStack leaves out.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html
    """
    from ministack.core import iam_actions

    known = iam_actions.request_tag_context

    @functools.wraps(known)
    def context(service: str, action: str, body: bytes, params: dict[str, Any]) -> dict[str, Any]:
        told = known(service, action, body, params)
        if action in ("iam:AttachRolePolicy", "iam:DetachRolePolicy"):
            told["iam:PolicyARN"] = str((params.get("PolicyArn") or [""])[0])
        return told

    iam_actions.request_tag_context = context


def _fill_in_the_callers_name() -> None:
    """`${aws:username}` in a policy's resources is the name of the user who calls. MiniStack takes it as it stands.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
    """
    from ministack.core import iam_evaluator

    known, variable = iam_evaluator.evaluate, "${aws:username}"

    @functools.wraps(known)
    def evaluate(context: Any, *policies: list[list[Any]]) -> Any:
        name = context.principal_keys.get("aws:username")

        def filled_in(statement: Any) -> Any:
            resources = [each.replace(variable, name) for each in statement.resources]
            return dataclasses.replace(statement, resources=resources)

        if name:
            policies = tuple([[filled_in(one) for one in policy] for policy in limit] for limit in policies)
        return known(context, *policies)

    iam_evaluator.evaluate = evaluate
