"""The API, through boto3, against the running embedded AWS."""

from __future__ import annotations

import base64
import datetime as dt
import json
import re
import uuid
from pathlib import Path

import pytest
from botocore import xform_name

import local_aws.pipelines.api
from local_aws.pipelines import PipelinesService

from .conftest import Account, refusal
from .definitions import get, sdk_v2_document

# --- pipelines -------------------------------------------------------------------------------------------------------


def test_a_pipeline_is_created_described_updated_and_deleted(account: Account) -> None:
    sm, name = account.sagemaker, account.name()
    first = account.definition(account.lambda_step("A"))
    arn = sm.create_pipeline(
        PipelineName=name,
        PipelineDisplayName="shown",
        PipelineDescription="what it does",
        PipelineDefinition=first,
        RoleArn=account.pipeline_role,
        ParallelismConfiguration={"MaxParallelExecutionSteps": 7},
        Tags=[{"Key": "k", "Value": "v"}],
    )["PipelineArn"]
    assert arn == f"arn:aws:sagemaker:us-east-1:000000000000:pipeline/{name}"
    shown = sm.describe_pipeline(PipelineName=arn)
    assert shown["PipelineDefinition"] == first
    assert (shown["PipelineDisplayName"], shown["PipelineDescription"]) == ("shown", "what it does")
    assert shown["PipelineStatus"] == "Active"
    assert shown["ParallelismConfiguration"] == {"MaxParallelExecutionSteps": 7}
    assert shown["CreatedBy"]["IamIdentity"]["Arn"] == "arn:aws:iam::000000000000:root"
    second = account.definition(account.lambda_step("B"))
    updated = sm.update_pipeline(PipelineName=name, PipelineDefinition=second, PipelineDescription="new")
    assert updated == {"PipelineArn": arn, "PipelineVersionId": 2, "ResponseMetadata": updated["ResponseMetadata"]}
    shown = sm.describe_pipeline(PipelineName=name)
    assert (shown["PipelineDefinition"], shown["PipelineDescription"]) == (second, "new")
    assert shown["LastModifiedTime"] > shown["CreationTime"]
    assert sm.delete_pipeline(PipelineName=name)["PipelineArn"] == arn
    for call in (sm.describe_pipeline, sm.delete_pipeline, sm.list_pipeline_executions, sm.list_pipeline_versions):
        error = refusal(call, PipelineName=name)
        assert error["Code"] == "ResourceNotFound"
        assert arn in error["Message"]


def test_a_name_is_used_once(account: Account) -> None:
    name = account.create(account.lambda_step("A"))
    definition = account.definition(account.lambda_step("A"))
    error = refusal(
        account.sagemaker.create_pipeline,
        PipelineName=name,
        PipelineDefinition=definition,
        RoleArn=account.pipeline_role,
    )
    assert error["Code"] == "ValidationException"
    assert error["Message"].startswith("Pipeline names must be unique within an AWS account and region.")
    assert name in error["Message"]


def test_a_wrong_definition_is_refused_with_its_step(account: Account) -> None:
    step = account.lambda_step("A", x=get("Steps.Gone.OutputParameters['o']"))
    error = refusal(
        account.sagemaker.create_pipeline,
        PipelineName=account.name(),
        PipelineDefinition=account.definition(step),
        RoleArn=account.pipeline_role,
    )
    assert error["Code"] == "ValidationException"
    assert error["Message"].startswith("Unable to parse pipeline definition. Step A: ")


def test_versions(account: Account) -> None:
    sm = account.sagemaker
    name = account.create(account.lambda_step("A", out="one"))
    for out in ("two", "three"):
        sm.update_pipeline(PipelineName=name, PipelineDefinition=account.definition(account.lambda_step("A", out=out)))
    assert sm.update_pipeline(PipelineName=name, PipelineDescription="d")["PipelineVersionId"] == 3
    arn = sm.describe_pipeline(PipelineName=name)["PipelineArn"]
    sm.update_pipeline_version(
        PipelineArn=arn, PipelineVersionId=2, PipelineVersionDisplayName="mid", PipelineVersionDescription="the second"
    )
    execution = account.start(name, PipelineVersionId=2)
    account.wait(execution)
    assert account.describe(execution)["PipelineVersionId"] == 2
    versions = sm.list_pipeline_versions(PipelineName=name)["PipelineVersionSummaries"]
    assert [version["PipelineVersionId"] for version in versions] == [3, 2, 1]
    assert versions[1]["PipelineVersionDisplayName"] == "mid"
    assert versions[1]["LastExecutionPipelineExecutionArn"] == execution
    assert json.loads(sm.describe_pipeline(PipelineName=name, PipelineVersionId=2)["PipelineDefinition"])["Steps"][0][
        "Arguments"
    ] == {"out": "two"}
    text = sm.describe_pipeline_definition_for_execution(PipelineExecutionArn=execution)["PipelineDefinition"]
    assert '"two"' in text
    assert refusal(sm.describe_pipeline, PipelineName=name, PipelineVersionId=9)["Code"] == "ResourceNotFound"


