"""A day of a schedule: one pipeline every five minutes is 288 executions, here back to back on one server.

    python benchmarks/schedule_day.py [--executions 288] [--jobs 4] [--json FILE]

Each execution submits its jobs, waits for them by a callback, and ends. Every one must succeed. Prints what the server
holds after the first executions, in the middle and at the end: memory, files, processes, and the bytes of its state
directory. What an execution leaves, such as its record and its jobs' log lines, costs memory as long as AWS would show
it. So the goals are under 100 KiB of memory for each execution, and not one open file, thread or process more.

An embedded AWS of its own runs for it, with a state directory.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

import local_aws
from utils import kit as kits
from utils.batch_step_json import batch_step_json
from utils.config import Config
from utils.session import embedded_session

WARM = 24  # executions, two hours of the day: until then modules, connections and processes are still being made
GOAL_KIB = 100
SETTLE_SECONDS = 5  # two saves of the state, and what belongs to a job's end


class Day:
    def __init__(self, home: Path, jobs: int) -> None:
        self.home = home
        self.config = Config("local", "sagemaker-day", "us-east-1", "000000000000")
        self.server = local_aws.start(port=0, home=home, state_dir=home / "state")
        session = embedded_session(self.server.endpoint_url)
        self.sagemaker, self.s3 = session.client("sagemaker"), session.client("s3")
        kit = kits.deploy(session, self.config, program="print('done')", max_vcpus=4)
        for number in range(jobs):
            self.s3.put_object(Bucket=self.config.bucket, Key=f"in/{number}.txt", Body=b"x")
        steps = batch_step_json(
            "Wait",
            input_uri=self.config.s3_uri("in"),
            output_uri=self.config.s3_uri("out"),
            job_queue=kit.job_queue,
            job_definition=kit.job_definition,
            **kit.backend,
        )
        self.sagemaker.create_pipeline(
            PipelineName=self.config.pipeline,
            RoleArn=kit.pipeline_role,
            PipelineDefinition=json.dumps({"Version": "2020-12-01", "Steps": steps}),
        )

    def run_once(self) -> str:
        """Run the pipeline from its start to its end; its status."""
        arn = self.sagemaker.start_pipeline_execution(PipelineName=self.config.pipeline)["PipelineExecutionArn"]
        while True:
            shown = self.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
            if shown["PipelineExecutionStatus"] != "Executing":
                return shown["PipelineExecutionStatus"]
            time.sleep(0.1)

    def held(self) -> dict[str, int]:
        """What the server holds now."""
        time.sleep(SETTLE_SECONDS)
        server = psutil.Process(self.server.pid)
        children = server.children(recursive=True)
        state = [path for path in (self.home / "state").rglob("*") if path.is_file()]
        return {
            "server_kib": server.memory_info().rss >> 10,
            "others_kib": sum(child.memory_info().rss for child in children) >> 10,
            "open_files": server.num_fds(),
            "threads": server.num_threads(),
            "processes": 1 + len(children),
            "state_files": len(state),
            "state_kib": sum(path.stat().st_size for path in state) >> 10,
            "work_files": sum(1 for path in (self.home / "local-aws-work").rglob("*") if path.is_file()),
        }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--executions", type=int, default=288)
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.executions <= WARM:
        parser.error(f"--executions must be over {WARM}")
    marks = {WARM, (WARM + options.executions) // 2, options.executions}
    rows: list[dict[str, int]] = []
    succeeded, begun = 0, time.monotonic()
    with tempfile.TemporaryDirectory() as home:
        day = Day(Path(home), options.jobs)
        try:
            for number in range(1, options.executions + 1):
                succeeded += day.run_once() == "Succeeded"
                if number in marks:
                    rows.append({"executions": number, **day.held()})
        finally:
            local_aws.stop(Path(home))
    result: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "succeeded": succeeded,
        "seconds": round(time.monotonic() - begun),
        "held": rows,
    }
    return report(result, options)


def report(result: dict[str, Any], options: argparse.Namespace) -> int:
    rows = result["held"]
    print(f"{result['machine']}, Python {result['python']}, {options.executions} executions of {options.jobs} jobs")
    print(f"{result['succeeded']} succeeded, in {result['seconds']} s")
    for name in rows[0]:
        print(f"  {name:<12}" + "".join(f"{row[name]:>12,}" for row in rows))
    first, last = rows[0], rows[-1]
    growth = (last["server_kib"] - first["server_kib"]) / (last["executions"] - first["executions"])
    print(f"  the server grew by {growth:.1f} KiB an execution (goal: under {GOAL_KIB})")
    if options.json:
        options.json.write_text(json.dumps(result | {"growth_kib": growth}, indent=2) + "\n")
    same = all(last[name] <= first[name] for name in ("open_files", "threads", "processes", "work_files"))
    return 0 if result["succeeded"] == options.executions and growth < GOAL_KIB and same else 1


if __name__ == "__main__":
    sys.exit(main())
