"""The page of `make tutorial`: contents, links and diagrams, and nothing that a browser would have to fetch."""

import re
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest

from utils.runner.page import as_text, find_mermaid, write_page

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("0*.ipynb"))
SCRIPT = 'globalThis.mermaid = {initialize() {}, run() {}, end: "</script>", comment: "<!--"};'


class Page(HTMLParser):
    """What tests ask about a page: its ids, the links of its contents and of its text, its diagrams and scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: dict[bool, list[str]] = {True: [], False: []}
        self.loads: list[str] = []
        self.scripts: list[str] = []
        self.diagrams = 0
        self.in_contents = self.in_script = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.in_contents |= tag == "nav"
        self.in_script = tag == "script"
        self.diagrams += tag == "pre" and attributes.get("class") == "mermaid"
        if tag == "a" and "anchor-link" not in str(attributes.get("class")) and "href" in attributes:
            self.links[self.in_contents].append(attributes["href"])
        if tag in ("script", "img", "link", "iframe"):
            self.loads += [value for name, value in attrs if name in ("src", "href") and value]

    def handle_endtag(self, tag):
        self.in_contents &= tag != "nav"
        self.in_script = False

    def handle_data(self, data):
        if self.in_script:
            self.scripts.append(data)


def written(tmp_path: Path, notebooks: list[Path], mermaid: str | None = None) -> tuple[str, Page]:
    write_page(notebooks, tmp_path / "page.html", mermaid)
    text = (tmp_path / "page.html").read_text()
    return text, Page(text)


@pytest.fixture
def make(tmp_path: Path):
    def write(name: str, *cells: str) -> Path:
        path = tmp_path / f"{name}.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(cell) for cell in cells]), path)
        return path

    return write


@pytest.mark.sampled(1)
@pytest.mark.parametrize("mermaid", [SCRIPT, None])
def test_the_page_of_the_notebooks_loads_nothing(mermaid, tmp_path):
    text, page = written(tmp_path, NOTEBOOKS, mermaid)
    assert [address for address in page.loads if not address.startswith("data:")] == []
    styles = "".join(re.findall(r"<style.*?</style>", text, re.DOTALL))
    assert not re.search(r"@import|url\(\s*[\"']?(?!data:|[\"']?#)[\w.]+[:/]", styles)
    assert not any("import(" in script or "http" in script for script in page.scripts)


def test_contents_lead_to_every_notebook_and_section(tmp_path):
    _, page = written(tmp_path, NOTEBOOKS)
    links = page.links[True]
    headings = [
        heading
        for path in NOTEBOOKS
        for cell in nbformat.read(path, as_version=4).cells
        if cell.cell_type == "markdown"
        for heading in re.findall(r"^##? .*", re.sub(r"```.*?```", "", cell.source, flags=re.DOTALL), re.MULTILINE)
    ]
    assert len(links) == len(set(links)) == len(headings) > 50
    assert all(page.ids.count(link.removeprefix("#")) == 1 for link in links)
    assert {f"#{path.stem}" for path in NOTEBOOKS} <= set(links)


def test_two_sections_of_one_name_have_two_places(make, tmp_path):
    text, page = written(tmp_path, [make("01_a", "# A", "## Try it"), make("02_b", "# B", "## Try it\n\nmore\n\n## C")])
    first, second = [link.removeprefix("#") for link in page.links[True] if "--1" in link]
    assert text.index(f'id="{first}"') < text.index('id="02_b"') < text.index(f'id="{second}"')


def test_a_comment_in_a_block_of_code_is_no_section(make, tmp_path):
    _, page = written(tmp_path, [make("01_a", "# A\n\n```python\n# not a title\n## nor this\n```")])
    assert page.links[True] == ["#01_a"]


def test_links_lead_to_the_pages_own_notebooks_or_into_the_repository(make, tmp_path):
    text = (
        "# A\n\n[b](02_b.ipynb) [c](going_further/c.ipynb) [d](03_d.ipynb#e) [r](../README.md#x) [w](https://aws.com)"
    )
    _, page = written(tmp_path, [make("01_a", text), make("02_b", "# B")])
    assert page.links[False] == [
        "#02_b",
        "../notebooks/going_further/c.ipynb",
        "../notebooks/03_d.ipynb#e",
        "../README.md#x",
        "https://aws.com",
    ]


def test_with_mermaid_the_diagrams_are_drawn(make, tmp_path):
    (tmp_path / "mermaid-11.0.0.min.js").write_text(SCRIPT)
    mermaid = find_mermaid(tmp_path)
    diagram = "```mermaid\n%%{init: {}}%%\nflowchart LR\n    accTitle: One goes to two\n    a --> b\n```"
    _, page = written(tmp_path, [make("01_a", f"# A\n\n{diagram}")], mermaid)
    assert page.diagrams == 1
    assert "mermaid.run" in page.scripts[-1]
    assert page.scripts[0] == SCRIPT.replace("</", "<\\/").replace("<!", "<\\!")


def test_without_mermaid_the_page_says_what_a_diagram_shows(make, tmp_path):
    assert find_mermaid(tmp_path) is None
    diagram = (
        "```mermaid\n%%{init: {}}%%\nflowchart LR\n    accTitle: One goes to two\n    a[the<br/>first] --> b\n"
        "    classDef new fill:#fff\n    class a,b new\n```"
    )
    assert as_text(f"Before\n\n{diagram}\n\nAfter") == (
        "Before\n\n*Diagram: One goes to two*\n\n```text\nflowchart LR\n    a[the first] --> b\n```\n\nAfter"
    )
    text, page = written(tmp_path, [make("01_a", f"# A\n\n{diagram}")])
    assert page.diagrams == 0 and "the first" in text
    assert page.scripts == []
