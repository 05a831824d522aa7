"""The files of docs/test_your_pipeline.md, taken from the page, run as its reader runs them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "test_your_pipeline.md"


def files() -> dict[str, str]:
    """The page's files by name."""
    return dict(
        re.findall(r"^`(\w+\.py)` [^\n]*:\n\n```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    )


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTEST_"))}
    environment["AWS_CONFIG_FILE"] = environment["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.thorough
def test_its_tests_pass(tmp_path):
    assert sorted(files()) == [
        "conftest.py", "my_pipeline.py", "test_alone.py", "test_my_pipeline.py", "test_together.py",
    ]  # fmt: skip
    for name, text in files().items():
        (tmp_path / name).write_text(text)
    done = run_pytest(tmp_path)
    assert "6 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.thorough
@pytest.mark.slow
def test_it_names_the_fixtures_that_pytest_lists(tmp_path):
    (tmp_path / "conftest.py").write_text(files()["conftest.py"])
    (tmp_path / "test_nothing.py").write_text("def test_nothing():\n    pass\n")
    listed = run_pytest(tmp_path, "--fixtures").stdout
    for name in re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE):
        assert re.search(rf"^{name}\b", listed, re.MULTILINE), listed


@pytest.mark.thorough
def test_its_tests_pass_in_an_image_of_ones_own(tmp_path):
    [fixtures] = re.findall(r"^```python\n(import dataclasses\n.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    for name, text in files().items():
        (tmp_path / name).write_text(text)
    (tmp_path / "conftest.py").write_text(files()["conftest.py"] + fixtures)
    done = run_pytest(tmp_path, "test_my_pipeline.py")
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    (tmp_path / "conftest.py").write_text(
        (files()["conftest.py"] + fixtures).replace('{"my.registry', '{"other.registry')
    )
    done = run_pytest(tmp_path, "-k", "counted")
    assert "1 failed" in done.stdout, "the jobs ran in another image"
