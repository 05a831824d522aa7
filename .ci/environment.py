"""Write environment.yml from pyproject.toml; part of `make lock`. tests/unit/test_pins.py checks that it was done."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEAD = """\
# The conda environment: Python as in SageMaker Studio's image, and the same pins as pyproject.toml (by `make lock`).
#   conda env create -f environment.yml && conda activate sagemaker-batch
name: sagemaker-batch
channels:
  - conda-forge
dependencies:
  - python=3.12
  - pip
  - pip:
"""

groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
pins = [*groups["pinned"], *groups["dev"], "--editable ."]
(ROOT / "environment.yml").write_text(HEAD + "".join(f"      - {pin}\n" for pin in pins))
