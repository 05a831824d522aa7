"""The functions' code is in modules that are short, need nothing but boto3, and hide no other module."""

import ast
import doctest
import sys
from pathlib import Path

import pytest
from fake_aws import LAMBDA_CODE, load_lambda

MODULES = sorted(LAMBDA_CODE.glob("*/*.py"))
named = pytest.mark.parametrize("path", MODULES, ids=lambda path: f"{path.parent.name}/{path.name}")


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in names}


@named
def test_a_module_is_short(path):
    limit = 80 if path.name == "lambda_function.py" and path.parent.name in ("submit_jobs", "check_jobs") else 200
    assert len(path.read_text().splitlines()) <= limit


@named
def test_a_module_needs_nothing_but_boto3(path):
    own = {module.stem for module in path.parent.glob("*.py")}
    assert imported(path) <= own | {"boto3", "botocore"} | sys.stdlib_module_names


@named
def test_a_module_hides_none_of_pythons_or_boto3s(path):
    needed_by_boto3 = {"boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six", "urllib3"}
    assert path.stem not in sys.stdlib_module_names | needed_by_boto3


def test_the_decision_is_reached_without_calls():
    """So that it can be shown in a notebook and tried on examples: what it imports, boto3 is not among."""
    to_see, seen = ["decision"], set()
    while to_see:
        name = to_see.pop()
        seen.add(name)
        path = LAMBDA_CODE / "check_jobs" / f"{name}.py"
        to_see += [] if not path.exists() else imported(path) - seen
    assert "boto3" not in seen | {name.partition(".")[0] for name in seen}
    assert not seen & {"botocore", "os", "time", "aws", "log", "settings"}


def test_the_decisions_example_is_right():
    check = load_lambda("check_jobs")
    example = doctest.DocTestFinder().find(check["decision"], "decision")[0]
    sys.modules.update({name: check[name] for name in ("decision", "model")})
    try:
        results = doctest.DocTestRunner().run(example)
    finally:
        for name in ("decision", "model"):
            del sys.modules[name]
    assert (results.attempted, results.failed) == (4, 0)
