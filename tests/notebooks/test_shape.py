"""A linter of the notebooks' shape, in named rules: `pytest tests/notebooks -k NB05` checks one.

What every notebook must be (valid, runnable, saved) is in test_structure.py; here is what makes it one of this kit.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
FURTHER = sorted((ROOT / "notebooks" / "going_further").glob("*.ipynb"))
EXISTS = "## What now exists"
DRAWN = [TUTORIAL[number - 1] for number in (1, 4, 7)]  # those that have this picture


class Notebook(NamedTuple):
    """A notebook's place and cells, each a (kind, source, outputs)."""

    path: Path
    cells: list[tuple[str, str, list[dict]]]

    @property
    def prose(self) -> list[str]:
        return [source for kind, source, _ in self.cells if kind == "markdown"]

    @property
    def text(self) -> str:
        return "\n\n".join(self.prose)


Rule = Callable[[Notebook], Iterator[str]]
RULES: dict[str, Rule] = {}


def rule(check: Rule) -> Rule:
    """Registers a rule under its name, NB and a number; it yields what is wrong."""
    RULES[check.__name__] = check
    return check


def load(path: Path) -> Notebook:
    cells = json.loads(path.read_text())["cells"]
    return Notebook(path, [(c["cell_type"], "".join(c["source"]), c.get("outputs", [])) for c in cells])


@rule
def NB01_one_title(notebook):
    """One H1, the first line of the notebook; every other heading is an H2 or H3."""
    titles = re.findall(r"^# .+$", without_fences(notebook.text), re.MULTILINE)
    if len(titles) != 1 or not notebook.prose[0].startswith("# "):
        yield f"titles: {titles}"


@rule
def NB02_opening(notebook):
    """The first cell says what you do, learn and need, and has the table of time and cost."""
    for told in ("**What you'll do**:", "**What you'll learn**:", "**What you need**:", "| Time | Cost on AWS |"):
        if told not in notebook.prose[0]:
            yield f"the first cell lacks {told}"


@rule
def NB03_check_yourself(notebook):
    """A question, and something to try, each with its answer hidden in a details tag, which is closed."""
    if notebook.path.parent.name == "notebooks" and "<b>Check yourself</b>" not in notebook.text:
        yield "there is no <details> with <b>Check yourself</b>"
    if "<summary><b>What you should see</b></summary>" not in notebook.text:
        yield "there is nothing to try"
    if notebook.text.count("<details>") != notebook.text.count("</details>"):
        yield "a <details> is not closed"


@rule
def NB04_in_practice_has_a_source(notebook):
    """What production needs, in a box, with AWS's page or the thing to run."""
    boxes = re.findall(r"^> \*\*In practice\.\*\*(?:.*\n?)(?:^>.*\n?)*", notebook.text, re.MULTILINE)
    if not boxes:
        yield "there is no box that begins with > **In practice.**"
    if not any("](https://" in box for box in boxes):
        yield "no In practice box links to a source"


@rule
def NB05_what_now_exists(notebook):
    """Notebooks 01, 04 and 07 show the same picture, their own parts lit, and a sentence about it."""
    if notebook.path not in TUTORIAL:
        return
    cells = [cell for cell in notebook.prose if cell.startswith(EXISTS)]
    if len(cells) != (notebook.path in DRAWN):
        yield f"{len(cells)} cells begin with {EXISTS}"
    for cell in cells:
        if not cell.rpartition("```")[2].strip():
            yield "no sentence follows the picture"
        if drawn(cell) != drawn(picture(DRAWN[0])):
            yield "the picture differs from notebook 01's in more than what is lit"


def picture(path: Path) -> str:
    """The cell with the picture of what now exists."""
    return next(cell for cell in load(path).prose if cell.startswith(EXISTS))


def drawn(cell: str) -> list[str]:
    """The lines of a cell's diagram without its title and those that color it."""
    diagram = cell.split("```mermaid\n")[1].split("```")[0]
    return [line for line in diagram.splitlines() if not line.strip().startswith(("class ", "accTitle: "))]


