"""Values of a request, held against the shapes of botocore's models."""

from __future__ import annotations

import base64
import datetime as dt
import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from botocore.model import Shape


class BadValue(ValueError):
    pass


def no_constant(name: str) -> None:
    """Python's parser takes NaN and Infinity, which are not JSON."""
    raise ValueError(f"{name} is not JSON.")


def json_object(body: bytes) -> dict[str, Any]:
    """The members of a request's JSON body. An empty body has none.

    Raises:
        BadValue: the body is not JSON, not an object, or has half a character, a lone surrogate such as `\\ud800`.
            No answer, file or log could be written with that.
    """
    if not body:
        return {}
    try:
        text = body.decode(json.detect_encoding(body))  # Python's parser would take half characters here
        payload = json.loads(text, parse_constant=no_constant)
    except (ValueError, RecursionError):
        raise BadValue("The request's body is not JSON.") from None
    if not isinstance(payload, dict):
        raise BadValue("The request's body is not a JSON object.")
    if _SURROGATE.search(text):
        try:
            json.dumps(payload, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise BadValue("The request's body has a lone surrogate, which is not a Unicode character.") from None
    return payload


_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")

JSON_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "list": list,
    "structure": dict,
    "map": dict,
    "integer": int,
    "long": int,
    "float": (int, float),
    "double": (int, float),
}


def from_wire(value: Any, shape: Shape, where: str) -> Any:
    kind = shape.type_name
    if kind == "timestamp":
        return _timestamp(value, where)
    if kind == "blob":
        try:
            return base64.b64decode(value, validate=True)
        except (TypeError, ValueError):
            raise BadValue(f"{where} is not base64.") from None
    if kind in ("integer", "long") and isinstance(value, float) and value.is_integer():
        value = int(value)
    matches = isinstance(value, JSON_TYPES.get(kind, object))
    if not matches or (isinstance(value, bool) and kind not in ("boolean",)):
        raise BadValue(f"{where or 'The request'} must be a {kind}, not {type(value).__name__}.")
    if kind == "structure":
        if shape.metadata.get("document"):
            return value
        return {
            name: from_wire(value[wire], member, f"{where}.{name}" if where else name)
            for name, member in shape.members.items()
            if value.get(wire := member.serialization.get("name", name)) is not None or _located(member, value, name)
        }
    if kind == "list":
        return [from_wire(item, shape.member, f"{where}[{index}]") for index, item in enumerate(value)]
    if kind == "map":
        return {key: from_wire(item, shape.value, f"{where}.{key}") for key, item in value.items()}
    return value


def without_nulls(value: Any, shape: Shape) -> Any:
    """A value without the members that are null, since AWS takes them as not given. Other shapes keep their nulls."""
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict) and not shape.metadata.get("document"):
        members = {member.serialization.get("name", name): member for name, member in shape.members.items()}
        return {
            name: without_nulls(item, members[name]) if name in members else item
            for name, item in value.items()
            if item is not None
        }
    if kind == "list" and isinstance(value, list):
        return [without_nulls(item, shape.member) for item in value]
    if kind == "map" and isinstance(value, dict):
        return {key: without_nulls(item, shape.value) for key, item in value.items()}
    return value


def _located(member: Shape, values: dict[str, Any], name: str) -> bool:
    """A parameter taken from the path or the query arrives under its own name already."""
    return "location" in member.serialization and name in values


def _timestamp(value: Any, where: str) -> dt.datetime:
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return dt.datetime.fromtimestamp(value, dt.UTC)
        moment = dt.datetime.fromisoformat(value)
        return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        raise BadValue(f"{where} is not a timestamp.") from None


# What Java's classes of letters, separators and numbers are in Python: the keys and values of tags.
_LETTERS_SEPARATORS_NUMBERS = r"\w \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"

# "The values aren't case sensitive": https://docs.aws.amazon.com/batch/latest/APIReference/API_EvaluateOnExit.html
_ANY_CASE = {"RetryAction"}


@lru_cache(maxsize=4096)
def _pattern(text: str) -> re.Pattern[str] | None:
    text = text.replace(r"\p{L}\p{Z}\p{N}_", _LETTERS_SEPARATORS_NUMBERS)
    try:
        return re.compile(text)
    except re.error:
        return None  # written for Java, with a class Python's re does not know: not checked


def broken_constraints(value: Any, shape: Shape, where: str, *, minimums: bool = False) -> Iterator[str]:
    """AWS's sentence for every limit, pattern or enumeration of the model that `value` breaks.

    Args:
        where: the place of the value, like "computeResources.subnets". "" for a whole request.
        minimums: whether members that are missing, too short or too small count too.
    """
    kind, limits = shape.type_name, shape.metadata
    shown = value if isinstance(value, str | int | float) else where

    def said(rule: str) -> str:
        return f"Value '{shown}' at '{where}' failed to satisfy constraint: Member must {rule}"

    if kind == "structure":
        inside = f"{where}." if where else ""
        for name in shape.required_members if minimums else ():
            if value.get(name) is None:
                at = inside + name[0].lower() + name[1:]
                yield f"Value null at '{at}' failed to satisfy constraint: Member must not be null"
        for name, item in value.items():
            if name in shape.members:
                at = inside + name[0].lower() + name[1:]
                yield from broken_constraints(item, shape.members[name], at, minimums=minimums)
        return
    if kind in ("list", "map", "string"):
        if "max" in limits and len(value) > limits["max"]:
            yield said(f"have length less than or equal to {limits['max']}")
        if minimums and len(value) < limits.get("min", 0):
            yield said(f"have length greater than or equal to {limits['min']}")
    if kind == "list":
        for index, item in enumerate(value):
            yield from broken_constraints(item, shape.member, f"{where}.{index + 1}.member", minimums=minimums)
    elif kind == "map":
        for key, item in value.items():
            yield from broken_constraints(key, shape.key, f"{where}.key", minimums=minimums)
            yield from broken_constraints(item, shape.value, f"{where}.{key}.member", minimums=minimums)
    elif kind == "string":
        known = value.upper() if shape.name in _ANY_CASE else value
        if "enum" in limits and known not in limits["enum"]:
            yield said(f"satisfy enum value set: [{', '.join(limits['enum'])}]")
        elif "pattern" in limits:
            pattern = _pattern(limits["pattern"])
            if pattern and not pattern.fullmatch(value):
                yield said(f"satisfy regular expression pattern: {limits['pattern']}")
    elif kind in ("integer", "long", "float", "double"):
        if "max" in limits and value > limits["max"]:
            yield said(f"have value less than or equal to {limits['max']}")
        if minimums and value < limits.get("min", value):
            yield said(f"have value greater than or equal to {limits['min']}")
