"""The book, opened as files: everything on it is its own, diagrams are drawn, the search finds."""

import re

import pytest
from person import NOTEBOOKS, ROOT, SCREENS, SETTLED, WIDE, WIDTHS, cut_off

BOOK = ROOT / "build" / "book" / "html"
PAGES = ["index", "docs/glossary", "docs/architecture"] + [
    str(path.relative_to(ROOT).with_suffix("")) for path in NOTEBOOKS
]


@pytest.fixture(scope="module")
def visit(browser):
    """Opens a page of the book, and says what it asked the internet for."""
    assert BOOK.exists(), "There is no book: `make book` builds it."
    page = browser.new_page(viewport=WIDE)
    asked, failed = [], []
    page.on("request", lambda request: asked.append(request.url) if request.url.startswith("http") else None)
    page.on("requestfailed", lambda request: failed.append(request.url))
    page.on("pageerror", lambda error: failed.append(str(error)))

    def go(name):
        asked.clear(), failed.clear()
        page.goto((BOOK / f"{name}.html").as_uri())
        return page, asked, failed

    yield go
    page.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_without_the_internet(name, visit):
    page, asked, failed = visit(name)
    diagrams = page.locator("pre.mermaid")
    for number in range(diagrams.count()):
        diagrams.nth(number).locator("svg").wait_for(timeout=15_000)
        assert len(diagrams.nth(number).locator("svg > title").text_content().split()) >= 5
    pictures = page.locator("main img")
    alts = pictures.evaluate_all("all => all.map(each => each.alt)")
    assert [alt for alt in alts if len(alt.split()) < 5] == []
    assert all(pictures.nth(n).evaluate("each => each.naturalWidth > 0") for n in range(pictures.count()))
    assert page.locator("article h1").count() == 1
    SCREENS.mkdir(parents=True, exist_ok=True)
    for width in WIDTHS:
        assert cut_off(page, width, "article pre, article .pst-scrollable-table-container, article table") == []
        page.screenshot(path=SCREENS / f"book-{name.replace('/', '-')}-{width}.png", full_page=True)
    assert asked == []
    assert failed == []


@pytest.mark.slow
def test_the_contents_lead_to_every_page(visit):
    page, _, _ = visit("index")
    links = page.locator(".bd-sidebar-primary nav a").evaluate_all("all => all.map(each => each.href)")
    for name in PAGES[1:]:
        assert (BOOK / f"{name}.html").as_uri() in links


@pytest.mark.slow
def test_the_search_finds(visit):
    page, _, _ = visit("search")
    page.goto(page.url + "?q=visibility+timeout")
    page.locator("#search-results li").first.wait_for(timeout=15_000)
    links = page.locator("#search-results li > a").evaluate_all("all => all.map(each => each.href)")
    assert any("04_sqs_and_mapping.html" in link for link in links)


# Runs in the page: the colours of each node's text and of the shape that it is on.
NODES = """() => [...document.querySelectorAll('pre.mermaid svg .node')].map(node => [
    getComputedStyle(node.querySelector('.nodeLabel')).color,
    getComputedStyle(node.querySelector('rect, path, polygon, circle')).fill,
])"""


@pytest.mark.slow
def test_diagrams_can_be_read_in_either_theme(visit):
    page, _, _ = visit("notebooks/04_sqs_and_mapping")
    page.locator("pre.mermaid svg").first.wait_for(timeout=15_000)
    light = page.evaluate(NODES)
    page.evaluate("document.querySelector('pre.mermaid svg').dataset.before = 'yes'")
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.wait_for_function("!document.querySelector('pre.mermaid svg[data-before]')", timeout=15_000)
    page.locator("pre.mermaid svg .node").first.wait_for(timeout=15_000)
    dark = page.evaluate(NODES)
    assert len(light) == len(dark) > 5
    assert [node for node in light + dark if brightness(node[1]) - brightness(node[0]) < 100] == []
    assert page.locator("pre.mermaid svg").first.evaluate("each => getComputedStyle(each).filter") == "none"
    page.screenshot(path=SCREENS / "book-dark.png")


# Runs in the page: the contrast of each colour of words with what is behind them, as WCAG 2 computes it, and the
# lightest background of an output. Links behind headings, seen only under the mouse, are left out.
COLOURS = """() => {
    const rgba = color => color.match(/[\\d.]+/g).map(Number);
    const linear = each => each <= 10 ? each / 255 / 12.92 : ((each / 255 + 0.055) / 1.055) ** 2.4;
    const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    const behind = each => {
        const color = each ? rgba(getComputedStyle(each).backgroundColor) : [255, 255, 255];
        return color[3] === 0 ? behind(each.parentElement) : color;
    };
    document.querySelectorAll('article details').forEach(each => { each.open = true; });
    const contrasts = {}, words = document.createTreeWalker(document.querySelector('article'), NodeFilter.SHOW_TEXT);
    while (words.nextNode()) {
        const each = words.currentNode.parentElement;
        if (!words.currentNode.textContent.trim() || each.closest('svg, script, style, .headerlink')) continue;
        const color = getComputedStyle(each).color;
        const [low, high] = [rgba(color), behind(each)].map(luminance).sort((one, other) => one - other);
        contrasts[`${color} of ${each.tagName} ${each.className}`] = (high + 0.05) / (low + 0.05);
    }
    const outputs = [...document.querySelectorAll('div.cell_output .output')];
    return [contrasts, Math.max(0, ...outputs.map(each => luminance(behind(each))))];
}"""


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["index", "notebooks/02_batch_setup", "notebooks/06_monitoring"])
def test_words_can_be_read_in_either_theme(name, theme, visit):
    page, _, _ = visit(name)
    page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
    page.evaluate(SETTLED)
    contrasts, lightest = page.evaluate(COLOURS)
    assert len(contrasts) > 5
    assert {words: contrast for words, contrast in contrasts.items() if contrast < 4.5} == {}
    assert theme == "light" or lightest < 0.1


def brightness(color):
    """The mean of "rgb(r, g, b)"."""
    return sum(map(int, re.findall(r"\d+", color)[:3])) / 3