def test_a_definition_from_s3_is_read_as_the_caller(account: Account) -> None:
    bucket, definition = account.name("bucket"), account.definition(account.lambda_step("A"))
    account.s3.create_bucket(Bucket=bucket)
    account.s3.put_object(Bucket=bucket, Key="a/definition.json", Body=definition)
    place = {"Bucket": bucket, "ObjectKey": "a/definition.json"}
    name = account.name()
    call = {"PipelineName": name, "PipelineDefinitionS3Location": place, "RoleArn": account.pipeline_role}
    poor = account.checked(account.aws.client("sagemaker", account.user("sagemaker:*", "iam:PassRole")))
    error = refusal(poor.create_pipeline, **call)
    assert error["Code"] == "ValidationException"
    assert f"s3://{bucket}/a/definition.json can't be read" in error["Message"]
    rich = account.aws.client("sagemaker", account.user("sagemaker:*", "iam:PassRole", "s3:GetObject"))
    rich.create_pipeline(**call)
    assert account.sagemaker.describe_pipeline(PipelineName=name)["PipelineDefinition"] == definition
    both = {"PipelineDefinition": definition, "PipelineDefinitionS3Location": place}
    for wrong, words in (({}, "Either Pipeline Definition or"), (both, "Both Pipeline Definition and")):
        call = {"PipelineName": account.name(), "RoleArn": account.pipeline_role, **wrong}
        error = refusal(account.sagemaker.create_pipeline, **call)
        assert error["Code"] == "ValidationException"
        assert error["Message"].startswith(words)
    assert refusal(account.sagemaker.update_pipeline, PipelineName=name, **both)["Message"].startswith("Both Pipeline")


def test_calls_with_the_same_token_count_once(account: Account) -> None:
    sm, name, token = account.sagemaker, account.name(), uuid.uuid4().hex
    call = {
        "PipelineName": name,
        "PipelineDefinition": account.definition(account.lambda_step("A")),
        "RoleArn": account.pipeline_role,
        "ClientRequestToken": token,
    }
    assert sm.create_pipeline(**call)["PipelineArn"] == sm.create_pipeline(**call)["PipelineArn"]
    assert refusal(sm.create_pipeline, **call | {"PipelineDescription": "x"})["Code"] == "ValidationException"
    first = account.start(name, ClientRequestToken=token)
    assert account.start(name, ClientRequestToken=token) == first
    error = refusal(
        sm.start_pipeline_execution,
        PipelineName=name,
        ClientRequestToken=token,
        PipelineExecutionDisplayName="other",
    )
    assert error["Code"] == "ConflictException"
    account.wait(first)
    assert len(sm.list_pipeline_executions(PipelineName=name)["PipelineExecutionSummaries"]) == 1
    deletion = {"PipelineName": name, "ClientRequestToken": token}
    assert sm.delete_pipeline(**deletion)["PipelineArn"] == sm.delete_pipeline(**deletion)["PipelineArn"]


