import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

import local_aws


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
