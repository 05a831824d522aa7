"""The wheel works outside the repository: installed with its dependencies, and its folder under another name."""

from __future__ import annotations

import base64
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from utils import kit, lambdas

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("utils", "local_aws", "lambda_code", "job_code", "pyproject.toml", "setup.py", "README.md", "LICENSE")
SITE_PACKAGES = sysconfig.get_path("purelib")

PACKAGED = """
import base64, json
import utils
from utils import iam, kit, lambdas
from utils.config import load_config
functions = {name: base64.b64encode(lambdas.package(name)).decode() for name in ("submit_jobs", "check_jobs")}
policy = iam.render("submit_lambda.json", load_config(target="local"))
print(json.dumps({
    "utils": utils.__file__, "functions": functions, "program": kit.job_code("copy_item.py"), "policy": policy,
}))
"""

COMPILED = """
import boto3
from sagemaker.core.helper.session_helper import Session
from sagemaker.mlops.workflow import Pipeline
from utils.batch_step import BatchStep
session = Session(boto3.Session("test", "test", region_name="eu-west-1"), default_bucket="unused")
days = BatchStep(
    "Days",
    job_queue="my-queue",
    job_definition="my-definition",
    input_uri="s3://my-bucket/days",
    output_uri="s3://my-bucket/results",
    submit_function_arn="arn:aws:lambda:eu-west-1:123456789012:function:submit",
    callback_queue_url="https://sqs.eu-west-1.amazonaws.com/123456789012/callback",
    sagemaker_session=session,
)
print(Pipeline("my-pipeline", steps=[*days.steps], sagemaker_session=session).definition())
"""

RUN = """
import json, pathlib
import local_aws
from utils import data, kit, monitoring, pipeline
from utils.config import load_config
from utils.session import embedded_session

home = pathlib.Path("home")
try:
    session = embedded_session(local_aws.start(port=0, home=home).endpoint_url)
    config = load_config(target="local", prefix="sagemaker-wheel")
    deployed = kit.deploy(session, config, program=kit.job_code("copy_item.py"))
    data.upload(session, config.bucket, "days", {"1.csv": b"one", "2.csv": b"two"})
    sdk = pipeline.sdk_session(session, config.bucket)

    from sagemaker.mlops.workflow import Pipeline
    from utils.batch_step import BatchStep

    days = BatchStep(
        "Days",
        job_queue=deployed.job_queue,
        job_definition=deployed.job_definition,
        input_uri=f"s3://{config.bucket}/days",
        output_uri=f"s3://{config.bucket}/results",
        **deployed.backend,
        sagemaker_session=sdk,
    )
    flow = Pipeline(config.pipeline, steps=[*days.steps], sagemaker_session=sdk)
    flow.upsert(role_arn=deployed.pipeline_role)
    execution = pipeline.wait_for_execution(session, flow.start().arn, seconds=120)
    why = monitoring.explain(session, execution["PipelineExecutionArn"], deployed.job_queue, config.job_log_group)
    s3 = session.client("s3")
    listed = s3.list_objects_v2(Bucket=config.bucket, Prefix="results/").get("Contents", [])
    keys = [each["Key"] for each in listed]
    results = {key: s3.get_object(Bucket=config.bucket, Key=key)["Body"].read().decode() for key in keys}
    print(json.dumps({"status": execution["PipelineExecutionStatus"], "why": why, "results": results}))
finally:
    local_aws.stop(home)
"""

IMPORT = """
import importlib, pathlib, sys
[package] = sys.argv[1:]
root = pathlib.Path.cwd()
for path in sorted((root / package).rglob("*.py")):
    parts = path.relative_to(root).with_suffix("").parts
    if "lambda_code" in parts or "job_code" in parts or parts[-1] == "__main__":
        continue
    importlib.import_module(".".join(part for part in parts if part != "__init__"))
"""
IMPORT_ALL = (
    IMPORT
    + """
assert not {"utils", "local_aws"} & set(sys.modules), sorted(sys.modules)
lambdas = importlib.import_module(f"{package}.lambdas")
print(len(lambdas.package("check_jobs")))
"""
)