def test_lists_are_paged_sorted_and_filtered(account: Account) -> None:
    sm, prefix = account.sagemaker, account.name("list")
    names = [f"{prefix}-{letter}" for letter in "cab"]
    for name in names:
        definition = account.definition(account.lambda_step("A"))
        sm.create_pipeline(PipelineName=name, PipelineDefinition=definition, RoleArn=account.pipeline_role)
    created = {n: sm.describe_pipeline(PipelineName=n)["CreationTime"] for n in names}

    def listed(**query) -> list[str]:
        pages = sm.get_paginator("list_pipelines").paginate(PipelineNamePrefix=prefix, **query)
        return [summary["PipelineName"][-1] for page in pages for summary in page["PipelineSummaries"]]

    assert listed() == ["b", "a", "c"]
    assert listed(SortOrder="Ascending") == ["c", "a", "b"]
    assert listed(SortBy="Name", SortOrder="Ascending", PaginationConfig={"PageSize": 1}) == ["a", "b", "c"]
    assert listed(SortBy="Name", PaginationConfig={"PageSize": 2}) == ["c", "b", "a"]
    assert listed(CreatedAfter=created[names[2]] + dt.timedelta(seconds=1)) == []
    page = sm.list_pipelines(PipelineNamePrefix=prefix, MaxResults=1)
    assert len(page["PipelineSummaries"]) == 1
    for token in ("nonsense", base64.urlsafe_b64encode(b"[" * 6000).decode(), base64.urlsafe_b64encode(b"5").decode()):
        assert refusal(sm.list_pipelines, NextToken=token)["Code"] == "ValidationException"
    executions = [account.start(names[0]) for _ in range(5)]
    for arn in executions:
        account.wait(arn)
    pages = sm.get_paginator("list_pipeline_executions").paginate(
        PipelineName=names[0], SortOrder="Ascending", PaginationConfig={"PageSize": 2}
    )
    summaries = [summary for page in pages for summary in page["PipelineExecutionSummaries"]]
    assert [summary["PipelineExecutionArn"] for summary in summaries] == executions
    assert {summary["PipelineExecutionStatus"] for summary in summaries} == {"Succeeded"}
    by_arn = sm.list_pipeline_executions(PipelineName=names[0], SortBy="PipelineExecutionArn")
    arns = [summary["PipelineExecutionArn"] for summary in by_arn["PipelineExecutionSummaries"]]
    assert arns == sorted(executions, reverse=True)


def test_tags(account: Account) -> None:
    sm = account.sagemaker
    name = account.create(account.lambda_step("A"), Tags=[{"Key": "a", "Value": "1"}])
    arn = sm.describe_pipeline(PipelineName=name)["PipelineArn"]
    assert sm.add_tags(ResourceArn=arn, Tags=[{"Key": "b", "Value": "2"}, {"Key": "a", "Value": "3"}])["Tags"] == [
        {"Key": "a", "Value": "3"},
        {"Key": "b", "Value": "2"},
    ]
    sm.delete_tags(ResourceArn=arn, TagKeys=["a"])
    assert sm.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "b", "Value": "2"}]
    resources = account.aws.client("resourcegroupstaggingapi").get_resources(TagFilters=[{"Key": "b", "Values": ["2"]}])
    assert arn in [resource["ResourceARN"] for resource in resources["ResourceTagMappingList"]]
    many = [{"Key": f"k{i}", "Value": ""} for i in range(50)]
    assert "more than 50 tags" in refusal(sm.add_tags, ResourceArn=arn, Tags=many)["Message"]


@pytest.mark.parametrize("key", ["aws:x", "AWS:x", "a!b", "tab\tbed"])
def test_a_tags_key_that_aws_does_not_take_is_refused(account: Account, key: str) -> None:
    name = account.create(account.lambda_step("A"), Tags=[{"Key": "Größe 1_./:=+-@", "Value": "½ ok"}])
    arn = account.sagemaker.describe_pipeline(PipelineName=name)["PipelineArn"]
    tags = [{"Key": key, "Value": "v"}]
    new = {"PipelineName": account.name(), "PipelineDefinition": "{}", "RoleArn": account.pipeline_role, "Tags": tags}
    for call, given in (
        (account.sagemaker.add_tags, {"ResourceArn": arn, "Tags": tags}),
        (account.sagemaker.create_pipeline, new),
    ):
        error = refusal(call, **given)
        assert error["Code"] == "ValidationException"
        assert "prefixed tag key names are not allowed" in error["Message"] or "pattern" in error["Message"]


# --- who may ---------------------------------------------------------------------------------------------------------


