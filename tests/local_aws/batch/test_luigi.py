"""Luigi's Batch client, where Luigi is installed or `uv` can bring it (LUIGI=1 asks for that; it takes the network)."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import World

SCRIPT = Path(__file__).with_name("try_luigi.py")


def interpreter() -> list[str] | None:
    if importlib.util.find_spec("luigi"):
        return [sys.executable]
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if os.environ.get("LUIGI") and uv:
        return [uv, "run", "--no-project", "--with", "luigi==3.8.1", "--with", "boto3", "python"]
    return None


@pytest.mark.slow
@pytest.mark.skipif(interpreter() is None, reason="luigi is not installed (LUIGI=1 lets uv bring it)")
def test_luigi(world: World, queue: str) -> None:
    command = [*interpreter(), str(SCRIPT), world.aws.endpoint_url, world.execution_role]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith(": ok")