def colored(cell: str) -> dict[str, set[str]]:
    """The parts of a cell's diagram by what they are drawn as: new, made or later."""
    return {name: set(nodes.split(",")) for nodes, name in re.findall(r"^ +class (\S+) (\w+)$", cell, re.MULTILINE)}


@rule
def NB06_each_part_is_lit_once(notebook):
    """A part that was new in notebook 01 is there in 04, and after cleanup nothing is."""
    if notebook.path != TUTORIAL[-1]:
        return
    first, fourth, last = (colored(picture(path)) for path in DRAWN)
    if not first["new"] <= fourth["made"]:
        yield "04 does not draw as there what 01 made"
    if set(last) != {"later"}:
        yield "after cleanup nothing is there"


@rule
def NB07_ways_on(notebook):
    """The last cell leads to the notebooks beside this one, to all of them, and to the glossary."""
    if notebook.path not in TUTORIAL:
        return
    place, last = TUTORIAL.index(notebook.path), notebook.prose[-1]
    beside = [path.name for path in (TUTORIAL[max(place - 1, 0) : place] + TUTORIAL[place + 1 : place + 2])]
    for link in [*beside, "../README.md#the-notebooks", "../docs/glossary.md"]:
        if f"]({link})" not in last:
            yield f"the last cell does not link to {link}"


@rule
def NB08_no_leftover_cells(notebook):
    """No empty cell, no TODO, nothing commented out."""
    for kind, source, _ in notebook.cells:
        if not source.strip():
            yield f"an empty {kind} cell"
        if re.search(r"\b(TODO|FIXME|XXX)\b", source):
            yield f"unfinished: {source[:80]}"
        if kind == "code" and re.search(r"^# ?\w+(\(|\.\w+\(| = )", source, re.MULTILINE):
            yield f"code that is commented out: {source[:80]}"


@rule
def NB09_pictures_have_prose(notebook):
    """A picture is introduced in words by the cell before its code: whoever can't see it knows what it is about."""
    for before, (_, source, outputs) in zip(notebook.cells, notebook.cells[1:], strict=False):
        if any("image/png" in output.get("data", {}) for output in outputs) and len(before[1].split()) < 5:
            yield f"the picture of {source[:60]!r} comes without a sentence"


@rule
def NB10_diagrams_are_closed_fences(notebook):
    """A Mermaid fence names a kind of diagram and what it shows, for whoever can't see it, and ends."""
    for cell in notebook.prose:
        if cell.count("```") % 2:
            yield f"a fence is not closed: {cell[:60]!r}"
        for colors, kind, title in re.findall(r"```mermaid\n(%%\{init: .*\n)?(.*)\n(.*)", cell):
            if not colors and notebook.path in TUTORIAL:
                yield "a diagram without colors of its own, which are readable on white and on black"
            if not re.match(r"flowchart (LR|TB)$|sequenceDiagram$|stateDiagram-v2$", kind):
                yield f"a diagram of kind {kind!r}"
            if not re.match(r" +accTitle: (\S+ ){4}", title):
                yield f"a diagram whose second line is no accTitle: {title!r}"


@rule
def NB11_pictures_have_alternative_text(notebook):
    """A saved picture says in words what it shows, for whoever can't see it: `monitoring.picture` adds them.

    As HTML, which is what JupyterLab, nbconvert and the book take them from.
    """
    for _, source, outputs in notebook.cells:
        for data in (output.get("data", {}) for output in outputs):
            if "image/png" in data and not re.search(r'<img [^>]*alt="[^"]{20,}"', "".join(data.get("text/html", ""))):
                yield f"the picture of {source[:60]!r} has no alternative text"


