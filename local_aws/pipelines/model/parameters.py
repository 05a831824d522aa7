"""The parameters of a pipeline, and the types that parameters and outputs have."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from local_aws.pipelines.model.expressions import load_json, to_text
from local_aws.pipelines.model.refusals import NOT_AN_ARRAY, DefinitionError

MAX_PARAMETERS = 200
# A String parameter's default and a parameter's description, by the schema; StartPipelineExecution takes 1,024.
MAX_DEFAULT_CHARACTERS = 4096
PYTHON_TYPES: dict[str, type | tuple[type, ...]] = {
    "String": str,
    "Integer": int,
    "Boolean": bool,
    "Float": (int, float),
}

_NAME = re.compile(r"[A-Za-z0-9\-_]{1,256}")
_INTEGER = re.compile(r"-?[0-9]+")


@dataclass(frozen=True)
class Parameter:
    """A pipeline parameter. `default` is None when a value must be given at the start."""

    name: str
    type: str
    default: Any = None
    enum: tuple[str, ...] = ()

    def value(self, text: str) -> Any:
        """The typed value of what StartPipelineExecution was given.

        Raises:
            DefinitionError: the text is no value of the parameter's type, or not one of its enumeration.
        """
        value = typed(text, self.type)
        if value is None:
            raise DefinitionError(f"Parameter {self.name} must be of type {self.type}, not {text!r}.")
        if self.enum and value not in self.enum:
            raise DefinitionError(f"Parameter {self.name} must be one of {', '.join(self.enum)}, not {text!r}.")
        return value


def typed(value: Any, kind: str) -> Any:
    """`value`, or the text of one, as a value of an output's or parameter's type. None when it is no such value.

    A String takes anything: nested values become one JSON string, as AWS documents for step outputs.
    """
    if kind == "String":
        return to_text(value)
    if kind == "Boolean":
        if isinstance(value, str):
            return {"true": True, "false": False}.get(value.lower())
        return value if isinstance(value, bool) else None
    if isinstance(value, str):
        value = _number(value, kind)
    return _as_number(value, kind)


def _number(text: str, kind: str) -> Any:
    # AWS does not say whether "1.0", "1e0" or " 1" is an integer; who sends "1" is right either way.
    if (kind == "Integer" and not _INTEGER.fullmatch(text)) or text != text.strip():
        return None
    try:
        return load_json(text)
    except ValueError:
        return None


def _as_number(value: Any, kind: str) -> int | float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None  # an integer beyond any float
    if not math.isfinite(number):
        return None
    if kind == "Float":
        return number
    return int(value) if value == int(value) else None


def parse(listed: Any) -> dict[str, Parameter]:
    """Read and check the Parameters of a definition, and return them by name.

    Raises:
        DefinitionError: one is wrong, or named twice.
    """
    if not isinstance(listed, list):
        raise DefinitionError(f"Parameters must be a list of at most {MAX_PARAMETERS} parameters.", NOT_AN_ARRAY)
    if len(listed) > MAX_PARAMETERS:
        raise DefinitionError(f"Parameters must be a list of at most {MAX_PARAMETERS} parameters.")
    parameters: dict[str, Parameter] = {}
    for item in listed:
        parameter = _parse_one(item)
        if parameter.name in parameters:
            raise DefinitionError(f"Parameter {parameter.name} is defined twice.")
        parameters[parameter.name] = parameter
    return parameters


def _parse_one(item: Any) -> Parameter:
    name = item.get("Name") if isinstance(item, dict) else None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise DefinitionError(f"Parameter name {name!r} must be 1 to 256 letters, digits, hyphens and underscores.")
    if unknown := sorted(set(item) - {"Name", "Type", "DefaultValue", "Description", "EnumValues"}):
        raise DefinitionError(f"Parameter {name} has no property {', '.join(unknown)}.")
    description = item.get("Description", "")
    if not isinstance(description, str) or len(description) > MAX_DEFAULT_CHARACTERS:
        limit = f"{MAX_DEFAULT_CHARACTERS:,} characters"
        raise DefinitionError(f"The Description of parameter {name} must be a string of at most {limit}.")
    kind, default, enum = item.get("Type", "String"), item.get("DefaultValue"), item.get("EnumValues") or []
    if not isinstance(kind, str) or kind not in PYTHON_TYPES:
        raise DefinitionError(f"Parameter {name} has type {kind!r}. It must be String, Integer, Boolean or Float.")
    _check_default(name, kind, default)
    if not isinstance(enum, list) or not all(isinstance(value, str) for value in enum) or (enum and kind != "String"):
        raise DefinitionError(f"EnumValues of parameter {name} must be a list of strings, for a String parameter.")
    if enum and default is not None and default not in enum:
        raise DefinitionError(f"The default of parameter {name} must be one of {', '.join(enum)}, not {default!r}.")
    return Parameter(name, kind, default, tuple(enum))


def _check_default(name: str, kind: str, default: Any) -> None:
    if default is None:
        return
    if not isinstance(default, PYTHON_TYPES[kind]) or (isinstance(default, bool) and kind != "Boolean"):
        raise DefinitionError(f"The default of parameter {name} must be of type {kind}, not {default!r}.")
    if isinstance(default, str) and len(default) > MAX_DEFAULT_CHARACTERS:
        raise DefinitionError(f"The default of parameter {name} is over {MAX_DEFAULT_CHARACTERS:,} characters.")
