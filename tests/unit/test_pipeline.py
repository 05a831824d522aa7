import json
import subprocess
import sys

import pytest

from utils import pipeline

ARN = "arn:aws:sagemaker:us-east-1:000000000000:pipeline/sagemaker-x/execution/abcdefghijkl"


def executing(*statuses):
    return [{"PipelineExecutionArn": ARN, "PipelineExecutionStatus": status} for status in statuses]


@pytest.mark.parametrize("final", ["Succeeded", "Failed", "Stopped", "CompletedWithFailures"])
def test_every_end_is_an_end(session, calls, no_waiting, final):
    calls.answer("DescribePipelineExecution", *executing("Executing", "Stopping", final))
    assert pipeline.wait_for_execution(session, ARN)["PipelineExecutionStatus"] == final
    assert len(no_waiting) == 2


def test_looks_come_further_apart_but_never_far(session, calls, no_waiting):
    calls.answer("DescribePipelineExecution", *executing(*["Executing"] * 40, "Succeeded"))
    pipeline.wait_for_execution(session, ARN)
    assert no_waiting[0] < 0.5
    assert 5 < max(no_waiting) < 11


def test_one_that_goes_on_for_too_long_is_told_with_its_status(session, calls):
    calls.answer("DescribePipelineExecution", *executing("Executing"))
    with pytest.raises(TimeoutError, match=r"abcdefghijkl is still Executing after 0 seconds. Wait for it again"):
        pipeline.wait_for_execution(session, ARN, seconds=0)


def test_the_latest_execution_is_found_by_its_status(session, calls):
    def summaries(*statuses):
        return [
            {"PipelineExecutionArn": f"{ARN}{n}", "PipelineExecutionStatus": status}
            for n, status in enumerate(statuses)
        ]

    pages = [{"PipelineExecutionSummaries": summaries("Failed", "Succeeded", "Succeeded")}] * 4
    calls.answer("ListPipelineExecutions", *pages)
    assert pipeline.latest_execution(session, "sagemaker-x") == f"{ARN}0"
    assert pipeline.latest_execution(session, "sagemaker-x", status="Succeeded") == f"{ARN}1"
    assert pipeline.latest_execution(session, "sagemaker-x", status="Stopped") is None


QUIET = """
import json, sys
from utils import pipeline
from utils.session import embedded_session
import boto3
session = embedded_session(sys.argv[1])
boto3.DEFAULT_SESSION = session
assert "sagemaker" not in sys.modules, "importing utils.pipeline must not take the SDK's seconds"
sdk = pipeline.sdk_session(session, "a-bucket")
from sagemaker.core.lambda_helper import Lambda
from sagemaker.mlops.workflow import LambdaStep, Pipeline
step = LambdaStep(name="One", lambda_func=Lambda(function_arn="arn:aws:lambda:us-east-1:1:function:f", session=sdk))
definition = json.loads(Pipeline(name="p", steps=[step], sagemaker_session=sdk).definition())
from sagemaker.core.telemetry.telemetry_logging import resolve_value_from_config, TELEMETRY_OPT_OUT_PATH
out = resolve_value_from_config(config_path=TELEMETRY_OPT_OUT_PATH, default_value=False, sagemaker_session=sdk)
print(json.dumps({"steps": [s["Name"] for s in definition["Steps"]], "opted_out": out}))
"""


def test_no_helper_but_batch_step_takes_the_seconds_of_the_sdk():
    code = "import sys\nfrom utils import cleanup, kit, monitoring, pipeline\nassert 'sagemaker' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.thorough
@pytest.mark.slow
def test_the_sdk_is_imported_late_and_is_silent(aws):
    run = subprocess.run([sys.executable, "-c", QUIET, aws.endpoint_url], capture_output=True, text=True, timeout=120)
    assert (run.returncode, run.stderr) == (0, "")
    assert json.loads(run.stdout) == {"steps": ["One"], "opted_out": True}


@pytest.mark.parametrize("status", ["Failed", None])
def test_without_a_run_that_succeeded_the_notebook_to_run_is_named(session, calls, status):
    if status is None:
        calls.refuse("ListPipelineExecutions", "ResourceNotFound", "Pipeline 'sagemaker-x' does not exist.")
    else:
        summary = {"PipelineExecutionArn": f"{ARN}0", "PipelineExecutionStatus": status}
        calls.answer("ListPipelineExecutions", {"PipelineExecutionSummaries": [summary]})
    with pytest.raises(LookupError, match=r'"sagemaker-x" has no execution that succeeded. Run notebook 05'):
        pipeline.last_success(session, "sagemaker-x")
