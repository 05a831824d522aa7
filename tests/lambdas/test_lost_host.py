"""A job that lost its host is submitted again by a retry of the execution, and the jobs that succeeded are kept."""

import time

import pytest

from utils import batch, cleanup, data, kit, pipeline
from utils.config import load_config
from utils.monitoring.live_view import jobs_now
from utils.session import embedded_session

pytestmark = pytest.mark.slow

# Each run writes another word. The item of c.csv waits until it may go on.
PROGRAM = """
import json, os, pathlib, sys, time, uuid
import boto3

def split(uri):
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return {{"Bucket": bucket, "Key": key}}

s3 = boto3.client("s3")
if "MANIFEST_URI" in os.environ:
    index = int(os.environ.get("AWS_BATCH_JOB_ARRAY_INDEX", "0"))
    lines = s3.get_object(**split(os.environ["MANIFEST_URI"]))["Body"].read().decode().splitlines()
    item = json.loads(lines[index])
else:
    item = dict(zip(("input", "output"), sys.argv[1:]))
while item["input"].endswith("3.csv") and not pathlib.Path({gate!r}).exists():
    time.sleep(0.1)
s3.put_object(**split(item["output"]), Body=uuid.uuid4().hex.encode())
"""
FILES = ("1.csv", "2.csv", "3.csv")
PLAIN = {"max_jobs": len(FILES), "input_name": "{i}.csv", "output_name": "{i}.csv"}


class Run:
    """A BatchStep over three files on Fargate Spot. Each of its jobs has one attempt."""

    def __init__(self, aws, gate):
        self.gate, self.session = gate, embedded_session(aws.endpoint_url)
        self.config = load_config(target="local", prefix="sagemaker-lost-host")
        program = PROGRAM.format(gate=str(gate))
        self.kit = kit.deploy(self.session, self.config, program=program, spot=True)
        self.array_definition = self.kit.job_definition
        definition = self.session.client("batch").describe_job_definitions(jobDefinitions=[self.array_definition])
        roles = definition["jobDefinitions"][0]["containerProperties"]
        plain = batch.python_job(
            self.config, program, roles["jobRoleArn"], roles["executionRoleArn"],
            arguments=["Ref::s3Input", "Ref::s3Output"],
        )  # fmt: skip
        self.plain_definition = batch.ensure_job_definition(self.session, plain)
        data.upload(self.session, self.config.bucket, "files", dict.fromkeys(FILES, b"1"))

    def start(self, output, **mode):
        sdk = pipeline.sdk_session(self.session, self.config.bucket)
        from sagemaker.mlops.workflow import Pipeline  # here, since it takes seconds and needs a region

        from utils.batch_step import BatchStep

        step = BatchStep(
            "Files",
            job_queue=self.kit.job_queue,
            job_definition=self.plain_definition if mode else self.array_definition,
            input_uri=self.config.s3_uri("files"),
            output_uri=self.config.s3_uri(output),
            attempts=1,
            **mode,
            **self.kit.backend,
            sagemaker_session=sdk,
        )
        flow = Pipeline(self.config.pipeline, steps=[*step.steps], sagemaker_session=sdk)
        flow.upsert(role_arn=self.kit.pipeline_role)
        return flow.start().arn

    def written(self, output):
        """What the jobs wrote, by file."""
        s3, bucket = self.session.client("s3"), self.config.bucket
        listed = s3.list_objects_v2(Bucket=bucket, Prefix=f"{output}/", Delimiter="/").get("Contents", [])
        return {
            each["Key"].rpartition("/")[2]: s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read()
            for each in listed
        }

    def jobs(self, execution):
        names = [{"name": "JOB_NAME", "values": [f"{execution.rsplit('/', 1)[1]}*"]}]
        listed = self.session.client("batch").list_jobs(jobQueue=self.kit.job_queue, filters=names)
        return {each["jobName"].partition("-")[2]: each["jobId"] for each in listed["jobSummaryList"]}

    def ended(self, execution):
        return pipeline.wait_for_execution(self.session, execution, seconds=120)["PipelineExecutionStatus"]


@pytest.fixture
def run(aws, tmp_path):
    run = Run(aws, tmp_path / "open")
    yield run
    cleanup.delete_all(run.session, run.config)


@pytest.mark.thorough
@pytest.mark.parametrize("mode", ["array", "plain"])
def test_a_retry_submits_again_only_the_job_that_lost_its_host(run, mode):
    execution = run.start(mode, **(PLAIN if mode == "plain" else {}))
    deadline = time.monotonic() + 60
    while len(kept := run.written(mode)) < len(FILES) - 1:
        assert time.monotonic() < deadline, kept
        time.sleep(0.2)
    lost = run.jobs(execution)["Files-03"] if mode == "plain" else run.jobs(execution)["Files-01"] + ":2"
    batch.interrupt_job(run.session, lost, seconds=60)
    assert run.ended(execution) == "Failed"
    [job] = run.session.client("batch").describe_jobs(jobs=[lost])["jobs"]
    assert (job["status"], job["statusReason"], len(job["attempts"])) == ("FAILED", batch.SPOT_INTERRUPTED, 1)
    assert run.written(mode) == kept

    first = run.jobs(execution)
    run.gate.touch()
    run.session.client("sagemaker").retry_pipeline_execution(PipelineExecutionArn=execution)
    assert run.ended(execution) == "Succeeded"
    assert set(run.jobs(execution)) - set(first) == {"Files-03-try2" if mode == "plain" else "Files-01-try2"}
    assert {name: word for name, word in run.written(mode).items() if name in kept} == kept
    assert sorted(run.written(mode)) == list(FILES)
    assert jobs_now(run.session, run.kit.job_queue, execution)[0] == {"Files": {"SUCCEEDED": 3}}
