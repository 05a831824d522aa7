"""`make tutorial`, killed in each of its notebooks, goes on with --from and ends as if nothing had been."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import run_inline

import local_aws

pytestmark = [pytest.mark.slow, pytest.mark.thorough]

ROOT = Path(__file__).parents[2]
RUN = """
import pathlib, sys
from utils.runner import kernels
from utils.runner.tutorial import main
kernels.AHEAD = 1  # a killed run has little use for those it has started
sys.exit(main(sys.argv[2:], outputs=pathlib.Path(sys.argv[1])))
"""


def run(home: Path, first: str) -> subprocess.Popen[str]:
    """The runner as `make tutorial` starts it, from this notebook on."""
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(home / "outputs"), "--prefix", "sagemaker-killed", "--from", first],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=0, cwd=ROOT,
        env=os.environ | {"LOCAL_AWS_HOME": str(home), "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip


def kill_in(process: subprocess.Popen[str], notebook: str) -> None:
    """Kill -9, in the middle of this notebook. Its kernel goes with it."""
    said = ""
    while notebook not in said:
        character = process.stdout.read(1)
        assert character, f"ended before {notebook}:\n{said}"
        said += character
    time.sleep(0.7)
    process.kill()
    process.communicate()


def test_killed_in_every_notebook_it_is_resumed(tmp_path: Path) -> None:
    local_aws.start(port=0, home=tmp_path)
    try:
        stems = [notebook.stem for notebook in run_inline.NOTEBOOKS]
        kill_in(run(tmp_path, stems[0]), stems[0])
        for first, fatal in itertools.pairwise(stems):
            kill_in(run(tmp_path, first), fatal)  # so the resumed one ran to its end
        process = run(tmp_path, stems[-1])
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said
        assert "nothing left behind" in said
    finally:
        local_aws.stop(tmp_path)
