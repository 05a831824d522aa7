"""10,000 real jobs through a whole pipeline on an embedded AWS of its own: submitted, run, waited for, reported.

    python benchmarks/callback_array.py [--items 10000] [--json FILE]

Each job is a process that looks at its number, and every thousandth fails. Prints how long the submitting step took,
how long the jobs, and the answer after the last of them; checks the counts and the report of what failed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path

import local_aws
from utils import data, kit, monitoring, pipeline
from utils.batch_step_json import batch_step_json
from utils.config import Config, load_config
from utils.session import embedded_session

PROGRAM = "import os, sys; sys.exit(int(os.environ.get('AWS_BATCH_JOB_ARRAY_INDEX', 0)) % 1000 == 999)"
COUNTS = ("jobs_total", "jobs_succeeded", "jobs_failed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        server = local_aws.start(port=0, home=Path(home))
        try:
            result = run(server.endpoint_url, options.items)
        finally:
            local_aws.stop(Path(home))
    print(f"{options.items:,} jobs, {platform.machine()}, {os.cpu_count()} CPUs")
    for name, value in result.items():
        print(f"{name:38} {value:10.2f}")
    if options.json:
        options.json.write_text(json.dumps({"cpus": os.cpu_count(), "items": options.items, **result}, indent=1))


def run(endpoint_url: str, items: int) -> dict[str, float]:
    session = embedded_session(endpoint_url)
    config = load_config(target="local", prefix="sagemaker-bench")
    deployed = kit.deploy(session, config, program=PROGRAM, max_vcpus=4, push=True)
    lines = "\n".join(json.dumps({"number": number}) for number in range(items))
    data.upload(session, config.bucket, "items", {"all.jsonl": lines.encode()})
    sagemaker = session.client("sagemaker")
    sagemaker.create_pipeline(
        PipelineName=config.pipeline,
        PipelineDefinition=definition(config, deployed),
        RoleArn=deployed.pipeline_role,
        ClientRequestToken="bench".ljust(32, "0"),
    )
    begun = time.monotonic()
    execution = sagemaker.start_pipeline_execution(PipelineName=config.pipeline)["PipelineExecutionArn"]
    ended = pipeline.wait_for_execution(session, execution, seconds=3600)
    seconds = time.monotonic() - begun
    assert ended["PipelineExecutionStatus"] == "Succeeded", monitoring.steps(session, execution).to_string()

    outputs = monitoring.step_outputs(session, execution, "Items")
    failing = sum(number % 10_000 % 1000 == 999 for number in range(items))
    assert [int(outputs[name]) for name in COUNTS] == [items, items - failing, failing], outputs
    if failing:
        bucket, _, key = outputs["failed_items_uri"].removeprefix("s3://").partition("/")
        report = session.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode().splitlines()
        assert all(json.loads(line)["number"] % 10_000 % 1000 == 999 for line in report)
        assert len(report) == failing

    listed = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=execution)["PipelineExecutionSteps"]
    steps = {step["StepName"]: step for step in listed}
    submitted = steps["Items-Submit"]
    ids = monitoring.step_outputs(session, execution, "Items-Submit")["jobIds"].split()
    arrays = session.client("batch").describe_jobs(jobs=ids)["jobs"]
    last_end = max(array["stoppedAt"] for array in arrays) / 1000
    jobs_seconds = last_end - min(array["createdAt"] for array in arrays) / 1000
    return {
        "submitting step, seconds": (submitted["EndTime"] - submitted["StartTime"]).total_seconds(),
        "jobs, seconds": jobs_seconds,
        "jobs a second": items / jobs_seconds,
        "answer after the last job, seconds": steps["Items"]["EndTime"].timestamp() - last_end,
        "whole pipeline, seconds": seconds,
    }


def definition(config: Config, deployed: kit.Kit) -> str:
    steps = batch_step_json(
        "Items",
        items=config.s3_uri("items/all.jsonl"),
        output_uri=config.s3_uri("output"),
        job_queue=deployed.job_queue,
        job_definition=deployed.job_definition,
        tolerated_failure_percentage=1,
        **deployed.backend,
    )
    return json.dumps({"Version": "2020-12-01", "Steps": steps})


if __name__ == "__main__":
    main()
