"""A matplotlib figure as a notebook shows it."""

from __future__ import annotations

import html
from typing import Any


def picture(figure: Any, alt: str) -> Any:
    """The figure with a text description, shown once, by the cell that returns it.

    JupyterLab and nbconvert take the text of an HTML picture only, and prefer HTML. The PNG is for other programs.
    """
    import matplotlib.pyplot as plt
    from IPython.core.pylabtools import print_figure

    plt.close(figure)
    figure.alt = alt

    def mimebundle(**_: Any) -> tuple[dict[str, str], dict[str, Any]]:
        png = print_figure(figure, base64=True).strip()
        data = {"text/html": _image(png, alt), "image/png": png, "text/plain": repr(figure)}
        return data, {"image/png": {"alt": alt}}

    figure._repr_mimebundle_ = mimebundle
    return figure


def _image(png: str, alt: str) -> str:
    """A picture as HTML, on a white card with a margin, in a dark theme too. `alt` describes it in words."""
    style = "background: white; padding: 12px; border-radius: 8px; box-sizing: border-box; max-width: 100%"
    return f'<img style="{style}" alt="{html.escape(alt)}" src="data:image/png;base64,{png}">'
