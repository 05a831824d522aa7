"""deploy/Dockerfile without Docker: its steps are run in an environment, and that environment then runs its jobs.

`make lint` checks it by hadolint.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import venv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import local_aws
from utils import batch, data, iam, kit, monitoring, pipeline
from utils.config import load_config
from utils.session import embedded_session

ROOT = Path(__file__).resolve().parents[2]
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/churn"


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions in order, each with what it says."""
    text = (ROOT / "deploy" / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in lines)]


def build(folder: Path) -> list[str]:
    """Do in a new environment what the instructions say, and return the image's command."""
    (base, image), *steps = instructions()
    assert base == "FROM"
    assert re.fullmatch(r"public\.ecr\.aws/docker/library/python:3\.\d+-slim", image)
    venv.create(folder, symlinks=True, with_pip=True)
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    command: list[str] = []
    for name, rest in steps:
        match name:
            case "RUN":
                subprocess.run(rest, shell=True, check=True, env=os.environ | {"PATH": path})
            case "COPY":
                source, target = shlex.split(rest)
                place = folder / target.lstrip("/")
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, place)
            case "CMD":
                command = json.loads(rest)
            case "USER":
                assert rest != "root"
            case _:
                pytest.fail(f"Nobody has tried the instruction {name} here.")
    return command


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> tuple[Path, list[str]]:
    """The folder that stands for the image, and the image's command."""
    folder = tmp_path_factory.mktemp("image") / "environment"
    return folder, build(folder)


@pytest.fixture
def session(image, tmp_path) -> Iterator:
    """An embedded AWS that runs the image there."""
    server = local_aws.start(port=0, home=tmp_path / "home", images={IMAGE: image[0]})
    yield embedded_session(server.endpoint_url)
    local_aws.stop(tmp_path / "home")


def test_it_has_no_entrypoint():
    assert "ENTRYPOINT" not in dict(instructions())


@pytest.mark.thorough
def test_a_pipelines_jobs_run_in_it(image, session):
    _, command = image
    config = replace(load_config(target="local", prefix="sagemaker-docker"), image=IMAGE)
    program = kit.job_code("copy_item.py")
    deployed = kit.deploy(session, config, program=program)
    roles = iam.ensure_roles(session, config)
    definition = batch.python_job(config, program, roles["batch_job"], roles["batch_execution"])
    definition["containerProperties"]["command"] = command  # the program that is in the image
    data.upload(session, config.bucket, "input", {"a": b"1", "b": b"2"})
    sdk = pipeline.sdk_session(session, config.bucket)
    from sagemaker.mlops.workflow import Pipeline  # after the region is set, as it wants

    from utils.batch_step import BatchStep

    files = BatchStep(
        "Files",
        job_queue=deployed.job_queue,
        job_definition=batch.ensure_job_definition(session, definition),
        input_uri=f"s3://{config.bucket}/input",
        output_uri=f"s3://{config.bucket}/output",
        **deployed.backend,
        sagemaker_session=sdk,
    )
    flow = Pipeline(config.pipeline, steps=[*files.steps], sagemaker_session=sdk)
    flow.upsert(role_arn=deployed.pipeline_role)
    execution = pipeline.wait_for_execution(session, flow.start().arn, seconds=120)
    why = monitoring.explain(session, execution["PipelineExecutionArn"], deployed.job_queue, config.job_log_group)
    assert execution["PipelineExecutionStatus"] == "Succeeded", why
    s3 = session.client("s3")
    copied = [s3.get_object(Bucket=config.bucket, Key=f"output/{name}")["Body"].read() for name in ("a", "b")]
    assert copied == [b"1", b"2"]
