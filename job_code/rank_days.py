# /// script
# dependencies = []
# ///
"""Rank days by their mean delay, the worst first. Runs as a SageMaker processing job, with Python alone.

    python3 rank_days.py

Each input is a summary of a day, as job_code/aggregate.py writes it.
"""

import json
import pathlib

INPUT, OUTPUT = (pathlib.Path("/opt/ml/processing") / name for name in ("input", "output"))


def mean_delay(summary):
    departures = sum(row["departures"] for row in summary["rows"])
    return sum(row["dep_delay_sum"] for row in summary["rows"]) / departures


if __name__ == "__main__":
    ranking = [
        {"day": path.stem, "flights": summary["flights"], "mean_delay": round(mean_delay(summary), 1)}
        for path in sorted(INPUT.glob("day_*.json"))
        for summary in [json.loads(path.read_text())]
    ]
    ranking.sort(key=lambda day: -day["mean_delay"])
    (OUTPUT / "ranking.json").write_text(json.dumps(ranking))
