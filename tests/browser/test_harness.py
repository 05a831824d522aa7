"""The harness itself, on a throwaway notebook: what is fine is seen as fine, and what is broken as broken."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from person import SCREENS, WIDE, WIDTHS, cut_off, open_notebook, run_all, screenshots

DIAGRAM = "```mermaid\nflowchart LR\n    a[Lambda] --> b[SQS]\n```"
PICTURE = "import matplotlib.pyplot as plt\nplt.plot([1, 4, 2]);"


def page_width(picture):
    """The width of a PNG in pixels, which its header says."""
    return int.from_bytes(picture.read_bytes()[16:20])


@pytest.fixture(scope="module")
def lab(start_lab, tmp_path_factory):
    return start_lab(tmp_path_factory.mktemp("notebooks"))


@pytest.fixture
def open_with(lab, browser):
    """Opens a notebook of these cells in a page of its own."""
    pages = []

    def opened(name, *cells):
        notebook = new_notebook(cells=list(cells))
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, lab.folder / name)
        pages.append(browser.new_page(viewport=WIDE))
        open_notebook(pages[-1], lab.page_of(name))
        return pages[-1]

    yield opened
    for page in pages:
        page.close()


@pytest.mark.slow
def test_a_sound_notebook_is_seen_as_sound(open_with):
    page = open_with(
        "sound.ipynb", new_markdown_cell(f"# Look\n\n{DIAGRAM}"), new_code_cell(PICTURE), new_code_cell("6 * 7")
    )
    seen = run_all(page, seconds=60)
    assert (seen.errors, seen.stderr, seen.broken) == ([], [], [])
    assert (seen.mermaid, seen.mermaid_sources, seen.pictures) == (1, 0, 1)
    assert seen.prompts == ["[1]:", "[2]:"]
    assert len(seen.silent) == 2  # neither has a text
    pictures = screenshots(page, SCREENS, "harness")
    assert [page_width(each) for each in pictures] == list(WIDTHS)  # one in each width
    assert cut_off(page, WIDTHS[-1]) == []


@pytest.mark.slow
def test_an_error_is_seen_and_what_comes_after_it_does_not_run(open_with):
    # The kernel drops what is queued behind an error. The wait lets JupyterLab queue the next cell first.
    failing = new_code_cell("import time\n\ntime.sleep(3)\n1 / 0")
    page = open_with("failing.ipynb", failing, new_code_cell("'never'"))
    seen = run_all(page, seconds=60)
    assert seen.errors == ["ZeroDivisionError: division by zero"]
    assert seen.prompts[1] == "[ ]:"


@pytest.mark.slow
def test_a_diagram_that_does_not_parse_is_seen(open_with):
    page = open_with("broken.ipynb", new_markdown_cell("```mermaid\nflowchart LR\n    a[[\n```"), new_code_cell("1"))
    seen = run_all(page, seconds=60)
    assert (seen.mermaid, seen.mermaid_sources) == (0, 1)


@pytest.mark.slow
def test_a_warning_is_seen(open_with):
    page = open_with("warning.ipynb", new_code_cell("import sys\nprint('careful', file=sys.stderr)"))
    assert run_all(page, seconds=60).stderr == ["careful\n"]


@pytest.mark.slow
def test_code_and_tables_that_are_cut_off_are_seen(open_with):
    row = " ".join(f"<td>column-{number}</td>" for number in range(30))
    table = f"from IPython.display import HTML; HTML('<table style=\"white-space: nowrap\"><tr>{row}</tr></table>')"
    page = open_with("wide.ipynb", new_code_cell(f"text = '{'w' * 150}'"), new_code_cell(table))
    run_all(page, seconds=60)
    hidden = cut_off(page, WIDTHS[-1])
    assert [any(first in each for each in hidden) for first in ("text = 'www", "column-0")] == [True, True]
