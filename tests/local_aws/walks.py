"""The walks in docs/architecture.md: tables of hops, each a file and a function."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRODUCT = ROOT / "local_aws"
Hop = tuple[str, str]


def hops(heading: str) -> list[Hop]:
    """(file below local_aws/, function) of each hop in a section's table, in its order."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    section = page.partition(f"## {heading}")[2].partition("\n## ")[0]
    return re.findall(r"^\| \d+ \| `([^`]+)` \| `([^`]+)` \|", section, re.MULTILINE)


def is_there(hop: Hop) -> bool:
    """Whether the file has this method of this class."""
    file, (owner, _, name) = hop[0], hop[1].partition(".")
    classes = [node for node in ast.parse((PRODUCT / file).read_text()).body if isinstance(node, ast.ClassDef)]
    methods = [node for each in classes if each.name == owner for node in each.body]
    return name in [node.name for node in methods if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def first_missing(expected: Iterable[Hop], walked: Iterable[Hop]) -> Hop | None:
    """The first hop that is not reached after the one before it, or None."""
    remaining = iter(walked)
    return next((hop for hop in expected if hop not in remaining), None)
