"""100,000 random requests to all services of the embedded AWS: no 500, no hang, no crash, and how fast.

python benchmarks/fuzz.py [--requests 100000] [--seed 0] [--service s3]
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path

import local_aws

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "safety"))
from fuzzing import Fuzzer
from populated_account import furnish, recipes

SHOWN = 10


def memory_mib(pid: int) -> dict[str, int]:
    """Resident memory of a process, in MiB, now and at its peak; the kernel's figures, so Linux only."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return {}
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return {"memory_mib": int(fields["VmRSS"].split()[0]) // 1024, "peak_mib": int(fields["VmHWM"].split()[0]) // 1024}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--service", help="botocore's name of the one service to try, such as s3; default: all")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        server = local_aws.start(port=0, home=home)
        try:
            known = furnish(server.endpoint_url)
            rng = random.Random(arguments.seed)
            fuzzer = Fuzzer(server.endpoint_url, rng, known, recipes(known), arguments.service)
            problems = []
            reached: collections.Counter[str] = collections.Counter()
            slowest, begin = 0.0, time.monotonic()
            for _ in range(arguments.requests):
                sent = time.monotonic()
                case = fuzzer.run_one()
                slowest = max(slowest, time.monotonic() - sent)
                reached[f"{case.service}:{case.operation}"] += case.status == 200
                if case.problem:
                    problems.append(case)
            seconds = time.monotonic() - begin
            up = local_aws.find(home) is not None
            result = {
                "requests": arguments.requests,
                "seed": arguments.seed,
                "problems": len(problems),
                "tracebacks_in_the_log": server.log.read_text(errors="replace").count("Traceback"),
                "server_up_at_the_end": up,
                **({} if up else {"server_ended_with_status": os.waitpid(server.pid, os.WNOHANG)[1]}),
                "requests_per_second": round(arguments.requests / seconds),
                "slowest_seconds": round(slowest, 2),
                "statuses": dict(fuzzer.counts.most_common()),
                "operations_that_succeeded": sum(1 for count in reached.values() if count),
                "operations_not_covered": len(fuzzer.uncovered),
                **(memory_mib(server.pid) if up else {}),
            }
            for case in problems[:SHOWN]:
                print(case, file=sys.stderr)
            for name, value in result.items():
                print(f"{name.replace('_', ' '):28} {value}")
            print(json.dumps(result), flush=True)  # first: a server that can't be stopped must not take it along
        finally:
            local_aws.stop(home)
    return 1 if problems or result["tracebacks_in_the_log"] or not up else 0


if __name__ == "__main__":
    sys.exit(main())
