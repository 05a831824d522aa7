"""What tests/safety/test_cleanup.py does not play on a whole deployment."""

import dataclasses
import json

import pytest
from botocore.exceptions import ClientError
from fake_aws import load_lambda

from utils import batch, cleanup, data, iam, monitoring
from utils.cleanup import executions, roles


def names(resources):
    return [str(resource) for resource in resources]


def test_the_roles_of_both_layouts_are_found(session, config):
    shared = dataclasses.replace(config, role_layout="shared")
    iam.ensure_roles(session, config)
    iam.ensure_roles(session, shared)
    deleted = cleanup.delete_all(session, config)
    assert f"role {shared.pipeline_role}" in deleted
    assert f"role {config.pipeline_role}" in deleted
    assert cleanup.leftovers(session, shared) == []


def test_a_role_in_somebodys_instance_profile_stays_and_all_else_is_deleted(session, config, monkeypatch):
    monkeypatch.setattr(roles, "GRACE_SECONDS", 0)
    iam.ensure_roles(session, config)
    client, name = session.client("iam"), f"mine-{config.prefix}"
    client.create_instance_profile(InstanceProfileName=name)
    client.add_role_to_instance_profile(InstanceProfileName=name, RoleName=config.batch_job_role)
    with pytest.raises(cleanup.NotDeleted) as error:
        cleanup.delete_all(session, config)
    begins = (
        f"All but the role {config.batch_job_role} is deleted. Something that the kit did not make uses it, and AWS"
    )
    assert str(error.value).startswith(f'{begins} says "Cannot delete entity, must remove role')
    assert str(error.value).endswith('first." Do that, then run the cleanup again.')
    client.remove_role_from_instance_profile(InstanceProfileName=name, RoleName=config.batch_job_role)
    client.delete_instance_profile(InstanceProfileName=name)
    assert cleanup.delete_all(session, config) == [f"role {config.batch_job_role}"]


def test_the_table_tells_what_it_costs_to_leave_a_thing(session, config):
    data.ensure_bucket(session, config.bucket, tags=config.tags)
    iam.ensure_roles(session, config)
    table = cleanup.table(cleanup.find_all(session, config))
    assert list(table.columns) == ["kind", "name", "if left"]
    costs = dict(zip(table["kind"], table["if left"], strict=True))
    assert costs == {"bucket": "a little: S3's price for what is in it", "role": "nothing"}
    mapping = cleanup.Resource("event source mapping", "m", "arn", print, ours=True)
    assert mapping.if_left == "$0.26 a month: it polls its queue"


def test_what_is_deleted_is_told_as_soon_as_it_is_gone(session, config, calls):
    iam.ensure_roles(session, config)
    told = []
    calls.refuse("DeleteRole", "AccessDenied", "no")
    with pytest.raises(ClientError):
        cleanup.delete_all(session, config, report=told.append)
    assert told == []
    assert cleanup.delete_all(session, config, report=told.append) == told
    assert len(told) == len(iam.TASKS)


def test_a_deletion_that_was_under_way_is_waited_for(session, config):
    """A cleanup was interrupted after DeleteComputeEnvironment; the environment is DELETING, then gone."""
    subnets, groups = batch.default_network(session)
    batch.ensure_compute_environment(
        session, config.compute_environment, subnets=subnets, security_groups=groups, max_vcpus=1, tags=config.tags
    )
    client = session.client("batch")
    client.update_compute_environment(computeEnvironment=config.compute_environment, state="DISABLED")
    batch.settled(session, "compute environment", config.compute_environment)
    client.delete_compute_environment(computeEnvironment=config.compute_environment)
    cleanup.delete_all(session, config)
    assert cleanup.leftovers(session, config) == []


def test_what_another_cleanup_has_deleted_meanwhile_is_no_problem(session, config):
    session.client("sqs").create_queue(QueueName=config.callback_queue, tags=config.tags)
    session.client("logs").create_log_group(logGroupName=config.job_log_group, tags=config.tags)
    text = json.dumps({"widgets": [{"type": "text", "properties": {"markdown": config.tag_text}}]})
    session.client("cloudwatch").put_dashboard(DashboardName=config.dashboard, DashboardBody=text)
    data.ensure_bucket(session, config.bucket, tags=config.tags)
    iam.ensure_roles(session, config)
    tags = [{"Key": key, "Value": value} for key, value in config.tags.items()]
    session.client("events").put_rule(Name=f"{config.prefix}-rule", EventPattern='{"source": ["own"]}', Tags=tags)
    found = cleanup.find_all(session, config)
    assert {resource.kind for resource in found} == {"queue", "log group", "dashboard", "bucket", "role", "event rule"}
    for resource in found:
        resource.delete()
        resource.delete()
    assert cleanup.leftovers(session, config) == []


