"""The code that README, deploy/README.md and the pages of docs/ give for a pipeline and a job, run as it stands."""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import boto3
import pytest

import local_aws
from utils import batch, data, iam, kit, stack
from utils.batch_step_json import batch_step_json
from utils.config import Config
from utils.session import embedded_session

ROOT = Path(__file__).resolve().parents[2]

# What a sample takes from the reader's own code, and from a deployed stack.
BEFORE = """
from sagemaker.core.lambda_helper import Lambda
from sagemaker.mlops.workflow import LambdaStep, Pipeline
from utils import stack

function = "arn:aws:lambda:eu-west-1:123456789012:function:"
queue = "https://sqs.eu-west-1.amazonaws.com/123456789012/callback"
stack.backend = lambda *_: {"submit_function_arn": function + "submit", "callback_queue_url": queue}
Pipeline.upsert = lambda self, role_arn: None

def own(name, **inputs):
    return LambdaStep(name, lambda_func=Lambda(function_arn=function + name), inputs=inputs)

prepare = own("Prepare")

def make_training_step(results):
    return own("Train", results=results)
"""
AFTER = "\nprint(pipeline.definition())\n"


def sample(page: str, word: str) -> str:
    """The page's one block of Python with this word."""
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    [block] = [each for each in blocks if word in each]
    return block


