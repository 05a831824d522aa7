"""The walk in docs/architecture.md: its files and functions are there, and a callback token passes them in turn."""

from __future__ import annotations

import ast
import asyncio
import re
import sys
from pathlib import Path

import pytest

from .definitions import callback_step, pipeline
from .fakes import Bench

ROOT = Path(__file__).parents[3]
SECTION = (
    (ROOT / "docs" / "architecture.md").read_text().partition("## A callback token's way")[2].partition("\n## ")[0]
)
HOPS = re.findall(r"^\| (\d+) \| `([^`]+)` \| `([^`]+)` \|", SECTION, re.MULTILINE)


def place(number: str, file: str) -> Path:
    return ROOT / "local_aws" / (file if int(number) < 3 else f"pipelines/{file}")


@pytest.mark.parametrize(("number", "file", "function"), HOPS)
def test_a_hop_is_there(number: str, file: str, function: str) -> None:
    tree = ast.parse(place(number, file).read_text())
    owner, _, name = function.partition(".")
    (body,) = [node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == owner]
    assert name in [node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_a_token_passes_the_hops_in_this_order() -> None:
    """From the orchestrator on; the tests of the API are about the hops before it."""
    walked: list[tuple[str, str]] = []

    def note(frame, event: str, _) -> None:
        if event == "call" and "/local_aws/pipelines/" in frame.f_code.co_filename:
            walked.append((frame.f_code.co_filename.partition("/local_aws/pipelines/")[2], frame.f_code.co_qualname))

    bench = Bench(pipeline(callback_step("W")))

    async def main() -> str:
        execution = await bench.run()
        bench.orchestrator.callbacks.answer(bench.aws.messages[0]["token"], None, "Succeeded", [], None)
        return execution.status

    sys.setprofile(note)
    try:
        status = asyncio.run(main())
    finally:
        sys.setprofile(None)
        bench.close()
    assert status == "Succeeded"
    remaining = iter(walked)
    expected = [(file, function) for number, file, function in HOPS if int(number) > 3 and not file.startswith("api/")]
    assert len(expected) == 6
    for hop in expected:
        assert hop in remaining, f"{hop} is not reached after the one before it"