def test_every_version_of_every_object_is_deleted(session, config):
    data.ensure_bucket(session, config.bucket, tags=config.tags)
    s3 = session.client("s3")
    s3.put_bucket_versioning(Bucket=config.bucket, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"1", b"2"):
        s3.put_object(Bucket=config.bucket, Key="a", Body=body)
    s3.delete_object(Bucket=config.bucket, Key="a")
    assert cleanup.delete_all(session, config) == [f"bucket {config.bucket}"]


def test_an_object_that_s3_keeps_is_told_in_one_sentence(session, config, calls):
    """S3 answers 200, and tells in the answer which objects it did not delete."""
    data.ensure_bucket(session, config.bucket, tags=config.tags)
    for key in ("a", "b"):
        session.client("s3").put_object(Bucket=config.bucket, Key=key, Body=b"1")
    errors = [{"Key": key, "Code": "AccessDenied", "Message": "Access Denied"} for key in ("a", "b")]
    calls.answer("DeleteObjects", {"Errors": errors})
    with pytest.raises(RuntimeError) as error:
        cleanup.delete_all(session, config)
    assert str(error.value) == (
        f'2 objects of the bucket "{config.bucket}" could not be deleted. The first is "a": Access Denied '
        "(AccessDenied). Mend the cause and run the cleanup again."
    )
    assert cleanup.delete_all(session, config) == [f"bucket {config.bucket}"]


def test_what_only_the_tag_register_lists_is_reported_and_is_no_leftover(session, config, calls):
    """It lists deleted resources for minutes or hours: https://github.com/boto/boto3/issues/3341"""
    iam.ensure_roles(session, config)
    data.ensure_bucket(session, config.bucket, tags=config.tags)
    bucket, gone = f"arn:aws:s3:::{config.bucket}", config.arn("sqs", config.callback_queue)
    listed = {"ResourceTagMappingList": [{"ResourceARN": arn, "Tags": []} for arn in (gone, bucket)]}
    calls.answer("GetResources", listed, listed)
    assert cleanup.only_tagged(session, config) == [gone], "the bucket has one of our names"
    cleanup.delete_all(session, config)
    assert cleanup.only_tagged(session, config) == [bucket, gone]
    assert cleanup.leftovers(session, config) == []


def test_what_has_our_tag_and_none_of_our_names_is_reported(session, config):
    name = f"{config.prefix}-somebodys"
    url = session.client("sqs").create_queue(QueueName=name, tags=config.tags)["QueueUrl"]
    assert cleanup.only_tagged(session, config) == [config.arn("sqs", name)]
    assert cleanup.leftovers(session, config) == []
    session.client("sqs").delete_queue(QueueUrl=url)


def test_records_are_not_reported(session, config, calls):
    """A definition with `propagateTags` tags the job's ECS task, too."""
    records = [
        "arn:aws:batch:us-east-1:000000000000:job/0b69",
        "arn:aws:ecs:us-east-1:000000000000:task/AWSBatch-sagemaker-x-compute/0b69",
        "arn:aws:batch:us-east-1:000000000000:job-definition/sagemaker-x:1",
        "arn:aws:sagemaker:us-east-1:000000000000:pipeline/sagemaker-x/execution/abcdefghijkl",
    ]
    answer = {"ResourceTagMappingList": [{"ResourceARN": arn, "Tags": []} for arn in records], "PaginationToken": ""}
    calls.answer("GetResources", answer)
    assert cleanup.tagged(session, config) == []


def test_what_has_our_name_and_not_our_tag_is_told_apart(session, config):
    """On AWS it may cost; test_cleanup.py of tests/safety looks at all kinds."""
    mine, other = session.client("sqs"), config.prefix + "-other"
    mine.create_queue(QueueName=config.callback_queue)
    mine.create_queue(QueueName=other)  # not a name of ours
    monitoring.ensure_alarms(session, config)
    session.client("cloudwatch").put_metric_alarm(
        AlarmName=f"{other}-x", Namespace="N", MetricName="M", Statistic="Sum", Period=60, EvaluationPeriods=1,
        Threshold=1, ComparisonOperator="GreaterThanThreshold",
    )  # fmt: skip
    cleanup.delete_all(session, config)
    assert cleanup.leftovers(session, config) == [f"not tagged, left alone: queue {config.callback_queue}"]


