"""Folder names say what is not for notebooks: what runs the kit, and what the helpers share."""

import ast
import json
from pathlib import Path

ROOT = Path(__file__).parents[2]
NOT_FOR_NOTEBOOKS = {"runner", "support"}


def imported_by_notebooks() -> set[str]:
    """The names below utils that a notebook's code imports."""
    names: set[str] = set()
    for path in (ROOT / "notebooks").rglob("[!.]*.ipynb"):
        for cell in json.loads(path.read_text())["cells"]:
            source = "".join(cell["source"])
            if cell["cell_type"] != "code" or "utils" not in source:
                continue
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.ImportFrom) and node.module == "utils":
                    names |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and str(node.module).startswith("utils."):
                    names.add(str(node.module).split(".")[1])
    return names


def test_notebooks_call_modules_at_the_top_only():
    imported = imported_by_notebooks()
    assert {"batch", "kit", "session"} <= imported
    assert not imported & NOT_FOR_NOTEBOOKS
    assert {path.name for path in (ROOT / "utils").iterdir()} >= NOT_FOR_NOTEBOOKS
