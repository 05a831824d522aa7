"""Processing and Cleanup steps: real processes, real objects, the job's role."""

from __future__ import annotations

import importlib.util
import io
import json
import tarfile
import zipfile
from typing import Any

import pytest

from .conftest import Account, refusal

SCRIPT = """
import argparse, json, os, pathlib, boto3
parser = argparse.ArgumentParser()
parser.add_argument("--scale", type=int)
scale = parser.parse_args().scale
numbers = json.loads(pathlib.Path("/opt/ml/processing/input/data/numbers.json").read_text())
who = boto3.client("sts").get_caller_identity()["Arn"]
result = {"sum": scale * sum(numbers), "who": who, "word": os.environ["WORD"]}
with open("/opt/ml/processing/output/report/result.json", "w") as out:
    json.dump(result, out)
print("counted", len(numbers))
"""


@pytest.fixture(scope="module")
def bucket(account: Account) -> str:
    name = account.name("processing")
    account.s3.create_bucket(Bucket=name)
    account.s3.put_object(Bucket=name, Key="code/count.py", Body=SCRIPT)
    account.s3.put_object(Bucket=name, Key="data/numbers.json", Body="[1, 2, 3]")
    return name


@pytest.fixture(scope="module")
def job_role(account: Account) -> str:
    return account.role("job", "sagemaker.amazonaws.com", "s3:*", "logs:*")


def processing_step(name: str, bucket: str, role: str, *, code: str = "code/count.py", **more: Any) -> dict[str, Any]:
    return {
        "Name": name,
        "Type": "Processing",
        "Arguments": {
            "ProcessingResources": {
                "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30}
            },
            "AppSpecification": {
                "ImageUri": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3",
                "ContainerEntrypoint": ["python3", "/opt/ml/processing/input/code/" + code.rpartition("/")[2]],
                "ContainerArguments": ["--scale", "10"],
            },
            "RoleArn": role,
            "Environment": {"WORD": "hello"},
            "ProcessingInputs": [
                input_of("data", f"s3://{bucket}/data", "/opt/ml/processing/input/data"),
                input_of("code", f"s3://{bucket}/{code}", "/opt/ml/processing/input/code"),
            ],
            "ProcessingOutputConfig": {
                "Outputs": [
                    {
                        "OutputName": "report",
                        "AppManaged": False,
                        "S3Output": {
                            "S3Uri": {
                                "Std:Join": {
                                    "On": "/",
                                    "Values": [f"s3://{bucket}", {"Get": "Execution.PipelineExecutionId"}],
                                }
                            },
                            "LocalPath": "/opt/ml/processing/output/report",
                            "S3UploadMode": "EndOfJob",
                        },
                    }
                ]
            },
        },
        "PropertyFiles": [{"PropertyFileName": "Report", "OutputName": "report", "FilePath": "result.json"}],
        **more,
    }


def input_of(name: str, uri: str, path: str) -> dict[str, Any]:
    s3 = {"S3Uri": uri, "LocalPath": path, "S3DataType": "S3Prefix", "S3InputMode": "File"}
    return {"InputName": name, "AppManaged": False, "S3Input": s3}


