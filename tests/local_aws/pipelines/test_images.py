"""Processing steps with an image of one's own, which is mapped to a Python environment of this machine."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import venv
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import local_aws
from local_aws.images import environment_of as mapped_to
from local_aws.pipelines.processing import arguments, commands

from .conftest import Account, refusal
from .test_processing import processing_step

IMAGE = "my.registry/churn"
SCRIPT = """
import json, subprocess, sys
import only_there
seen = {"answer": only_there.answer, "prefix": sys.prefix}
seen["shell"] = subprocess.run(["python", "-c", "import sys; print(sys.prefix)"], stdout=subprocess.PIPE, text=True)
seen["shell"] = seen["shell"].stdout.strip()
with open(sys.argv[1], "w") as out:
    json.dump(seen, out)
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python environment with a module that this one lacks, and with the image's program."""
    folder = tmp_path_factory.mktemp("environments") / "churn"
    venv.create(folder, symlinks=True)
    [packages] = folder.glob("lib/python*/site-packages")
    (packages / "only_there.py").write_text("answer = 42\n")
    (folder / "app").mkdir()
    (folder / "app" / "job.py").write_text(SCRIPT)
    return folder


class Servers:
    """One embedded AWS after another, with the same state."""

    def __init__(self, aws: Any, folder: Path) -> None:
        self.aws, self.folder = aws, folder

    def start(self, images: dict[str, Path]) -> Any:
        self.stop()
        home = self.folder / "home"
        server = local_aws.start(port=0, home=home, state_dir=self.folder / "state", images=images)
        return dataclasses.replace(self.aws, server=server, home=home)

    def stop(self) -> None:
        local_aws.stop(self.folder / "home")


@pytest.fixture
def servers(aws: Any, tmp_path: Path) -> Iterator[Servers]:
    servers = Servers(aws, tmp_path)
    yield servers
    servers.stop()


def step(account: Account, bucket: str, name: str = "Count") -> dict[str, Any]:
    made = processing_step(name, bucket, account.role("job", "sagemaker.amazonaws.com", "s3:*", "logs:*"))
    made["Arguments"]["ProcessingInputs"] = []
    made["Arguments"]["AppSpecification"] = {
        "ImageUri": f"{IMAGE}:7",
        "ContainerEntrypoint": ["python3", "/app/job.py", "/opt/ml/processing/output/report/result.json"],
    }
    return made


def test_a_jobs_command_runs_with_the_mapped_environments_python(environment: Path, tmp_path: Path) -> None:
    images, image = {IMAGE: environment}, f"{IMAGE}:7"
    assert arguments.runs_here(image, images)
    assert not arguments.runs_here(image, {})
    words = ["python3", "/app/job.py", "/opt/ml/result.json"]
    record = {
        "AppSpecification": {"ImageUri": image, "ContainerEntrypoint": words},
        "ProcessingJobArn": "arn:aws:sagemaker:us-east-1:000000000000:processing-job/j",
    }
    nobody = SimpleNamespace(access_key_id="a", secret_access_key="s", session_token="t")
    mapped = mapped_to(images, image)
    command = commands.command_of(record, tmp_path, mapped)
    variables = commands.environment_of(record, nobody, tmp_path, "http://127.0.0.1:1", mapped)
    subprocess.run(command, env=variables, check=True)
    seen = json.loads((tmp_path / "result.json").read_text())
    assert seen == {"answer": 42, "prefix": str(environment), "shell": str(environment)}


@pytest.mark.thorough
def test_a_step_runs_in_the_mapped_environment_as_long_as_it_is_mapped(servers: Servers, environment: Path) -> None:
    account = Account(servers.start({IMAGE: environment}))
    account.s3.create_bucket(Bucket="mapped")
    made = step(account, "mapped")
    pipeline = account.create(made)
    execution = account.start(pipeline)
    ended = account.wait(execution)
    assert ended["PipelineExecutionStatus"] == "Succeeded", account.steps(execution)
    key = f"{execution.rpartition('/')[2]}/result.json"
    seen = json.loads(account.s3.get_object(Bucket="mapped", Key=key)["Body"].read())
    assert seen == {"answer": 42, "prefix": str(environment), "shell": str(environment)}

    account.sagemaker = servers.start({}).client("sagemaker")
    assert account.describe(execution)["PipelineExecutionStatus"] == "Succeeded"
    again = account.start(pipeline)
    assert account.wait(again)["PipelineExecutionStatus"] == "Failed"
    assert "--image NAME=PATH" in account.steps(again)["Count"]["FailureReason"]
    error = refusal(lambda: account.create(made))
    assert "'my.registry/churn:7' is not an image the embedded AWS runs" in error["Message"]
