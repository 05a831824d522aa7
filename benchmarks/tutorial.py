"""How long `make tutorial` takes: `make bench`, or `python benchmarks/tutorial.py [--runs 3]`.

The first run starts the embedded AWS, the others find it running. Each run makes everything and deletes it again.
Prints a Markdown table, as in the README, and writes benchmarks/results/tutorial.json.

`python benchmarks/tutorial.py --fresh` measures once what a newcomer waits for, from `git clone` to the end of
`make tutorial`. It clones the latest commit into a new folder, where all packages are downloaded again. It writes
benchmarks/results/fresh.json.
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


def timed(command: list[str], folder: Path, environment: dict[str, str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    return round(time.perf_counter() - begun, 1)


def fresh() -> dict[str, float]:
    """Seconds of each step in a new clone, with empty caches."""
    ours = ("VIRTUAL_ENV", "PYTHONPATH", "LOCAL_AWS_HOME", "MAKEFLAGS", "MAKELEVEL")
    make = ["make", f"PYTHON={Path(sys.base_prefix) / 'bin' / 'python3'}"]
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        caches = {name: f"{folder}/{name}" for name in ("UV_CACHE_DIR", "PIP_CACHE_DIR", "npm_config_cache")}
        environment = {name: value for name, value in os.environ.items() if name not in ours} | caches
        environment["SAGEMAKER_BATCH_TARGET"] = "local"
        try:
            return {
                "`git clone`": timed(["git", "clone", "--no-local", str(ROOT), str(clone)], Path(folder), environment),
                "installing": timed([*make, ".venv/.installed"], clone, environment),
                "`make tutorial`": timed([*make, "tutorial"], clone, environment),
            }
        finally:
            if (clone / ".venv").exists():
                stop = [clone / ".venv" / "bin" / "python", "-m", "local_aws", "stop"]
                subprocess.run(stop, cwd=clone, env=environment, check=False)


def measure_fresh() -> None:
    load = os.getloadavg()[0]
    seconds = fresh()
    seconds["together"] = round(sum(seconds.values()), 1)
    print(f"Seconds on {machine()}, with empty caches. The load before was {load:.1f}.\n\n| | seconds |\n|---|---:|")
    for name, each in seconds.items():
        print(f"| {name} | {each:.1f} |")
    save("fresh", {"machine": machine(), "load": load, "seconds": seconds})


def machine() -> str:
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def save(name: str, record: dict) -> None:
    path = ROOT / "benchmarks" / "results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3, help="warm runs after the first one")
    parser.add_argument("--fresh", action="store_true", help="measure a new clone instead, installation included")
    options = parser.parse_args()
    if options.fresh:
        measure_fresh()
    else:
        measure_runs(options.runs)


def measure_runs(runs: int) -> None:
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
    print(f"Seconds on {machine()}; warm: the median of {runs} runs that find the embedded AWS running.\n")
    print("| | first run | warm |\n|---|---:|---:|")
    for name, first, again in rows:
        print(f"| {name} | {first:.1f} | {statistics.median(again):.1f} |")
    save("tutorial", {"machine": machine(), "first": cold, "warm": warm})


if __name__ == "__main__":
    main()
