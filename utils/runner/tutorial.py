"""A run of the tutorial from its options to its report."""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console

from ..cleanup import leftovers, only_tagged
from ..config import Config, ConfigError, load_config
from ..session import connect, embedded_state
from . import conditions
from .interrupt import Interrupt
from .kernels import ROOT, Kernels
from .notebooks import NotebookFailed, Ran, run_notebook, words
from .options import CLEANUP, SETTINGS, parse
from .page import find_mermaid, write_page
from .quick_imports import import_jsonschema
from .report import execution_facts

PIPELINE, MONITORING = "05_pipeline_build", "06_monitoring"

# What to do after a run that succeeded.
NEXT = (
    "`make lab` opens the notebooks, to run and change them cell by cell",
    "deploy/README.md puts a BatchStep into your own pipeline",
)


def main(
    arguments: list[str] | None = None, notebooks: Path = ROOT / "notebooks", outputs: Path = ROOT / "outputs"
) -> int:
    """Run what the arguments ask for and report it. Returns the exit status."""
    options = parse(arguments, sorted(notebooks.glob("[0-9][0-9]_*.ipynb")))
    console = Console(highlight=False, soft_wrap=True)
    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # what it would log, the report says
    with Interrupt() as interrupt:
        try:
            return _report(options, outputs, console, interrupt)
        except KeyboardInterrupt:
            console.print("\nInterrupted. What was made so far is still there.", style="red")
            return 130


def _report(options: argparse.Namespace, outputs: Path, console: Console, interrupt: Interrupt) -> int:
    """Run the notebooks and say what came of it. Returns the exit status.

    Raises:
        KeyboardInterrupt: the run was interrupted, whatever failed because of that.
    """
    try:
        conditions.raise_file_limit()
        conditions.make_outputs(outputs, _written(options.notebooks))
        with conditions.lock_outputs(outputs):
            return _tutorial(options, outputs, console)
    except NotebookFailed as failure:
        if interrupt.came:
            raise KeyboardInterrupt from failure
        _explain(failure, options, outputs, console)
    # AWS not usable, or silent when asked what became of the run; the embedded AWS not startable
    except (ConfigError, RuntimeError, BotoCoreError, ClientError) as error:
        if interrupt.came:
            raise KeyboardInterrupt from error
        console.print(words(error), style="red", markup=False)
    return 1


def _written(notebooks: list[Path]) -> list[str]:
    return [*(notebook.name for notebook in notebooks), "tutorial.html", "run.json", conditions.RECORD, conditions.LOCK]


def _tutorial(options: argparse.Namespace, outputs: Path, console: Console) -> int:
    begun, begun_at = time.perf_counter(), datetime.now(UTC)
    settings = {name: getattr(options, name) for name in SETTINGS}
    stems = [notebook.stem for notebook in options.notebooks]
    ran: list[Ran] = []
    report: list[str] = []
    good = True
    with ThreadPoolExecutor(max_workers=1) as background, Kernels(options.notebooks, settings) as kernels:
        background.submit(import_jsonschema)
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
    executed = [outputs / f"{stem}.ipynb" for stem in stems]
    with ThreadPoolExecutor(max_workers=1) as writer:  # a second or two, in which AWS is asked
        page = writer.submit(write_page, executed, outputs / "tutorial.html", find_mermaid(ROOT / "build" / "book"))
        if CLEANUP in stems:
            left = leftovers(session, config)
            report.append(f"cleanup    {'left behind: ' + ', '.join(left) if left else 'nothing left behind'}")
            if listed := only_tagged(session, config):
                report.append(f"           still in AWS's tag register, which may lag by hours: {', '.join(listed)}")
            good = good and not left
        else:
            report, good = _facts(session, config, stems, begun_at)
    page.result()
    seconds = time.perf_counter() - begun
    record = {"target": config.target, "seconds": round(seconds, 2), "notebooks": [asdict(each) for each in ran]}
    (outputs / "run.json").write_text(json.dumps(record, indent=2) + "\n")
    total = f"{len(ran)} notebook{'s' if len(ran) > 1 else ''}"
    console.print(f"{total:<24}{sum(each.cells for each in ran):>4} cells {seconds:>7.1f} s")
    report.append(f"page       {_shown(outputs / 'tutorial.html')}")
    if good:
        report.append("next       " + f"\n{'':11}".join(NEXT))
    console.print("\n".join(["", *report]), markup=False)
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
            f"The embedded AWS that the notebooks before {first} ran on has ended, and what they made with it. The one "
            f"that runs now is empty. Begin again with\n    {_command(options)}"
        )
    conditions.record_aws(outputs, options.state_id)


def _command(options: argparse.Namespace, which: str = "") -> str:
    """The command that runs all notebooks, or `which` says, with the same settings."""
    settings = (f"--{name.replace('_', '-')} {value}" for name in SETTINGS if (value := getattr(options, name)))
    arguments = " ".join(filter(None, [which, *settings]))
    return f'make tutorial ARGS="{arguments}"' if arguments else "make tutorial"


def _facts(session: boto3.Session, config: Config, stems: list[str], begun_at: datetime) -> tuple[list[str], bool]:
    """The report on the execution that these notebooks started or showed, or none without one."""
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
    console.print(f"Go on from here with\n    {_command(options, f'--from {number}')}", markup=False)
    if failure.notebook.stem != CLEANUP:
        console.print(f"or delete what was made with\n    {_command(options, '--only 07')}", markup=False)


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