def test_every_operation_asks_iam(account: Account) -> None:
    name = account.create(account.lambda_step("A"))
    arn = account.sagemaker.describe_pipeline(PipelineName=name)["PipelineArn"]
    execution = account.start(name)
    account.wait(execution)
    nobody = account.aws.client("sagemaker", account.user())
    definition = {"PipelineDefinition": "{}", "RoleArn": account.pipeline_role}
    calls = [
        ("create_pipeline", {"PipelineName": "x", **definition}),
        *[(c, {"PipelineName": name}) for c in ("update_pipeline", "describe_pipeline", "delete_pipeline")],
        *[(c, {"PipelineName": name}) for c in ("list_pipeline_versions", "list_pipeline_executions")],
        ("list_pipelines", {}),
        ("update_pipeline_version", {"PipelineArn": arn, "PipelineVersionId": 1}),
        ("start_pipeline_execution", {"PipelineName": name}),
        *[
            (f"{verb}_pipeline_execution", {"PipelineExecutionArn": execution})
            for verb in ("stop", "retry", "update", "describe")
        ],
        ("list_pipeline_execution_steps", {"PipelineExecutionArn": execution}),
        ("list_pipeline_parameters_for_execution", {"PipelineExecutionArn": execution}),
        ("describe_pipeline_definition_for_execution", {"PipelineExecutionArn": execution}),
        ("send_pipeline_execution_step_success", {"CallbackToken": "0123456789"}),
        ("send_pipeline_execution_step_failure", {"CallbackToken": "0123456789"}),
        ("add_tags", {"ResourceArn": arn, "Tags": []}),
        ("list_tags", {"ResourceArn": arn}),
        ("delete_tags", {"ResourceArn": arn, "TagKeys": ["k"]}),
        ("describe_processing_job", {"ProcessingJobName": "x"}),
        ("stop_processing_job", {"ProcessingJobName": "x"}),
    ]
    for operation, arguments in calls:
        error = refusal(getattr(nobody, operation), **arguments)
        action = "".join(part.capitalize() for part in operation.split("_"))
        assert error["Code"] == "AccessDeniedException", operation
        assert f"is not authorized to perform: sagemaker:{action} on resource: " in error["Message"]


def test_a_role_must_be_passed_and_must_trust_sagemaker(account: Account) -> None:
    step = account.definition(account.lambda_step("A"))
    user = account.aws.client("sagemaker", account.user("sagemaker:*"))
    call = {"PipelineName": account.name(), "PipelineDefinition": step}
    error = refusal(user.create_pipeline, RoleArn=account.pipeline_role, **call)
    assert error["Code"] == "AccessDeniedException"
    assert f"iam:PassRole on resource: {account.pipeline_role}" in error["Message"]
    for role in (account.function_role, "arn:aws:iam::000000000000:role/gone"):
        error = refusal(account.sagemaker.create_pipeline, RoleArn=role, **call)
        assert error["Code"] == "ValidationException"
        assert role in error["Message"]
        assert "sagemaker.amazonaws.com" in error["Message"]


@pytest.mark.parametrize(
    ("actions", "step", "action"),
    [((), "lambda", "lambda:InvokeFunction"), (("lambda:InvokeFunction",), "callback", "sqs:SendMessage")],
)
def test_a_step_fails_with_awss_words_when_the_role_may_not(account: Account, actions, step: str, action: str) -> None:
    role = account.role(account.name("poor"), "sagemaker.amazonaws.com", *actions)
    made = account.lambda_step("A") if step == "lambda" else account.callback_step("A", account.queue())
    arn = account.start(account.create(made, RoleArn=role))
    assert account.wait(arn)["FailureReason"] == "Step failure: One or multiple steps failed."
    reason = account.steps(arn)["A"]["FailureReason"]
    assert reason.startswith("ClientError: Failed to invoke ")
    assert f"assumed-role/{role.rpartition('/')[2]}/SageMaker is not authorized to perform: {action}" in reason


def test_a_role_that_loses_its_trust_fails_the_step(account: Account) -> None:
    name = account.name("losing")
    role = account.role(name, "sagemaker.amazonaws.com", "lambda:InvokeFunction")
    pipeline = account.create(account.lambda_step("A", sleep=0.3), account.lambda_step("B", "A"), RoleArn=role)
    arn = account.start(pipeline)
    account.until(lambda: account.steps(arn), lambda steps: "A" in steps)
    statement = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    account.iam.update_assume_role_policy(RoleName=f"sagemaker-pl-{name}", PolicyDocument=document)
    account.wait(arn)
    assert "does not trust it" in account.steps(arn)["B"]["FailureReason"]
    assert "invalid" in refusal(account.sagemaker.start_pipeline_execution, PipelineName=pipeline)["Message"]


