"""Every notebook, run again, gives the outputs it was saved with."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTEST = (
    "--nbval --nbval-sanitize-with=tests/notebooks/sanitize.cfg --nbval-cell-timeout=300 "
    "--maxfail=3 -q --no-header -p no:cacheprovider notebooks"
)


@pytest.mark.slow
def test_the_notebooks_give_their_saved_outputs_again(own_aws):
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *PYTEST.split()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=1800,  # a slow machine is no fault of the notebooks
    )
    assert run.returncode == 0, f"{run.stdout[-20_000:]}\n{run.stderr}"
