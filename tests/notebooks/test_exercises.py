"""What each notebook's "Try it" says that you should see is what its code prints."""

import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import run_inline

ANSWER = re.compile(r"<summary><b>What you should see</b></summary>(.*?)</details>", re.DOTALL)
FURTHER = sorted((Path(__file__).parents[2] / "notebooks" / "going_further").glob("[!.]*.ipynb"))


def answer(notebook: Path) -> str:
    """The folded answer of a notebook's exercise; empty without one."""
    cells = json.loads(notebook.read_text())["cells"]
    text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return "".join(ANSWER.findall(text))


def fences(kind: str, text: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)


def printed(source: str, variables: dict[str, Any]) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as output:
        exec(compile(source, "the exercise", "exec"), variables)
    return output.getvalue()


@pytest.mark.parametrize("notebook", [*run_inline.NOTEBOOKS, *FURTHER], ids=lambda path: path.stem)
def test_an_exercise_has_code_and_says_what_it_prints(notebook):
    if notebook in run_inline.NOTEBOOKS or answer(notebook):
        assert fences("python", answer(notebook))
        assert fences("text", answer(notebook))


@pytest.mark.thorough
@pytest.mark.slow
def test_each_exercise_prints_what_its_answer_says(own_aws):
    """In each notebook's own context, right after its last cell."""
    differs = {}
    with run_inline.local(own_aws.endpoint_url):
        for notebook in [*run_inline.NOTEBOOKS, *(path for path in FURTHER if answer(path))]:
            variables = run_inline.run(notebook)
            text = answer(notebook)
            wanted = "".join(fences("text", text))
            if (seen := printed("\n".join(fences("python", text)), variables)) != wanted:
                differs[notebook.stem] = {"says": wanted, "prints": seen}
    assert differs == {}
