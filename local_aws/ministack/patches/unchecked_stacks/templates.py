"""What is refused of a template before MiniStack works with it: it fails at it, or works without an end.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-formats.html
"""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Iterator
from typing import Any

from local_aws.protocol import ApiError

# What MiniStack raises where a value is not what it takes it for.
UNREADABLE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)

DEEPEST = 100  # objects and lists in each other; each takes some calls of MiniStack's
LONGEST = 51_200  # characters that a function may make: what a whole template of a request may have

# The sections that are objects, and those whose members are.
_SECTIONS = ("Parameters", "Mappings", "Conditions", "Resources", "Outputs", "Metadata", "Rules")
_OF_OBJECTS = ("Parameters", "Mappings", "Resources", "Outputs")
_TEXTS = {
    "Parameters": ("Type", "Description", "AllowedPattern", "ConstraintDescription"),
    "Resources": ("Type", "Condition", "DeletionPolicy", "UpdateReplacePolicy"),
    "Outputs": ("Description", "Condition"),
}
_OBJECTS = {"Resources": ("Properties", "Metadata"), "Outputs": ("Export",)}


def apply() -> None:
    """Refuse YAML's aliases, too many brackets in each other, and texts that functions make longer and longer.

    A template is read once: PyYAML needs a second and more for a large one. `check` does that, in a thread. The handler
    of the request then runs on the event loop, and takes what was read.
    """
    from ministack.services.cloudformation import changesets, engine, handlers

    read = functools.lru_cache(maxsize=8)(engine._parse_template)

    @functools.wraps(engine._parse_template)
    def read_once(text: str) -> dict[str, Any]:
        return copy.deepcopy(read(text))  # MiniStack changes what it gets

    engine._parse_template = changesets._parse_template = handlers._parse_template = read_once
    loader = engine.CfnLoader
    compose, start, resolve = loader.compose_node, loader.fetch_flow_collection_start, engine._resolve_refs

    def without_aliases(loader: Any, parent: Any, index: Any) -> Any:
        """An alias can stand for an alias, and so on. AWS has none, either (the page above, "YAML")."""
        if loader.check_event(engine.yaml.AliasEvent):
            raise ValueError("YAML aliases are not allowed in CloudFormation templates")
        return compose(loader, parent, index)

    def within_depth(loader: Any, token: Any) -> None:
        """YAML's scanner needs minutes for some thousand brackets in each other."""
        if loader.flow_level >= DEEPEST:
            raise ValueError(f"objects and lists are nested more than {DEEPEST} deep")
        start(loader, token)

    @functools.wraps(resolve)
    def within_bounds(*arguments: Any) -> Any:
        value = resolve(*arguments)
        if isinstance(value, str) and len(value) > LONGEST and not isinstance(arguments[0], str):
            raise ValueError(f"Template error: a function makes a text of more than {LONGEST} characters.")
        return value

    loader.compose_node, loader.fetch_flow_collection_start = without_aliases, within_depth
    engine._resolve_refs = within_bounds


def check(text: str) -> None:
    """Refuse a template that is no template.

    Raises:
        ApiError: ValidationError, with the place in the template.
    """
    from ministack.services.cloudformation import engine

    try:
        template = engine._parse_template(text)
    except (*UNREADABLE, engine.yaml.YAMLError) as error:
        raise _malformed(str(error) or "it can't be read") from None
    for problem in (*_of_values(template), *_of_sections(template)):
        raise _malformed(problem)


def _malformed(why: str) -> ApiError:
    return ApiError("ValidationError", f"Template format error: {why}")


def _of_values(template: dict[str, Any]) -> Iterator[str]:
    """What no template may have anywhere."""
    waiting: list[tuple[str, Any, int]] = [("", template, 1)]
    while waiting:
        at, value, depth = waiting.pop()
        if value is None:
            yield f"[{at}] 'null' values are not allowed in templates"
        elif not isinstance(value, dict | list | str | int | float):
            yield f"[{at}] is of a kind of YAML's that templates don't have"
        elif isinstance(value, str) and not _is_text(value):
            yield f"[{at}] has half a character"
        if depth > DEEPEST:
            yield f"[{at[:200]}] is inside more than {DEEPEST} objects and lists"
        if isinstance(value, dict):
            for key, item in value.items():
                if not isinstance(key, str) or not _is_text(key):
                    yield f"[{at}] has the key {key!r}, which is not a string. Put it in quotes"
                elif key in ("Transform", "Fn::Transform"):
                    yield "the embedded AWS has no transforms. Write out what they would make"
                else:
                    waiting.append((f"{at}/{key}", item, depth + 1))
        elif isinstance(value, list):
            waiting += [(f"{at}/{index}", item, depth + 1) for index, item in enumerate(value)]


def _is_text(value: str) -> bool:
    return not re.search("[\ud800-\udfff]", value)


def _of_sections(template: dict[str, Any]) -> Iterator[str]:
    """What the sections must be."""
    if not isinstance(template.get("Description", ""), str):
        yield "Description must be a string"
    for section in _SECTIONS:
        members = template.get(section, {})
        if not isinstance(members, dict):
            yield f"{section} must be an object"
        elif section in _OF_OBJECTS:
            for name, member in members.items():
                yield from _of_member(section, name, member)


def _of_member(section: str, name: str, member: Any) -> Iterator[str]:
    if not isinstance(member, dict):
        yield f"[/{section}/{name}] Every {section} member must be an object."
        return
    for key in _TEXTS.get(section, ()):
        if not isinstance(member.get(key, ""), str):
            yield f"[/{section}/{name}/{key}] must be a string"
    for key in _OBJECTS.get(section, ()):
        if not isinstance(member.get(key, {}), dict):
            yield f"[/{section}/{name}/{key}] must be an object"
    names = member.get("DependsOn", []) if section == "Resources" else []
    if not isinstance(names, str) and not (isinstance(names, list) and all(isinstance(one, str) for one in names)):
        yield f"[/{section}/{name}/DependsOn] must be a string or a list of strings"
    if section == "Resources" and "Type" not in member:
        yield f"[/Resources/{name}] Every Resources object must contain a Type member."
    if section == "Mappings" and not all(isinstance(values, dict) for values in member.values()):
        yield f"[/Mappings/{name}] Every Mappings attribute must be an object."