def run(*command: str | Path, cwd: Path, more: dict[str, str] | None = None) -> str:
    ours = ("PYTHONPATH", "VIRTUAL_ENV", "LOCAL_AWS_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    environment["AWS_DEFAULT_REGION"] = "eu-west-1"  # the SDK makes clients at import
    done = subprocess.run(
        [*command], cwd=cwd, env=environment | (more or {}), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def uv(*arguments: str | Path, cwd: Path, more: dict[str, str] | None = None) -> None:
    run(sys.executable, "-m", "uv", *arguments, cwd=cwd, more=more)


def pips_index() -> dict[str, str]:
    """uv's variables for the package index that this machine's pip is set up for."""
    install = runpy.run_path(str(ROOT / ".ci" / "install.py"))
    listed = run(sys.executable, "-m", "pip", "config", "list", cwd=ROOT)
    return install["uv_environment"](install["pip_settings"](listed), {})


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    source = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-qq",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        "dist",
        ".",
    ]
    run(*build, cwd=source)
    [built] = (source / "dist").iterdir()
    return built


@pytest.fixture(scope="module")
def install(wheel, tmp_path_factory):
    """Installs the wheel and all that it depends on into an environment far from the repository, empty at first.

    The tests share it, since importing the SDK for the first time takes most of their time. Each adds extras.
    """
    folder = tmp_path_factory.mktemp("installed")
    uv("venv", "-q", "--python", sys.executable, ".venv", cwd=folder)

    def add(extras: str, *more: str) -> Path:
        asked = ("pip", "install", "-q", "--python", ".venv/bin/python", f"{wheel}{extras}", *more)
        uv(*asked, cwd=folder, more=pips_index())
        return folder

    return add


@pytest.mark.thorough
def test_alone_it_makes_a_pipeline_with_a_batch_step(install):
    folder = install("")
    definition = json.loads(run(".venv/bin/python", "-W", "ignore", "-c", COMPILED, cwd=folder).splitlines()[-1])
    assert [step["Type"] for step in definition["Steps"]] == ["Lambda", "Callback"]


@pytest.mark.thorough
def test_with_the_embedded_aws_the_pipeline_runs_to_its_end(install):
    answer = json.loads(run(".venv/bin/python", "-W", "ignore", "-c", RUN, cwd=install("[local]")).splitlines()[-1])
    assert answer["status"] == "Succeeded", answer["why"]
    copied = {key: body for key, body in answer["results"].items() if key.endswith(".csv")}
    assert copied == {"results/1.csv": "one", "results/2.csv": "two"}


@pytest.mark.thorough
def test_with_all_extras_every_module_is_there_and_the_pages_tests_pass(install):
    """What docs/test_your_pipeline.md says to install, and its example."""
    page = (ROOT / "docs" / "test_your_pipeline.md").read_text()
    [extras] = re.findall(r'pip install "\.(\[[a-z,]+\])" pytest', page)
    folder = install(extras, "pytest")
    [packages] = (folder / ".venv" / "lib").glob("python*/site-packages")
    run(folder / ".venv" / "bin" / "python", "-W", "ignore", "-c", IMPORT, "utils", cwd=packages)
    for name, text in re.findall(r"^`(\w+\.py)` [^\n]*:\n\n```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        (folder / name).write_text(text)
    assert "2 passed" in run(".venv/bin/python", "-m", "pytest", "-q", "test_my_pipeline.py", cwd=folder)


@pytest.fixture(scope="module")
def elsewhere(wheel, tmp_path_factory) -> Path:
    """A folder with an environment that has the wheel, and what it needs from ours, which is quick."""
    folder = tmp_path_factory.mktemp("elsewhere")
    uv("venv", "-q", "--python", sys.executable, ".venv", cwd=folder)
    uv("pip", "install", "-q", "--offline", "--no-deps", "--python", ".venv/bin/python", wheel, cwd=folder)
    [site] = (folder / ".venv" / "lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(SITE_PACKAGES)
    return folder


def test_functions_programs_and_policies_are_in_it(elsewhere):
    answer = json.loads(run(".venv/bin/python", "-c", PACKAGED, cwd=elsewhere))
    assert Path(answer["utils"]).is_relative_to(elsewhere)
    for name, content in answer["functions"].items():
        assert base64.b64decode(content) == lambdas.package(name)
    assert answer["program"] == kit.job_code("copy_item.py")
    assert "batch:SubmitJob" in json.dumps(answer["policy"])


@pytest.mark.thorough
def test_the_folder_works_under_another_name(wheel, tmp_path):
    run(sys.executable, "-m", "zipfile", "-e", wheel, "unpacked", cwd=tmp_path)
    place = tmp_path / "project"
    shutil.copytree(tmp_path / "unpacked" / "utils", place / "sagemaker_batch")
    size = run(sys.executable, "-c", IMPORT_ALL, "sagemaker_batch", cwd=place)  # -c puts this folder first in the path
    assert int(size) == len(lambdas.package("check_jobs"))


def test_the_embedded_aws_keeps_its_files_outside_the_packages(elsewhere):
    code = "import local_aws; print(local_aws.default_home())"
    assert run(".venv/bin/python", "-c", code, cwd=elsewhere).strip() == str(Path.home().resolve() / ".local_aws")
