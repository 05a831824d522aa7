"""job_code/run.py: a program's packages are installed where its image lacks them, and only there."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from utils import batch

RUN = (batch.JOB_CODE / "run.py").read_text()
PROGRAMS = sorted(path for path in batch.JOB_CODE.glob("*.py") if path.name != "run.py")


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """A folder with one package, from which pip installs it."""
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / "mypackage-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("mypackage.py", "word = 'installed'\n")
        wheel.writestr("mypackage-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: mypackage\nVersion: 1.0\n")
        wheel.writestr(
            "mypackage-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("mypackage-1.0.dist-info/RECORD", "")
    return folder


def run(program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", RUN, program, *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120)


def program_with(requirement: str) -> str:
    block = f'# /// script\n# dependencies = ["{requirement}"]\n# ///\n'
    return f"{block}import sys, mypackage\nprint(mypackage.word, *sys.argv[1:])\n"


def test_what_is_missing_is_installed_and_the_program_runs_with_its_arguments(tmp_path, index):
    place = str(tmp_path / "place")
    pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index), "PIP_TARGET": place, "PYTHONPATH": place}
    done = run(program_with("mypackage==1.0"), "one", "two words", **pip)
    assert (done.returncode, done.stdout, done.stderr) == (0, "installed one two words\n", "")


def test_what_is_there_is_used_as_it_is_and_pip_is_not_called(tmp_path, index):
    with zipfile.ZipFile(index / "mypackage-1.0-py3-none-any.whl") as wheel:
        wheel.extractall(tmp_path / "place")
    (tmp_path / "place" / "pip.py").write_text("raise SystemExit('pip was called')\n")
    done = run(program_with("mypackage==2.0"), "one", "two words", PYTHONPATH=str(tmp_path / "place"))
    assert (done.returncode, done.stdout) == (0, "installed one two words\n"), done.stderr


def test_without_an_index_it_is_one_sentence_after_pips_own(tmp_path):
    done = run(program_with("mypackage==1.0"), PIP_NO_INDEX="1", PIP_TARGET=str(tmp_path))
    assert done.returncode == 1
    assert "No matching distribution found for mypackage==1.0" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("pip could not install mypackage==1.0: use an image that has it")


@pytest.mark.parametrize("program", ["print('none named')", "# dependencies = []\nprint('none named')"])
def test_a_program_need_not_name_any(program):
    assert run(program).stdout == "none named\n"


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_the_kits_programs_name_what_they_import_in_the_versions_that_are_tested(program):
    """So nothing is downloaded on the embedded AWS, and what runs on AWS was tested here."""
    text = program.read_text()
    (line,) = re.findall(r"^# dependencies = (.*)$", text, re.MULTILINE)
    named = json.loads(line)
    imported = set(re.findall(r"^(?:import|from) (\w+)", text, re.MULTILINE)) - sys.stdlib_module_names
    assert {requirement.split("==")[0] for requirement in named} == imported
    lock = (batch.JOB_CODE.parent / "requirements.lock").read_text()
    assert all(re.search(rf"^{re.escape(requirement)} ", lock, re.MULTILINE) for requirement in named), named
