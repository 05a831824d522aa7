"""A notebook as it is saved, and so not trusted, in JupyterLab's dark theme: all is light on dark, only pictures keep
their white; pictures and diagrams have their text, and a table's words their side."""

import json
import re

import pytest
from person import ROOT, SCREENS, WIDE, look, open_notebook, screenshots
from playwright.sync_api import expect

# Runs in the page: how bright things are, 0 to 255: the prose, the words of tables, each picture's upper
# left corner.
BRIGHTNESS = """async () => {
    const open = document.querySelector('.jp-NotebookPanel:not(.lm-mod-hidden)');
    const mean = rgb => (rgb[0] + rgb[1] + rgb[2]) / 3;
    const of = color => mean(color.match(/[\\d.]+/g).map(Number));
    const corner = image => {
        const canvas = document.createElement('canvas');
        canvas.width = canvas.height = 1;
        canvas.getContext('2d').drawImage(image, 0, 0);
        const [r, g, b, opaque] = canvas.getContext('2d').getImageData(0, 0, 1, 1).data;
        return opaque === 255 ? mean([r, g, b]) : null;
    };
    return {
        prose: of(getComputedStyle(open.querySelector('.jp-MarkdownOutput')).color),
        tables: [...open.querySelectorAll('.jp-OutputArea-output td')].map(cell => of(getComputedStyle(cell).color)),
        pictures: [...open.querySelectorAll('.jp-OutputArea-output img')].map(corner),
    };
}"""


@pytest.fixture(scope="module")
def lab(start_lab):
    return start_lab(ROOT, theme="JupyterLab Dark")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["05_pipeline_build", "06_monitoring"])
def test_it_can_be_read_in_the_dark(name, lab, browser):
    page = browser.new_page(viewport=WIDE)
    open_notebook(page, lab.page_of(f"notebooks/{name}.ipynb"))
    expect(page.locator(".jp-OutputArea-output img").first).to_be_visible(timeout=30_000)
    seen, looked = page.evaluate(BRIGHTNESS), look(page)
    words = page.locator('.jp-OutputArea-output td[style*="left"]').evaluate_all(
        "all => all.map(each => getComputedStyle(each).textAlign)"
    )
    screenshots(page, SCREENS, f"dark-{name}")
    page.close()
    saved = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text())["cells"]
    pictures = [o for cell in saved for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
    assert seen["prose"] > 150
    assert min(seen["tables"]) > 150
    assert seen["pictures"] == [255] * len(pictures)
    assert looked.silent == []
    assert len(looked.alts) == looked.mermaid + len(pictures)
    assert set(words) <= {"left"}
    assert words or name == "05_pipeline_build"


@pytest.mark.slow
def test_a_diagram_keeps_its_colours_in_the_dark(lab, browser):
    """Its nodes are light with dark text, so they can be read on either theme, also after a switch."""
    page = browser.new_page(viewport=WIDE)
    open_notebook(page, lab.page_of("notebooks/04_sqs_and_mapping.ipynb"))
    diagram = page.locator(".jp-RenderedMermaid img").first
    expect(diagram).to_be_visible(timeout=30_000)
    drawn = diagram.evaluate("each => decodeURIComponent(each.src)")
    screenshots(page, SCREENS, "dark-04_sqs_and_mapping")
    page.close()
    assert {"#eceff2", "#1b1f24"} <= set(re.findall(r"#[0-9a-f]{6}", drawn))
