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
    """A question with its answer hidden in a details tag, which is closed."""
    if notebook.path.parent.name == "notebooks" and "<b>Check yourself</b>" not in notebook.text:
        yield "there is no <details> with <b>Check yourself</b>"
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
    """Each notebook ends with the same picture, its own part lit, and a sentence about it.

    One of going_further deletes what it made, so its picture comes before that; what it adds may be drawn too.
    """
    if len(cells := [cell for cell in notebook.prose if cell.startswith(EXISTS)]) != 1:
        yield f"{len(cells)} cells begin with {EXISTS}"
        return
    mine, common = drawn(cells[0]), drawn(next(c for c in load(TUTORIAL[0]).prose if c.startswith(EXISTS)))
    if not cells[0].rpartition("```")[2].strip():
        yield "no sentence follows the picture"
    if notebook.path in TUTORIAL:
        if mine != common:
            yield "the picture differs from notebook 01's in more than what is lit"
        return
    if missing := [line.strip() for line in common if line not in mine]:
        yield f"the picture lacks of notebook 01's: {missing}"
    parts = colored(cells[0])
    if not parts.get("new"):
        yield "nothing in the picture is lit"
    if unknown := {
        part for names in parts.values() for part in names if not re.search(rf"\b{part}\b", "\n".join(mine))
    }:
        yield f"the picture colors what it does not draw: {sorted(unknown)}"
    headings = re.findall(r"^## .+$", without_fences(notebook.text), re.MULTILINE)
    if headings[headings.index(EXISTS) + 1 :][:1] != ["## Clean up"]:
        yield f"{EXISTS} is not the section before ## Clean up"


def drawn(cell: str) -> list[str]:
    """The lines of a cell's diagram without its title and those that color it."""
    diagram = cell.split("```mermaid\n")[1].split("```")[0]
    return [line for line in diagram.splitlines() if not line.strip().startswith(("class ", "accTitle: "))]


def colored(cell: str) -> dict[str, set[str]]:
    """The parts of a cell's diagram by what they are drawn as: new, made or later."""
    return {name: set(nodes.split(",")) for nodes, name in re.findall(r"^ +class (\S+) (\w+)$", cell, re.MULTILINE)}


@rule
def NB06_each_part_is_lit_once(notebook):
    """A part is new in one notebook and there in the next ones until cleanup."""
    if notebook.path != TUTORIAL[-1]:
        return
    there: set[str] = set()
    for path in TUTORIAL:
        parts = colored(next(cell for cell in load(path).prose if cell.startswith(EXISTS)))
        if path == TUTORIAL[-1]:
            if set(parts) != {"later"}:
                yield "after cleanup nothing is there"
        elif parts.get("made", set()) != there:
            yield f"{path.stem} draws as there: {sorted(parts.get('made', set()))}; made before it: {sorted(there)}"
        there |= parts.get("new", set())


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
        for kind, title in re.findall(r"```mermaid\n(.*)\n(.*)", cell):
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
    "NB05_what_now_exists": [("markdown", "## Summary", [])],
    "NB07_ways_on": [("markdown", "## Summary", [])],
}


PICTURE = """## What now exists

```mermaid
{}
    class {} new
```

{}"""
COMMON = "\n".join(drawn(next(cell for cell in load(TUTORIAL[0]).prose if cell.startswith(EXISTS))))
GOOD = PICTURE.format(f"{COMMON}\n    batch --> more[one more]", "batch,more", "Yellow is new.")
CLEAN_UP = "## Clean up\n\nAll of it."


@pytest.mark.parametrize(
    ("prose", "wrong"),
    [
        ([GOOD, CLEAN_UP], ""),
        ([CLEAN_UP], "0 cells begin"),
        ([CLEAN_UP, GOOD], "not the section before"),
        ([GOOD, "## Compare", CLEAN_UP], "not the section before"),
        ([PICTURE.format(COMMON.replace("mapping", "calls"), "batch", "Yellow is new."), CLEAN_UP], "lacks"),
        ([GOOD.replace(" new\n", " made\n"), CLEAN_UP], "nothing in the picture is lit"),
        ([GOOD.replace("batch,more", "batch,most"), CLEAN_UP], "does not draw: ['most']"),
        ([GOOD.replace("Yellow is new.", ""), CLEAN_UP], "no sentence"),
    ],
)
def test_the_picture_of_one_that_goes_further_is_the_common_one_and_what_it_adds(prose, wrong):
    further = Notebook(ROOT / "notebooks" / "going_further" / "new.ipynb", [("markdown", text, []) for text in prose])
    complaints = "; ".join(RULES["NB05_what_now_exists"](further))
    assert wrong in complaints if wrong else not complaints


def test_the_picture_of_a_numbered_one_has_nothing_more():
    numbered = Notebook(TUTORIAL[1], [("markdown", GOOD, [])])
    assert list(RULES["NB05_what_now_exists"](numbered))


@pytest.mark.parametrize("name", [*BROKEN, *AS_A_NUMBERED_ONE])
def test_a_notebook_that_breaks_a_rule_is_caught(name):
    cells = BROKEN.get(name) or AS_A_NUMBERED_ONE[name]
    path = TUTORIAL[1] if name in AS_A_NUMBERED_ONE else ROOT / "notebooks" / "new.ipynb"
    assert list(RULES[name](Notebook(path, cells)))