def test_a_script_reads_its_inputs_and_its_outputs_are_used(account: Account, bucket: str, job_role: str) -> None:
    uri = {"Get": "Steps.Count.ProcessingOutputConfig.Outputs['report'].S3Output.S3Uri"}
    read = {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.Count.PropertyFiles.Report"}, "Path": "sum"}}
    check = {
        "Name": "Check",
        "Type": "Condition",
        "Arguments": {
            "Conditions": [{"Type": "Equals", "LeftValue": read, "RightValue": 60}],
            "IfSteps": [account.lambda_step("Use", outputs=("out", "sum"), out=uri, sum=read)],
            "ElseSteps": [{"Name": "Wrong", "Type": "Fail", "Arguments": {"ErrorMessage": "not 60"}}],
        },
    }
    execution, steps = account.run(processing_step("Count", bucket, job_role), check)
    assert execution["PipelineExecutionStatus"] == "Succeeded", steps
    assert set(steps) == {"Count", "Check", "Use"}
    identifier = execution["PipelineExecutionArn"].rpartition("/")[2]
    result = json.loads(account.s3.get_object(Bucket=bucket, Key=f"{identifier}/result.json")["Body"].read())
    assert result == {
        "sum": 60,
        "who": f"arn:aws:sts::000000000000:assumed-role/{job_role.rpartition('/')[2]}/SageMaker",
        "word": "hello",
    }
    outputs = {item["Name"]: item["Value"] for item in steps["Use"]["Metadata"]["Lambda"]["OutputParameters"]}
    assert outputs == {"out": f"s3://{bucket}/{identifier}", "sum": "60"}
    arn = steps["Count"]["Metadata"]["ProcessingJob"]["Arn"]
    name = arn.rpartition("/")[2]
    assert name.startswith(f"pipelines-{identifier}-Count-")
    job = account.sagemaker.describe_processing_job(ProcessingJobName=name)
    assert (job["ProcessingJobStatus"], job["ProcessingJobArn"]) == ("Completed", arn)
    assert job["ProcessingEndTime"] >= job["ProcessingStartTime"] >= job["CreationTime"]
    logs = account.aws.client("logs")
    (stream,) = logs.describe_log_streams(
        logGroupName="/aws/sagemaker/ProcessingJobs", logStreamNamePrefix=name
    )["logStreams"]  # fmt: skip
    events = logs.get_log_events(logGroupName="/aws/sagemaker/ProcessingJobs", logStreamName=stream["logStreamName"])
    assert [event["message"] for event in events["events"]] == ["counted 3"]


def test_a_script_need_not_be_utf8(account: Account, bucket: str, job_role: str) -> None:
    body = "# -*- coding: latin-1 -*-\r\nopen('/opt/ml/processing/output/report/x', 'w').write('\xe9')\r\n"
    account.s3.put_object(Bucket=bucket, Key="code/old.py", Body=body.encode("latin-1"))
    execution, steps = account.run(processing_step("P", bucket, job_role, code="code/old.py"))
    assert execution["PipelineExecutionStatus"] == "Succeeded", steps
    key = execution["PipelineExecutionArn"].rpartition("/")[2] + "/x"
    assert account.s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode() == "\xe9"


def test_a_source_directory_as_the_sdk_packs_it(account: Account, bucket: str, job_role: str) -> None:
    """FrameworkProcessor: `runproc.sh` unpacks sourcedir.tar.gz, installs, and runs `python3 script.py`."""
    write = "open('/opt/ml/processing/output/report/x', 'w').write(helper.WORD + tiny.WORD)"
    sources = {"prepare.py": f"import boto3, helper, tiny\n{write}\n", "helper.py": "WORD = 'packed'\n"}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in sources.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    account.s3.put_object(Bucket=bucket, Key="packed/sourcedir.tar.gz", Body=packed.getvalue())
    wheel = io.BytesIO()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny.py", "WORD = ' and installed'\n")
        archive.writestr("tiny-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1\n")
        archive.writestr("tiny-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("tiny-1.dist-info/RECORD", "")
    account.s3.put_object(Bucket=bucket, Key="packed/tiny-1-py3-none-any.whl", Body=wheel.getvalue())
    run = """set -e
        cd /opt/ml/processing/input/data/
        tar -xzf sourcedir.tar.gz
        python3 -m pip install -q --no-index --disable-pip-version-check tiny-1-py3-none-any.whl
        python3 prepare.py
    """
    account.s3.put_object(Bucket=bucket, Key="code/runproc.sh", Body=run)
    step = processing_step("P", bucket, job_role, code="code/runproc.sh")
    step["Arguments"]["AppSpecification"]["ContainerEntrypoint"][0] = "/bin/bash"
    step["Arguments"]["ProcessingInputs"][0]["S3Input"]["S3Uri"] = f"s3://{bucket}/packed"
    execution, steps = account.run(step)
    assert execution["PipelineExecutionStatus"] == "Succeeded", steps
    key = execution["PipelineExecutionArn"].rpartition("/")[2] + "/x"
    assert account.s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"packed and installed"
    assert not importlib.util.find_spec("tiny"), "a job's packages are not this environment's"


def test_a_failing_script_says_where_its_log_is(account: Account, bucket: str, job_role: str) -> None:
    account.s3.put_object(Bucket=bucket, Key="code/bad.py", Body="raise SystemExit(3)")
    account.s3.put_object(
        Bucket=bucket, Key="code/says.py",
        Body="import pathlib\np = pathlib.Path('/opt/ml/output')\np.mkdir()\n"
        "(p / 'message').write_text('bad row 7')\nraise SystemExit(1)",
    )  # fmt: skip
    execution, steps = account.run(
        processing_step("Bad", bucket, job_role, code="code/bad.py"),
        processing_step("Says", bucket, job_role, code="code/says.py"),
        processing_step("Gone", bucket, job_role, code="code/gone.py"),
    )
    assert execution["PipelineExecutionStatus"] == "Failed"
    assert "in /aws/sagemaker/ProcessingJobs. exit code: 3" in steps["Bad"]["FailureReason"]
    assert steps["Says"]["FailureReason"] == "AlgorithmError: bad row 7 exit code: 1"
    assert "No S3 objects found under S3 URL" in steps["Gone"]["FailureReason"]
    job = steps["Says"]["Metadata"]["ProcessingJob"]["Arn"].rpartition("/")[2]
    shown = account.sagemaker.describe_processing_job(ProcessingJobName=job)
    assert (shown["ProcessingJobStatus"], shown["ExitMessage"]) == ("Failed", "bad row 7")


def test_both_roles_are_asked(account: Account, bucket: str, job_role: str) -> None:
    poor = account.role("poor-job", "sagemaker.amazonaws.com", "s3:ListBucket")
    arn = account.start(account.create(processing_step("P", bucket, poor)))
    account.wait(arn)
    assert "calling the HeadObject operation: Forbidden" in account.steps(arn)["P"]["FailureReason"]
    reader = account.role("reader", "sagemaker.amazonaws.com", "s3:ListBucket", "s3:GetObject")
    arn = account.start(account.create(processing_step("P", bucket, reader)))
    account.wait(arn)
    assert "not authorized to perform: s3:PutObject" in account.steps(arn)["P"]["FailureReason"]
    pipeline_role = account.role("no-pass", "sagemaker.amazonaws.com", "sagemaker:CreateProcessingJob")
    arn = account.start(account.create(processing_step("P", bucket, job_role), RoleArn=pipeline_role))
    account.wait(arn)
    reason = account.steps(arn)["P"]["FailureReason"]
    assert reason.startswith("ClientError: Failed to invoke sagemaker:CreateProcessingJob. Error Details: ")
    assert f"iam:PassRole on resource: {job_role}" in reason


def test_the_job_role_is_passed_to_sagemaker(account: Account, bucket: str, job_role: str) -> None:
    """A policy may ask for that: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html"""
    for service, status in (("sagemaker.amazonaws.com", "Succeeded"), ("lambda.amazonaws.com", "Failed")):
        passes = account.role(f"pass-{service[:6]}", "sagemaker.amazonaws.com", "sagemaker:CreateProcessingJob")
        condition = {"StringEquals": {"iam:PassedToService": service}}
        statement = {"Effect": "Allow", "Action": "iam:PassRole", "Resource": job_role, "Condition": condition}
        account.iam.put_role_policy(
            RoleName=passes.rpartition("/")[2], PolicyName="pass",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statement}),
        )  # fmt: skip
        arn = account.start(account.create(processing_step("P", bucket, job_role), RoleArn=passes))
        assert account.wait(arn)["PipelineExecutionStatus"] == status


