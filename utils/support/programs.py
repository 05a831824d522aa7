"""Where the functions and the jobs' programs are: beside utils in the repository, within utils in a wheel."""

from __future__ import annotations

from pathlib import Path

UTILS = Path(__file__).resolve().parent.parent


def folder(name: str) -> Path:
    """The folder of this name, `lambda_code` or `job_code`.

    Raises:
        FileNotFoundError: this copy of the helpers lacks it.
    """
    for place in (UTILS / name, UTILS.parent / name):
        if place.is_dir():
            return place
    raise FileNotFoundError(f"{UTILS} has no {name}/ in it or beside it. Copy the folder {name} into it.")
