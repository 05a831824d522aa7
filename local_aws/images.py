"""Images of one's own, and the Python environments of this machine that stand for them.

    local_aws.start(images={"my.registry/churn": "/home/me/churn/.venv"})

The caller says so, or the variable LOCAL_AWS_IMAGES, as NAME=PATH with commas between. A name without tag and digest
stands for each tag and digest of the image.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from local_aws.home import LocalAwsError

VARIABLE = "LOCAL_AWS_IMAGES"


def requested(images: Mapping[str, str | Path] | None) -> dict[str, Path]:
    """The environments' folders by the images' names, as the caller or else the variable has them.

    Raises:
        LocalAwsError: a folder is no Python environment, or the variable can't be read.
    """
    if images is None:
        images = parse(part.strip() for part in os.environ.get(VARIABLE, "").split(",") if part.strip())
        if relative := next((str(path) for path in images.values() if not Path(path).expanduser().is_absolute()), None):
            raise LocalAwsError(f"{VARIABLE} has the relative path {relative}. Give it as an absolute one.")
    return {name: _environment(name, Path(path)) for name, path in images.items()}


def parse(pairs: Iterable[str]) -> dict[str, str | Path]:
    """Images and paths from texts such as `my.registry/churn=/home/me/churn/.venv`.

    Raises:
        LocalAwsError: a text is none such.
    """
    images: dict[str, str | Path] = {}
    for pair in pairs:
        name, _, path = pair.partition("=")
        if not (name and path):
            raise LocalAwsError(f'"{pair}" maps no image. Write NAME=PATH, such as my.registry/churn=/home/me/.venv.')
        images[name] = path
    return images


def environment_of(images: Mapping[str, Path], image: str) -> Path | None:
    """The folder of the environment that stands for this image, or None if there is none."""
    return images.get(image) or images.get(repository(image))


def repository(image: str) -> str:
    """An image's name without tag and digest. A registry's port stays."""
    registry, slash, name = image.partition("@")[0].rpartition("/")
    return registry + slash + name.partition(":")[0]


def file_of(folder: Path, word: str) -> str:
    """The environment's app/job.py for the image's /app/job.py. A word that is no such file stays as it is."""
    file = folder / word.lstrip("/")
    return str(file) if word.startswith("/") and file.is_file() else word


def _environment(name: str, path: Path) -> Path:
    folder = path.expanduser().absolute()
    if not os.access(folder / "bin" / "python", os.X_OK):
        raise LocalAwsError(
            f"The image {name} is mapped to {folder}, which has no bin/python. Name the folder of a Python "
            "environment, such as `python -m venv` makes."
        )
    return folder
