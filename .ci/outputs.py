"""`make outputs`: run every notebook on an embedded AWS of its own and save it in place with its outputs.

Given beginnings of names, such as 03 or array_jobs, it saves those alone; numbered ones before them run too, since each
needs what those before it made. 05 and 06 are saved together: the one shows the run that the other looks at.

Only what a reader sees is kept: times, versions and ids of the run would make each saving a different file.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
TOGETHER = ("05_pipeline_build", "06_monitoring")
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def run(path: Path, save: bool) -> None:
    """Execute one notebook and save it, if it is to be."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        extra_arguments=["--log-level=ERROR"],
        coalesce_streams=True,  # where one print ends and the next begins is chance
        resources={"metadata": {"path": path.parent}},
    ).execute()
    if not save:
        return
    notebook.metadata = nbformat.NotebookNode(kernelspec=KERNEL, language_info={"name": "python"})
    for number, cell in enumerate(notebook.cells):
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.NotebookNode({"tags": tags} if tags else {})
        cell.id = f"{path.stem[:24].replace('_', '-')}-{number}"
    nbformat.write(notebook, path)
    print(path.relative_to(ROOT))


def wanted(names: list[str], stems: list[str]) -> set[str]:
    """Of these notebooks those that are to be saved."""
    selected = {stem for stem in stems if not names or any(stem.startswith(name) for name in names)}
    return selected | {*TOGETHER} if selected & {*TOGETHER} else selected


def main(names: list[str]) -> None:
    sys.path.insert(0, str(ROOT))
    import local_aws

    numbered = sorted((ROOT / "notebooks").glob("0*.ipynb"))
    # Those that go further set up and clean up for themselves, so they come after the seven.
    further = sorted((ROOT / "notebooks" / "going_further").glob("*.ipynb"))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LOCAL_AWS_HOME"] = folder
        os.environ["PYTHONPATH"] = str(ROOT)
        local_aws.start(port=0)
        try:
            saved = wanted(names, [path.stem for path in [*numbered, *further]])
            last = max((number for number, path in enumerate(numbered) if path.stem in saved), default=-1)
            for path in [*numbered[: last + 1], *further]:
                if path in numbered or path.stem in saved:
                    run(path, save=path.stem in saved)
        finally:
            local_aws.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
