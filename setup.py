"""Put the functions and the jobs' programs into the wheel, within utils: pyproject.toml says everything else.

In the repository they lie beside utils, where the notebooks link to them. `utils.support.programs` finds them in both.

https://setuptools.pypa.io/en/latest/userguide/extension.html
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

FOLDERS = ("lambda_code", "job_code")


class BuildWithPrograms(build_py):
    """Copies them too. An editable install finds them in the repository."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for folder in FOLDERS:
                target = Path(self.build_lib, "utils", folder)
                shutil.rmtree(target, ignore_errors=True)  # a module that is gone since an earlier build
                shutil.copytree(folder, target, ignore=shutil.ignore_patterns("__pycache__"))

    def get_source_files(self) -> list[str]:
        programs = [str(path) for folder in FOLDERS for path in sorted(Path(folder).rglob("*.py"))]
        return [*super().get_source_files(), *programs]


setup(cmdclass={"build_py": BuildWithPrograms})
