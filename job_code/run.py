"""Start a Python program whose packages the container's image may lack. Runs in a Batch container.

    python -c "<this text>" "<the program's text>" [argument ...]

The program names its packages in one of its first lines, as PEP 723 has it: # dependencies = ["NAME==VERSION"].
What is not installed is installed with pip. What is there is used as it is, so an image that has all is not changed.
"""

import importlib.metadata
import json
import os
import re
import subprocess
import sys


def missing(program):
    """Those of the program's packages that are not installed."""
    line = re.search(r"^# dependencies = (\[.*\])$", program, re.MULTILINE)
    for requirement in json.loads(line[1]) if line else []:
        try:
            importlib.metadata.version(re.findall(r"[\w.-]+", requirement)[0])
        except importlib.metadata.PackageNotFoundError:
            yield requirement


def install(packages):
    """Install packages with pip, which prints only what goes wrong."""
    pip = [sys.executable, "-m", "pip", "install", "-qq", "--no-cache-dir", "--no-compile"]
    if subprocess.run([*pip, *packages]).returncode:
        sys.exit(f"pip could not install {' '.join(packages)}: use an image that has it, or give it a package index.")


if __name__ == "__main__":
    packages = list(missing(sys.argv[1]))
    if packages:
        install(packages)
    os.execv(sys.executable, [sys.executable, "-c", *sys.argv[1:]])
