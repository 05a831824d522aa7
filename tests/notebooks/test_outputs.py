"""Which notebooks `make outputs ARGS="..."` saves."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STEMS = [path.stem for path in sorted((ROOT / "notebooks").rglob("[!.]*.ipynb")) if path.parent.name[0] != "."]


@pytest.fixture
def outputs():
    spec = importlib.util.spec_from_file_location("outputs", ROOT / ".ci" / "outputs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("names", "saved"),
    [
        ([], set(STEMS)),
        (["03"], {"03_lambdas"}),
        (["05"], {"05_pipeline_build", "06_monitoring"}),
        (["06"], {"05_pipeline_build", "06_monitoring"}),
        (["array", "01"], {"array_jobs", "01_iam"}),
    ],
)
def test_those_that_are_named_are_saved_and_the_two_that_show_one_run_together(outputs, names, saved):
    assert len(STEMS) == 11
    assert outputs.wanted(names, STEMS) == saved