# --- executions ------------------------------------------------------------------------------------------------------


def test_submit_wait_and_use_the_result(account: Account) -> None:
    queue = account.queue()
    name = account.create(
        account.lambda_step("Submit", outputs=("statusCode", "out"), out=get("Parameters.Ids")),
        account.callback_step("Wait", queue, ("job_status",), job_ids=get("Steps.Submit.OutputParameters['out']")),
        account.lambda_step("Use", outputs=("out",), out=get("Steps.Wait.OutputParameters['job_status']")),
        parameters=[{"Name": "Ids", "Type": "String"}],
    )
    arn = account.start(name, parameters={"Ids": "a b"}, PipelineExecutionDisplayName="mine")
    message = account.message(queue)
    assert message == {
        "token": message["token"],
        "pipelineExecutionArn": arn,
        "arguments": {"job_ids": "a b"},
        "status": "Executing",
    }
    shown = account.describe(arn)
    assert (shown["PipelineExecutionStatus"], shown["PipelineExecutionDisplayName"]) == ("Executing", "mine")
    waiting = account.steps(arn)["Wait"]
    assert waiting["StepStatus"] == "Executing"
    assert "EndTime" not in waiting
    assert waiting["Metadata"]["Callback"] == {"CallbackToken": message["token"], "SqsQueueUrl": queue}
    answered = account.sagemaker.send_pipeline_execution_step_success(
        CallbackToken=message["token"], OutputParameters=[{"Name": "job_status", "Value": "Completed"}]
    )
    assert answered["PipelineExecutionArn"] == arn
    assert account.wait(arn)["PipelineExecutionStatus"] == "Succeeded"
    order = account.sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn)["PipelineExecutionSteps"]
    assert [step["StepName"] for step in order] == ["Use", "Wait", "Submit"]
    assert order[0]["Metadata"]["Lambda"] == {
        "Arn": account.function,
        "OutputParameters": [{"Name": "out", "Value": "Completed"}],
    }
    assert all(step["EndTime"] >= step["StartTime"] for step in order)
    listed = account.sagemaker.list_pipeline_parameters_for_execution(PipelineExecutionArn=arn)
    assert listed["PipelineParameters"] == [{"Name": "Ids", "Value": "a b"}]


@pytest.mark.parametrize(("answer", "status", "last"), [("ok", "Succeeded", "Good"), ("no", "Failed", "Bad")])
def test_a_definition_as_sdk_v2_writes_it_runs(account: Account, answer: str, status: str, last: str) -> None:
    queue, name = account.queue(), account.name()
    definition = json.dumps(sdk_v2_document(account.function, queue))
    account.sagemaker.create_pipeline(PipelineName=name, PipelineDefinition=definition, RoleArn=account.pipeline_role)
    arn = account.start(name, parameters={"ProcessingInstanceCount": "2"})
    message = account.message(queue)
    assert message["arguments"] == {"job": "200"}
    outputs = [{"Name": "status", "Value": answer}]
    account.sagemaker.send_pipeline_execution_step_success(CallbackToken=message["token"], OutputParameters=outputs)
    assert account.wait(arn)["PipelineExecutionStatus"] == status
    assert set(account.steps(arn)) == {"Submit", "Wait", "Check", last}


def test_a_failure_answered_is_the_steps_reason(account: Account) -> None:
    queue = account.queue()
    arn = account.start(account.create(account.callback_step("Wait", queue), account.lambda_step("After", "Wait")))
    token = account.message(queue)["token"]
    account.sagemaker.send_pipeline_execution_step_failure(CallbackToken=token, FailureReason="job 7 failed")
    assert account.wait(arn)["PipelineExecutionStatus"] == "Failed"
    steps = account.steps(arn)
    assert list(steps) == ["Wait"]
    assert steps["Wait"]["FailureReason"] == "job 7 failed"
    error = refusal(account.sagemaker.send_pipeline_execution_step_success, CallbackToken=token)
    assert error["Code"] == "ConflictException"
    assert error["Message"].startswith("Step Wait is already in a terminal status")
    error = refusal(account.sagemaker.send_pipeline_execution_step_success, CallbackToken="0123456789")
    assert error["Code"] == "ResourceNotFound"


