import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest

import local_aws

ROOT = Path(__file__).resolve().parents[2]
NBVAL = (
    "--nbval --nbval-sanitize-with=tests/notebooks/sanitize.cfg --nbval-cell-timeout=300 "
    "--maxfail=3 -q --no-header -p no:cacheprovider"
)


@pytest.fixture
def own_aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[local_aws.ServerInfo]:
    """An embedded AWS for this test alone, which the notebooks' kernels find; nothing else steers them."""
    for name in [name for name in os.environ if name.startswith("SAGEMAKER_BATCH_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # connecting sets it
    home = tmp_path / "aws"
    monkeypatch.setenv("LOCAL_AWS_HOME", str(home))
    yield local_aws.start(port=0, home=home)
    local_aws.stop(home)


@pytest.fixture
def notebooks() -> Path:
    return ROOT / "notebooks"


@pytest.fixture
def nbval(own_aws: local_aws.ServerInfo) -> Callable[..., None]:
    """Runs notebooks in their order on an embedded AWS of their own, and compares each cell's output."""

    def run(*paths: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *NBVAL.split(), *map(str, paths)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=1800,  # a slow machine is no fault of the notebooks
        )
        assert done.returncode == 0, f"{done.stdout[-20_000:]}\n{done.stderr}"

    return run