def test_a_stop_ends_the_process(account: Account, bucket: str, job_role: str) -> None:
    began = f"boto3.client('s3').put_object(Bucket='{bucket}', Key='began', Body=b'')"
    account.s3.put_object(Bucket=bucket, Key="code/long.py", Body=f"import boto3, time\n{began}\ntime.sleep(60)")
    arn = account.start(account.create(processing_step("Long", bucket, job_role, code="code/long.py")))
    account.until(lambda: account.s3.list_objects_v2(Bucket=bucket, Prefix="began")["KeyCount"], bool)
    account.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)
    assert account.wait(arn, 20)["PipelineExecutionStatus"] == "Stopped"
    step = account.steps(arn)["Long"]
    assert step["StepStatus"] == "Stopped"
    job = step["Metadata"]["ProcessingJob"]["Arn"].rpartition("/")[2]
    assert account.sagemaker.describe_processing_job(ProcessingJobName=job)["ProcessingJobStatus"] == "Stopped"


def test_a_job_stopped_by_itself_lets_a_step_run_that_asked_for_it(
    account: Account, bucket: str, job_role: str
) -> None:
    account.s3.put_object(Bucket=bucket, Key="code/sleep.py", Body="import time\ntime.sleep(60)")
    arn = account.start(
        account.create(
            processing_step("Long", bucket, job_role, code="code/sleep.py"),
            account.lambda_step("Tidy", {"Step": "Long", "Trigger": "Stopped"}),
        )
    )
    metadata = account.until(lambda: account.steps(arn)["Long"]["Metadata"], bool)
    account.sagemaker.stop_processing_job(ProcessingJobName=metadata["ProcessingJob"]["Arn"].rpartition("/")[2])
    assert account.wait(arn, 20)["PipelineExecutionStatus"] == "CompletedWithFailures"
    assert {name: step["StepStatus"] for name, step in account.steps(arn).items()} == {
        "Long": "Stopped",
        "Tidy": "Succeeded",
    }


