"""BatchStep builds, without any AWS call, the definition that two steps built by hand would."""

import json
import warnings
from datetime import timedelta
from types import SimpleNamespace

import boto3
import pytest

pytestmark = pytest.mark.slow  # importing the SDK takes seconds

FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:sagemaker-batch-submit"
QUEUE = "https://sqs.us-east-1.amazonaws.com/000000000000/sagemaker-batch-callback"


@pytest.fixture(scope="module")
def sdk():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")  # the SDK makes clients at import
        from sagemaker.core.helper.session_helper import Session
        from sagemaker.core.workflow.parameters import ParameterString
        from sagemaker.mlops.workflow import CallbackOutput, CallbackStep, Pipeline

        from utils.batch_step import BatchStep

        session = Session(boto3.Session("test", "test", region_name="us-east-1"), default_bucket="unused")

        def make(name="Copies", **options):
            common = {
                "job_definition": "copy",
                "job_queue": "jobs",
                "output_uri": "s3://bucket/out",
                "submit_function_arn": FUNCTION,
                "callback_queue_url": QUEUE,
                "sagemaker_session": session,
            }
            return BatchStep(name, **{**common, **options})

        def plain(name, **options):
            return CallbackStep(name, QUEUE, options.pop("inputs", {"x": "y"}), [CallbackOutput("z")], **options)

        def compile(*steps, parameters=()):
            pipeline = Pipeline("p", steps=list(steps), parameters=list(parameters), sagemaker_session=session)
            with warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)
                return {step["Name"]: step for step in json.loads(pipeline.definition())["Steps"]}

        yield SimpleNamespace(make=make, plain=plain, compile=compile, ParameterString=ParameterString)


def test_one_step_in_the_list_is_a_pair_in_the_definition(sdk):
    steps = sdk.compile(
        sdk.make(input_uri="s3://bucket/in", tolerated_failure_percentage=5, deadline=timedelta(hours=2))
    )
    assert set(steps) == {"Copies-Submit", "Copies"}
    submit, wait = steps["Copies-Submit"], steps["Copies"]
    assert (submit["Type"], submit["FunctionArn"]) == ("Lambda", FUNCTION)
    assert submit["Arguments"] == {
        "mode": "array",
        "input_uri": "s3://bucket/in",
        "output_uri": "s3://bucket/out",
        "job_queue": "jobs",
        "job_definition": "copy",
        "execution_id": {"Get": "Execution.PipelineExecutionArn"},
        "step_name": "Copies",
    }
    assert (wait["Type"], wait["SqsQueueUrl"]) == ("Callback", QUEUE)
    assert wait["Arguments"] == {
        "job_ids": {"Get": "Steps.Copies-Submit.OutputParameters['jobIds']"},
        "report_uri": {"Get": "Steps.Copies-Submit.OutputParameters['reportUri']"},
        "tolerated_failure_percentage": 5,
        "deadline_seconds": 7200.0,
    }
    assert {output["OutputName"] for output in wait["OutputParameters"]} >= {"job_status", "failed_items_uri"}


def test_later_steps_use_its_properties_and_earlier_ones_its_depends_on(sdk):
    before = sdk.plain("Before")
    batch = sdk.make(items="s3://bucket/items.jsonl", depends_on=[before])
    after = sdk.plain("After", depends_on=[batch])
    user = sdk.plain("User", inputs={"failed": batch.properties.Outputs["jobs_failed"]})
    steps = sdk.compile(before, batch, after, user)
    assert steps["Copies-Submit"]["DependsOn"] == ["Before"]
    assert "DependsOn" not in steps["Copies"]
    assert steps["After"]["DependsOn"] == ["Copies"]
    assert steps["User"]["Arguments"] == {"failed": {"Get": "Steps.Copies.OutputParameters['jobs_failed']"}}


def test_what_comes_before_can_be_said_later(sdk):
    before, other = sdk.plain("Before"), sdk.plain("Other")
    batch = sdk.make(items="s3://bucket/items.jsonl")
    batch.depends_on = [before]
    batch.add_depends_on(["Other"])
    assert sorted(sdk.compile(before, other, batch)["Copies-Submit"]["DependsOn"]) == ["Before", "Other"]


def test_several_in_parallel_and_in_a_chain_share_function_and_queue(sdk):
    first, second = sdk.make("First", input_uri="s3://bucket/a"), sdk.make("Second", input_uri="s3://bucket/b")
    failed = first.properties.Outputs["failed_items_uri"]
    third = sdk.make("Third", items=failed, may_be_empty=True, depends_on=[second])
    steps = sdk.compile(first, second, third)
    assert len(steps) == 6
    assert {step["FunctionArn"] for step in steps.values() if step["Type"] == "Lambda"} == {FUNCTION}
    assert steps["Third-Submit"]["DependsOn"] == ["Second"]
    assert steps["Third-Submit"]["Arguments"]["may_be_empty"] == "true"
    assert steps["Third-Submit"]["Arguments"]["manifest_uri"] == {
        "Get": "Steps.First.OutputParameters['failed_items_uri']"
    }


def test_both_steps_may_be_listed_too(sdk):
    batch = sdk.make(input_uri="s3://bucket/a", max_jobs=12, input_name="output_{i:02d}.json")
    steps = sdk.compile(*batch.steps)
    assert set(steps) == {"Copies-Submit", "Copies"}
    assert steps["Copies-Submit"]["Arguments"]["mode"] == "per_file"


def test_values_may_be_pipeline_variables(sdk):
    uri, share = sdk.ParameterString("InputUri"), sdk.ParameterString("Share")
    step = sdk.make(input_uri=uri, output_uri=uri, tolerated_failure_percentage=share, deadline=share)
    steps = sdk.compile(step, parameters=[uri, share])
    assert steps["Copies-Submit"]["Arguments"]["input_uri"] == {"Get": "Parameters.InputUri"}
    assert steps["Copies"]["Arguments"]["tolerated_failure_percentage"] == {"Get": "Parameters.Share"}
    assert steps["Copies"]["Arguments"]["deadline_seconds"] == {"Get": "Parameters.Share"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "needs either items"),
        ({"items": "s3://b/i", "input_uri": "s3://b/in"}, "needs either items"),
        ({"items": "s3://b/i", "max_jobs": 3}, "max_jobs goes with input_uri"),
        ({"input_uri": "s3://b/in", "max_jobs": 3, "may_be_empty": True}, "may_be_empty does not go with max_jobs"),
        ({"input_uri": "s3://b/in", "input_name": "x{i}"}, "input_name and output_name go with max_jobs"),
        ({"input_uri": "s3://b/in", "name": "N" * 58}, "1 to 57 letters"),
        ({"input_uri": "s3://b/in", "name": "Copy files"}, "1 to 57 letters"),
        ({"items": [{"n": 1}]}, r"items is an s3:// URI, not \[{'n': 1}\]"),
        ({"input_uri": "b/in"}, "input_uri is an s3:// URI, not 'b/in'"),
        ({"items": "s3://b/i", "output_uri": "out"}, "output_uri is an s3:// URI, not 'out'"),
        ({"items": "s3://b/i", "deadline": 0}, "deadline is 0; it must be from 1 to 1,123,200"),
        ({"items": "s3://b/i", "deadline": timedelta(days=14)}, "deadline is 1209600; it must be from 1 to 1,123,200"),
        ({"items": "s3://b/i", "tolerated_failure_percentage": 101}, "percentage is 101; it must be from 0 to 100"),
    ],
)
def test_inputs_that_do_not_go_together_are_refused(sdk, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        sdk.make(**options)