@pytest.mark.sampled(1)
@pytest.mark.slow  # importing the SDK takes seconds
@pytest.mark.parametrize("page", ["README.md", "deploy/README.md"])
def test_a_samples_steps_run_in_the_order_that_it_promises(page, tmp_path):
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "eu-west-1"}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(
        [sys.executable, "-c", BEFORE + sample(page, "make_training_step") + AFTER],
        cwd=tmp_path,
        env=environment | keys | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    steps = {step["Name"]: step for step in json.loads(done.stdout.splitlines()[-1])["Steps"]}
    assert steps["Days-Submit"]["DependsOn"] == ["Prepare"]
    assert steps["Days"]["Arguments"]["job_ids"] == {"Get": "Steps.Days-Submit.OutputParameters['jobIds']"}
    assert steps["Train"]["Arguments"] == {"results": {"Get": "Steps.Days.OutputParameters['output_uri']"}}


def test_a_pipeline_without_the_sdk_gets_the_steps_in_the_promised_order(session, config, monkeypatch):
    """SageMaker's own check of a definition takes the result."""
    role = iam.ensure_role(
        session, config.pipeline_role, tags=config.tags,
        trust=iam.render("trust.json", config, service="sagemaker.amazonaws.com"),
    )  # fmt: skip
    function = config.arn("lambda", "function:x")
    steps = [{"Name": name, "Type": "Lambda", "FunctionArn": function} for name in ("Prepare", "Train")]
    written = json.dumps({"Version": "2020-12-01", "Steps": steps})
    sagemaker = session.client("sagemaker")
    with contextlib.suppress(sagemaker.exceptions.ResourceNotFound):
        sagemaker.delete_pipeline(PipelineName="my-churn-model")  # of another test, which takes its name from the docs
    sagemaker.create_pipeline(PipelineName="my-churn-model", RoleArn=role, PipelineDefinition=written)
    queue = "https://sqs.us-east-1.amazonaws.com/000000000000/callbacks"
    made = {"submit_function_arn": function, "callback_queue_url": queue}
    monkeypatch.setattr(stack, "backend", lambda *_: made)
    monkeypatch.setattr(boto3, "Session", lambda **_: session)
    exec(sample("docs/batch_step.md", "batch_step_json"), {"pipeline": SimpleNamespace(definition=lambda: written)})
    answer = sagemaker.describe_pipeline(PipelineName="my-churn-model")
    seen = {step["Name"]: step for step in json.loads(answer["PipelineDefinition"])["Steps"]}
    assert seen["Days-Submit"]["DependsOn"] == ["Prepare"]
    assert seen["Days"]["Arguments"]["job_ids"] == {"Get": "Steps.Days-Submit.OutputParameters['jobIds']"}
    assert seen["Train"]["DependsOn"] == ["Days"]


def test_the_step_for_a_fair_share_queue_names_its_share():
    function = "arn:aws:lambda:eu-west-1:123456789012:function:submit"
    queue = "https://sqs.eu-west-1.amazonaws.com/123456789012/callback"
    made = {"submit_function_arn": function, "callback_queue_url": queue}
    names = {"BatchStep": batch_step_json, "backend": lambda *_: made, "session": None}
    exec(sample("docs/batch_step.md", "share_identifier"), names)
    submit, _ = names["days"]
    assert submit["Arguments"].items() >= {"share_identifier": "churn", "scheduling_priority": 3}.items()


@pytest.mark.parametrize("index", [None, "0", "1"])
def test_a_job_reads_its_item(index, monkeypatch):
    lines = [b'{"input": "s3://b/1"}    \n', b'{"input": "s3://b/two"}  \n']

    class S3:
        def get_object(self, Bucket, Key, Range):
            assert (Bucket, Key) == ("my-bucket", "results/_jobs/items.jsonl")
            first, last = map(int, Range.removeprefix("bytes=").split("-"))
            return {"Body": io.BytesIO(b"".join(lines)[first : last + 1])}

    monkeypatch.setattr(boto3, "client", lambda _: S3())
    monkeypatch.setenv("MANIFEST_URI", "s3://my-bucket/results/_jobs/items.jsonl")
    monkeypatch.setenv("MANIFEST_LINE_BYTES", str(len(lines[0])))
    monkeypatch.delenv("AWS_BATCH_JOB_ARRAY_INDEX", raising=False)
    if index:
        monkeypatch.setenv("AWS_BATCH_JOB_ARRAY_INDEX", index)
    read = {}
    exec(sample("docs/your_own.md", "AWS_BATCH_JOB_ARRAY_INDEX"), read)
    assert read["item"] == json.loads(lines[int(index or 0)])


@pytest.fixture
def after_notebook_02(tmp_path):
    """The address of an embedded AWS that has what notebooks 01 and 02 make."""
    server = local_aws.start(port=0, home=tmp_path)
    session, config = embedded_session(server.endpoint_url), Config("local", "sagemaker-batch", "us-east-1", "0" * 12)
    roles = iam.ensure_roles(session, config)
    data.ensure_bucket(session, config.bucket, tags=config.tags)
    data.upload(session, config.bucket, "input", {f"file_{n:02d}.json": b"{}" for n in range(1, 13)})
    kit.ensure_job_queue(session, config, max_vcpus=6)
    batch.ensure_job_definition(session, batch.copy_job(config, roles["batch_job"], roles["batch_execution"]))
    yield server.endpoint_url
    local_aws.stop(tmp_path)


@pytest.mark.thorough
def test_the_stack_is_deployed_on_the_embedded_aws_as_the_page_says(after_notebook_02, tmp_path):
    page = (ROOT / "deploy" / "README.md").read_text()
    [commands] = re.findall(r"^```sh\n(export AWS_ENDPOINT_URL.*?)^```$", page, re.MULTILINE | re.DOTALL)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MAKE"))}
    environment |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "PYTHONPATH": str(ROOT)}
    environment["LOCAL_AWS_HOME"] = str(tmp_path)  # there the page finds the address
    environment["PAGE"] = sample("deploy/README.md", "execution.describe()")
    script = f'set -e\n{commands}\n.venv/bin/python -c "$PAGE"\nmake undeploy STACK=sagemaker-churn\n'
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Succeeded" in done.stdout.splitlines()
    session = embedded_session(after_notebook_02)
    listed = session.client("s3").list_objects_v2(
        Bucket="sagemaker-batch-000000000000-us-east-1", Prefix="copies/output_"
    )
    assert listed["KeyCount"] == 12
    assert session.client("cloudformation").list_stacks(StackStatusFilter=["CREATE_COMPLETE"])["StackSummaries"] == []


def test_the_documented_trust_policy_is_the_kits_for_this_pipeline():
    """Without the tutorial's own pipelines, which a team's role need not trust."""
    [text] = re.findall(r"^```json\n(.*?)^```$", (ROOT / "deploy/README.md").read_text(), re.MULTILINE | re.DOTALL)
    config = Config("aws", "sagemaker-x", "eu-west-1", "123456789012").with_existing(pipelines=["my-churn-model"])
    trust = iam.render("trust_pipeline.json", config)
    arns = trust["Statement"][0]["Condition"]["ArnLike"]["aws:SourceArn"]
    arns.remove("arn:aws:sagemaker:eu-west-1:123456789012:pipeline/sagemaker-x-*")
    assert json.loads(text) == trust
