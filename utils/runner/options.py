"""What one may ask of `make tutorial`."""

from __future__ import annotations

import argparse
from pathlib import Path

CLEANUP = "07_cleanup"
SETTINGS = ("target", "prefix", "region", "role_layout", "image")  # options that are parameters of the notebooks


def parse(arguments: list[str] | None, notebooks: list[Path]) -> argparse.Namespace:
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
            parser.error(f"there is no notebook {number}. There are {', '.join(path.stem for path in notebooks)}")
        return matches[0]

    if options.only and options.first:
        parser.error("--only and --from exclude each other. Give one of them")
    if options.only:
        notebooks = [numbered(options.only)]
    elif options.first:
        notebooks = notebooks[notebooks.index(numbered(options.first)) :]
    if options.keep:
        notebooks = [path for path in notebooks if path.stem != CLEANUP]
    if not notebooks:
        parser.error("nothing is left to run, because --keep leaves out the cleanup")
    options.begins = notebooks[0].stem in (everything[0].stem, CLEANUP)
    options.notebooks = notebooks
    return options
