"""pandas tables in a notebook, shown whole, with words aligned left and numbers right."""

from __future__ import annotations

import html
import re
from typing import Any

import pandas as pd

# A number as we write them: 12, 4,440, -9.93, $0.26, < 0.0001, 1e-05; and what may stand in place of one.
NUMBER = re.compile(r"(< )?\$?-?[\d,.]+(e-?\d+)?%?|nan|None|NaT|")


def readable() -> None:
    """From here on the kernel shows tables with all their rows and words, and the words begin at the left.

    pandas aligns everything to the right, and only a page's style sheet could change that. A style that a cell
    carries itself is kept by JupyterLab of a notebook that it does not trust, and by the book.
    """
    from IPython import get_ipython

    pd.set_option("display.max_rows", 100, "display.max_colwidth", 100)
    if shell := get_ipython():
        shell.display_formatter.formatters["text/html"].for_type(pd.DataFrame, as_html)


def as_html(table: pd.DataFrame) -> str:
    """The table as HTML. A column with any cell that is not a number is aligned as words."""
    page = table.to_html(max_rows=100)
    words = [any(not NUMBER.fullmatch(str(value)) for value in table.iloc[:, place]) for place in range(table.shape[1])]
    rows = page.split("<tr")
    return "<tr".join([rows[0], *(_aligned(row, words) for row in rows[1:])])


def _aligned(row: str, words: list[bool]) -> str:
    """One row, whose first cell is the index."""
    cells = re.split(r"(?=<t[dh]>)", row)
    number = -1  # of the column
    for place, cell in enumerate(cells):
        if cell[:4] in ("<td>", "<th>"):
            if number >= 0 and words[number]:
                cells[place] = f'{cell[:3]} style="text-align: left">{cell[4:]}'
            number += 1
    return "".join(cells)


def folded(texts: dict[str, str], *, opened: bool = False) -> Any:
    """Long texts to show at the end of a cell, each folded under its title.

    Args:
        texts: text by title.
        opened: show the texts, ready to be folded. Default: False.

    Returns:
        What IPython shows as HTML. Where there is no page, the titles are shown.
    """

    attribute = " open" if opened else ""

    class Folded:
        def _repr_html_(self) -> str:
            parts = (
                f"<details{attribute}><summary>{html.escape(title)}</summary><pre>{html.escape(text)}</pre></details>"
                for title, text in texts.items()
            )
            return "\n".join(parts)

        def __repr__(self) -> str:
            return "\n".join(texts)

    return Folded()