def test_an_active_job_definition_with_our_tag_is_no_record(session, config, calls):
    roles = iam.ensure_roles(session, config)
    mine = batch.copy_job(config, roles["batch_job"], roles["batch_execution"])
    mine["jobDefinitionName"] = f"{config.prefix}-mine"
    first, second = (batch.ensure_job_definition(session, mine | {"timeout": {"attemptDurationSeconds": n}})
                     for n in (60, 70))  # fmt: skip
    session.client("batch").deregister_job_definition(jobDefinition=first)
    cleanup.delete_all(session, config)
    assert cleanup.only_tagged(session, config) == [second]
    late = {"ResourceTagMappingList": [{"ResourceARN": arn} for arn in (first, second)], "PaginationToken": ""}
    calls.answer("GetResources", late)
    assert cleanup.only_tagged(session, config) == [second], "the register still lists what is deregistered"
    session.client("batch").deregister_job_definition(jobDefinition=second)
    assert cleanup.only_tagged(session, config) == []


def test_many_deregistered_definitions_are_asked_for_in_hundreds(session, config, calls):
    arns = [config.arn("batch", f"job-definition/{config.prefix}-copy:{n}") for n in range(1, 251)]
    answer = {"ResourceTagMappingList": [{"ResourceARN": arn, "Tags": []} for arn in arns], "PaginationToken": ""}
    calls.answer("GetResources", answer)
    assert cleanup.tagged(session, config) == []
    assert calls.made.count("DescribeJobDefinitions") == 3


def test_a_refusal_is_raised_and_the_rest_is_left_for_the_next_run(session, config, calls):
    iam.ensure_roles(session, config)
    data.ensure_bucket(session, config.bucket, tags=config.tags)
    calls.refuse("DeleteRole", "AccessDenied", "no")
    with pytest.raises(ClientError, match="no"):
        cleanup.delete_all(session, config)
    left = names(cleanup.find_all(session, config))
    assert len(left) == len(iam.TASKS)
    assert cleanup.delete_all(session, config) == left


REFUSED_ANSWERS = [
    ("ConflictException", "", True),
    ("ResourceNotFound", "", True),
    ("ValidationException", "Step Wait is already in a terminal status, but Step ...", True),
    ("ValidationException", "STEP WAIT IS ALREADY IN A TERMINAL STATUS.", True),
    ("conflictexception", "another reason", False),
    ("ValidationException", "another reason", False),
]


@pytest.mark.parametrize(("code", "message", "answered"), REFUSED_ANSWERS)
def test_the_function_and_the_cleanup_know_a_second_answer_by_the_same_rule(code, message, answered):
    modules = load_lambda("check_jobs").modules
    refusal = modules["errors"].UnconfirmedError(message)
    refusal.__cause__ = ClientError({"Error": {"Code": code, "Message": message}}, "Send")
    assert modules["callback"].is_already_answered(refusal) is answered
    assert executions.was_answered(code, message) is answered


@pytest.mark.parametrize(("code", "message", "goes_on"), REFUSED_ANSWERS)
def test_a_step_that_was_answered_meanwhile_is_no_problem(session, config, calls, monkeypatch, code, message, goes_on):
    """The functions may answer at the same moment: SageMaker refuses the second answer, by code or by text."""
    monkeypatch.setattr(executions, "GRACE_SECONDS", 0)
    monkeypatch.setattr(executions, "LAST_SECONDS", 0)
    summary = {"PipelineExecutionArn": "arn", "PipelineExecutionStatus": "Stopping"}
    waiting = {"StepName": "Wait", "StepStatus": "Executing", "Metadata": {"Callback": {"CallbackToken": "abcdefghij"}}}
    calls.answer("ListPipelineExecutions", {"PipelineExecutionSummaries": [summary]})
    calls.answer("DescribePipelineExecution", summary, summary, summary | {"PipelineExecutionStatus": "Stopped"})
    calls.answer("ListPipelineExecutionSteps", {"PipelineExecutionSteps": [waiting]})
    calls.refuse("SendPipelineExecutionStepFailure", code, message)
    if goes_on:
        executions.stop_executions(session, config, config.pipeline)
    else:
        with pytest.raises(ClientError, match=message):
            executions.stop_executions(session, config, config.pipeline)


