"""The expressions of a pipeline definition, with what they refer to and their values in an execution.

An expression is an object with exactly one of the keys `Get`, `Std:Join` and `Std:JsonGet`, wherever a value may stand:
https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-properties.html. The SDK writes nothing else
(`sagemaker.core.workflow`: Parameter, ExecutionVariable, Properties, Join, JsonGet, CurrentItem, IterationOutput).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

GET, JOIN, JSON_GET = "Get", "Std:Join", "Std:JsonGet"
_FUNCTIONS = {GET, JOIN, JSON_GET}

EXECUTION_VARIABLES = (
    "StartDateTime",
    "CurrentDateTime",
    "PipelineName",
    "PipelineArn",
    "PipelineExecutionId",
    "PipelineExecutionArn",
    "TrainingJobName",
    "ProcessingJobName",
)


class ExpressionError(ValueError):
    """An expression that is malformed, or that has no value in this execution. The message is one sentence."""


def load_json(text: str | bytes) -> Any:
    """Parse JSON as its standard has it: Python's own parser takes NaN and infinities too.

    Raises:
        ValueError: the text is not JSON.
    """
    return json.loads(text, parse_constant=_refuse, parse_float=_finite)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large a number")
    return number


@dataclass(frozen=True)
class Path:
    """A `Get` path taken apart: `Steps.A.Outputs['x'].Uri` is root "Steps", name "A", keys ("Outputs", "x", "Uri")."""

    text: str
    root: str
    name: str
    keys: tuple[str | int, ...]


_TOKEN = re.compile(r"\.?([^.\[\]'\"]+)|\[(\d+)\]|\['([^']*)'\]|\[\"([^\"]*)\"\]")


def parse_path(text: Any) -> Path:
    """Take a `Get` path apart.

    Raises:
        ExpressionError: the path is no string, or not of the form Root.Name.member['key'][0].
    """
    if not isinstance(text, str) or not text:
        raise ExpressionError(f"a Get expression needs a path, not {json.dumps(text)}")
    parts: list[str | int] = []
    position = 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        if not token or (position == 0 and text[0] in ".["):
            raise ExpressionError(f"{text!r} is not a path like Parameters.Name or Steps.Name.Property")
        member, index, single, double = token.groups()
        parts.append(int(index) if index is not None else next(p for p in (member, single, double) if p is not None))
        position = token.end()
    if len(parts) < 2 or not all(isinstance(part, str) for part in parts[:2]):
        raise ExpressionError(f"{text!r} is not a path like Parameters.Name or Steps.Name.Property")
    return Path(text, str(parts[0]), str(parts[1]), tuple(parts[2:]))


def is_expression(value: Any) -> bool:
    """Whether a value of a definition is an expression rather than a literal."""
    return isinstance(value, dict) and len(value) == 1 and next(iter(value)) in _FUNCTIONS


def paths(value: Any) -> Iterator[Path]:
    """Every path a value refers to, at any depth.

    Raises:
        ExpressionError: an expression is malformed.
    """
    if is_expression(value):
        (function, argument), *_ = value.items()
        if function == GET:
            yield parse_path(argument)
        elif function == JOIN:
            yield from _join_paths(argument)
        else:
            yield from _json_get_paths(argument)
    elif isinstance(value, dict):
        for item in value.values():
            yield from paths(item)
    elif isinstance(value, list):
        for item in value:
            yield from paths(item)


def _join_paths(argument: Any) -> Iterator[Path]:
    if (
        not isinstance(argument, dict)
        or set(argument) - {"On", "Values"}
        or not isinstance(argument.get("Values"), list)
        or not isinstance(argument.get("On", ""), str)
    ):
        raise ExpressionError("Std:Join needs a list Values and may have a string On")
    for item in argument["Values"]:
        if not (is_expression(item) or isinstance(item, str | int | float)):
            raise ExpressionError("Std:Join can join strings, numbers, booleans and expressions only")
        yield from paths(item)


def _json_get_paths(argument: Any) -> Iterator[Path]:
    if (
        not isinstance(argument, dict)
        or set(argument) not in ({"PropertyFile", "Path"}, {"S3Uri", "Path"})
        or not isinstance(argument["Path"], str)
    ):
        raise ExpressionError("Std:JsonGet needs a string Path, and either PropertyFile or S3Uri")
    if "PropertyFile" in argument:
        source = argument["PropertyFile"]
        if not isinstance(source, dict) or set(source) != {GET}:
            raise ExpressionError("the PropertyFile of Std:JsonGet must be a Get expression")
        path = parse_path(source[GET])
        if path.root != "Steps" or len(path.keys) != 2 or path.keys[0] != "PropertyFiles":
            raise ExpressionError(f"{path.text!r} is not a path like Steps.Name.PropertyFiles.FileName")
        yield path
    else:
        if any(json_gets(argument["S3Uri"])):
            raise ExpressionError("the S3Uri of Std:JsonGet can't hold another Std:JsonGet")
        yield from paths(argument["S3Uri"])


def json_gets(value: Any) -> Iterator[dict[str, Any]]:
    """Every Std:JsonGet argument in a value. Their documents are on S3 and must be read before resolving."""
    if is_expression(value) and JSON_GET in value:
        yield value[JSON_GET]
    elif isinstance(value, dict):
        for item in value.values():
            yield from json_gets(item)
    elif isinstance(value, list):
        for item in value:
            yield from json_gets(item)


def resolve(value: Any, lookup: Callable[[Path], Any], read_json: Callable[[dict[str, Any]], Any]) -> Any:
    """Replace every expression in a value by what it stands for.

    Args:
        lookup: returns the value of a path. Raises ExpressionError where it has none.
        read_json: the parsed JSON document that a Std:JsonGet argument names.

    Raises:
        ExpressionError: an expression has no value in this execution.
    """
    if is_expression(value):
        (function, argument), *_ = value.items()
        if function == GET:
            return lookup(parse_path(argument))
        if function == JOIN:
            items = (resolve(item, lookup, read_json) for item in argument["Values"])
            return argument.get("On", "").join(to_text(item) for item in items)
        return _json_path(read_json(argument), argument["Path"])
    if isinstance(value, dict):
        return {key: resolve(item, lookup, read_json) for key, item in value.items()}
    if isinstance(value, list):
        return [resolve(item, lookup, read_json) for item in value]
    return value


def to_text(value: Any) -> str:
    """A value as the string that output parameters and Std:Join carry: JSON, but strings as they are."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def drill(value: Any, keys: tuple[str | int, ...], text: str) -> Any:
    """The member of nested lists and maps that `keys` leads to.

    A list of named structures (Outputs['train'] of a processing job) is indexed by the name, as in the SDK.

    Raises:
        ExpressionError: there is no such member.
    """
    for key in keys:
        if isinstance(value, list) and isinstance(key, str):
            named = [item for item in value if isinstance(item, dict) and key in _names(item)]
            inner = named[0] if named else None
        elif isinstance(value, dict):
            inner = value.get(str(key))
        elif isinstance(value, list):
            inner = value[key] if isinstance(key, int) and key < len(value) else None
        else:
            inner = None
        if inner is None:
            raise ExpressionError(f"{text!r} has no value in this execution")
        value = inner
    return value


def _names(item: dict[str, Any]) -> list[Any]:
    return [value for key, value in item.items() if key in ("OutputName", "InputName")]


def _json_path(document: Any, path: str) -> Any:
    """The member of a JSON document at a path like `metrics.mse.value` or `results[0].score`."""
    keys: list[str | int] = []
    position = 0
    while position < len(path):
        token = _TOKEN.match(path, position)
        if not token:
            raise ExpressionError(f"{path!r} is not a JSON path like metrics.value or results[0].score")
        member, index, single, double = token.groups()
        if member != "$":
            keys.append(int(index) if index is not None else next(p for p in (member, single, double) if p is not None))
        position = token.end()
    return drill(document, tuple(keys), path)