def test_an_answer_needs_permission_on_its_own_execution(account: Account) -> None:
    queue = account.queue()
    name = account.create(account.callback_step("Wait", queue))
    arn = account.start(name)
    token = account.message(queue)["token"]
    actions = ("sagemaker:SendPipelineExecutionStepSuccess", "sagemaker:SendPipelineExecutionStepFailure")
    pipeline = arn.partition("/execution/")[0]
    other = account.aws.client("sagemaker", account.user(*actions, resource=f"{pipeline}x/*"))
    error = refusal(other.send_pipeline_execution_step_success, CallbackToken=token)
    assert error["Code"] == "AccessDeniedException"
    assert arn in error["Message"]
    right = account.aws.client("sagemaker", account.user(*actions, resource=f"{pipeline}/*"))
    right.send_pipeline_execution_step_success(CallbackToken=token)
    assert account.wait(arn)["PipelineExecutionStatus"] == "Succeeded"
    assert refusal(right.send_pipeline_execution_step_failure, CallbackToken="0123456789")["Code"] == (
        "AccessDeniedException"
    )
    account.sagemaker.delete_pipeline(PipelineName=name)
    late = refusal(right.send_pipeline_execution_step_success, CallbackToken=token)
    assert late["Code"] == "ResourceNotFound", "an answer after the end is no question of permission"


def test_a_function_that_raises_and_one_that_times_out(account: Account) -> None:
    slow = account.make_function(account.name("slow"), "import time\ndef lambda_handler(e, c):\n    time.sleep(9)", 1)
    late = account.lambda_step("Late") | {"FunctionArn": slow}
    gone = account.lambda_step("Gone") | {"FunctionArn": account.function + "-gone"}
    execution, steps = account.run(account.lambda_step("Raises", fail="no input file_07.json"), late, gone)
    assert execution["PipelineExecutionStatus"] == "Failed"
    assert "no input file_07.json" in steps["Raises"]["FailureReason"]
    assert "Task timed out after 1.00 seconds" in steps["Late"]["FailureReason"]
    assert "Function not found" in steps["Gone"]["FailureReason"]


def test_stopping_waits_for_the_callback(account: Account) -> None:
    queue = account.queue()
    name = account.create(account.callback_step("Wait", queue, job_ids="a"), account.lambda_step("After", "Wait"))
    arn = account.start(name)
    first = account.message(queue)
    error = refusal(account.sagemaker.delete_pipeline, PipelineName=name)
    assert error["Code"] == "ConflictException"
    assert arn in error["Message"]
    stop = {"PipelineExecutionArn": arn, "ClientRequestToken": uuid.uuid4().hex}
    for call in (stop, {"PipelineExecutionArn": arn}):  # a second stop changes nothing
        assert account.sagemaker.stop_pipeline_execution(**call)["PipelineExecutionArn"] == arn
    assert account.message(queue) == {**first, "status": "Stopping"}
    assert account.describe(arn)["PipelineExecutionStatus"] == "Stopping"
    assert account.steps(arn)["Wait"]["StepStatus"] == "Stopping"
    account.sagemaker.send_pipeline_execution_step_failure(CallbackToken=first["token"], FailureReason="terminated")
    assert account.wait(arn)["PipelineExecutionStatus"] == "Stopped"
    steps = account.steps(arn)
    assert list(steps) == ["Wait"]
    assert steps["Wait"]["StepStatus"] == "Stopped"
    assert refusal(account.sagemaker.stop_pipeline_execution, PipelineExecutionArn=arn)["Code"] == "ConflictException"
    assert account.sagemaker.stop_pipeline_execution(**stop)["PipelineExecutionArn"] == arn, "the same call once more"
    assert "Messages" not in account.sqs.receive_message(QueueUrl=queue)


def test_stopping_waits_for_the_function(account: Account) -> None:
    arn = account.start(account.create(account.lambda_step("A", sleep=0.5), account.lambda_step("B", "A")))
    account.until(lambda: account.steps(arn), lambda steps: steps.get("A", {}).get("StepStatus") == "Executing")
    account.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)
    assert account.steps(arn)["A"]["StepStatus"] == "Stopping"
    assert account.wait(arn)["PipelineExecutionStatus"] == "Stopped"
    assert list(account.steps(arn)) == ["A"]


