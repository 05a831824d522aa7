"""The notebook your_own_pipeline with a queue and an image that exist already, as its reader passes them."""

from __future__ import annotations

import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import papermill
import pytest

import local_aws
from utils import batch, cleanup
from utils.config import Config
from utils.session import embedded_session

pytestmark = [pytest.mark.slow, pytest.mark.thorough]

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "notebooks" / "going_further" / "your_own_pipeline.ipynb"
IMAGE = "000000000000.dkr.ecr.us-east-1.amazonaws.com/departures"
PREFIXES = {"prefix": "sagemaker-own", "team_prefix": "sagemaker-team", "platform_prefix": "sagemaker-platform"}
TAGS = {"owner": "platform"}


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A Python environment with the packages of this one. Each of its processes writes a line into a file."""
    folder = tmp_path / "departures"
    venv.create(folder, symlinks=True)
    [packages] = folder.glob("lib/python*/site-packages")
    (packages / "installed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    note = f"open({str(folder / 'ran')!r}, 'a').write(sys.prefix + chr(10))"
    (packages / "sitecustomize.py").write_text(f"import sys\n{note}\n")
    return folder


@pytest.fixture
def session(environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[boto3.Session]:
    """An embedded AWS that the notebook's kernel finds, and that maps the image to the environment by the variable."""
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setenv("LOCAL_AWS_IMAGES", f"{IMAGE}={environment}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    home = tmp_path / "aws"
    monkeypatch.setenv("LOCAL_AWS_HOME", str(home))
    server = local_aws.start(port=0, home=home)
    yield embedded_session(server.endpoint_url)
    local_aws.stop(home)


def queue_of_a_platform_team(session: boto3.Session) -> str:
    """A queue that no prefix of the notebook's and no tag of the kit's leads to. Returns its ARN."""
    client = session.client("batch")
    subnets, groups = batch.default_network(session)
    resources = {"type": "FARGATE", "maxvCpus": 4, "subnets": subnets, "securityGroupIds": groups}
    environment = client.create_compute_environment(
        computeEnvironmentName="shared", type="MANAGED", computeResources=resources, tags=TAGS
    )["computeEnvironmentArn"]
    batch.settled(session, "compute environment", "shared")
    queue = client.create_job_queue(
        jobQueueName="shared-jobs",
        priority=5,
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": environment}],
        tags=TAGS,
    )["jobQueueArn"]
    batch.settled(session, "job queue", "shared-jobs")
    return queue


def described(session: boto3.Session) -> tuple[Any, Any]:
    client = session.client("batch")
    return client.describe_job_queues()["jobQueues"], client.describe_compute_environments()["computeEnvironments"]


def test_it_uses_an_existing_queue_and_an_image_and_leaves_both(
    session: boto3.Session, environment: Path, tmp_path: Path
) -> None:
    queue = queue_of_a_platform_team(session)
    before = described(session)
    papermill.execute_notebook(
        NOTEBOOK,
        tmp_path / NOTEBOOK.name,
        parameters={"target": "local", "job_queue": queue, "image": f"{IMAGE}:1.2", **PREFIXES},
        cwd=NOTEBOOK.parent,
        progress_bar=False,
    )
    assert described(session) == before, "the queue is changed, or another was made"

    client = session.client("batch")
    names = [{"name": "JOB_NAME", "values": ["*"]}]
    listed = client.list_jobs(jobQueue=queue, filters=names)["jobSummaryList"]
    arrays = client.describe_jobs(jobs=[each["jobId"] for each in listed])["jobs"]
    assert {job["container"]["image"] for job in arrays} == {f"{IMAGE}:1.2"}
    assert sorted(job["arrayProperties"]["statusSummary"]["SUCCEEDED"] for job in arrays) == [2, 10]
    ran = (environment / "ran").read_text().split()
    assert len(ran) >= 12 and set(ran) == {str(environment)}, "a job ran elsewhere"

    definitions = client.describe_job_definitions()["jobDefinitions"]
    assert [(each["jobDefinitionName"], each["status"]) for each in definitions] == [
        ("sagemaker-team-aggregate", "INACTIVE")
    ]
    for prefix in PREFIXES.values():
        assert cleanup.leftovers(session, Config("local", prefix, "us-east-1", "000000000000")) == []
