"""What README, CONTRIBUTING, docs/ and the notebooks tell a reader to open or to run is there, and works."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from utils.config import load_config
from utils.runner import options
from utils.session import connect

ROOT = Path(__file__).resolve().parents[2]
TEXTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "local_aws/README.md")]
TEXTS += [ROOT / "deploy" / "README.md"]
TEXTS += sorted((ROOT / "docs").glob("*.md")) + sorted((ROOT / "notebooks").rglob("[!.]*.ipynb"))
TEXTS = [path for path in TEXTS if ".ipynb_checkpoints" not in path.parts and path != ROOT / "docs" / "index.md"]


def prose(path: Path) -> str:
    """A document's Markdown, without its blocks of code."""
    text = path.read_text()
    if path.suffix == ".ipynb":
        cells = nbformat.reads(text, as_version=4).cells
        text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """What can follow # in a link to this document, as GitHub makes it from the headings."""
    headings = re.findall(r"^#+ +(.+?) *$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(path: Path, text: str) -> list[str]:
    """The links of a text, which stands at this path, that lead nowhere inside the repository."""
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    return dead


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_inside_the_repository_lead_somewhere(path):
    assert dead_links(path, prose(path)) == []


def test_every_diagram_of_the_documents_says_in_words_what_it_shows():
    """Those of the notebooks are NB10's."""
    diagrams = re.findall(r"```mermaid\n.*\n(.*)", commands("README.md", "docs/architecture.md"))
    assert len(diagrams) >= 2
    assert all(re.match(r" +accTitle: \S", line) for line in diagrams)


def test_a_dead_link_is_seen():
    text = "[a](docs/gone.md) [b](#no-such-part) [c](README.md#the-notebooks) [d](https://example.org/gone)"
    assert dead_links(ROOT / "README.md", text) == ["docs/gone.md", "#no-such-part"]


def commands(*names: str) -> str:
    return "\n".join((ROOT / name).read_text() for name in names).replace("\\\n", " ")


def test_every_make_target_that_is_named_exists():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"(?:`|^)make ([a-z][a-z -]*)", commands("README.md", "CONTRIBUTING.md"), re.MULTILINE)
    assert named
    assert {target for each in named for target in each.split()} <= targets


def test_every_set_of_options_for_make_tutorial_is_understood():
    notebooks = sorted((ROOT / "notebooks").glob("0*.ipynb"))
    told = re.findall(r'make tutorial ARGS="(-[^"]+)"', commands("README.md", "CONTRIBUTING.md"))
    assert len(told) >= 3
    for arguments in told:
        assert options.parse(shlex.split(arguments), notebooks).notebooks


@pytest.mark.thorough
@pytest.mark.slow
def test_the_scheduled_papermill_command_runs_a_notebook_with_its_parameters(own_aws, tmp_path):
    """README's own line, in a fresh clone, but with the first notebook, which takes the same parameters."""
    on_aws, line = re.findall(r"^mkdir -p outputs && \.venv/bin/papermill .+$", commands("README.md"), re.MULTILINE)
    assert "-p target aws" in on_aws and "-p target local" in line
    assert (ROOT / "notebooks" / "05_pipeline_build.ipynb").exists() and " notebooks/05_pipeline_build.ipynb " in line
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "notebooks").symlink_to(ROOT / "notebooks")
    command = line.replace("05_pipeline_build", "01_iam")
    subprocess.run(["bash", "-c", command], check=True, cwd=tmp_path, capture_output=True, timeout=120)
    assert (tmp_path / "outputs" / "nightly.ipynb").exists()
    config = load_config(target="local", prefix=re.search(r"-p prefix (\S+)", line)[1])
    roles = connect(region=config.region).client("iam").list_roles()["Roles"]
    assert config.pipeline_role in [role["RoleName"] for role in roles]
