"""Whether a value has the form of an API's, where an expression may stand for any string, number or boolean."""

from __future__ import annotations

import operator
from typing import Any

from botocore.model import Shape

from local_aws.pipelines.model.expressions import is_expression
from local_aws.pipelines.model.refusals import (
    NOT_AN_ARRAY,
    NOT_AN_OBJECT,
    DefinitionError,
    not_in_enum,
    unknown_argument,
)

_PRIMITIVES: dict[str, Any] = {"string": str, "integer": int, "boolean": bool}


def check(value: Any, shape: Shape, where: str) -> None:
    """Refuse a value that is not of the API's form.

    Args:
        shape: of botocore's model.
        where: the value's place, for the error.

    Raises:
        DefinitionError: with the place of what is wrong.
    """
    kind = shape.type_name
    if kind == "structure":
        _check_structure(value, shape, where)
    elif kind == "list":
        if not isinstance(value, list):
            raise DefinitionError(f"{where} must be a list.", NOT_AN_ARRAY)
        for index, item in enumerate(value):
            check(item, shape.member, f"{where}[{index}]")
    elif kind == "map":
        if not isinstance(value, dict) or is_expression(value):
            raise DefinitionError(f"{where} must be an object.", NOT_AN_OBJECT)
        for key, item in value.items():
            check(item, shape.value, f"{where}.{key}")
    elif not is_expression(value):
        _check_literal(value, shape, where)


def _check_structure(value: Any, shape: Shape, where: str) -> None:
    if not isinstance(value, dict):
        raise DefinitionError(f"{where} must be an object.", NOT_AN_OBJECT)
    if unknown := sorted(set(value) - set(shape.members)):
        raise DefinitionError(f"{where} has no member {unknown[0]}.", unknown_argument(unknown[0]))
    missing = [name for name in shape.required_members if value.get(name) is None and name != "ProcessingJobName"]
    if missing:
        raise DefinitionError(f"{where} needs {missing[0]}.")
    for name, item in value.items():
        check(item, shape.members[name], f"{where}.{name}")


def _check_literal(value: Any, shape: Shape, where: str) -> None:
    kind, limits = shape.type_name, shape.metadata
    if not isinstance(value, _PRIMITIVES[kind]) or (isinstance(value, bool) and kind != "boolean"):
        raise DefinitionError(f"{where} must be of type {kind}, or an expression.")
    if "enum" in limits and value not in limits["enum"]:
        raise DefinitionError(f"{where} can't be {value!r}.", not_in_enum(value, shape.name, limits["enum"]))
    size = len(value) if kind == "string" else value
    for limit, broken, words in (("min", operator.lt, "least"), ("max", operator.gt, "most")):
        if limit in limits and broken(size, limits[limit]):
            what = (
                f"have at {words} {limits[limit]:,} characters"
                if kind == "string"
                else f"be at {words} {limits[limit]:,}"
            )
            raise DefinitionError(f"{where} must {what}.")