def test_retry(account: Account) -> None:
    queue = account.queue()
    arn = account.start(
        account.create(account.lambda_step("A"), {**account.callback_step("Wait", queue), "DependsOn": ["A"]})
    )
    token = account.message(queue)["token"]
    assert refusal(account.sagemaker.retry_pipeline_execution, PipelineExecutionArn=arn)["Code"] == "ConflictException"
    account.sagemaker.send_pipeline_execution_step_failure(CallbackToken=token, FailureReason="once")
    account.wait(arn)
    done = account.steps(arn)["A"]["EndTime"]
    retry = {"PipelineExecutionArn": arn, "ClientRequestToken": uuid.uuid4().hex}
    account.sagemaker.retry_pipeline_execution(**retry)
    assert account.sagemaker.retry_pipeline_execution(**retry)["PipelineExecutionArn"] == arn
    assert "FailureReason" not in account.describe(arn)
    second = account.message(queue)["token"]
    assert second != token
    assert refusal(account.sagemaker.send_pipeline_execution_step_success, CallbackToken=token)["Code"] == (
        "ResourceNotFound"
    )
    account.sagemaker.send_pipeline_execution_step_success(CallbackToken=second)
    assert account.wait(arn)["PipelineExecutionStatus"] == "Succeeded"
    assert account.steps(arn)["A"]["EndTime"] == done


def test_actions_and_resources_are_those_of_awss_own_list(account: Account) -> None:
    """Every action exists, and the resources asked for are of a type the action can be scoped to."""
    data = pytest.importorskip("policy_sentry.querying.actions")
    (folder,) = local_aws.pipelines.api.__path__
    source = "".join(file.read_text() for file in Path(folder).glob("*.py"))
    actions = set(re.findall(r'"(sagemaker:[A-Z]\w+)"', source))
    assert len(actions) > 20
    for action in actions:
        data_of_action = data.get_action_data("sagemaker", action.partition(":")[2])
        assert data_of_action, action
        types = {row["resource_arn_format"] for row in data_of_action["sagemaker"]}
        ours = [t for t in types if re.search(r":(pipeline|processing-job)/", t)] or ["*"]
        assert action == "sagemaker:ListPipelines" or ours != ["*"], action


def test_update_of_an_execution_widens_it(account: Account) -> None:
    queue = account.queue()
    steps = [account.callback_step(f"W{i}", queue) for i in range(3)]
    name = account.create(*steps, ParallelismConfiguration={"MaxParallelExecutionSteps": 1})
    arn = account.start(name)
    tokens = [account.message(queue)["token"]]
    assert len(account.steps(arn)) == 1
    account.sagemaker.update_pipeline_execution(
        PipelineExecutionArn=arn,
        PipelineExecutionDescription="wider",
        PipelineExecutionDisplayName="wide",
        ParallelismConfiguration={"MaxParallelExecutionSteps": 2},
    )
    tokens.append(account.message(queue)["token"])
    shown = account.describe(arn)
    assert (shown["PipelineExecutionDescription"], shown["PipelineExecutionDisplayName"]) == ("wider", "wide")
    assert shown["ParallelismConfiguration"] == {"MaxParallelExecutionSteps": 2}
    assert len(account.steps(arn)) == 2
    for token in tokens:
        account.sagemaker.send_pipeline_execution_step_success(CallbackToken=token)
    account.sagemaker.send_pipeline_execution_step_success(CallbackToken=account.message(queue)["token"])
    assert account.wait(arn)["PipelineExecutionStatus"] == "Succeeded"


def test_a_handled_failure(account: Account) -> None:
    execution, steps = account.run(
        account.lambda_step("Train", fail="broken"),
        account.lambda_step("Notify", {"Step": "Train", "Trigger": "Failed"}),
        account.lambda_step("Deploy", "Train"),
    )
    assert execution["PipelineExecutionStatus"] == "CompletedWithFailures"
    assert {name: step["StepStatus"] for name, step in steps.items()} == {"Train": "Failed", "Notify": "Succeeded"}


