"""What `make lint` refuses in product code: files and functions that are too long, and imports in a circle."""

import subprocess
import sys
from pathlib import Path

import pytest

CHECK = Path(__file__).parents[2] / ".ci" / "shape.py"
LONG = "def long():\n    '''Not counted.'''\n" + "    x = 1\n" * 61


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"utils/a.py": "x = 1\n" * 401}, "utils/a.py has 401 lines, over 400"),
        ({"lambda_code/f/a.py": "x = 1\n" * 201}, "lambda_code/f/a.py has 201 lines, over 200"),
        ({"local_aws/a.py": LONG}, "local_aws/a.py: long has 61 lines, over 60"),
        (
            {"utils/a.py": "from . import b\n", "utils/b.py": "def f():\n    from .a import x\n"},
            "utils.a imports utils.b imports utils.a",
        ),
    ],
    ids=["file", "module of a function", "function", "circle"],
)
def test_it_is_refused_by_name(tmp_path, files, complaint):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    checked = subprocess.run([sys.executable, CHECK, tmp_path], capture_output=True, text=True, check=False)
    assert (checked.returncode, complaint in checked.stdout) == (1, True), checked.stdout


def test_what_is_short_and_in_order_passes(tmp_path):
    (tmp_path / "utils").mkdir()
    (tmp_path / "utils" / "a.py").write_text(LONG.replace("    x = 1\n", "", 1))
    for_types = "from typing import TYPE_CHECKING\nfrom . import a\nif TYPE_CHECKING:\n    from . import b\n"
    (tmp_path / "utils" / "b.py").write_text(for_types)
    subprocess.run([sys.executable, CHECK, tmp_path], check=True)