def test_a_step_that_may_not_be_answered_is_named(session, config, calls, monkeypatch):
    monkeypatch.setattr(executions, "GRACE_SECONDS", 0)
    monkeypatch.setattr(executions, "LAST_SECONDS", 0)
    summary = {"PipelineExecutionArn": "arn", "PipelineExecutionStatus": "Stopping"}
    waiting = {"StepName": "Wait", "StepStatus": "Executing", "Metadata": {"Callback": {"CallbackToken": "abcdefghij"}}}
    calls.answer("ListPipelineExecutions", {"PipelineExecutionSummaries": [summary]})
    calls.answer("DescribePipelineExecution", summary, summary)
    calls.answer("ListPipelineExecutionSteps", {"PipelineExecutionSteps": [waiting]})
    calls.refuse("SendPipelineExecutionStepFailure", "AccessDeniedException", "no")
    with pytest.raises(cleanup.NotDeleted, match="its step Wait waits for an answer that you may not give"):
        executions.stop_executions(session, config, config.pipeline)


@pytest.mark.parametrize(("tag", "ended"), [("ours", 1), ("theirs", 0)])
def test_jobs_are_ended_only_in_a_queue_of_the_kit(session, config, calls, monkeypatch, tag, ended):
    """The execution goes on, as when a step waits for jobs in a queue that only has the kit's name."""
    monkeypatch.setattr(executions, "GRACE_SECONDS", 0)
    monkeypatch.setattr(executions, "LAST_SECONDS", 0)
    summary = {"PipelineExecutionArn": "arn", "PipelineExecutionStatus": "Stopping"}
    calls.answer("ListPipelineExecutions", {"PipelineExecutionSummaries": [summary]})
    calls.answer("DescribePipelineExecution", summary, summary, summary | {"PipelineExecutionStatus": "Stopped"})
    calls.answer("ListPipelineExecutionSteps", {"PipelineExecutionSteps": []})
    tags = config.tags if tag == "ours" else {"owner": "team"}
    queue = {"jobQueueName": config.job_queue, "status": "VALID", "tags": tags}
    calls.answer("DescribeJobQueues", {"jobQueues": [queue]})
    calls.answer("ListJobs", {"jobSummaryList": [{"jobId": "a"}]}, *[{"jobSummaryList": []}] * 9)
    calls.answer("TerminateJob", {})
    executions.stop_executions(session, config, config.pipeline)
    assert calls.made.count("TerminateJob") == ended


def test_an_environment_that_other_queues_use_stays_and_all_else_is_deleted(session, config):
    subnets, groups = batch.default_network(session)
    network = {"subnets": subnets, "security_groups": groups}
    name = config.compute_environment
    environment = batch.ensure_compute_environment(session, name, **network, max_vcpus=1, tags=config.tags)
    theirs = [f"{config.prefix}-team-{letter}" for letter in "ab"]
    for queue, tags in ((config.job_queue, config.tags), *((queue, {"owner": "team"}) for queue in theirs)):
        arn = environment["computeEnvironmentArn"]
        batch.ensure_job_queue(session, queue, compute_environment=arn, tags=tags)
    data.ensure_bucket(session, config.bucket, tags=config.tags)
    told = []
    with pytest.raises(cleanup.NotDeleted) as error:
        cleanup.delete_all(session, config, report=told.append)
    assert str(error.value) == (
        f"All but the compute environment {name} is deleted. The job queues {theirs[0]} and {theirs[1]} use it. "
        "Delete them, or move them to another compute environment, then run the cleanup again."
    )
    assert told == [f"job queue {config.job_queue}", f"bucket {config.bucket}"]
    assert cleanup.leftovers(session, config) == [f"compute environment {name}"]
    assert batch.describe(session, "compute environment", name)["state"] == "ENABLED"  # their jobs go on
    for queue in theirs:
        session.client("batch").update_job_queue(jobQueue=queue, state="DISABLED")
        batch.settled(session, "job queue", queue)
        session.client("batch").delete_job_queue(jobQueue=queue)  # and it is still there for a moment
    assert cleanup.delete_all(session, config) == [f"compute environment {name}"]


def test_two_things_that_cant_be_deleted_are_both_named(session, config, monkeypatch):
    def held(kind):
        def delete():
            raise cleanup.NotDeleted(f"It is a {kind}.")

        return cleanup.Resource(kind, "x", "arn", delete, ours=True)

    found = [held("pipeline"), held("compute environment")]
    monkeypatch.setattr("utils.cleanup.everything.find_named", lambda *_: iter(found))
    with pytest.raises(cleanup.NotDeleted) as error:
        cleanup.delete_all(session, config)
    assert str(error.value) == (
        "All but these is deleted:\n- the pipeline x. It is a pipeline.\n"
        "- the compute environment x. It is a compute environment."
    )