def test_a_job_over_its_time_is_ended(account: Account, bucket: str, job_role: str) -> None:
    account.s3.put_object(
        Bucket=bucket, Key="code/forever.py", Body="import time\nprint('on', flush=True)\ntime.sleep(60)"
    )
    step = processing_step("P", bucket, job_role, code="code/forever.py")
    step["Arguments"]["StoppingCondition"] = {"MaxRuntimeInSeconds": 1}
    _, steps = account.run(step)
    assert "exceeded its MaxRuntimeInSeconds of 1" in steps["P"]["FailureReason"]


def test_an_equal_step_is_taken_from_the_cache(account: Account, bucket: str, job_role: str) -> None:
    cache = {"CacheConfig": {"Enabled": True, "ExpireAfter": "PT1H"}}
    parameters = [{"Name": "Word", "Type": "String", "DefaultValue": "one"}]
    step = processing_step("P", bucket, job_role, **cache)
    step["Arguments"]["Environment"]["WORD"] = {"Get": "Parameters.Word"}
    name = account.create(step, account.lambda_step("After", "P") | cache, parameters=parameters)

    def run(**values: str) -> tuple[str, dict[str, Any]]:
        arn = account.start(name, parameters=values)
        assert account.wait(arn)["PipelineExecutionStatus"] == "Succeeded"
        return arn, account.steps(arn)

    first, steps = run()
    assert "CacheHitResult" not in steps["P"]
    _, again = run()
    assert again["P"]["CacheHitResult"] == {"SourcePipelineExecutionArn": first}
    assert again["P"]["Metadata"] == steps["P"]["Metadata"]
    assert "CacheHitResult" not in again["After"], "Lambda steps are never cached"
    _, other = run(Word="two")
    assert "CacheHitResult" not in other["P"]
    _, third = run()
    assert third["P"]["CacheHitResult"] == {"SourcePipelineExecutionArn": first}


def test_cleanup_deletes_what_it_names_under_the_steps_outputs(account: Account, bucket: str, job_role: str) -> None:
    place = {"Get": "Steps.P.ProcessingOutputConfig.Outputs['report'].S3Output.S3Uri"}

    def cleanup(*uris: Any) -> dict[str, Any]:
        source = {"StepName": "P", "S3Uris": list(uris)}
        return {"Name": "Tidy", "Type": "Cleanup", "Arguments": {"Resources": {"S3": [source]}}}

    inside = {"Std:Join": {"On": "/", "Values": [place, "result.json"]}}
    execution, _ = account.run(processing_step("P", bucket, job_role), cleanup(inside))
    assert execution["PipelineExecutionStatus"] == "Succeeded"
    prefix = execution["PipelineExecutionArn"].rpartition("/")[2]
    assert account.s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["KeyCount"] == 0
    _, steps = account.run(processing_step("P", bucket, job_role), cleanup(f"s3://{bucket}/data/numbers.json"))
    assert "is not under an output location of step P" in steps["Tidy"]["FailureReason"]
    assert account.s3.head_object(Bucket=bucket, Key="data/numbers.json")


def test_cleanup_after_a_job_that_failed(account: Account, bucket: str, job_role: str) -> None:
    """S3CleanupSource of the SDK: "to clean up on another outcome, for example TriggerCondition.ANY"."""
    account.s3.put_object(Bucket=bucket, Key="code/fails.py", Body="raise SystemExit(1)")
    account.s3.put_object(Bucket=bucket, Key="left/part.json", Body="{}")
    step = processing_step("P", bucket, job_role, code="code/fails.py")
    step["Arguments"]["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"] = f"s3://{bucket}/left"
    source = {"StepName": "P", "S3Uris": [f"s3://{bucket}/left/part.json"]}
    tidy = {"Name": "Tidy", "Type": "Cleanup", "Arguments": {"Resources": {"S3": [source]}}}
    execution, steps = account.run(step, tidy | {"DependsOn": [{"Step": "P", "Trigger": "Any"}]})
    assert {name: step["StepStatus"] for name, step in steps.items()} == {"P": "Failed", "Tidy": "Succeeded"}
    assert execution["PipelineExecutionStatus"] == "CompletedWithFailures"
    assert account.s3.list_objects_v2(Bucket=bucket, Prefix="left/")["KeyCount"] == 0


def test_an_unknown_job(account: Account) -> None:
    error = refusal(account.sagemaker.describe_processing_job, ProcessingJobName="gone")
    assert error == {"Code": "ValidationException", "Message": "Could not find requested job with name: gone"}
