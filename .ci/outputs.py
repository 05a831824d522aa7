"""`make outputs`: run every notebook on an embedded AWS of its own and save it in place with its outputs.

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
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def run(path: Path) -> None:
    """Execute one notebook and save it."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        extra_arguments=["--log-level=ERROR"],
        coalesce_streams=True,  # where one print ends and the next begins is chance
        resources={"metadata": {"path": path.parent}},
    ).execute()
    notebook.metadata = nbformat.NotebookNode(kernelspec=KERNEL, language_info={"name": "python"})
    for number, cell in enumerate(notebook.cells):
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.NotebookNode({"tags": tags} if tags else {})
        cell.id = f"{path.stem[:24].replace('_', '-')}-{number}"
    nbformat.write(notebook, path)
    print(path.relative_to(ROOT))


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
            for path in [*numbered, *further]:
                if not names or any(path.stem.startswith(name) for name in names):
                    run(path)
        finally:
            local_aws.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
