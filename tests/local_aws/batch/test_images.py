"""Images of one's own that are mapped to Python environments of this machine."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tiers

import local_aws

from .conftest import Account, make_account, refusal

IMAGE = "my.registry:5000/team/churn"
PINNED = "my.registry/churn:1.0"


def make_environment(folder: Path) -> Path:
    """A Python environment with a module that this one lacks, and with a program beside it, as an image has it."""
    venv.create(folder, symlinks=True, with_pip=tiers.THOROUGH)  # pip takes five seconds, and one test needs it
    [packages] = folder.glob("lib/python*/site-packages")
    (packages / "only_there.py").write_text("answer = 42\n")
    (folder / "app").mkdir()
    (folder / "app" / "job.py").write_text("import only_there, sys\nprint(only_there.answer, *sys.argv[1:])\n")
    tool = folder / "bin" / "my-tool"
    tool.write_text("#!/bin/sh\npython -c 'import sys; print(sys.prefix)'\n")
    tool.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_environment(tmp_path_factory.mktemp("environments") / "churn")


@dataclass
class Mapped:
    """An account on an embedded AWS that maps two images."""

    account: Account
    queue: str

    def run(self, *command: str, image: str = IMAGE, **container: Any) -> dict[str, Any]:
        container = {"image": image, "command": list(command), **container}
        return self.account.run(self.queue, container=container)

    def lines(self, *command: str, **container: Any) -> list[str]:
        job = self.run(*command, **container)
        assert job["status"] == "SUCCEEDED", job
        return self.account.lines(job)


@pytest.fixture(scope="module")
def mapped(aws: Any, environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapped]:
    home = tmp_path_factory.mktemp("home")
    server = local_aws.start(port=0, home=home, images={IMAGE: environment, PINNED: str(environment)})
    account = make_account(dataclasses.replace(aws, server=server, home=home))
    yield Mapped(account, account.queue(account.environment()))
    local_aws.stop(home)


WHERE = "import only_there, sys; print(only_there.answer, sys.prefix)"


@pytest.mark.sampled(2)
@pytest.mark.parametrize("python", ["python", "python3", "/usr/local/bin/python", "/opt/conda/bin/python3"])
def test_a_job_runs_with_the_environments_python(mapped: Mapped, environment: Path, python: str) -> None:
    assert mapped.lines(python, "-c", WHERE) == [f"42 {environment}"]


@pytest.mark.parametrize("image", [f"{IMAGE}:7", f"{IMAGE}@sha256:{'0' * 64}", PINNED])
def test_a_name_without_a_tag_stands_for_every_tag(mapped: Mapped, environment: Path, image: str) -> None:
    assert mapped.lines("python", "-c", WHERE, image=image) == [f"42 {environment}"]


def test_a_name_with_a_tag_stands_for_that_tag_only(mapped: Mapped) -> None:
    job = mapped.run("python", "-c", WHERE, image="my.registry/churn:2.0")
    assert (job["status"], job["statusReason"]) == ("FAILED", "Task failed to start")
    assert "--image NAME=PATH" in job["container"]["reason"]


def test_an_image_that_is_not_mapped_has_this_python(mapped: Mapped) -> None:
    image = "public.ecr.aws/docker/library/python:3.13"
    assert mapped.lines("/usr/local/bin/python", "-c", "import sys; print(sys.prefix)", image=image) == [sys.prefix]
    assert mapped.run("python", "-c", "import only_there", image=image)["container"]["exitCode"] == 1


def test_the_environments_programs_come_first(mapped: Mapped, environment: Path) -> None:
    assert mapped.lines("my-tool") == [str(environment)]
    assert mapped.lines("sh", "-c", "my-tool") == [str(environment)]


def test_a_file_of_the_image_is_found_in_the_environments_folder(mapped: Mapped) -> None:
    assert mapped.lines("python", "/app/job.py", "/tmp", "/no/such/file") == ["42 /tmp /no/such/file"]


@pytest.mark.thorough
def test_what_a_job_installs_is_gone_with_it(mapped: Mapped, environment: Path, tmp_path: Path) -> None:
    wheel = tmp_path / "tiny-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny.py", "answer = 1")
        archive.writestr("tiny-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1\n")
        archive.writestr("tiny-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("tiny-1.dist-info/RECORD", "")
    install = f"pip install -qq --disable-pip-version-check --no-index {wheel} && "
    use = "python -c 'import tiny; print(tiny.answer)'"
    assert mapped.lines("sh", "-c", install + use) == ["1"]
    assert mapped.run("sh", "-c", use)["container"]["exitCode"] == 1
    assert not list(environment.rglob("tiny*"))


def test_a_job_without_a_command_says_what_is_not_known(mapped: Mapped) -> None:
    job = mapped.run()
    assert job["status"] == "FAILED"
    assert "the CMD of the image is not known here" in job["container"]["reason"]


def test_gpus_are_refused_by_name(mapped: Mapped) -> None:
    batch = mapped.account.batch
    requirements = [{"type": kind, "value": value} for kind, value in (("VCPU", "1"), ("MEMORY", "512"), ("GPU", "1"))]
    container = {"image": IMAGE, "command": ["true"], "resourceRequirements": requirements}
    error = refusal(
        batch.register_job_definition, jobDefinitionName="gpu", type="container", platformCapabilities=["EC2"],
        containerProperties=container,
    )  # fmt: skip
    assert "GPUs (GPU in resourceRequirements)" in error["Message"]


# --- the setting ---


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "home"
    local_aws.stop(tmp_path / "home")


def command(*arguments: str, home: Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "local_aws", *arguments, "--home", str(home)]
    return subprocess.run(line, capture_output=True, text=True, timeout=90, check=False, cwd=cwd)


def test_the_command_line_maps_images(home: Path, environment: Path) -> None:
    images = ["--image", f"{IMAGE}={environment.name}", "--image", f"{PINNED}={environment}"]
    started = command("start", "--port", "0", *images, home=home, cwd=environment.parent)
    assert f"The image {IMAGE} runs in {environment}." in started.stdout, started.stderr
    running = local_aws.find(home)
    assert running and running.images == {IMAGE: str(environment), PINNED: str(environment)}


def test_a_variable_maps_images(home: Path, environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_AWS_IMAGES", f"{IMAGE}={environment}, {PINNED}={environment},")
    running = local_aws.start(port=0, home=home)
    assert running.images == {IMAGE: str(environment), PINNED: str(environment)}


def test_a_running_server_without_the_image_is_one_clear_sentence(home: Path, environment: Path) -> None:
    first = local_aws.start(port=0, home=home, images={IMAGE: environment})
    assert local_aws.start(home=home) == local_aws.start(home=home, images={IMAGE: environment}) == first
    with pytest.raises(local_aws.LocalAwsError, match=f"does not map the image {PINNED} to .*. Stop it first"):
        local_aws.start(home=home, images={IMAGE: environment, PINNED: environment})


def test_a_folder_without_python_is_one_clear_sentence(home: Path, tmp_path: Path) -> None:
    with pytest.raises(local_aws.LocalAwsError, match=f"{IMAGE} is mapped to {tmp_path}, which has no bin/python"):
        local_aws.start(port=0, home=home, images={IMAGE: tmp_path})
    for verb in ("start", "serve"):
        refused = command(verb, "--port", "0", "--image", f"{IMAGE}={tmp_path}", home=home)
        assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (1, "", 1)
        assert "has no bin/python" in refused.stderr
    assert local_aws.find(home) is None


@pytest.mark.parametrize("pair", ["churn", "=/somewhere", "churn="])
def test_what_maps_no_image_is_one_clear_sentence(home: Path, pair: str) -> None:
    refused = command("start", "--port", "0", "--image", pair, home=home)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert f"{json.dumps(pair)} maps no image. Write NAME=PATH" in refused.stderr


def test_a_relative_path_in_the_variable_is_one_clear_sentence(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_AWS_IMAGES", f"{IMAGE}=.venv")
    with pytest.raises(local_aws.LocalAwsError, match=r"LOCAL_AWS_IMAGES has the relative path \.venv"):
        local_aws.start(port=0, home=home)
