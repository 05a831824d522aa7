"""What `make tutorial` has a kernel do while the notebook before is still running."""

from __future__ import annotations

import contextlib
import importlib
import io
from typing import Any


def warm_up(settings: dict[str, Any], modules: list[str]) -> None:
    """Connect as the notebook will, and import what it will import, so that its own imports take no time.

    It changes nothing a notebook could see. What fails here is left for the notebook's own cell to meet and to show.
    """
    from ..config import load_config
    from ..session import connect
    from .quick_imports import import_jsonschema

    with contextlib.suppress(Exception), contextlib.redirect_stdout(io.StringIO()):
        config = load_config(**settings)
        connect(
            target=config.target, region=config.region
        )  # first: the SageMaker SDK makes clients when it is imported
        import_jsonschema()
        for module in modules:
            importlib.import_module(module)
