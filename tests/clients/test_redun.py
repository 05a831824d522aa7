"""A redun workflow: single jobs, an array, a script and a failing task, with arguments and results in S3."""

import ast

import pytest

from .conftest import HERE

SETTINGS = """\
[executors.batch]
type = aws_batch
image = public.ecr.aws/docker/library/python:3.13
queue = {queue}
s3_scratch = s3://{bucket}/redun
role = {role}
aws_region = us-east-1
memory = 1
job_monitor_interval = 0.2
job_stale_time = 1
min_array_size = 3
job_def_extra = {{"containerProperties": {{"environment": [{{"name": "PATH", "value": "{path}"}}]}}}}
"""


@pytest.fixture(scope="module")
def workflow(account):
    settings = account.home / ".redun"
    settings.mkdir()
    (settings / "redun.ini").write_text(
        SETTINGS.format(
            queue=account.queue, bucket=account.bucket, role=account.job_role, path=account.path_in_container
        )
    )
    (account.home / "workflow.py").write_text((HERE / "redun" / "workflow.py").read_text())
    return account


def test_a_workflow(workflow):
    done = workflow.run("redun", "run", "workflow.py", "main")
    assert done.returncode == 0, done.stdout + done.stderr
    ended = ast.literal_eval(done.stdout)
    assert ended["word"] == "HELLO"
    assert [list(square) for square in ended["squares"]] == [[0, 0], [1, 1], [4, 2], [9, 3]]
    assert ended["script"] == [0, b"from a script in instances\n"]
    assert ended["caught"] == "caught ValueError: expected"
    arrays = [job for job in workflow.jobs() if "arrayProperties" in job]
    assert [(job["status"], job["arrayProperties"]["size"]) for job in arrays] == [("SUCCEEDED", 4)]
    definitions = workflow.client("batch").describe_job_definitions()["jobDefinitions"]
    assert [definition["revision"] for definition in definitions] == [1]  # redun knows again what it has registered


def test_a_workflow_that_fails(workflow):
    done = workflow.run("redun", "run", "workflow.py", "breaks")
    assert done.returncode == 1
    assert "ValueError: not expected" in done.stderr
    assert "this is in the job's log" in done.stderr
