"""Fail when a product file is too hard to maintain; part of `make lint`.

radon's maintainability index combines a file's length, its branches and its operators. A file under 20 is split.

https://radon.readthedocs.io/en/latest/intro.html#maintainability-index
"""

import sys
from pathlib import Path

from radon.metrics import mi_visit

LOWEST = 20
ROOT = Path(__file__).resolve().parent.parent

files = [path for folder in ("utils", "local_aws", "lambda_code", "job_code") for path in (ROOT / folder).rglob("*.py")]
index = {path: mi_visit(path.read_text(), multi=True) for path in files}
too_low = [path for path in files if index[path] < LOWEST]
for path in too_low:
    print(f"{path.relative_to(ROOT)}: maintainability index {index[path]:.1f}, under {LOWEST}. Split it by concept.")
worst = min(files, key=index.__getitem__)
print(f"{len(files)} files, lowest maintainability index {index[worst]:.1f}: {worst.relative_to(ROOT)}")
sys.exit(bool(too_low))
