"""What each notebook's "Try it" says that you should see is what its code prints."""

import contextlib
import io
import json
import linecache
import re
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import boto3
import pytest
import run_inline

ANSWER = re.compile(r"<summary><b>What you should see</b></summary>(.*?)</details>", re.DOTALL)


def texts(notebook: Path) -> list[str]:
    cells = json.loads(notebook.read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]


def answer(text: str) -> str:
    """The folded answer of an exercise in a cell's text; empty without one."""
    return "".join(ANSWER.findall(text))


def fences(kind: str, text: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)


def printed(sources: list[str], variables: dict[str, Any], name: str) -> str:
    """What these print, each run as a cell of its own, whose text `lambdas.package_cell` finds."""
    with contextlib.redirect_stdout(io.StringIO()) as output:
        for number, source in enumerate(sources, 1):
            cell = f"the exercise of {name}, cell {number}"
            linecache.cache[cell] = (len(source), None, source.splitlines(keepends=True), cell)
            exec(compile(source, cell, "exec"), variables)
    return output.getvalue()


@pytest.mark.parametrize("notebook", [*run_inline.NOTEBOOKS, *run_inline.FURTHER], ids=lambda path: path.stem)
def test_an_exercise_has_code_and_says_what_it_prints(notebook):
    answers = [answer(text) for text in texts(notebook) if "What you should see" in text]
    assert answers
    for text in answers:
        assert fences("python", text)
        assert fences("text", text)


def taught(number: str, monkeypatch, aws: MagicMock) -> dict[str, Any]:
    """What the notebook's answer that holds a whole Lambda function defines, with this client for all of AWS."""
    monkeypatch.setattr(boto3, "client", lambda _: aws)
    [notebook] = [path for path in run_inline.NOTEBOOKS if path.stem.startswith(number)]
    [function] = [each for text in texts(notebook) for each in fences("python", text) if "def lambda_handler" in each]
    variables: dict[str, Any] = {"batch": aws, "event": {"max_jobs": 0, "execution_id": "by-hand"}}
    exec(function, variables)
    return variables


def record(status: str, job_ids: str) -> dict[str, Any]:
    body = {"token": "A1b2C3d4E5", "status": status, "arguments": {"job_ids": job_ids}}
    return {"messageId": "1", "body": json.dumps(body), "attributes": {"ApproximateReceiveCount": "1"}}


@pytest.mark.parametrize("job_ids", ["", " "])
def test_the_mended_monitor_fails_a_step_that_names_no_jobs(monkeypatch, job_ids):
    """Nothing ran then, and no job that is left out has failed."""
    aws = MagicMock()
    aws.describe_jobs.return_value = {"jobs": []}
    monitor = taught("04", monkeypatch, aws)["lambda_handler"]
    assert monitor({"Records": [record("Executing", job_ids)]}, None) == {"batchItemFailures": []}
    aws.send_pipeline_execution_step_failure.assert_called_once()
    aws.send_pipeline_execution_step_success.assert_not_called()


def test_the_mended_monitor_terminates_what_has_not_ended(monkeypatch, capsys):
    aws = MagicMock()
    statuses = {"a": "SUCCEEDED", "b": "RUNNING", "c": "FAILED", "d": "RUNNABLE"}
    aws.describe_jobs.return_value = {"jobs": [{"jobId": id, "status": status} for id, status in statuses.items()]}
    monitor = taught("04", monkeypatch, aws)["lambda_handler"]
    assert monitor({"Records": [record("Stopping", " ".join(statuses))]}, None) == {"batchItemFailures": []}
    assert [call.kwargs["jobId"] for call in aws.terminate_job.call_args_list] == ["b", "d"]
    aws.send_pipeline_execution_step_failure.assert_called_once()


def test_the_mended_monitor_reads_the_ids_that_submit_jobs_puts_on_s3(monkeypatch):
    ids = [f"job-{number}" for number in range(150)]
    aws = MagicMock()
    aws.get_object.side_effect = lambda **_: {"Body": io.BytesIO(json.dumps({"job_ids": ids}).encode())}
    aws.describe_jobs.side_effect = lambda jobs: {"jobs": [{"jobId": id, "status": "RUNNING"} for id in jobs]}
    monitor = taught("04", monkeypatch, aws)["lambda_handler"]
    returned = monitor({"Records": [record("Executing", "s3://bucket/results/_jobs/job_ids.json")]}, None)
    assert returned == {"batchItemFailures": [{"itemIdentifier": "1"}]}
    aws.get_object.assert_called_once_with(Bucket="bucket", Key="results/_jobs/job_ids.json")
    assert [id for call in aws.describe_jobs.call_args_list for id in call.kwargs["jobs"]] == ids


def test_the_mended_submitter_takes_the_execution_that_a_pipeline_passes(monkeypatch, capsys):
    """Its ARN, of which Batch doesn't allow every character in a job's name."""
    aws = MagicMock()
    aws.list_jobs.return_value = {"jobSummaryList": []}
    aws.submit_job.return_value = {"jobId": "a"}
    submitter = taught("03", monkeypatch, aws)["lambda_handler"]
    keys = ("job_queue", "job_definition", "input_uri", "output_uri")
    arn = "arn:aws:sagemaker:us-east-1:000000000000:pipeline/flights/execution/a1b2c3d4e5f6"
    submitter({**dict.fromkeys(keys, "x"), "max_jobs": 1, "execution_id": arn, "step_name": "Copies"}, None)
    assert aws.submit_job.call_args.kwargs["jobName"] == "a1b2c3d4e5f6-Copies-01"


@pytest.mark.thorough
@pytest.mark.slow
def test_each_exercise_prints_what_its_answer_says(own_aws):
    """Where it stands in its notebook: with the variables of the cells above it, and before any clean-up below it."""
    differs = {}
    with run_inline.local(own_aws.endpoint_url):
        for notebook in [*run_inline.NOTEBOOKS, *run_inline.FURTHER]:
            if not any(answer(text) for text in texts(notebook)):
                continue

            def tries(text: str, variables: dict[str, Any], name: str = notebook.stem) -> None:
                code, wanted = fences("python", answer(text)), "".join(fences("text", answer(text)))
                if (seen := printed(code, variables, name)) != wanted:
                    differs[name] = {"says": wanted, "prints": seen}

            with contextlib.chdir(notebook.parent):  # as a kernel is
                run_inline.run(notebook, read=tries)
    assert differs == {}
