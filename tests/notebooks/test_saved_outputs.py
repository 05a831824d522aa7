"""The seven notebooks, run again one after another, give the outputs they were saved with."""

import pytest


@pytest.mark.slow
def test_the_seven_notebooks_give_their_saved_outputs_again(nbval, notebooks):
    nbval(*sorted(notebooks.glob("0*.ipynb")))
