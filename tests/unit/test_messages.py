"""An error message has a sentence for what is wrong, and another for what to do."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRODUCT = ("utils", "local_aws", "lambda_code", "deploy")


def joined(source: str) -> Iterator[str]:
    """The texts of errors that are raised with two sentences joined by a semicolon."""
    for statement in ast.walk(ast.parse(source)):
        if isinstance(statement, ast.Raise):
            for node in ast.walk(statement):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.search(r"; \w", node.value):
                    yield node.value


def test_no_error_joins_two_sentences_by_a_semicolon():
    files = [path for folder in PRODUCT for path in sorted((ROOT / folder).rglob("*.py"))]
    assert len(files) > 250
    assert {str(path.relative_to(ROOT)): texts for path in files if (texts := [*joined(path.read_text())])} == {}


def test_one_that_does_is_seen():
    assert list(joined("if x:\n    raise ValueError(f'{x} is full; make room')")) == [" is full; make room"]
    assert list(joined("raise ValueError('; '.join(missing))")) == []