def test_parameters_are_checked_at_the_start(account: Account) -> None:
    name = account.create(
        account.lambda_step("A", out=get("Parameters.N")),
        parameters=[
            {"Name": "N", "Type": "Integer"},
            {"Name": "E", "Type": "String", "EnumValues": ["a"], "DefaultValue": "a"},
        ],
    )

    def said(**values: str) -> str:
        given = [{"Name": key, "Value": value} for key, value in values.items()]
        error = refusal(account.sagemaker.start_pipeline_execution, PipelineName=name, PipelineParameters=given)
        assert error["Code"] == "ValidationException"
        return error["Message"]

    assert said() == "Parameters without a default need a value: N."
    assert said(N="x") == "Parameter N must be of type Integer, not 'x'."
    assert said(N="1", E="b") == "Parameter E must be one of a, not 'b'."
    assert said(N="1", E="").startswith('[string "" is too short (length: 0, required minimum: 1)] Give parameter E')
    assert said(N="1", Z="b") == "Z is not a parameter of the pipeline (its parameters: N, E)."


def test_a_selective_execution_takes_over_what_it_needs(account: Account) -> None:
    name = account.create(
        account.lambda_step("A", outputs=("out",), out="from A"),
        account.lambda_step("B", outputs=("out",), out=get("Steps.A.OutputParameters['out']")),
        account.lambda_step("C", outputs=("out",), out=get("Steps.B.OutputParameters['out']")),
        account.lambda_step("D"),
    )
    first = account.start(name)
    account.wait(first)

    def config(*steps: str, source: str | None = first) -> dict:
        selected = {"SelectedSteps": [{"StepName": step} for step in steps]}
        return {"SelectiveExecutionConfig": selected | ({"SourcePipelineExecutionArn": source} if source else {})}

    second = account.start(name, **config("C"))
    assert account.wait(second)["PipelineExecutionStatus"] == "Succeeded"
    steps = account.steps(second)
    assert set(steps) == {"B", "C"}
    assert steps["B"]["SelectiveExecutionResult"] == {"SourcePipelineExecutionArn": first}
    assert "SelectiveExecutionResult" not in steps["C"]
    assert steps["C"]["Metadata"]["Lambda"]["OutputParameters"] == [{"Name": "out", "Value": "from A"}]
    assert account.describe(second)["SelectiveExecutionConfig"] == config("C")["SelectiveExecutionConfig"]
    start = account.sagemaker.start_pipeline_execution
    assert refusal(start, PipelineName=name, **config("C", source=None))["Message"].startswith(
        "Invalid SourcePipelineExecutionArn: null. The selected steps ['C'] have dependencies on ['B']"
    )
    assert "include B, between" in refusal(start, PipelineName=name, **config("A", "C"))["Message"]
    assert "names Z" in refusal(start, PipelineName=name, **config("Z"))["Message"]
    assert account.wait(account.start(name, **config("D", source=None)))["PipelineExecutionStatus"] == "Succeeded"


def test_both_events_reach_a_rule(account: Account) -> None:
    queue, events = account.queue(), account.aws.client("events")
    name = account.create(account.lambda_step("A"))
    pipeline = account.sagemaker.describe_pipeline(PipelineName=name)["PipelineArn"]
    rule = account.name("rule")
    events.put_rule(Name=rule, EventPattern=json.dumps({"source": ["aws.sagemaker"], "resources": [pipeline]}))
    queue_arn = account.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    allow = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    account.sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
    events.put_targets(Rule=rule, Targets=[{"Id": "q", "Arn": queue_arn}])
    arn = account.start(name)
    account.wait(arn)
    seen = [account.message(queue) for _ in range(5)]
    assert {event["detail-type"] for event in seen} == {
        "SageMaker Model Building Pipeline Execution Status Change",
        "SageMaker Model Building Pipeline Execution Step Status Change",
    }
    assert all(event["resources"] == [pipeline, arn] for event in seen)
    statuses = {event["detail"].get("currentPipelineExecutionStatus") for event in seen} - {None}
    assert statuses == {"Executing", "Succeeded"}
    events.remove_targets(Rule=rule, Ids=["q"])
    events.delete_rule(Name=rule)


def test_an_operation_that_is_not_covered_says_so(account: Account) -> None:
    client = account.aws.client("sagemaker", retries={"total_max_attempts": 1})
    assert "does not cover sagemaker:ListTrainingJobs" in refusal(client.list_training_jobs)["Message"]


def test_every_operation_of_pipelines_is_there(account: Account) -> None:
    names = [name for name in account.sagemaker.meta.service_model.operation_names if "Pipeline" in name]
    assert len(names) == 18
    for name in names:
        assert hasattr(PipelinesService, xform_name(name)), name
