"""How long `make tutorial` takes: `make bench`, or `python benchmarks/tutorial.py [--runs 3]`.

The first run starts the embedded AWS, the others find it running; each run makes everything and deletes it again.
Prints a Markdown table, as in the README, and writes benchmarks/results/tutorial.json.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def one_run(environment: dict[str, str]) -> dict:
    begun = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "utils.runner"], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL
    )
    seconds = time.perf_counter() - begun  # the process as a whole, its own imports and exit included
    return json.loads((ROOT / "outputs" / "run.json").read_text()) | {"seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3, help="warm runs after the first one")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"LOCAL_AWS_HOME": home, "SAGEMAKER_BATCH_TARGET": "local"}
        try:
            results = [one_run(environment) for _ in range(runs + 1)]
        finally:
            subprocess.run([sys.executable, "-m", "local_aws", "stop"], cwd=ROOT, env=environment, check=False)

    cold, warm = results[0], results[1:]
    rows = [
        (each["notebook"], each["seconds"], [run["notebooks"][place]["seconds"] for run in warm])
        for place, each in enumerate(cold["notebooks"])
    ]
    rows.append(("`make tutorial`", cold["seconds"], [run["seconds"] for run in warm]))
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    print(f"Seconds on {machine}; warm: the median of {runs} runs that find the embedded AWS running.\n")
    print("| | first run | warm |\n|---|---:|---:|")
    for name, first, again in rows:
        print(f"| {name} | {first:.1f} | {statistics.median(again):.1f} |")
    record = ROOT / "benchmarks" / "results" / "tutorial.json"
    record.parent.mkdir(exist_ok=True)
    record.write_text(json.dumps({"machine": machine, "first": cold, "warm": warm}, indent=2) + "\n")


if __name__ == "__main__":
    main()
