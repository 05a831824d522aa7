"""What a person does with a notebook in JupyterLab, and what they then see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Page, expect

ROOT = Path(__file__).resolve().parents[2]
SCREENS = ROOT / "outputs" / "screens"
WIDTHS = (1440, 1024)  # of a usual and of a narrow screen, in which the pictures are made
WIDE = {"width": WIDTHS[0], "height": 900}
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb")) + sorted(
    (ROOT / "notebooks" / "going_further").glob("*.ipynb")
)

# Runs in the page: how far the open notebook is. Its prompts are read from the page; its errors from JupyterLab's model
# of the notebook, since the page shows them like any text on stderr.
STATE = """() => {
    const open = document.querySelector('.jp-NotebookPanel:not(.lm-mod-hidden)');
    const prompts = [...open.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(each => each.innerText.trim());
    const cells = jupyterapp.shell.currentWidget.content.model.toJSON().cells;
    const outputs = cells.flatMap(cell => cell.outputs || []);
    const text = value => Array.isArray(value) ? value.join('') : value;
    return {
        prompts,
        errors: outputs.filter(each => each.output_type === 'error').map(each => `${each.ename}: ${each.evalue}`),
        stderr: outputs.filter(each => each.name === 'stderr').map(each => text(each.text)),
    };
}"""
ENDED = f"() => {{ const now = ({STATE})(); return now.errors.length || now.prompts.every(each => /\\d/.test(each)); }}"

SEEN = """() => {
    const open = document.querySelector('.jp-NotebookPanel:not(.lm-mod-hidden)');
    const drawn = image => image.complete && image.naturalWidth > 0;
    const fences = [...open.querySelectorAll('.jp-MarkdownCell .jp-RenderedMermaid')];
    const pictures = [...open.querySelectorAll('.jp-OutputArea-output img, .jp-OutputArea-output svg')];
    return {
        mermaid: fences.filter(each => each.querySelector('img') && drawn(each.querySelector('img'))).length,
        mermaidSources: open.querySelectorAll('.jp-MarkdownCell code.language-mermaid').length
            + fences.filter(each => each.classList.contains('jp-mod-warning')).length,
        pictures: pictures.filter(each => each.tagName.toLowerCase() === 'svg' || drawn(each)).length,
        broken: [...open.querySelectorAll('img')].filter(each => !drawn(each)).map(each => each.src.slice(0, 200)),
        // "Image" is what JupyterLab says of a diagram without a title.
        alts: [...open.querySelectorAll('.jp-OutputArea-output img, .jp-RenderedMermaid img')].map(each => each.alt),
    };
}"""


@dataclass
class Seen:
    """What the page shows after the run."""

    prompts: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    stderr: list[str] = field(default_factory=list)
    mermaid: int = 0  # diagrams drawn
    mermaid_sources: int = 0  # fences left as text, or refused by Mermaid
    pictures: int = 0  # in outputs
    broken: list[str] = field(default_factory=list)  # images without content
    alts: list[str] = field(default_factory=list)  # what is read to whoever can't see the pictures and diagrams

    @property
    def silent(self) -> list[str]:
        """The texts that say nothing."""
        return [alt for alt in self.alts if len(alt.split()) < 5]


def menu(page: Page, *path: str) -> None:
    """Choose an entry by its label, such as "Run", "Run All Cells"."""
    page.locator(".lm-MenuBar-item").get_by_text(path[0], exact=True).click()
    for label in path[1:]:
        page.locator(".lm-Menu-item").get_by_text(label, exact=True).click()


def open_notebook(page: Page, address: str) -> None:
    """Open it and wait until its kernel is ready."""
    page.goto(address)
    expect(page.locator(".jp-NotebookPanel .jp-Cell").first).to_be_visible(timeout=60_000)
    expect(page.locator("#jp-main-statusbar").get_by_text("Idle")).to_be_visible(timeout=60_000)


def run_all(page: Page, seconds: int, meanwhile: Callable[[Page], None] | None = None) -> Seen:
    """Clear all outputs, run all cells, wait for the last or for an error; then look.

    `meanwhile` is done as soon as they run.
    """
    menu(page, "Edit", "Clear Outputs of All Cells")
    page.wait_for_function(f"() => ({STATE})().prompts.every(each => !/\\d/.test(each))")
    menu(page, "Run", "Run All Cells")
    if meanwhile:
        meanwhile(page)
    page.wait_for_function(ENDED, timeout=seconds * 1000, polling=250)
    if not page.evaluate(STATE)["errors"]:
        page.wait_for_function(f"() => ({SEEN})().broken.length === 0", timeout=10_000)
    return look(page)


def look(page: Page) -> Seen:
    """What the notebook shows now."""
    state, seen = page.evaluate(STATE), page.evaluate(SEEN)
    seen["mermaid_sources"] = seen.pop("mermaidSources")
    return Seen(**state, **seen)


# Runs in the page: the code and the tables that have to be scrolled sideways, by their first words.
CUT_OFF = """selector => [...document.querySelectorAll(selector)]
    .filter(each => each.scrollWidth > each.clientWidth + 1)
    .map(each => `${each.scrollWidth - each.clientWidth} px: ${each.innerText.trim().slice(0, 60)}`)"""
IN_NOTEBOOK = ", ".join(
    f".jp-NotebookPanel:not(.lm-mod-hidden) {part}"
    for part in (".cm-scroller", ".jp-OutputArea-output", ".jp-MarkdownOutput", ".jp-MarkdownOutput pre")
)


# Runs in the page: ends when nothing slides any more, such as the book's side bar.
SETTLED = """async () => {
    for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);
    const sliding = document.getAnimations().filter(each => each instanceof CSSTransition);
    await Promise.allSettled(sliding.map(each => each.finished));
}"""


def resize(page: Page, width: int, height: int) -> None:
    """Give the window this size. In a narrow one hide JupyterLab's file browser, as README advises."""
    page.set_viewport_size({"width": width, "height": height})
    files = page.locator("#jp-left-stack")
    if width < WIDTHS[0] and files.is_visible():
        page.keyboard.press("Control+b")
        expect(files).to_be_hidden()
    page.wait_for_timeout(200)  # JupyterLab lays out after the resize
    page.evaluate(SETTLED)


def cut_off(page: Page, width: int, selector: str = IN_NOTEBOOK) -> list[str]:
    """What does not fit into a window of this width. The window stays so wide."""
    resize(page, width, 900)
    return page.evaluate(CUT_OFF, selector)


# Runs in the page: the height of what is seen of a notebook, and of the notebook down to its last cell. Below it there
# is a screen of nothing.
EXTENT = """each => [each.clientHeight, Math.max(...[...each.querySelectorAll('.jp-Cell')].map(
    cell => cell.getBoundingClientRect().bottom)) - each.getBoundingClientRect().top + each.scrollTop]"""


def screenshots(page: Page, folder: Path, name: str) -> list[Path]:
    """The whole notebook in each of the widths, in as many pictures as it has screens. Leaves the window narrow."""
    folder.mkdir(parents=True, exist_ok=True)
    scroller = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-WindowedPanel-outer")
    made = []
    for width in WIDTHS:
        resize(page, width, 1800)  # tall, so that both widths take the time of one
        height, whole = scroller.evaluate(EXTENT)
        for number, top in enumerate(range(0, max(int(whole) - 40, 1), max(height - 40, 1)), start=1):
            scroller.evaluate("(each, top) => each.scrollTo({top, behavior: 'instant'})", top)
            made.append(folder / f"{name}-{width}-{number:02d}.png")
            page.screenshot(path=made[-1])
    return made
