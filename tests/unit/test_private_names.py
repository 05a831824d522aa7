"""Tests prove behaviour: they use no private name of the product, so that its insides can change."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PRODUCT = ("utils", "local_aws", "lambda_code", "job_code")


def private_names(source: str) -> Iterator[str]:
    """Private names that a test imports from the product, reads from one of its modules, or patches there."""
    tree = ast.parse(source)
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in PRODUCT:
            modules |= {alias.asname or alias.name for alias in node.names}
            yield from (alias.name for alias in node.names if is_private(alias.name))
        elif isinstance(node, ast.Import):
            modules |= {alias.asname or alias.name for alias in node.names if alias.name.split(".")[0] in PRODUCT}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and ast.unparse(node.value) in modules:
            yield ast.unparse(node)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("setattr", "getattr")) and node.args:
            where, what = [*[str(getattr(each, "value", "")) for each in node.args[:2]], ""][:2]
            if ast.unparse(node.args[0]) in modules and is_private(what):
                yield f"{ast.unparse(node.args[0])}.{what}"
            elif where.split(".")[0] in PRODUCT and is_private(where.rpartition(".")[2]):
                yield where


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


@pytest.mark.parametrize(
    "source",
    [
        "from utils.session import _Embedded",
        "from utils import data\ndata._tag_list({})",
        "import local_aws\nlocal_aws._listen(0)",
        "from utils import data\nmonkeypatch.setattr(data, '_tags', 1)",
        "monkeypatch.setattr('utils.data._tags', 1)",
    ],
)
def test_a_private_name_is_seen(source):
    assert list(private_names(source))


def test_no_test_uses_a_private_name_of_the_product():
    used = {
        f"{path.relative_to(TESTS)}: {name}"
        for path in TESTS.rglob("*.py")
        if path != Path(__file__)
        for name in private_names(path.read_text())
    }
    assert used == set()
