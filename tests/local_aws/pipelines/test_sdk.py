"""Definitions as the SageMaker SDK v3 writes them, for every step type that runs here; and its own calls."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from .conftest import Account

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def sdk(account: Account) -> Iterator[Any]:
    """A session of the SDK on the embedded AWS. The SDK makes clients at import, so it must find their settings."""
    settings = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": account.aws.region,
        "AWS_ENDPOINT_URL": account.aws.endpoint_url,
    }
    saved = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    from sagemaker.core.helper.session_helper import Session

    logging.getLogger("sagemaker").setLevel(logging.WARNING)
    bucket = account.name("default")  # the SDK would ask the real STS for the account to name one
    account.s3.create_bucket(Bucket=bucket)
    yield Session(boto_session=boto3.Session(region_name=account.aws.region), default_bucket=bucket)
    for name, value in saved.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


def function_step(account: Account, sdk: Any, name: str, outputs: tuple[str, ...] = (), **more: Any) -> Any:
    from sagemaker.core.lambda_helper import Lambda
    from sagemaker.mlops.workflow import LambdaOutput, LambdaStep
    from sagemaker.mlops.workflow.lambda_step import LambdaOutputTypeEnum

    declared = [LambdaOutput(output, LambdaOutputTypeEnum.String) for output in outputs]
    return LambdaStep(name, Lambda(function_arn=account.function, session=sdk), outputs=declared, **more)


def callback(queue: str, name: str, **inputs: Any) -> Any:
    from sagemaker.mlops.workflow import CallbackOutput, CallbackStep
    from sagemaker.mlops.workflow.callback_step import CallbackOutputTypeEnum

    outputs = [CallbackOutput("job_status", CallbackOutputTypeEnum.String)]
    return CallbackStep(name, sqs_queue_url=queue, inputs=inputs, outputs=outputs)


def make(account: Account, sdk: Any, steps: list[Any], parameters: list[Any] | None = None, **more: Any) -> Any:
    from sagemaker.mlops.workflow import Pipeline

    pipeline = Pipeline(account.name(), parameters=parameters, steps=steps, sagemaker_session=sdk)
    pipeline.upsert(role_arn=account.pipeline_role, **more)
    return pipeline


def run(account: Account, pipeline: Any, **parameters: Any) -> tuple[str, dict[str, dict[str, Any]]]:
    execution = pipeline.start(parameters=parameters)
    return account.wait(execution.arn)["PipelineExecutionStatus"], account.steps(execution.arn)


def outputs(step: dict[str, Any]) -> dict[str, str]:
    return {item["Name"]: item["Value"] for item in step["Metadata"]["Lambda"]["OutputParameters"]}


def test_the_articles_pipeline(account: Account, sdk: Any) -> None:
    """LambdaStep and CallbackStep; upsert twice, with tags; start, describe, lists, stop, delete."""
    from sagemaker.core.workflow.execution_variables import ExecutionVariables
    from sagemaker.core.workflow.parameters import ParameterInteger

    jobs = ParameterInteger("MaxJobs", default_value=12)
    queue = account.queue()
    variables = {"out": jobs.to_string(), "execution_id": ExecutionVariables.PIPELINE_EXECUTION_ARN}
    submit = function_step(account, sdk, "Submit", ("statusCode", "out", "execution_id"), inputs=variables)
    wait = callback(queue, "Wait", job_ids=submit.properties.Outputs["out"])
    use = function_step(account, sdk, "Use", ("out",), inputs={"out": wait.properties.Outputs["job_status"]})
    pipeline = make(account, sdk, [submit, wait, use], [jobs], tags=[{"Key": "a", "Value": "1"}])
    root = json.loads(pipeline.definition())
    assert {"PipelineExperimentConfig", "MlflowConfig"} <= set(root)
    again = pipeline.upsert(role_arn=account.pipeline_role, tags=[{"Key": "b", "Value": "2"}])
    assert again["PipelineVersionId"] == 2 == pipeline.latest_pipeline_version_id
    tags = account.sagemaker.list_tags(ResourceArn=again["PipelineArn"])["Tags"]
    assert tags == [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]
    execution = pipeline.start(parameters={"MaxJobs": 3}, execution_display_name="run")
    message = account.message(queue)
    assert message["arguments"] == {"job_ids": "3"}
    account.sagemaker.send_pipeline_execution_step_success(
        CallbackToken=message["token"], OutputParameters=[{"Name": "job_status", "Value": "Completed"}]
    )
    assert account.wait(execution.arn)["PipelineExecutionStatus"] == "Succeeded"
    assert execution.describe()["PipelineExperimentConfig"] == {
        "ExperimentName": pipeline.name,
        "TrialName": execution.arn.rpartition("/")[2],
    }
    steps = {step["StepName"]: step for step in execution.list_steps()}
    assert outputs(steps["Submit"]) == {"statusCode": "200", "out": "3", "execution_id": execution.arn}
    assert outputs(steps["Use"]) == {"out": "Completed"}
    assert execution.list_parameters()["PipelineParameters"] == [{"Name": "MaxJobs", "Value": "3"}]
    stopped = pipeline.start()
    token = account.message(queue)["token"]
    stopped.stop()
    account.sagemaker.send_pipeline_execution_step_failure(CallbackToken=token, FailureReason="stopped")
    assert account.wait(stopped.arn)["PipelineExecutionStatus"] == "Stopped"
    assert len(pipeline.list_executions()["PipelineExecutionSummaries"]) == 2
    pipeline.delete()


def test_a_large_definition_goes_over_s3(account: Account, sdk: Any) -> None:
    steps = [function_step(account, sdk, f"Step{i}", description="x" * 3000) for i in range(40)]
    pipeline = make(account, sdk, steps)
    assert len(pipeline.describe()["PipelineDefinition"]) > 100 * 1024
    assert run(account, pipeline)[0] == "Succeeded"


@pytest.mark.parametrize(("number", "taken"), [(5, "Large"), (1, "Small"), (3, "Fail")])
def test_conditions_and_fail(account: Account, sdk: Any, number: int, taken: str) -> None:
    from sagemaker.core.workflow.conditions import (
        ConditionEquals,
        ConditionGreaterThan,
        ConditionGreaterThanOrEqualTo,
        ConditionIn,
        ConditionLessThan,
        ConditionLessThanOrEqualTo,
        ConditionNot,
        ConditionOr,
    )
    from sagemaker.core.workflow.functions import Join
    from sagemaker.core.workflow.parameters import ParameterInteger
    from sagemaker.mlops.workflow.condition_step import ConditionStep
    from sagemaker.mlops.workflow.fail_step import FailStep

    given = ParameterInteger("N", default_value=0)
    fail = FailStep("Fail", error_message=Join(on=" ", values=["can't use", given]))
    small = ConditionStep(
        "IsSmall",
        conditions=[
            ConditionLessThan(given, 3),
            ConditionOr([ConditionLessThanOrEqualTo(given, 1), ConditionEquals(given, 2)]),
        ],
        if_steps=[function_step(account, sdk, "Small")],
        else_steps=[fail],
    )
    large = ConditionStep(
        "IsLarge",
        conditions=[
            ConditionGreaterThan(given, 4),
            ConditionGreaterThanOrEqualTo(given, 5),
            ConditionNot(ConditionIn(given, [1, 2, 3])),
        ],
        if_steps=[function_step(account, sdk, "Large")],
        else_steps=[small],
    )
    status, steps = run(account, make(account, sdk, [large], [given]), N=number)
    assert status == ("Failed" if taken == "Fail" else "Succeeded")
    assert set(steps) == {"IsLarge", taken} | ({"IsSmall"} if taken != "Large" else set())
    assert steps["IsLarge"]["Metadata"]["Condition"]["Outcome"] == str(number > 4)
    if taken == "Fail":
        assert steps["Fail"]["FailureReason"] == steps["Fail"]["Metadata"]["Fail"]["ErrorMessage"] == "can't use 3"


def test_step_dependencies_with_triggers(account: Account, sdk: Any) -> None:
    from sagemaker.mlops.workflow import StepDependency, TriggerCondition

    train = function_step(account, sdk, "Train", inputs={"fail": "no"})
    notify = function_step(account, sdk, "Notify", depends_on=[StepDependency(train, TriggerCondition.FAILED)])
    tidy = function_step(account, sdk, "Tidy", depends_on=[StepDependency(train, TriggerCondition.ANY)])
    deploy = function_step(account, sdk, "Deploy", depends_on=[train])
    status, steps = run(account, make(account, sdk, [train, notify, tidy, deploy]))
    assert status == "CompletedWithFailures"
    assert set(steps) == {"Train", "Notify", "Tidy"}


def test_for_each(account: Account, sdk: Any) -> None:
    from sagemaker.mlops.workflow.for_each_step import CurrentItem, ForEachSelector, ForEachStep, IterationOutput
    from sagemaker.mlops.workflow.lambda_step import LambdaOutput, LambdaOutputTypeEnum

    item = CurrentItem()
    body = function_step(account, sdk, "Do", ("out",), inputs={"out": item.name, "score": item.score})
    body.outputs.append(LambdaOutput("score", LambdaOutputTypeEnum.Integer))
    field = IterationOutput(body).OutputParameters["score"]
    loop = ForEachStep(
        "Loop",
        iterable_items=[json.dumps({"name": name, "score": score}) for name, score in (("a", 1), ("b", 7), ("c", 3))],
        max_concurrency=2,
        for_each_body=[body],
        selector=ForEachSelector("MaxBy", field),
    )
    last = function_step(
        account, sdk, "Last", ("out", "first", "count"),
        inputs={
            "out": loop.properties.Selected.OutputParameters["out"],
            "first": loop.properties.IterationOutputs[0].Do.OutputParameters["out"],
            "count": loop.properties.SucceededStepCount,
        },
    )  # fmt: skip
    status, steps = run(account, make(account, sdk, [loop, last]))
    assert status == "Succeeded", steps
    assert set(steps) == {"Loop", "Do-0", "Do-1", "Do-2", "Last"}
    assert outputs(steps["Last"]) == {"out": "b", "first": "a", "count": "3"}


def test_processing_and_cleanup(account: Account, sdk: Any, tmp_path: Any) -> None:
    from sagemaker.core.processing import ProcessingInput, ProcessingOutput, ScriptProcessor
    from sagemaker.core.shapes import ProcessingS3Input, ProcessingS3Output
    from sagemaker.core.workflow.conditions import ConditionEquals
    from sagemaker.core.workflow.functions import Join, JsonGet
    from sagemaker.core.workflow.pipeline_context import PipelineSession
    from sagemaker.core.workflow.properties import PropertyFile
    from sagemaker.mlops.workflow.cleanup_step import CleanupStep, S3CleanupSource
    from sagemaker.mlops.workflow.condition_step import ConditionStep
    from sagemaker.mlops.workflow.steps import CacheConfig, ProcessingStep

    bucket = account.name("sdk")
    account.s3.create_bucket(Bucket=bucket)
    account.s3.put_object(Bucket=bucket, Key="in/words.txt", Body="one two three")
    script = tmp_path / "count.py"
    script.write_text(
        "import json, pathlib\n"
        "words = pathlib.Path('/opt/ml/processing/input/words.txt').read_text().split()\n"
        "pathlib.Path('/opt/ml/processing/report/report.json').write_text(json.dumps({'words': len(words)}))\n"
    )
    session = PipelineSession(boto_session=boto3.Session(region_name=account.aws.region), default_bucket=bucket)
    processor = ScriptProcessor(
        role=account.role("sdk-job", "sagemaker.amazonaws.com", "s3:*", "logs:*"),
        image_uri="public.ecr.aws/docker/library/python:3.12",
        command=["python3"],
        instance_count=1,
        instance_type="ml.m5.large",
        sagemaker_session=session,
    )
    source = ProcessingS3Input(
        s3_uri=f"s3://{bucket}/in", local_path="/opt/ml/processing/input", s3_data_type="S3Prefix", s3_input_mode="File"
    )
    target = ProcessingS3Output(
        s3_uri=f"s3://{bucket}/out", local_path="/opt/ml/processing/report", s3_upload_mode="EndOfJob"
    )
    arguments = processor.run(
        code=str(script),
        inputs=[ProcessingInput(input_name="words", s3_input=source)],
        outputs=[ProcessingOutput(output_name="report", s3_output=target)],
    )
    report = PropertyFile(name="Report", output_name="report", path="report.json")
    count = ProcessingStep(
        "Count", step_args=arguments, property_files=[report],
        cache_config=CacheConfig(enable_caching=True, expire_after="p1d"),
    )  # fmt: skip
    words = JsonGet(step_name="Count", property_file=report, json_path="words")
    place = count.properties.ProcessingOutputConfig.Outputs["report"].S3Output.S3Uri
    check = ConditionStep(
        "Check", conditions=[ConditionEquals(words, 3)],
        if_steps=[function_step(account, sdk, "Use", ("out",), inputs={"out": place})],
        else_steps=[],
    )  # fmt: skip
    tidy = CleanupStep(
        "Tidy",
        [S3CleanupSource(count, s3_uris=[Join(on="/", values=[place, "report.json"])])],
        depends_on=[check],
    )
    from sagemaker.mlops.workflow import Pipeline

    pipeline = Pipeline(account.name(), steps=[count, check, tidy], sagemaker_session=session)
    pipeline.upsert(role_arn=account.pipeline_role)
    status, steps = run(account, pipeline)
    assert status == "Succeeded", steps
    assert outputs(steps["Use"]) == {"out": f"s3://{bucket}/out"}
    assert account.s3.list_objects_v2(Bucket=bucket, Prefix="out/")["KeyCount"] == 0


def test_a_source_directory_is_processed(account: Account, sdk: Any, tmp_path: Any) -> None:
    from sagemaker.core.processing import FrameworkProcessor, ProcessingOutput
    from sagemaker.core.shapes import ProcessingS3Output
    from sagemaker.core.workflow.execution_variables import ExecutionVariables
    from sagemaker.core.workflow.functions import Join
    from sagemaker.core.workflow.parameters import ParameterInteger
    from sagemaker.core.workflow.pipeline_context import PipelineSession
    from sagemaker.mlops.workflow import Pipeline
    from sagemaker.mlops.workflow.steps import ProcessingStep

    bucket = account.name("framework")
    account.s3.create_bucket(Bucket=bucket)
    (tmp_path / "helper.py").write_text("WORD = 'helped'\n")
    (tmp_path / "main.py").write_text(
        "import pathlib, sys, helper\n"
        "pathlib.Path('/opt/ml/processing/out/x').write_text(' '.join([helper.WORD, *sys.argv[1:]]))\n"
    )
    count = ParameterInteger("Count", default_value=1)
    session = PipelineSession(boto_session=boto3.Session(region_name=account.aws.region), default_bucket=bucket)
    processor = FrameworkProcessor(
        image_uri="683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3",
        role=account.role("framework-job", "sagemaker.amazonaws.com", "s3:*", "logs:*"),
        command=["python3"], instance_count=count, instance_type="ml.m5.large", sagemaker_session=session,
    )  # fmt: skip
    place = Join(on="/", values=["s3:/", bucket, ExecutionVariables.PIPELINE_EXECUTION_ID])
    target = ProcessingS3Output(s3_uri=place, local_path="/opt/ml/processing/out", s3_upload_mode="EndOfJob")
    arguments = processor.run(
        code="main.py", source_dir=str(tmp_path), arguments=["--n", count.to_string()],
        outputs=[ProcessingOutput(output_name="out", s3_output=target)],
    )  # fmt: skip
    step = ProcessingStep("Run", step_args=arguments)
    pipeline = Pipeline(account.name(), parameters=[count], steps=[step], sagemaker_session=session)
    pipeline.upsert(role_arn=account.pipeline_role)
    execution = pipeline.start()
    assert account.wait(execution.arn)["PipelineExecutionStatus"] == "Succeeded", account.steps(execution.arn)
    key = execution.arn.rpartition("/")[2] + "/x"
    assert account.s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"helped --n 1"


def test_selective_execution_and_parallelism(account: Account, sdk: Any) -> None:
    from sagemaker.mlops.workflow import ParallelismConfiguration
    from sagemaker.mlops.workflow.selective_execution_config import SelectiveExecutionConfig

    first = function_step(account, sdk, "First", ("out",), inputs={"out": "kept"})
    second = function_step(account, sdk, "Second", ("out",), inputs={"out": first.properties.Outputs["out"]})
    pipeline = make(account, sdk, [first, second], parallelism_config=ParallelismConfiguration(1))
    assert run(account, pipeline)[0] == "Succeeded"
    execution = pipeline.start(selective_execution_config=SelectiveExecutionConfig(selected_steps=["Second"]))
    assert account.wait(execution.arn)["PipelineExecutionStatus"] == "Succeeded"
    assert "SelectiveExecutionResult" in account.steps(execution.arn)["First"]
    assert pipeline.build_parameters_from_execution(execution.arn) == {}


def test_a_step_type_that_does_not_run_here_is_refused(account: Account, sdk: Any) -> None:
    from botocore.exceptions import ClientError
    from sagemaker.mlops.workflow.emr_step import EMRStep, EMRStepConfig

    step = EMRStep("Spark", "Spark", "d", "j-1", EMRStepConfig(jar="s3://b/x.jar"))
    with pytest.raises(ClientError, match=r"Step Spark has type 'EMR', which the embedded AWS does not run\. It runs"):
        make(account, sdk, [step])
