"""The book: the notebooks as they are saved, README and docs/, as one static site. `make book` lays out the sources."""

import html
import re
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive

project = "SageMaker Pipelines and AWS Batch"
author = "the contributors"
extensions = ["myst_nb"]
exclude_patterns = ["README.md"]  # index.md has it

nb_execution_mode = "off"  # the saved outputs are shown; `make test` proves them fresh
myst_fence_as_directive = ["mermaid"]
myst_heading_anchors = 3

html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["_static"]
html_js_files = ["diagrams.js"]
html_css_files = ["book.css"]
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
html_theme_options = {"show_toc_level": 2, "use_download_button": True, "use_fullscreen_button": False}


class Mermaid(Directive):
    """A Mermaid fence, left as text for diagrams.js to draw. So the site's pages can be opened as files, too.

    sphinxcontrib-mermaid's script is an ES module, which browsers load only from a server."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        diagram = html.escape("\n".join(self.content))
        return [nodes.raw("", f'<pre class="mermaid">{diagram}</pre>', format="html")]


def links_of_the_site(app, document, source):
    """README is the site's first page, and a folder, which a site does not show, is its name."""
    here = Path(app.srcdir, document).parent

    def rewrite(link: re.Match) -> str:
        text, target, anchor = link.groups(default="")
        if (here / target).resolve() == Path(app.srcdir, "README.md"):
            return f"[{text}]({target.replace('README.md', 'index.md')}{anchor})"
        return text if (here / target).is_dir() else link[0]

    source[0] = re.sub(r"(?<!!)\[([^\[\]]+)\]\(([^():#\s]+)(#[\w-]*)?\)", rewrite, source[0])


def setup(app):
    app.connect("source-read", links_of_the_site)
    app.add_directive("mermaid", Mermaid)
    return {"parallel_read_safe": True}
