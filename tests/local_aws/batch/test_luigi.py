"""Luigi's Batch client, written for AWS, in a process of its own (it sets up logging for the whole of one)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import World

SCRIPT = Path(__file__).with_name("try_luigi.py")


@pytest.mark.slow
def test_luigi(world: World, queue: str) -> None:
    command = [sys.executable, str(SCRIPT), world.aws.endpoint_url, world.execution_role]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith(": ok")
