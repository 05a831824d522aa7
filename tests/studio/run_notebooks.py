"""Run in Studio's environment: the notebooks by papermill, on an embedded AWS that is already there.

python tests/studio/run_notebooks.py OUTPUTS NOTEBOOK...
"""

import sys
from pathlib import Path

import papermill

outputs = Path(sys.argv[1])
for notebook in map(Path, sys.argv[2:]):
    papermill.execute_notebook(
        notebook,
        outputs / notebook.name,
        parameters={"prefix": "sagemaker-studio"},
        cwd=notebook.parent,
        kernel_name="python3",
        progress_bar=False,
        execution_timeout=300,
    )
    print(notebook.stem)  # noqa: T201  read by the test
