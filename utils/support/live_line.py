"""A line that says what a cell waits for, and for how long."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

NOTHING = {"text/html": "", "text/plain": ""}


@contextmanager
def live_line() -> Iterator[Callable[[str], None]]:
    """Show one line that changes while something is waited for. Nothing of it stays.

    So a notebook is saved with the same outputs after each run. Print what is to stay. Outside a notebook the line is
    not shown, and IPython need not be installed.

    Yields:
        a function that takes what to show. It adds the seconds that have passed.
    """
    begun = time.monotonic()
    view = _empty_output()

    def show(text: str) -> None:
        if view is not None:
            line = f"{text}, {time.monotonic() - begun:.0f} s"
            view.update({"text/html": f"<div>{html.escape(line)}</div>", "text/plain": line}, raw=True)

    try:
        yield show
    finally:
        if view is not None:
            view.update(NOTHING, raw=True)


def _empty_output() -> Any:
    """An output of the cell that can be changed, or None outside a notebook, where nothing has imported IPython."""
    if sys.modules.get("IPython") is None:
        return None
    from IPython import get_ipython
    from IPython.display import display

    return display(NOTHING, raw=True, display_id=True) if get_ipython() else None
