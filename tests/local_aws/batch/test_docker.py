"""Images that only a container engine can run. The engine here is a stand-in that knows `docker`'s command line: it
shows that the right commands are given in the right order, not that an engine likes them."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import local_aws

from .conftest import Account, make_account, wait

DOCKER = f"""#!{sys.executable}
import json, os, pathlib, subprocess, sys
here = pathlib.Path(__file__).parent
words = sys.argv[1:]
with open(here / "calls", "a") as calls:
    calls.write(json.dumps(words) + "\\n")
if words[:2] == ["image", "inspect"]:
    sys.exit(0 if words[2] == "present" else 1)
if words[0] == "pull":
    if "missing" in words[-1]:
        sys.exit("manifest unknown: " + words[-1])
if words[0] == "run":
    image = next(index for index, word in enumerate(words) if word in ("present", "pulled"))
    os.execvp(words[image + 1], words[image + 1:])
"""


@pytest.fixture(scope="module")
def engine(aws: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Account, str, Path]]:
    """An embedded AWS on a machine with this Docker."""
    directory = tmp_path_factory.mktemp("docker")
    program = directory / "docker"
    program.write_text(DOCKER)
    program.chmod(0o755)
    path, home = os.environ["PATH"], tmp_path_factory.mktemp("home")
    os.environ["PATH"] = f"{directory}{os.pathsep}{path}"
    try:
        server = local_aws.start(port=0, home=home)
    finally:
        os.environ["PATH"] = path
    account = make_account(dataclasses.replace(aws, server=server, home=home))
    yield account, account.queue(account.environment()), directory / "calls"
    local_aws.stop(home)


def calls(file: Path, verb: str) -> list[list[str]]:
    return [words for words in map(json.loads, file.read_text().splitlines()) if words[0] == verb]


@pytest.mark.parametrize("image", ["present", "pulled"])
def test_a_job_in_a_container(engine: tuple[Account, str, Path], image: str) -> None:
    account, queue, file = engine
    container = {"image": image, "environment": [{"name": "SECRET", "value": "x y"}]}
    job = account.run(queue, "sh", "-c", "echo $SECRET $AWS_BATCH_JOB_ID", container=container)
    assert (job["status"], account.lines(job)) == ("SUCCEEDED", [f"x y {job['jobId']}"])
    assert (["pull", "--quiet", image] in calls(file, "pull")) == (image == "pulled")
    run = next(words for words in calls(file, "run") if image in words)
    assert run[run.index("--memory") + 1] == "512m"
    assert run[run.index("--cpus") + 1] == "0.25"
    assert "SECRET" in run
    assert not any("x y" in word for word in run)  # values are not on the command line
    name = run[run.index("--name") + 1]
    wait(lambda: ["rm", "--force", name] in calls(file, "rm"), "the container's removal")


def test_an_image_that_can_not_be_pulled(engine: tuple[Account, str, Path]) -> None:
    account, queue, _ = engine
    job = account.run(queue, container={"image": "example.com/missing"})
    assert (job["status"], job["statusReason"]) == ("FAILED", "Task failed to start")
    assert job["container"]["reason"] == "CannotPullContainerError: manifest unknown: example.com/missing"


def test_terminating_a_container(engine: tuple[Account, str, Path]) -> None:
    account, queue, file = engine
    job_id = account.submit(queue, account.definition("sleep", "60", container={"image": "present"}))
    job = account.job_is(job_id, "RUNNING")
    account.batch.terminate_job(jobId=job_id, reason="enough")
    assert account.job_is(job_id)["statusReason"] == "enough"
    name = f"local-aws-{job['container']['taskArn'].rsplit('/', 1)[1]}"
    wait(lambda: ["rm", "--force", name] in calls(file, "rm"), "the container's removal")
