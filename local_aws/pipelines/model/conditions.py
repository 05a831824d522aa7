"""The conditions of a Condition step, checked when the pipeline is created and evaluated when the step runs.

Operators: those the SDK writes (`sagemaker.core.workflow.conditions`) and the two negations of the published schema
(NotEquals, NotIn): https://github.com/aws-sagemaker-mlops/sagemaker-model-building-pipeline-definition-JSON-schema
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from local_aws.pipelines.model.expressions import ExpressionError, is_expression

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "Equals": operator.eq,
    "NotEquals": operator.ne,
    "GreaterThan": operator.gt,
    "GreaterThanOrEqualTo": operator.ge,
    "LessThan": operator.lt,
    "LessThanOrEqualTo": operator.le,
}
# The SDK's names of the operands of In, and the schema's.
_MEMBERSHIP = {"QueryValue": "Values", "Value": "In"}
_SUPPORTED = (*_COMPARISONS, "In", "NotIn", "Or", "Not")


def check(condition: Any) -> str | None:
    """What is wrong with a condition's form, or None."""
    if not isinstance(condition, dict):
        return "a condition must be an object"
    kind = condition.get("Type")
    if kind not in _SUPPORTED:
        return f"condition type {kind!r} is not one of {', '.join(_SUPPORTED)}"
    members = set(condition) - {"Type"}
    if kind in _COMPARISONS:
        if members != {"LeftValue", "RightValue"}:
            return f"condition {kind} needs LeftValue and RightValue"
        operands = [condition["LeftValue"], condition["RightValue"]]
    elif kind in ("In", "NotIn"):
        query = next((name for name, values in _MEMBERSHIP.items() if members == {name, values}), None)
        if query is None or not isinstance(condition[_MEMBERSHIP[query]], list):
            return f"condition {kind} needs QueryValue and a list Values"
        operands = [condition[query], *condition[_MEMBERSHIP[query]]]
    elif kind == "Not":
        return check(condition.get("Condition")) if members == {"Condition"} else "condition Not needs one Condition"
    else:
        inner = condition.get("Conditions")
        if members != {"Conditions"} or not isinstance(inner, list) or not inner:
            return "condition Or needs a list Conditions"
        return next((wrong for wrong in map(check, inner) if wrong), None)
    for operand in operands:
        if isinstance(operand, list) or (isinstance(operand, dict) and not is_expression(operand)) or operand is None:
            return f"condition {kind} compares strings, numbers, booleans and expressions only"
    return None


def evaluate(condition: dict[str, Any]) -> bool:
    """Whether a condition whose expressions are resolved holds.

    Raises:
        ExpressionError: its operands can't be compared. AWS documents no conversion between types, so there is none.
    """
    kind = condition["Type"]
    if kind == "Not":
        return not evaluate(condition["Condition"])
    if kind == "Or":
        return any(evaluate(inner) for inner in condition["Conditions"])
    if kind in _COMPARISONS:
        return _compare(kind, condition["LeftValue"], condition["RightValue"])
    query = next(name for name in _MEMBERSHIP if name in condition)
    contained = any(_compare("Equals", condition[query], value) for value in condition[_MEMBERSHIP[query]])
    return contained is (kind == "In")


def _compare(kind: str, left: Any, right: Any) -> bool:
    kinds = {_kind(left), _kind(right)}
    if len(kinds) > 1:
        raise ExpressionError(
            f"{kind} can't compare {left!r} with {right!r}: one is a {' and one a '.join(sorted(kinds))}"
        )
    if kinds - {"number", "string", "boolean"} or (kinds == {"boolean"} and kind not in ("Equals", "NotEquals")):
        raise ExpressionError(f"{kind} can't compare a {kinds.pop()}")
    return _COMPARISONS[kind](left, right)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else "structure"
