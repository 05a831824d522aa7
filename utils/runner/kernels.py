"""The notebooks' kernels, started ahead."""

from __future__ import annotations

import ast
import json
import os
from pathlib import Path

from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync

ROOT = Path(__file__).resolve().parent.parent.parent


# A kernel and what it imports cost one to four seconds of computing. Started all at once, they slow down the notebooks
# that compute. One ahead is ready in time: 04, which mostly waits, covers the SageMaker SDK that 05 imports.
AHEAD = 1


class Kernels:
    """A kernel for each notebook. The next notebook's starts, and imports, while one runs."""

    def __init__(self, notebooks: list[Path], settings: dict[str, str | None]) -> None:
        self._notebooks, self._settings = notebooks, settings
        self._started: dict[Path, AsyncKernelManager] = {}

    def __enter__(self) -> Kernels:
        self._start(self._notebooks[:1])
        return self

    def __exit__(self, *_) -> None:
        for notebook in list(self._started):
            self.stop(notebook)

    def get(self, notebook: Path) -> AsyncKernelManager:
        """This notebook's kernel. Also starts the next notebook's."""
        place = self._notebooks.index(notebook)
        self._start(self._notebooks[place : place + 1 + AHEAD])
        return self._started[notebook]

    def stop(self, notebook: Path) -> None:
        """End this notebook's kernel."""
        run_sync(self._started.pop(notebook).shutdown_kernel)(now=True)

    def _start(self, notebooks: list[Path]) -> None:
        for notebook in notebooks:
            if notebook not in self._started:
                kernel = AsyncKernelManager(kernel_name="python3")
                # Through __import__, which binds no name that the notebook could come to rely on.
                module = f"__import__('importlib').import_module('{__package__}.warmup')"
                warm_up = f"{module}.warm_up({self._settings}, {imports(notebook)})"
                run_sync(kernel.start_kernel)(
                    cwd=str(notebook.parent),
                    env=_environment(),
                    extra_arguments=["--log-level=ERROR", f"--IPKernelApp.exec_lines={warm_up}"],
                )
                self._started[notebook] = kernel


def _environment() -> dict[str, str]:
    """A kernel's environment: this repository's modules come before others of the same name, such as a `utils`."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}


def imports(notebook: Path) -> list[str]:
    """The modules that the notebook's code imports, in its order."""
    modules: list[str] = []
    for cell in json.loads(notebook.read_text())["cells"]:
        if cell["cell_type"] == "code":
            modules += _imports("".join(cell["source"]))
    return list(dict.fromkeys(modules))


def _imports(source: str) -> list[str]:
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except SyntaxError:  # a magic, or an error that the cell itself will show
        return []
    modules = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return modules + [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
