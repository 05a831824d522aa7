"""Each notebook of going_further, run by itself, gives the outputs it was saved with."""

from pathlib import Path

import pytest

FURTHER = sorted((Path(__file__).resolve().parents[2] / "notebooks" / "going_further").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize("notebook", FURTHER, ids=lambda path: path.stem)
def test_a_notebook_of_going_further_gives_its_saved_outputs_again(nbval, notebook):
    nbval(notebook)
