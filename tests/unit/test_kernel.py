"""`make kernel`: .venv as a kernel of a JupyterLab that has other packages, with one setting for the target."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpecManager

ROOT = Path(__file__).parents[2]
NAME = "sagemaker-batch"


@pytest.fixture
def make_kernel(tmp_path: Path):
    """Runs the target in a home folder of its own, and returns the kernel's specification."""

    def make(*settings: str) -> dict:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "XDG"))}
        made = subprocess.run(
            ["make", "--old-file=.venv/.installed", f"BIN={Path(sys.executable).parent}", "kernel", *settings],
            cwd=ROOT,
            env=environment | {"HOME": str(tmp_path), "JUPYTER_DATA_DIR": str(tmp_path / "jupyter")},
            check=True,
            capture_output=True,
            text=True,
        )
        assert 'Choose the kernel "SageMaker Batch Step"' in made.stdout
        return json.loads((tmp_path / "jupyter" / "kernels" / NAME / "kernel.json").read_text())

    return make


def target_of(kernel: dict, elsewhere: Path) -> str:
    """The notebooks' target in this kernel, which has been started in another folder."""
    code = "import utils; from utils.config import load_config as load; print(utils.__file__)\n"
    code += "print(load(region='us-east-1', account='123456789012').target)"
    ran = subprocess.run(
        [kernel["argv"][0], "-c", code],
        cwd=elsewhere,
        env=os.environ | kernel["env"],
        check=True,
        capture_output=True,
        text=True,
    )
    module, target = ran.stdout.split()
    assert Path(module).parent == ROOT / "utils"
    return target


def test_it_is_this_python_under_a_name_of_its_own(make_kernel, tmp_path):
    kernel = make_kernel()
    assert kernel["argv"][0] == sys.executable
    assert kernel["display_name"] == "SageMaker Batch Step"
    found = KernelSpecManager(kernel_dirs=[str(tmp_path / "jupyter" / "kernels")], ensure_native_kernel=False)
    assert list(found.find_kernel_specs()) == [NAME]  # the notebooks' own, python3, stays what it is
    assert target_of(kernel, tmp_path) == "local"


def test_one_setting_makes_all_notebooks_use_aws_and_is_taken_back(make_kernel, tmp_path):
    assert target_of(make_kernel("SAGEMAKER_BATCH_TARGET=aws"), tmp_path) == "aws"
    assert target_of(make_kernel(), tmp_path) == "local"


@pytest.mark.sampled(1)
@pytest.mark.parametrize("other", [None, "/opt/other/.venv/bin/python"])
def test_make_clean_removes_the_kernel_if_it_starts_this_python(make_kernel, tmp_path, other):
    kernel, written = make_kernel(), tmp_path / "jupyter" / "kernels" / NAME / "kernel.json"
    if other:
        written.write_text(json.dumps(kernel | {"argv": [other, *kernel["argv"][1:]]}))
    clone, home = tmp_path / "clone", {"JUPYTER_DATA_DIR": str(tmp_path / "jupyter"), "LOCAL_AWS_HOME": str(tmp_path)}
    (clone / ".ci").mkdir(parents=True)
    for name in ("Makefile", ".ci/remove_kernel.py"):
        shutil.copy(ROOT / name, clone / name)
    clean = ["make", f"BIN={Path(sys.executable).parent}", "clean"]
    for _ in range(2):  # the second time there is none
        cleaned = subprocess.run(clean, cwd=clone, env=os.environ | home, check=False, capture_output=True, text=True)
        assert (cleaned.returncode, cleaned.stderr) == (0, "")
        assert written.exists() == bool(other)


@pytest.mark.thorough
def test_the_setting_never_reaches_the_tests():
    """Those of the configuration, which expect the defaults, pass in a shell that has it."""
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit/test_config.py"],
        cwd=ROOT,
        env=os.environ | {"SAGEMAKER_BATCH_TARGET": "aws", "SAGEMAKER_BATCH_PREFIX": "sagemaker-mine"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
