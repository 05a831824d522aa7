"""The whole tutorial by papermill, and what it left on S3 compared with the data it began with."""

import json
import re
import time
from collections import Counter

import pandas
import pytest

from utils.config import load_config
from utils.data import flights
from utils.runner.tutorial import ROOT, main
from utils.session import connect

SETTINGS = {"target": "local", "prefix": "sagemaker-end-to-end", "region": "eu-west-1"}
OPTIONS = [f"--{name}={value}" for name, value in SETTINGS.items()]


class Deployment:
    """What the notebooks made, seen through plain boto3."""

    def __init__(self) -> None:
        self.config = load_config(**SETTINGS)
        self.session = connect(target=self.config.target, region=self.config.region)
        self.sagemaker = self.session.client("sagemaker")

    def executions(self) -> list[dict]:
        """Oldest first."""
        answer = self.sagemaker.list_pipeline_executions(
            PipelineName=self.config.pipeline, SortBy="CreationTime", SortOrder="Ascending"
        )
        return answer["PipelineExecutionSummaries"]

    def jobs(self, execution_arn: str) -> list[dict]:
        """The Batch jobs of one execution, which their names begin with."""
        batch = self.session.client("batch")
        filters = [{"name": "JOB_NAME", "values": [f"{execution_arn.rsplit('/', 1)[1]}*"]}]
        listed = batch.list_jobs(jobQueue=self.config.job_queue, filters=filters)["jobSummaryList"]
        return batch.describe_jobs(jobs=[job["jobId"] for job in listed])["jobs"]

    def read(self, uri: str) -> bytes:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return self.session.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()

    def delete(self, uri: str) -> None:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        self.session.client("s3").delete_object(Bucket=bucket, Key=key)

    def run_to_its_end(self, parameters: list[dict]) -> dict:
        """Start the pipeline again and wait for the execution."""
        arn = self.sagemaker.start_pipeline_execution(PipelineName=self.config.pipeline, PipelineParameters=parameters)[
            "PipelineExecutionArn"
        ]
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            execution = self.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
            if execution["PipelineExecutionStatus"] not in ("Executing", "Stopping"):
                return execution
            time.sleep(0.2)
        raise TimeoutError(f"{arn} is still {execution['PipelineExecutionStatus']}")


def made_by(jobs: list[dict], definition: str) -> list[dict]:
    return [job for job in jobs if re.search(rf"/{definition}:\d+$", job["jobDefinition"])]


@pytest.mark.thorough
@pytest.mark.slow
def test_the_whole_tutorial(own_aws, tmp_path, capsys):
    """One run, looked at from all sides: it takes longer than all other tests of the project."""
    assert main([*OPTIONS, "--keep"], outputs=tmp_path) == 0
    told = capsys.readouterr().out
    there = Deployment()
    first = there.executions()[0]
    assert first["PipelineExecutionStatus"] == "Succeeded"
    jobs = there.jobs(first["PipelineExecutionArn"])

    every_copy_is_its_input_byte_for_byte(there, made_by(jobs, there.config.copy_job_definition))
    the_aggregates_are_what_pandas_computes(there, made_by(jobs, there.config.aggregate_job_definition))
    the_runner_told_what_happened(told, jobs)
    the_executed_notebooks_and_the_page_are_written(tmp_path)

    # One input is missing: the execution fails, and its reason leads to the job and to its log.
    parameters = there.sagemaker.list_pipeline_parameters_for_execution(
        PipelineExecutionArn=first["PipelineExecutionArn"]
    )["PipelineParameters"]
    missing = made_by(jobs, there.config.copy_job_definition)[6]["parameters"]["s3Input"]
    there.delete(missing)
    a_missing_input_fails_the_execution(there, there.run_to_its_end(parameters), missing)

    # Cleanup, twice: the second time there is nothing to do, and that is no error.
    for _ in range(2):
        assert main([*OPTIONS, "--only", "07"], outputs=tmp_path) == 0
        assert "nothing left behind" in capsys.readouterr().out


def every_copy_is_its_input_byte_for_byte(there: Deployment, copies: list[dict]) -> None:
    assert len(copies) == 12
    months = Counter()
    for job in copies:
        content = there.read(job["parameters"]["s3Input"])
        assert there.read(job["parameters"]["s3Output"]) == content
        rows = [json.loads(line) for line in content.splitlines()]
        months.update(row["month"] for row in rows)
        assert len({row["month"] for row in rows}) == 1
    assert months == Counter(flights()["month"].tolist())


def the_aggregates_are_what_pandas_computes(there: Deployment, aggregates: list[dict]) -> None:
    assert len(aggregates) == 12
    for job in aggregates:
        result = json.loads(there.read(job["parameters"]["s3Output"]))
        year, month = map(int, result["month"].split("-"))
        flown = flights().query(f"year == {year} and month == {month}")
        expected = flown.groupby(["carrier", "hour"])["arr_delay"].agg(["size", "count", "sum"]).reset_index()
        rows = pandas.DataFrame(result["rows"])[["carrier", "hour", "flights", "arrivals", "arr_delay_sum"]]
        assert rows.values.tolist() == expected.values.tolist()
    assert len({json.loads(there.read(job["parameters"]["s3Output"]))["month"] for job in aggregates}) == 12


def the_runner_told_what_happened(told: str, jobs: list[dict]) -> None:
    assert re.search(r"^pipeline +Succeeded$", told, re.MULTILINE)
    assert re.search(rf"^jobs +{len(jobs)}: {len(jobs)} SUCCEEDED$", told, re.MULTILINE)
    assert len(jobs) == 24
    assert re.search(r"^outputs +24 of 24 objects, [\d,]{6,} bytes$", told, re.MULTILINE)
    assert [line.split()[0] for line in told.splitlines() if re.match(r"0[1-7]_", line)] == [
        path.stem for path in sorted((ROOT / "notebooks").glob("0[1-6]_*.ipynb"))
    ]


def the_executed_notebooks_and_the_page_are_written(outputs) -> None:
    page = (outputs / "tutorial.html").read_text()
    for path in sorted((ROOT / "notebooks").glob("0[1-6]_*.ipynb")):
        executed = json.loads((outputs / path.name).read_text())
        title = next(line for line in "".join(executed["cells"][0]["source"]).splitlines() if line.startswith("# "))
        assert title.removeprefix("# ") in page
        assert any("sagemaker-end-to-end" in json.dumps(cell.get("outputs", [])) for cell in executed["cells"])
    assert page.count('alt="The pipeline as a graph, its steps in their order: CountInputs Succeeded') == 2  # in 05, 06
    assert "No description has been provided" not in page


def a_missing_input_fails_the_execution(there: Deployment, execution: dict, missing: str) -> None:
    assert execution["PipelineExecutionStatus"] == "Failed"
    failed = [job for job in there.jobs(execution["PipelineExecutionArn"]) if job["status"] == "FAILED"]
    assert [job["parameters"]["s3Input"] for job in failed] == [missing]
    steps = there.sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=execution["PipelineExecutionArn"])
    reason = next(step["FailureReason"] for step in steps["PipelineExecutionSteps"] if step["StepStatus"] == "Failed")
    assert failed[0]["jobName"] in reason
    stream = failed[0]["container"]["logStreamName"]
    assert stream in reason
    events = there.session.client("logs").get_log_events(logGroupName=there.config.job_log_group, logStreamName=stream)[
        "events"
    ]
    assert re.search(r"404|NoSuchKey|Not Found", "\n".join(event["message"] for event in events))
