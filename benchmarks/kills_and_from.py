"""`make tutorial`, killed at many random moments and resumed with --from, until it has come to its end.

    python benchmarks/kills_and_from.py [--times 50] [--seed N] [--mean SECONDS]

The runner is killed (kill -9), its kernels with it, after a random time of 20 seconds on average, or --mean. Then it is
started again with --from and the notebook in which it was killed, and killed again. When it comes to its end
before that, it begins again with the first notebook. After the last kill it is resumed once more. Each run that is not
killed must end well: all jobs and outputs there, nothing left behind.

An embedded AWS of its own runs for it. The same seed makes the same plan.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import local_aws

ROOT = Path(__file__).parents[1]
STEMS = [path.stem for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))]
LONGEST_SECONDS = 900
RUN = """
import pathlib, sys
from utils.runner.tutorial import main
sys.exit(main(sys.argv[2:], outputs=pathlib.Path(sys.argv[1])))
"""


class Run:
    """The runner as `make tutorial` starts it, from this notebook on."""

    def __init__(self, home: Path, first: str) -> None:
        self.said, self.first = "", first
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(home / "outputs"), "--prefix", "sagemaker-from", "--from", first],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=0, cwd=ROOT,
            env=os.environ | {"LOCAL_AWS_HOME": str(home), "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        while character := self.process.stdout.read(1):
            self.said += character

    def wait(self, seconds: float) -> int | None:
        """Its exit status, or None if it runs on after these seconds."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        self._reader.join(10)
        return status

    def kill(self) -> str:
        """Kill it. Returns the notebook that it was in."""
        self.process.kill()
        self.process.wait()
        self._reader.join(10)
        return next((stem for stem in reversed(STEMS) if stem in self.said), self.first)

    def ended_well(self, status: int | None) -> bool:
        facts = "24 of 24 objects" in self.said or self.first == STEMS[-1]  # which says nothing of them
        return status == 0 and facts and "nothing left behind" in self.said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mean", type=float, default=20, metavar="SECONDS", help="from a start to the kill")
    options = parser.parse_args()
    moments, killed_in = random.Random(options.seed), collections.Counter[str]()
    ends, begun = 0, time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        local_aws.start(port=0, home=home)
        try:
            first = STEMS[0]
            last = False
            while not last:
                run, last = Run(home, first), killed_in.total() == options.times
                status = run.wait(LONGEST_SECONDS if last else moments.expovariate(1 / options.mean))
                if status is None and not last:
                    first = run.kill()
                    killed_in[first] += 1
                    print(f"{killed_in.total():3} killed in {first}", flush=True)
                    continue
                if not run.ended_well(status):
                    print(f"from {first}, exit status {status}\n{run.said}")
                    return 1
                ends, first = ends + 1, STEMS[0]
                print("    ended well", flush=True)
        finally:
            local_aws.stop(home)
    counts = ", ".join(f"{killed_in[stem]} in {stem[:2]}" for stem in STEMS)
    seconds = time.monotonic() - begun
    print(f"seed {options.seed}: {killed_in.total()} kills ({counts}), {ends} ends, all well, {seconds:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
