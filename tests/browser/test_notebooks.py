"""The tutorial as a reader goes through it."""

import pytest
from person import NOTEBOOKS, ROOT, WIDE, open_notebook
from playwright.sync_api import expect
from whole_notebook import run_and_look


@pytest.fixture(scope="module")
def lab(start_lab):
    return start_lab(ROOT)  # as `make lab`


@pytest.mark.slow
def test_the_links_at_a_notebooks_end_open_what_they_name(lab, browser):
    page = browser.new_page(viewport=WIDE)
    try:
        open_notebook(page, lab.page_of("notebooks/01_iam.ipynb"))
        for link, tab in (
            ("glossary", "glossary.md"),
            ("all notebooks", "README.md"),
            ("02 · ", "02_batch_setup.ipynb"),
        ):
            page.locator(".lm-TabBar-tab").get_by_text("01_iam.ipynb").click()
            page.locator(".jp-MarkdownOutput").last.get_by_role("link", name=link).first.click()
            expect(page.locator(".lm-TabBar-tab.lm-mod-current").get_by_text(tab)).to_be_visible()
    finally:
        page.close()


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path.stem[0].isdigit()], ids=lambda path: path.stem)
def test_a_reader_runs_it(path, lab, browser):
    """In the tutorial's order, on one embedded AWS: each needs what those before it made."""
    run_and_look(path, lab, browser)
