"""docs/batch_step.md is held to BatchStep's signature and outputs, which it lists."""

import ast
import re
from pathlib import Path

from utils.batch_step_json import WAIT_OUTPUTS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "batch_step.md").read_text()
TAKEN_HOME = ("batch_step", "batch_step_json", "batch_step_options")


def table(heading):
    """The cells of the rows below a heading, but the first row, which names the columns."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [re.split(r" *\| *", line.strip("| ")) for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip("`") for cell in row] for row in rows]


def module(name):
    return ast.parse((ROOT / "utils" / f"{name}.py").read_text())


def test_the_page_has_every_argument_with_its_default():
    (step,) = [
        each for each in module("batch_step").body if isinstance(each, ast.ClassDef) and each.name == "BatchStep"
    ]
    (make,) = [each for each in step.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"]
    given = zip(make.args.kwonlyargs, make.args.kw_defaults, strict=True)
    words = {None: "required", "None": "none"}
    signature = {"name": "required"}
    for argument, default in given:
        written = default and ast.unparse(default)
        signature[argument.arg] = words.get(written, written)
    assert {row[0]: row[2] for row in table("Arguments")} == signature


def test_the_page_has_every_output_with_its_type():
    assert {row[0]: row[1] for row in table("Outputs")} == WAIT_OUTPUTS


def test_what_is_taken_home_needs_no_other_module_of_utils():
    for name in TAKEN_HOME:
        assert f"`{name}.py`" in PAGE
        imports = [each for each in ast.walk(module(name)) if isinstance(each, ast.ImportFrom) and each.level]
        assert {each.module for each in imports} <= set(TAKEN_HOME)
