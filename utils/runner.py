"""`make tutorial`: runs the notebooks in order, shows where it is, and says at the end what came out.

    python -m utils.runner [--from 05 | --only 03] [--keep] [--target aws] [--prefix ...] [--region ...]
                           [--role-layout shared] [--image ...]

Writes each executed notebook and one page with all of them to outputs/. The exit status is 0 when everything ran and
came out as it should, 1 when not, 2 for options that make no sense, 130 when it was interrupted.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import logging
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from rich.console import Console
from rich.markup import escape

from . import conditions
from .cleanup import leftovers, only_tagged
from .config import Config, ConfigError, load_config
from .interrupt import Interrupt
from .report import execution_facts, write_page
from .session import connect, embedded_state

ROOT = Path(__file__).resolve().parent.parent
PIPELINE, MONITORING, CLEANUP = "05_pipeline_build", "06_monitoring", "07_cleanup"
SETTINGS = ("target", "prefix", "region", "role_layout", "image")  # options that are parameters of the notebooks
CELL_SECONDS = 3600  # no cell waits longer, on AWS either


class NotebookFailed(Exception):
    """A notebook did not run to its end.

    Attributes:
        notebook: the notebook.
        cell: the number of the failing code cell, from 1; 0 when none had begun.
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


class Kernels:
    """A kernel for each notebook. The next notebooks' start, and import, while the one before them runs.

    Seven kernels and what they import cost some 20 seconds of a run that often waits for AWS; the SageMaker SDK alone
    takes longer to import than the notebook before it runs, hence three ahead.
    """

    def __init__(self, notebooks: list[Path], settings: dict[str, str | None], ahead: int = 3) -> None:
        self._notebooks, self._settings, self._ahead = notebooks, settings, ahead
        self._started: dict[Path, AsyncKernelManager] = {}

    def __enter__(self) -> Kernels:
        self._start(self._notebooks[:1])
        return self

    def __exit__(self, *_) -> None:
        for notebook in list(self._started):
            self.stop(notebook)

    def get(self, notebook: Path) -> AsyncKernelManager:
        """This notebook's kernel; those of the next ones are started by the way."""
        place = self._notebooks.index(notebook)
        self._start(self._notebooks[place : place + 1 + self._ahead])
        return self._started[notebook]

    def stop(self, notebook: Path) -> None:
        """End this notebook's kernel."""
        run_sync(self._started.pop(notebook).shutdown_kernel)(now=True)

    def _start(self, notebooks: list[Path]) -> None:
        for notebook in notebooks:
            if notebook not in self._started:
                kernel = AsyncKernelManager(kernel_name="python3")
                # Through __import__, which binds no name that the notebook could come to rely on.
                warm_up = f"__import__('utils.warmup').warmup.warm_up({self._settings}, {imports(notebook)})"
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


def run_notebook(
    notebook: Path, kernel: AsyncKernelManager, outputs: Path, parameters: dict[str, object], console: Console
) -> Ran:
    """Run one notebook in this kernel, show its progress, and write the executed copy to `outputs`.

    Raises:
        NotebookFailed: its executed copy is written up to the failing cell.
    """
    import papermill  # two seconds: meanwhile the embedded AWS and the first kernel are starting
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
            raise progress.failure(_words(error)) from error
        return progress.finish(time.perf_counter() - begun)


class _Progress:
    """One line for a notebook: in a terminal it shows the cell that is running, and for how long."""

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


def main(
    arguments: list[str] | None = None, notebooks: Path = ROOT / "notebooks", outputs: Path = ROOT / "outputs"
) -> int:
    """Run what the arguments ask for and report it; returns the exit status."""
    options = _options(arguments, sorted(notebooks.glob("[0-9][0-9]_*.ipynb")))
    console = Console(highlight=False, soft_wrap=True)
    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # what it would log, the report says
    with Interrupt() as interrupt:
        try:
            return _report(options, outputs, console, interrupt)
        except KeyboardInterrupt:
            console.print("\ninterrupted; what was made so far is still there", style="red")
            return 130


