# /// script
# dependencies = []
# ///
"""Split a month of flights into a file for each day. Runs as a SageMaker processing job, with Python alone.

    python3 split_days.py DAYS

DAYS is how many days to take, from the first on.
"""

import json
import pathlib
import sys

INPUT, OUTPUT = (pathlib.Path("/opt/ml/processing") / name for name in ("input", "output"))


if __name__ == "__main__":
    days: dict[int, list[str]] = {}
    for path in sorted(INPUT.glob("*.json")):
        for line in path.read_text().splitlines():
            days.setdefault(json.loads(line)["day"], []).append(line)
    for day in sorted(days)[: int(sys.argv[1])]:
        (OUTPUT / f"day_{day:02d}.json").write_text("\n".join(days[day]))
