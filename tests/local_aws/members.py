"""The request members that botocore's model gives an AWS operation, for tests that each is honoured, listed or refused.

A member is written as its path in the request. `[]` stands for each item of a list, `{}` for each value of a map of
structures: `containerProperties.environment[].name`. Maps of plain values are one member, `tags`.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Iterable, Iterator
from typing import Any

import botocore.session
from botocore.model import Shape

_PLAIN: dict[str, Any] = {
    "boolean": True, "float": 1.0, "double": 1.0, "blob": b"x", "timestamp": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
}  # fmt: skip


@functools.cache
def _model(service: str) -> Any:
    return botocore.session.Session().get_service_model(service)


def members(service: str, operation: str) -> list[str]:
    """The path of every member of an operation's request that holds a value of its own.

    Args:
        service: botocore's name of the service, such as "batch".
        operation: the operation's name, such as "SubmitJob".

    Returns:
        The paths, in the model's order. A structure that contains itself is followed once.
    """
    shape = _model(service).operation_model(operation).input_shape
    return list(_walk(shape, "", ())) if shape else []


def _walk(shape: Shape, path: str, outer: tuple[str, ...]) -> Iterator[str]:
    kind = shape.type_name
    if kind == "structure" and shape.members and shape.name not in outer:
        for name, member in shape.members.items():
            yield from _walk(member, f"{path}.{name}" if path else name, (*outer, shape.name))
    elif kind == "list":
        yield from _walk(shape.member, f"{path}[]", outer)
    elif kind == "map" and shape.value.type_name in ("structure", "list"):
        yield from _walk(shape.value, f"{path}{{}}", outer)
    else:
        yield path


def covers(declared: str, path: str) -> bool:
    """Whether a declared path is this member, or something that contains it: `volumes` covers `volumes[].name`."""
    return path == declared or (path.startswith(declared) and path[len(declared)] in ".[{")


def uncovered(service: str, operation: str, declared: Iterable[str]) -> list[str]:
    """The members of an operation's request that no declared path covers."""
    declared = list(declared)
    return [path for path in members(service, operation) if not any(covers(one, path) for one in declared)]


def with_member(service: str, operation: str, path: str, base: dict[str, Any]) -> dict[str, Any]:
    """A copy of the request `base` that has the member `path` too, with a value that the model allows.

    Structures on the way get the members that the model requires. An item of a list joins the first item of `base`'s.
    """
    return _with(_model(service).operation_model(operation).input_shape, re.findall(r"\w+|\[\]|\{\}", path), base)


def _with(shape: Shape, steps: list[str], base: Any) -> Any:
    if not steps:
        return sample(shape)
    step, *rest = steps
    if step == "[]":
        first, *others = base or [None]
        return [_with(shape.member, rest, first), *others]
    if step == "{}":
        key, value = next(iter((base or {}).items()), ("key", None))
        return {**(base or {}), key: _with(shape.value, rest, value)}
    base = sample(shape) if base is None else base
    return {**base, step: _with(shape.members[step], rest, base.get(step))}


def sample(shape: Shape) -> Any:
    """A small value of a shape: what is required, the first of an enumeration, the least number."""
    kind = shape.type_name
    if kind == "structure":
        return {name: sample(shape.members[name]) for name in shape.required_members}
    if kind == "list":
        return [sample(shape.member)]
    if kind == "map":
        return {sample(shape.key): sample(shape.value)}
    if kind == "string":
        return (getattr(shape, "enum", None) and shape.enum[0]) or "x" * max(1, shape.metadata.get("min", 1))
    if kind in ("integer", "long"):
        return max(1, shape.metadata.get("min", 1))
    return _PLAIN[kind]