def test_01s_questions_to_the_simulator_are_answered_as_its_prose_says():
    """nbval would hold a wrong answer fast."""
    cells = load(TUTORIAL[0]).cells
    table = next(outputs[0]["data"]["text/plain"] for _, source, outputs in cells if "iam.is_allowed(" in source)
    told = [line.split()[1:] for line in "".join(table).splitlines()[1:]]
    assert [(task, action.split(":")[1], answer) for task, action, answer in told] == [
        ("batch_job", "GetObject", "True"),
        ("batch_job", "DeleteObject", "False"),
        ("batch_job", "SubmitJob", "False"),
        ("submit_lambda", "SubmitJob", "True"),
        ("submit_lambda", "SendPipelineExecutionStepSuccess", "False"),
        ("monitor_lambda", "SendPipelineExecutionStepSuccess", "True"),
    ]


def without_fences(text: str) -> str:
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


@pytest.mark.parametrize("path", TUTORIAL + FURTHER, ids=lambda path: path.stem)
@pytest.mark.parametrize("name", RULES)
def test_it_keeps(name, path):
    wrong = list(RULES[name](load(path)))
    assert wrong == [], f"{path.stem} breaks {name} ({RULES[name].__doc__}): {'; '.join(wrong)}"


@rule
def NB12_no_experiments(notebook):
    """A pipeline makes an experiment on AWS unless it is told not to, and cleanup would leave that behind.

    https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-experiments.html
    """
    for kind, source, _ in notebook.cells:
        if kind == "code" and re.search(r"\bPipeline\(", source) and "pipeline_experiment_config=None" not in source:
            yield "a Pipeline is made without pipeline_experiment_config=None"


BROKEN = {
    "NB01_one_title": [("markdown", "# One\n\n# Two", [])],
    "NB02_opening": [("markdown", "# One\n\nWelcome.", [])],
    "NB03_check_yourself": [("markdown", "# One\n\n<details> never closed", [])],
    "NB08_no_leftover_cells": [("code", "# boto3.client('s3')", [])],
    "NB09_pictures_have_prose": [("markdown", "Look:", []), ("code", "plot()", [{"data": {"image/png": ""}}])],
    "NB10_diagrams_are_closed_fences": [("markdown", "```mermaid\nflowchart LR\n    a --> b\n```", [])],
    "NB11_pictures_have_alternative_text": [
        ("code", "plot()", [{"data": {"image/png": ""}, "metadata": {"image/png": {"alt": "A line chart of it all."}}}])
    ],
    "NB12_no_experiments": [("code", 'flow = Pipeline(name="flights", steps=[])', [])],
}
AS_A_NUMBERED_ONE = {
    "NB04_in_practice_has_a_source": [("markdown", "> **In practice.** Be careful.", [])],
    "NB05_what_now_exists": [("markdown", f"{EXISTS}\n\n```mermaid\nflowchart LR\n```\n\nIt.", [])],
    "NB07_ways_on": [("markdown", "## Summary", [])],
}


@pytest.mark.parametrize(
    ("cell", "wrong"),
    [
        (picture(DRAWN[0]).replace("-- answer -->", "-->"), "differs"),
        (picture(DRAWN[0]).rpartition("```")[0] + "```", "no sentence"),
        ("## Summary", "0 cells begin"),
    ],
)
def test_a_picture_that_is_not_the_common_one_is_caught(cell, wrong):
    complaints = list(RULES["NB05_what_now_exists"](Notebook(DRAWN[1], [("markdown", cell, [])])))
    assert [each for each in complaints if wrong in each]


@pytest.mark.parametrize("name", [*BROKEN, *AS_A_NUMBERED_ONE])
def test_a_notebook_that_breaks_a_rule_is_caught(name):
    cells = BROKEN.get(name) or AS_A_NUMBERED_ONE[name]
    path = TUTORIAL[1] if name in AS_A_NUMBERED_ONE else ROOT / "notebooks" / "new.ipynb"
    assert list(RULES[name](Notebook(path, cells)))
