"""The kit with the versions that SageMaker Studio's image has: `make test-studio` makes the environment.

The embedded AWS needs a newer botocore, so it runs in the project's own environment, as AWS would: somewhere else.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / "build" / "studio" / "env" / "bin" / "python"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("0*.ipynb"))
OUR_TESTS = ["tests/lambdas", "tests/unit/test_cost.py", "tests/unit/test_config.py", "tests/unit/test_batch_step.py"]
WITHOUT_AN_EMBEDDED_AWS = ["-m", "not slow"]  # Studio's image lacks what it runs on

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def in_studio(aws):
    """Runs a command in Studio's environment, where `target = "local"` finds the embedded AWS."""
    assert PYTHON.exists(), "There is no environment with Studio's versions: `make test-studio` makes it."
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SAGEMAKER_BATCH_")} | {
        "LOCAL_AWS_HOME": str(aws.home),
        "AWS_DEFAULT_REGION": aws.region,  # as in Studio
        "PYTHONPATH": f"{ROOT}:{Path(__file__).parent / 'torch_stand_in'}",
    }

    def run(*arguments, seconds=600):
        done = subprocess.run(
            [PYTHON, *map(str, arguments)], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=seconds
        )
        assert done.returncode == 0, f"{done.stdout[-15_000:]}\n{done.stderr[-5_000:]}"
        return done.stdout

    return run


def test_these_are_studios_versions(in_studio):
    told = in_studio(
        "-c", "import sys, boto3, pandas; print(sys.version_info[:2], boto3.__version__, pandas.__version__)"
    )
    assert told.split("\n")[0] == "(3, 12) 1.43.56 2.3.3"


def test_the_lambdas_and_helpers_pass_their_own_tests(in_studio):
    told = in_studio("-m", "pytest", "-q", "-p", "no:cacheprovider", *OUR_TESTS, *WITHOUT_AN_EMBEDDED_AWS)
    assert int(re.search(r"(\d+) passed", told)[1]) > 100


def test_the_notebooks_run(in_studio, tmp_path):
    in_studio(ROOT / "tests" / "studio" / "run_notebooks.py", tmp_path, *NOTEBOOKS)
    watched = json.loads((tmp_path / "06_monitoring.ipynb").read_text())
    printed = "".join(
        "".join(output.get("text", [])) for cell in watched["cells"] for output in cell.get("outputs", [])
    )
    assert "336,776 flights in 12 months" in printed
    cleaned = (tmp_path / "07_cleanup.ipynb").read_text()
    assert "left behind: nothing" in cleaned


def test_the_definition_is_the_one_that_the_newer_sdk_makes(in_studio, tmp_path):
    """The pipeline of notebook 05, compiled by both SDKs: what SageMaker is given does not depend on the version."""
    compile_it = ROOT / "tests" / "studio" / "definition.py"
    theirs = json.loads(in_studio(compile_it).splitlines()[-1])
    ours = subprocess.run(
        [sys.executable, compile_it],
        cwd=ROOT,
        env=os.environ | {"AWS_DEFAULT_REGION": "us-east-1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert theirs == json.loads(ours.stdout.splitlines()[-1])
