"""Run one notebook, and show how far it is."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from jupyter_client.manager import AsyncKernelManager
from rich.console import Console
from rich.markup import escape

CELL_SECONDS = 3600  # no cell waits longer, on AWS either


class NotebookFailed(Exception):
    """A notebook did not run to its end.

    Attributes:
        notebook: the notebook.
        cell: the number of the failing code cell, from 1. 0 when none had begun.
        source: that cell's code.
        error: what went wrong, such as "ValueError: no such queue".
    """

    def __init__(self, notebook: Path, cell: int, source: str, error: str) -> None:
        self.notebook, self.cell, self.source, self.error = notebook, cell, source, error
        super().__init__(f"{notebook.name}, code cell {cell}: {error}")


@dataclass(frozen=True)
class Ran:
    """A notebook that ran, the number of its code cells, and the seconds it took."""

    notebook: str
    cells: int
    seconds: float


def run_notebook(
    notebook: Path, kernel: AsyncKernelManager, outputs: Path, parameters: dict[str, object], console: Console
) -> Ran:
    """Run one notebook in this kernel, show its progress, and write the executed copy to `outputs`.

    Raises:
        NotebookFailed: its executed copy is written up to the failing cell.
    """
    import papermill  # a second: meanwhile the embedded AWS and the first kernel are starting
    from papermill.exceptions import PapermillException

    begun = time.perf_counter()
    with _Progress(notebook, console) as progress:
        try:
            papermill.execute_notebook(
                notebook,
                outputs / notebook.name,
                parameters=parameters,
                cwd=notebook.parent,
                progress_bar=False,
                km=kernel,
                execution_timeout=CELL_SECONDS,
                on_cell_start=progress.cell_starts,
            )
        except papermill.PapermillExecutionError as error:
            raise progress.failure(f"{error.ename}: {error.evalue}") from error
        except (PapermillException, RuntimeError, TimeoutError) as error:  # such as a kernel that died
            raise progress.failure(words(error)) from error
        return progress.finish(time.perf_counter() - begun)


def words(error: BaseException) -> str:
    """What an error says, or its name when it says nothing."""
    return str(error).strip() or type(error).__name__


class _Progress:
    """One line for a notebook. In a terminal it shows the cell that is running, and for how long."""

    def __init__(self, notebook: Path, console: Console) -> None:
        self._notebook, self._console = notebook, console
        self._total = sum(cell["cell_type"] == "code" for cell in json.loads(notebook.read_text())["cells"])
        self._number, self._source, self._begun = 0, "", time.monotonic()
        self._status = console.status("")
        self._ended = threading.Event()

    def __enter__(self) -> _Progress:
        if self._console.is_terminal:
            self._status.start()
            threading.Thread(target=self._tick, daemon=True).start()
        else:
            self._console.print(f"{self._notebook.stem:<24}", end="")
        return self

    def __exit__(self, *_) -> None:
        self._ended.set()
        self._status.stop()

    def _tick(self) -> None:
        while not self._ended.wait(0.25):
            code = next((line for line in self._source.splitlines() if line and line[0] != "#"), "")
            where = f"cell {self._number} of {self._total}" if self._number else "its kernel starts"
            self._status.update(
                f"{self._notebook.stem:<24} {where}  "
                f"{time.monotonic() - self._begun:.0f} s  [dim]{escape(code[:60])}[/dim]"
            )

    def cell_starts(self, cell, cell_index) -> None:  # noqa: ARG002  nbclient passes both by name
        if cell.cell_type == "code" and "injected-parameters" not in cell.metadata.get("tags", []):
            self._number, self._source = self._number + 1, cell.source

    def failure(self, error: str) -> NotebookFailed:
        if not self._console.is_terminal:
            self._console.print("failed")
        return NotebookFailed(self._notebook, self._number, self._source, error)

    def finish(self, seconds: float) -> Ran:
        self._status.stop()
        name = f"{self._notebook.stem:<24}" if self._console.is_terminal else ""
        self._console.print(f"{name}{self._total:>4} cells {seconds:>7.1f} s", highlight=False)
        return Ran(self._notebook.stem, self._total, round(seconds, 2))
