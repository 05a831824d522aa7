"""A notebook as a reader goes through it: opened in JupyterLab, all its cells run by the menu, and looked at."""

import json

from person import ROOT, SCREENS, WIDE, WIDTHS, cut_off, open_notebook, run_all, screenshots
from playwright.sync_api import expect

SECONDS = 300  # for one notebook; they take tens


def cells(path, kind):
    return ["".join(cell["source"]) for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


def saved_pictures(path):
    """How many outputs of the saved notebook hold a picture."""
    outputs = [
        output
        for cell in json.loads(path.read_text())["cells"]
        for output in cell.get("outputs", [])
        if "data" in output
    ]
    return sum(any(kind.startswith("image/") for kind in output["data"]) for output in outputs)


def see_it_live(page):
    """`monitoring.watch` shows jobs as they run, in one place: two moments of it differ."""
    view = page.locator(".jp-OutputArea-output:has(progress)")
    aggregating = view.filter(has=page.locator('img[alt*="Aggregates Executing"]'), has_text=" RUNNING")
    aggregating.wait_for(timeout=SECONDS * 1000)
    aggregating.screenshot(path=SCREENS / "live.png")
    first = view.inner_text()
    page.wait_for_function(
        "first => document.querySelector('.jp-OutputArea-output:has(progress)')?.innerText !== first", arg=first
    )
    assert view.count() <= 1


def see_what_stays(page):
    """When the execution has ended, `monitoring.watch` leaves its graph and, below it, one table of the steps."""
    cell = page.locator(".jp-CodeCell", has_text="monitoring.watch(")
    expect(cell.locator("progress")).to_have_count(0)
    expect(cell.locator("img")).to_have_count(1)
    expect(cell.locator("tbody tr")).to_have_count(6)
    expect(cell.locator("tr", has_text="12 of 12 succeeded")).to_have_count(2)
    cell.screenshot(path=SCREENS / "watched.png")


def run_and_look(path, lab, browser):
    """Fail unless every cell runs without an error or a warning, shows what it was saved with, and fits the page."""
    page = browser.new_page(viewport=WIDE)
    try:
        open_notebook(page, lab.page_of(str(path.relative_to(ROOT))))
        seen = run_all(page, SECONDS, see_it_live if path.stem == "05_pipeline_build" else None)
        screenshots(page, SCREENS, path.stem)
        if path.stem == "05_pipeline_build":
            see_what_stays(page)
        hidden = cut_off(page, WIDTHS[-1])
    finally:
        page.close()
    assert seen.errors == []
    assert hidden == []
    assert seen.stderr == []
    assert seen.prompts == [f"[{number}]:" for number in range(1, len(cells(path, "code")) + 1)]
    assert (seen.mermaid, seen.mermaid_sources) == (sum("```mermaid" in cell for cell in cells(path, "markdown")), 0)
    assert seen.broken == []
    assert seen.silent == []
    assert len(seen.alts) == seen.mermaid + seen.pictures
    assert seen.pictures >= saved_pictures(path)
