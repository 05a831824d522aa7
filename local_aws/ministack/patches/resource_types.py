"""Which resources an action is about, by AWS's Service Authorization Reference.

https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
`iam_resource_types.json` has it for the services of the embedded AWS; tests/local_aws/test_simulator.py keeps it.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

REFERENCE = Path(__file__).parents[2] / "iam_resource_types.json"


def is_known(action: str) -> bool:
    """Whether the action exists. Of a service that is not in the reference, any may."""
    service, _, name = action.partition(":")
    return service not in _reference() or name in _reference()[service]["actions"]


def fits(action: str, arn: str) -> bool:
    """Whether an ARN is of one of the action's resource types; "*" is of all, and an unknown action asks nothing."""
    service = action.partition(":")[0]
    if arn == "*" or service not in _reference() or not is_known(action):
        return True
    return any(pattern.fullmatch(arn) for pattern in _patterns(action))


@cache
def _reference() -> dict[str, Any]:
    return json.loads(REFERENCE.read_text())


@cache
def _patterns(action: str) -> list[re.Pattern[str]]:
    service, _, name = action.partition(":")
    formats = _reference()[service]["types"]
    # A bucket's action fits an object's ARN and the other way round, as recorded.
    same = {"object": "bucket"} if service == "s3" else {}
    return [_pattern(formats[same.get(type_, type_)]) for type_ in _reference()[service]["actions"][name]]


def _pattern(format_: str) -> re.Pattern[str]:
    """A type's ARN format such as arn:${Partition}:batch:${Region}:${Account}:job/${JobId} as a regular expression."""
    parts = re.split(r"\$\{(\w+)\}", format_)
    names = ["[^:]*" if name in ("Partition", "Region", "Account") else ".+" for name in parts[1::2]]
    literals = [re.escape(part) for part in parts[::2]]
    return re.compile("".join(a + b for a, b in zip(literals, [*names, ""], strict=True)))
