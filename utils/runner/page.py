"""Write the executed notebooks as one HTML page, which needs nothing from the internet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

TEMPLATE = Path(__file__).with_name("page.html.j2")
FENCE = re.compile(r"^(```.*?^```)", re.DOTALL | re.MULTILINE)
DIAGRAM = re.compile(r"^```mermaid\n(.*?)^```", re.DOTALL | re.MULTILINE)
# A diagram's lines that say how it is drawn, not what it shows.
DRAWING = re.compile(r"^(%%\{.*| *(?:accTitle:|class |classDef |style |linkStyle ).*)\n", re.MULTILINE)


@dataclass
class Section:
    """A heading, the anchor that leads there, and the headings below it."""

    title: str
    anchor: str
    sections: list[Section] = field(default_factory=list)


def find_mermaid(folder: Path) -> str | None:
    """The script that draws diagrams, as text for a page, or None if it is not in this folder.

    `make tutorial` and `make book` fetch it with npm.
    """
    found = sorted(folder.glob("mermaid-*.min.js"))
    if not found:
        return None
    # Within a script's strings the backslash changes nothing. Without it, these would end or confuse the HTML element.
    return re.sub(r"<(?=/script|!--)", r"<\\", found[-1].read_text(encoding="utf-8"), flags=re.IGNORECASE)


def write_page(executed: list[Path], page: Path, mermaid: str | None = None) -> None:
    """Write all executed notebooks, in their order, as one HTML page with contents.

    Args:
        executed: the notebooks.
        page: the file to write.
        mermaid: the script that draws diagrams. Default: the page shows each diagram's text.
    """
    import nbformat
    from jinja2 import DictLoader
    from nbconvert import HTMLExporter

    whole = nbformat.v4.new_notebook()
    stems = {path.stem for path in executed}
    contents = []
    for path in executed:
        notebook = nbformat.read(path, as_version=4)
        whole.metadata = whole.metadata or notebook.metadata
        listed = Section(path.stem, path.stem)
        for number, cell in enumerate(notebook.cells):
            cell.id = f"{path.stem}-{number}"  # ids must not repeat on the page
            if cell.cell_type == "markdown":
                text = cell.source if mermaid else as_text(cell.source)
                cell.source = _with_anchors(_with_links(text, stems), listed)
            whole.cells.append(cell)
        contents.append(listed)
    whole.metadata["title"] = "SageMaker Pipelines and AWS Batch"
    loader = DictLoader({TEMPLATE.name: TEMPLATE.read_text(encoding="utf-8")})
    exporter = HTMLExporter(extra_loaders=[loader], template_file=TEMPLATE.name)
    resources = {"contents": contents, "mermaid": mermaid}
    page.write_text(exporter.from_notebook_node(whole, resources=resources)[0], encoding="utf-8")


def as_text(markdown: str) -> str:
    """Markdown with each Mermaid diagram as its title and the lines that say what it shows."""

    def text(diagram: re.Match[str]) -> str:
        title = re.search(r"accTitle: (.*)", diagram[1])
        shown = re.sub(r"<br */?>", " ", DRAWING.sub("", diagram[1]))
        return f"*Diagram: {title[1] if title else 'without a title'}*\n\n```text\n{shown}```"

    return DIAGRAM.sub(text, markdown)


def _outside_fences(markdown: str) -> Iterator[tuple[bool, str]]:
    """The parts of a text, each with whether it is prose."""
    for place, part in enumerate(FENCE.split(markdown)):
        yield place % 2 == 0, part


def _with_links(markdown: str, stems: set[str]) -> str:
    """Links to a notebook of this page lead to its place here. Others lead to the repository, from outputs/."""

    def link(match: re.Match[str]) -> str:
        target = match[1]
        if (name := re.fullmatch(r"(\w+)\.ipynb(#.*)?", target)) and name[1] in stems:
            return f"](#{name[1]})"
        return f"](../notebooks/{target})"

    relative = re.compile(r"\]\((?![a-z]+:|#|\.\./)([^)\s]+)\)")
    return "".join(relative.sub(link, part) if prose else part for prose, part in _outside_fences(markdown))


def _with_anchors(markdown: str, listed: Section) -> str:
    """Markdown with an anchor before each title and section, which are added to the notebook's contents."""

    def heading(match: re.Match[str]) -> str:
        level, title = match[1], match[2]
        plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", title)
        if level == "#":
            section = listed
            section.title = plain
        else:
            section = Section(plain, f"{listed.anchor}--{len(listed.sections) + 1}")
            listed.sections.append(section)
        return f'<a id="{section.anchor}"></a>\n\n{match[0]}'

    headings = re.compile(r"^(##?) +(.+?) *$", re.MULTILINE)
    return "".join(headings.sub(heading, part) if prose else part for prose, part in _outside_fences(markdown))
