"""The table of the clients that were tried names the versions that `make test-clients` installs."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = sorted(
    {file.parent for kind in ("requirements.in", "package.json") for file in ROOT.glob(f"tests/clients/*/{kind}")}
)


def versions(folder: Path) -> set[str]:
    if (folder / "package.json").exists():
        return set(json.loads((folder / "package.json").read_text())["dependencies"].values())
    return set(re.findall("==(.+)", (folder / "requirements.in").read_text()))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_versions(folder: Path) -> None:
    lines = (ROOT / "local_aws" / "README.md").read_text().splitlines()
    (row,) = (line for line in lines if f"`tests/clients/test_{folder.name}.py`" in line)
    assert versions(folder) <= set(re.findall(r"[\w.]*\d[\w.]*", row)), row