def _report(options: argparse.Namespace, outputs: Path, console: Console, interrupt: Interrupt) -> int:
    """Run the notebooks and say what came of it; returns the exit status.

    Raises:
        KeyboardInterrupt: the run was interrupted, whatever failed because of that.
    """
    try:
        conditions.raise_file_limit()
        conditions.make_outputs(outputs, _written(options.notebooks))
        return _tutorial(options, outputs, console)
    except NotebookFailed as failure:
        if interrupt.came:
            raise KeyboardInterrupt from failure
        _explain(failure, options, outputs, console)
    # AWS not usable, or silent when asked what became of the run; the embedded AWS not startable
    except (ConfigError, RuntimeError, BotoCoreError, ClientError) as error:
        if interrupt.came:
            raise KeyboardInterrupt from error
        console.print(_words(error), style="red", markup=False)
    return 1


def _words(error: BaseException) -> str:
    """What an error says, or its name when it says nothing."""
    return str(error).strip() or type(error).__name__


def _written(notebooks: list[Path]) -> list[str]:
    return [*(notebook.name for notebook in notebooks), "tutorial.html", "run.json", conditions.RECORD]


def _options(arguments: list[str] | None, notebooks: list[Path]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make tutorial", description="Run the tutorial's notebooks in order.")
    parser.add_argument("--from", dest="first", metavar="NN", help="begin with this notebook, such as 05")
    parser.add_argument("--only", metavar="NN", help="run this notebook alone")
    parser.add_argument("--keep", action="store_true", help="leave the cleanup notebook out")
    parser.add_argument("--target", choices=["local", "aws"], help="the embedded AWS (default), or your AWS account")
    parser.add_argument("--prefix", help="the beginning of every name (default: sagemaker-batch)")
    parser.add_argument("--region", help="the AWS region (default: us-east-1 locally, your own on AWS)")
    parser.add_argument(
        "--role-layout", choices=["separate", "shared"], help="one role a task (default), or one for all"
    )
    parser.add_argument("--image", help="what the Python jobs run in (default: a slim public image)")
    options = parser.parse_args(arguments)
    options.state_id = None  # which embedded AWS the notebooks run on, when that is known
    everything = notebooks

    def numbered(number: str) -> Path:
        matches = [path for path in notebooks if number.zfill(2) in (path.stem, path.stem.split("_")[0])]
        if not matches:
            parser.error(f"there is no notebook {number}; there are {', '.join(path.stem for path in notebooks)}")
        return matches[0]

    if options.only and options.first:
        parser.error("--only and --from exclude each other")
    if options.only:
        notebooks = [numbered(options.only)]
    elif options.first:
        notebooks = notebooks[notebooks.index(numbered(options.first)) :]
    if options.keep:
        notebooks = [path for path in notebooks if path.stem != CLEANUP]
    if not notebooks:
        parser.error("nothing is left to run")
    options.begins = notebooks[0].stem in (everything[0].stem, CLEANUP)
    options.notebooks = notebooks
    return options


def _tutorial(options: argparse.Namespace, outputs: Path, console: Console) -> int:
    begun, begun_at = time.perf_counter(), datetime.now(UTC)
    settings = {name: getattr(options, name) for name in SETTINGS}
    stems = [notebook.stem for notebook in options.notebooks]
    ran: list[Ran] = []
    report: list[str] = []
    good = True
    with ThreadPoolExecutor(max_workers=1) as background, Kernels(options.notebooks, settings) as kernels:
        for module in ("papermill", "nbconvert"):  # seconds, while the embedded AWS and the first kernel start
            background.submit(importlib.import_module, module)
        config = load_config(**settings)
        session = connect(target=config.target, region=config.region)
        parameters = {name: value for name, value in settings.items() if value is not None}
        if config.target == "local":
            _note_aws(session, config, options, outputs)
        for notebook in options.notebooks:
            if notebook.stem == CLEANUP:  # after which there is nothing to ask about
                report, good = _facts(session, config, stems, begun_at)
            ran.append(run_notebook(notebook, kernels.get(notebook), outputs, parameters, console))
            kernels.stop(notebook)
    if CLEANUP in stems:
        left = leftovers(session, config)
        report.append(f"cleanup    {'left behind: ' + ', '.join(left) if left else 'nothing left behind'}")
        if listed := only_tagged(session, config):
            report.append(f"           still in AWS's tag register, which may lag by hours: {', '.join(listed)}")
        good = good and not left
    else:
        report, good = _facts(session, config, stems, begun_at)
    write_page([outputs / f"{stem}.ipynb" for stem in stems], outputs / "tutorial.html")
    seconds = time.perf_counter() - begun
    record = {"target": config.target, "seconds": round(seconds, 2), "notebooks": [asdict(each) for each in ran]}
    (outputs / "run.json").write_text(json.dumps(record, indent=2) + "\n")
    total = f"{len(ran)} notebook{'s' if len(ran) > 1 else ''}"
    console.print(f"{total:<24}{sum(each.cells for each in ran):>4} cells {seconds:>7.1f} s")
    console.print("\n".join(["", *report, f"page       {_shown(outputs / 'tutorial.html')}"]), markup=False)
    return 0 if good else 1


def _note_aws(session: boto3.Session, config: Config, options: argparse.Namespace, outputs: Path) -> None:
    """Record which embedded AWS the notebooks use.

    Raises:
        ConfigError: it is another one than before, and has nothing of what the notebooks before these make.
    """
    options.state_id = embedded_state()
    if options.state_id is None:
        return
    if not options.begins and not conditions.is_same_aws(outputs, options.state_id) and not leftovers(session, config):
        first = options.notebooks[0].stem.split("_")[0]
        raise ConfigError(
            f"The embedded AWS that the notebooks before {first} ran on has ended, and what they made with it; the one "
            f"that runs now is empty. Begin again with\n    {_command(options)}"
        )
    conditions.record_aws(outputs, options.state_id)


def _command(options: argparse.Namespace, which: str = "") -> str:
    """The command that runs all notebooks, or `which` says, with the same settings."""
    settings = (f"--{name.replace('_', '-')} {value}" for name in SETTINGS if (value := getattr(options, name)))
    arguments = " ".join(filter(None, [which, *settings]))
    return f'make tutorial ARGS="{arguments}"' if arguments else "make tutorial"


def _facts(session: boto3.Session, config: Config, stems: list[str], begun_at: datetime) -> tuple[list[str], bool]:
    """About the execution that these notebooks started, or looked at; nothing when they did neither."""
    if not {PIPELINE, MONITORING} & set(stems):
        return [], True
    return execution_facts(session, config, since=begun_at if PIPELINE in stems else None)


def _explain(failure: NotebookFailed, options: argparse.Namespace, outputs: Path, console: Console) -> None:
    number = failure.notebook.stem.split("_")[0]
    console.print(f"\n{failure.notebook.name} failed in code cell {failure.cell}:\n", style="bold red", markup=False)
    console.print("\n".join(f"    {line}" for line in failure.source.splitlines()), markup=False)
    console.print(f"\n{failure.error}\n", style="red", markup=False)
    console.print(f"Its traceback is in {_shown(outputs / failure.notebook.name)}.", end=" ", markup=False)
    if options.state_id and embedded_state() != options.state_id:
        console.print(
            "The embedded AWS ended meanwhile, and with it what the notebooks\n"
            f"before had made. Begin again with\n    {_command(options)}",
            markup=False,
        )
        return
    console.print(
        f"Go on from here with\n    {_command(options, f'--from {number}')}\n"
        f"or delete what was made with\n    {_command(options, '--only 07')}",
        markup=False,
    )


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


if __name__ == "__main__":
    sys.exit(main())
