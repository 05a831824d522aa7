"""The notebooks of going_further as a reader goes through them, after the tutorial or without it."""

import pytest
from person import NOTEBOOKS, ROOT
from whole_notebook import run_and_look


@pytest.fixture(scope="module")
def lab(start_lab):
    return start_lab(ROOT)  # as `make lab`


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if not path.stem[0].isdigit()], ids=lambda path: path.stem)
def test_a_reader_runs_it(path, lab, browser):
    run_and_look(path, lab, browser)
