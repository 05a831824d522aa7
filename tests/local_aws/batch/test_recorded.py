"""AWS as it was recorded: what Batch answered real accounts, and what their jobs met."""

from __future__ import annotations

import json
import platform
from typing import Any

import pytest

from .conftest import LOGS, Account, refusal

ON_ARM = platform.machine().lower() in ("arm64", "aarch64")


@pytest.fixture(scope="module")
def ec2(account: Account) -> str:
    """The EC2 compute resources' instance profile."""
    iam, role, name = account.client("iam"), account.role(LOGS, service="ec2.amazonaws.com"), account.name("profile")
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=role.rsplit("/", 1)[1])
    return iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Arn"]


def instances(profile: str, **changes: Any) -> dict[str, Any]:
    return {"type": "EC2", "minvCpus": 0, "instanceTypes": ["optimal"], "instanceRole": profile, **changes}


@pytest.fixture(scope="module")
def ec2_queue(account: Account, ec2: str) -> str:
    return account.queue(account.environment(**instances(ec2)))


def on_ec2(account: Account, *command: str, **container: Any) -> str:
    properties = {"image": "python:3.13", "command": list(command) or ["true"], **container}
    return account.definition(platformCapabilities=["EC2"], containerProperties=properties)


def sizes(vcpu: str, memory: str) -> list[dict[str, str]]:
    return [{"type": "VCPU", "value": vcpu}, {"type": "MEMORY", "value": memory}]


def described(account: Account, arn: str) -> dict[str, Any]:
    (definition,) = account.batch.describe_job_definitions(jobDefinitions=[arn])["jobDefinitions"]
    return definition


# --- retry strategies ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["RETRY", "retry", "Retry"])
def test_an_action_is_taken_in_any_case_and_shown_in_lower_case(account: Account, queue: str, action: str) -> None:
    """https://github.com/hashicorp/terraform-provider-aws/issues/19624"""
    strategy = {"attempts": 2, "evaluateOnExit": [{"onExitCode": "1", "action": action}]}
    shown = {"attempts": 2, "evaluateOnExit": [{"onExitCode": "1", "action": "retry"}]}
    definition = account.definition("false", retryStrategy=strategy)
    assert described(account, definition)["retryStrategy"] == shown
    job = account.job_is(account.submit(queue, definition))
    assert (job["retryStrategy"], len(job["attempts"])) == (shown, 2)
    job = account.job_is(account.submit(queue, account.definition("false"), retryStrategy=strategy))
    assert (job["retryStrategy"], len(job["attempts"])) == (shown, 2)


def test_another_action_is_none(account: Account, queue: str) -> None:
    strategy = {"attempts": 2, "evaluateOnExit": [{"onExitCode": "1", "action": "again"}]}
    error = refusal(account.submit, queue=queue, definition=account.definition(), retryStrategy=strategy)
    assert (error["Code"], "[RETRY, EXIT]" in error["Message"]) == ("ClientException", True)


# --- overrides -------------------------------------------------------------------------------------------------------


def test_the_older_vcpus_and_memory_override_only_themselves(account: Account, ec2_queue: str) -> None:
    """https://docs.aws.amazon.com/batch/latest/APIReference/API_ContainerOverrides.html"""
    overrides = {"vcpus": 2, "memory": 2048}

    def shown(**container: Any) -> list[Any]:
        job = account.job(account.submit(ec2_queue, on_ec2(account, **container), containerOverrides=overrides))
        return [job["container"].get(name) for name in ("vcpus", "memory", "resourceRequirements")]

    assert shown(vcpus=1, memory=512) == [2, 2048, []]
    assert shown(resourceRequirements=sizes("1", "512")) == [None, None, sizes("1", "512")]
    assert shown(vcpus=1, resourceRequirements=sizes("1", "512")[1:]) == [2, None, sizes("1", "512")[1:]]


def test_an_older_definition_is_shown_as_it_is_and_can_be_overridden_by_the_newer_form(
    account: Account, ec2_queue: str
) -> None:
    definition = on_ec2(account, vcpus=1, memory=512)
    container = described(account, definition)["containerProperties"]
    assert (container["vcpus"], container["memory"], container["resourceRequirements"]) == (1, 512, [])
    overrides = {"resourceRequirements": sizes("2", "1024")[:1]}
    container = account.job(account.submit(ec2_queue, definition, containerOverrides=overrides))["container"]
    assert (container.get("vcpus"), container["memory"]) == (None, 512)
    assert container["resourceRequirements"] == sizes("2", "1024")[:1]


@pytest.mark.parametrize("size", [None, 3])
def test_overrides_too_long_for_ecs_fail_the_job(account: Account, queue: str, size: int | None) -> None:
    """https://github.com/Netflix/metaflow/issues/977"""
    overrides = {"environment": [{"name": "X", "value": "y" * 8200}]}
    array = {"arrayProperties": {"size": size}} if size else {}
    job = account.job_is(account.submit(queue, account.definition(), containerOverrides=overrides, **array))
    says = "Container Overrides length must be at most 8192"
    assert (job["status"], job["statusReason"], job["attempts"]) == ("FAILED", says, [])
    if size:
        assert account.job(f"{job['jobId']}:1")["statusReason"] == says


def test_what_parameters_bring_into_the_command_counts_as_overrides(account: Account, queue: str) -> None:
    """https://github.com/ASFHyP3/hyp3/issues/3041"""
    definition = account.definition("echo", "Ref::words")
    says = "Container Overrides length must be at most 8192"
    job = account.job_is(account.submit(queue, definition, parameters={"words": "w" * 8200}))
    assert (job["status"], job["statusReason"]) == ("FAILED", says)
    assert account.job_is(account.submit(queue, definition, parameters={"words": "w" * 8000}))["status"] == "SUCCEEDED"
    long = account.definition("echo", "w" * 9000)  # of the definition itself, nothing counts
    assert account.job_is(account.submit(queue, long))["status"] == "SUCCEEDED"


def test_a_plain_job_takes_a_dependency_of_type_sequential(account: Account, queue: str) -> None:
    """https://docs.aws.amazon.com/batch/latest/APIReference/API_JobDependency.html"""
    first = account.submit(queue, account.definition("false"))
    depends_on = [{"jobId": first, "type": "SEQUENTIAL"}]
    job = account.job_is(account.submit(queue, account.definition(), dependsOn=depends_on))
    assert (job["statusReason"], job["dependsOn"]) == ("Dependent Job failed", depends_on)


# --- sizes, machines -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["1.0", " 1", "1e0", "１", "0x1", "-1", "", "9" * 5000])
def test_values_on_ec2_are_whole_numerals(account: Account, value: str) -> None:
    """https://github.com/kestra-io/plugin-aws/issues/504"""
    for index, kind in enumerate(("VCPU", "MEMORY")):
        wanted = sizes("1", "512")
        wanted[index]["value"] = value
        error = refusal(on_ec2, account=account, resourceRequirements=wanted)
        assert error["Code"] == "ClientException"
        assert error["Message"].startswith(
            f"Error executing request, Exception : Value {value} for type {kind} in resourceRequirement is not valid. "
            "Please provide a numeric value., RequestId: "
        )


@pytest.mark.parametrize(("value", "taken"), [("1.0", True), ("0.25", False), (" 1", False), ("1e0", False)])
def test_values_on_fargate_may_have_decimals(account: Account, value: str, taken: bool) -> None:
    container = {"resourceRequirements": sizes(value, "4096")}
    if taken:
        assert account.definition(container=container)
    else:
        assert "not valid" in refusal(account.definition, container=container)["Message"]


def test_vcpus_in_both_forms_are_refused(account: Account) -> None:
    """https://docs.aws.amazon.com/batch/latest/APIReference/API_ContainerDetail.html"""
    container = {"vcpus": 1, "memory": 512, "resourceRequirements": sizes("1", "512")[:1]}
    assert "both vcpus and VCPU" in refusal(on_ec2, account=account, **container)["Message"]


def test_instance_types_that_ec2_does_not_have(account: Account, ec2: str) -> None:
    """https://github.com/aws/amazon-genomics-cli/issues/209"""
    for wrong in ("m5.enormous", "nonsense", "", "M5"):
        error = refusal(account.environment, **instances(ec2, instanceTypes=["m5.large", wrong]))
        assert error["Message"].startswith("Error executing request, Exception : Instance type can only be one of [")
        assert ", m5, " in error["Message"]
        assert ", optimal, " in error["Message"]
    assert account.environment(**instances(ec2, instanceTypes=["m5", "c5.xlarge", "default_x86_64", "g4dn.xlarge"]))


def test_minvcpus_is_required_of_ec2(account: Account, ec2: str) -> None:
    """https://github.com/getmoto/moto/blob/master/tests/test_batch/test_batch_compute_envs.py"""
    resources = {name: value for name, value in instances(ec2).items() if name != "minvCpus"}
    assert "Resource minvCpus is required." in refusal(account.environment, **resources)["Message"]


@pytest.mark.skipif(ON_ARM, reason="this machine runs ARM64")
@pytest.mark.parametrize("types", [["default_arm64"], ["m5", "c7gn.large"], ["a1"]])
def test_arm_instances_can_not_be_had_on_x86(account: Account, ec2: str, types: list[str]) -> None:
    message = refusal(account.environment, **instances(ec2, instanceTypes=types))["Message"]
    assert "does not cover ARM64 on this machine" in message
    assert types[-1] in message


@pytest.mark.parametrize("architecture", ["X86_64", "ARM64"])
def test_arm64_jobs_run_on_an_arm_machine_only_and_x86_64_ones_anywhere(
    account: Account, queue: str, architecture: str
) -> None:
    container = {"runtimePlatform": {"cpuArchitecture": architecture, "operatingSystemFamily": "LINUX"}}
    if architecture == "ARM64" and not ON_ARM:
        assert "does not cover ARM64" in refusal(account.definition, container=container)["Message"]
        return
    job = account.run(queue, container=container)
    assert (job["status"], job["container"]["runtimePlatform"]["cpuArchitecture"]) == ("SUCCEEDED", architecture)


def test_gpus_are_refused_by_name(account: Account, ec2_queue: str) -> None:
    gpu = {"type": "GPU", "value": "1"}
    wanted = [*sizes("1", "512"), gpu]
    assert "does not cover GPUs" in refusal(on_ec2, account=account, resourceRequirements=wanted)["Message"]
    definition = on_ec2(account, resourceRequirements=sizes("1", "512"))
    overrides = {"resourceRequirements": [gpu]}
    error = refusal(account.submit, queue=ec2_queue, definition=definition, containerOverrides=overrides)
    assert "does not cover GPUs" in error["Message"]
    assert "GPU is not applicable" in refusal(account.definition, container={"resourceRequirements": wanted})["Message"]


@pytest.mark.parametrize("operation", ["cancel_job", "terminate_job"])
def test_an_empty_job_id_is_refused(account: Account, operation: str) -> None:
    assert refusal(getattr(account.batch, operation), jobId="", reason="none")["Code"] == "ClientException"


@pytest.mark.parametrize("member", ["jobQueue", "arrayJobId", "multiNodeJobId"])
def test_an_empty_place_to_list_jobs_of_is_refused(account: Account, member: str) -> None:
    refused = refusal(account.batch.list_jobs, **{member: ""})
    assert (refused["Code"], refused["Message"]) == ("ClientException", f"{member} must not be empty.")


# --- what a job meets ------------------------------------------------------------------------------------------------


def test_a_job_knows_what_runs_it(account: Account, queue: str, ec2_queue: str) -> None:
    """https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4-fargate.html"""
    show = ("sh", "-c", "echo $AWS_EXECUTION_ENV")
    assert account.lines(account.run(queue, *show)) == ["AWS_ECS_FARGATE"]
    definition = on_ec2(account, *show, vcpus=1, memory=128)
    assert account.lines(account.job_is(account.submit(ec2_queue, definition))) == ["AWS_ECS_EC2"]


def test_a_definitions_variables_without_a_value_are_dropped(account: Account, queue: str) -> None:
    """https://github.com/hashicorp/terraform-provider-aws/pull/29820"""
    environment = [{"name": "EMPTY", "value": ""}, {"name": "NONE"}, {"name": "KEPT", "value": "yes"}]
    container = {"environment": environment}
    definition = account.definition("sh", "-c", "echo ${EMPTY-unset} ${NONE-unset} $KEPT", container=container)
    assert described(account, definition)["containerProperties"]["environment"] == [{"name": "KEPT", "value": "yes"}]
    assert account.lines(account.job_is(account.submit(queue, definition))) == ["unset unset yes"]


def test_a_definitions_path_is_where_its_command_is_looked_up(account: Account, queue: str, tmp_path: Any) -> None:
    program = tmp_path / "greet"
    program.write_text("#!/bin/sh\necho hello\n")
    program.chmod(0o755)
    container = {"environment": [{"name": "PATH", "value": f"/nowhere:{tmp_path}"}]}
    assert account.lines(account.run(queue, "greet", container=container)) == ["hello"]
    job = account.run(queue, "python", "-c", "print('no')", container=container)
    assert job["container"]["reason"].startswith("CannotStartContainerError")
    container = {"environment": [{"name": "PATH", "value": "/usr/local/bin"}]}
    assert account.lines(account.run(queue, "python", "-c", "print('yes')", container=container)) == ["yes"]


@pytest.mark.parametrize(("init", "code"), [(False, 137), (True, 143)])
def test_a_program_without_a_handler_is_killed_unless_it_has_an_init(
    account: Account, queue: str, init: bool, code: int
) -> None:
    container = {"linuxParameters": {"initProcessEnabled": init}}
    job_id = account.submit(queue, account.definition("sleep", "60", container=container))
    account.job_is(job_id, "RUNNING")
    account.batch.terminate_job(jobId=job_id, reason="enough")
    assert account.job_is(job_id)["container"]["exitCode"] == code


def test_privileged_and_ulimits_are_taken_on_ec2(account: Account, ec2_queue: str) -> None:
    limits = [{"name": "nofile", "softLimit": 1024, "hardLimit": 1024}]
    definition = on_ec2(account, vcpus=1, memory=128, privileged=True, ulimits=limits)
    job = account.job_is(account.submit(ec2_queue, definition))
    assert (job["status"], job["container"]["privileged"], job["container"]["ulimits"]) == ("SUCCEEDED", True, limits)


@pytest.mark.parametrize("user", ["0", "root", "0:0", "root:root"])
def test_the_user_root_is_taken(account: Account, queue: str, user: str) -> None:
    """A process has the server's user, as it has for an image that names none, whose user is root."""
    job = account.run(queue, "true", container={"user": user})
    assert (job["status"], job["container"]["user"]) == ("SUCCEEDED", user)


# --- shapes ----------------------------------------------------------------------------------------------------------


def test_a_definition_shows_what_was_given_and_empty_lists(account: Account) -> None:
    log = {"logDriver": "awslogs"}
    definition = account.batch.register_job_definition(
        jobDefinitionName=account.name("definition"), type="container",
        containerProperties={
            "image": "busybox", "resourceRequirements": sizes("1", "512"), "logConfiguration": log,
            "linuxParameters": {"initProcessEnabled": True},
        },
    )["jobDefinitionArn"]  # fmt: skip
    shown = described(account, definition)
    assert not {"retryStrategy", "propagateTags", "platformCapabilities", "timeout"} & set(shown)
    assert (shown["parameters"], shown["tags"], shown["containerOrchestrationType"]) == ({}, {}, "ECS")
    container = shown["containerProperties"]
    empty = {name for name, value in container.items() if value == []}
    assert empty == {"command", "volumes", "environment", "mountPoints", "ulimits", "secrets"}
    assert container["logConfiguration"] == {"logDriver": "awslogs", "options": {}, "secretOptions": []}
    assert container["linuxParameters"] == {"initProcessEnabled": True, "devices": [], "tmpfs": []}


def test_a_fargate_definition_shows_its_platform_and_no_network(account: Account) -> None:
    container = described(account, account.definition())["containerProperties"]
    assert container["fargatePlatformConfiguration"] == {"platformVersion": "LATEST"}
    assert "networkConfiguration" not in container


def test_a_job_shows_empty_lists_and_only_switches_that_are_on(account: Account, ec2_queue: str) -> None:
    definition = account.batch.register_job_definition(
        jobDefinitionName=account.name("definition"), type="container",
        containerProperties={"image": "python", "resourceRequirements": sizes("1", "128")},
    )["jobDefinitionArn"]  # fmt: skip
    job = account.job(account.submit(ec2_queue, definition))
    empty = {name: job[name] for name in ("dependsOn", "platformCapabilities", "eksAttempts", "parameters", "tags")}
    assert empty == {
        "dependsOn": [], "platformCapabilities": [], "eksAttempts": [], "parameters": {}, "tags": {},
    }  # fmt: skip
    assert not {"retryStrategy", "propagateTags", "timeout", "isCancelled", "isTerminated"} & set(job)
    container = job["container"]
    for name in ("command", "volumes", "environment", "mountPoints", "ulimits", "networkInterfaces", "secrets"):
        assert container[name] == []


def test_a_job_that_was_terminated_says_so(account: Account, queue: str) -> None:
    job_id = account.submit(queue, account.definition("sleep", "60"))
    account.batch.terminate_job(jobId=job_id, reason="enough")
    job = account.job_is(job_id)
    assert (job["isTerminated"], "isCancelled" in job) == (True, False)


def test_an_environment_of_instances_shows_defaults(account: Account, ec2: str) -> None:
    template = {"launchTemplateId": "lt-0123456789abcdef0"}
    name = account.environment(**instances(ec2, launchTemplate=template))
    shown = account.environment_is(name, "VALID")
    resources = shown["computeResources"]
    assert (resources["desiredvCpus"], resources["tags"]) == (0, {})
    assert resources["ec2Configuration"] == [{"imageType": "ECS_AL2023"}]
    assert resources["launchTemplate"] == {**template, "overrides": []}
    assert "allocationStrategy" not in resources
    assert "updatePolicy" not in shown
    policy = {"terminateJobsOnUpdate": True}
    account.batch.update_compute_environment(computeEnvironment=name, updatePolicy=policy)
    shown = account.environment_is(name, "VALID")["updatePolicy"]
    assert shown == {"terminateJobsOnUpdate": True, "jobExecutionTimeoutMinutes": 30}


def test_what_is_updated_keeps_its_status_reason(account: Account) -> None:
    environment = account.environment()
    queue = account.queue(environment)
    account.batch.update_job_queue(jobQueue=queue, priority=2)
    assert account.queue_is(queue, "UPDATING")["statusReason"] == "JobQueue Healthy"
    account.batch.update_compute_environment(computeEnvironment=environment, computeResources={"maxvCpus": 8})
    assert account.environment_is(environment, "UPDATING")["statusReason"] == "ComputeEnvironment Healthy"


def test_an_event_has_the_jobs_shape(account: Account, queue: str) -> None:
    """https://docs.aws.amazon.com/batch/latest/userguide/batch_job_events.html"""
    events, sqs, name = account.client("events"), account.client("sqs"), account.name("rule")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": ["aws.batch"], "detail": {"status": ["SUCCEEDED"], "jobName": [name]}}
    rule = events.put_rule(Name=name, EventPattern=json.dumps(pattern))["RuleArn"]
    statement = {
        "Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage",
        "Resource": arn, "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
    }  # fmt: skip
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    events.put_targets(Rule=name, Targets=[{"Id": "q", "Arn": arn}])
    job = account.run(queue, jobName=name)
    (message,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)["Messages"]
    detail = json.loads(message["Body"])["detail"]
    assert detail == {**job, "tags": {"resourceArn": job["jobArn"]}}
    assert detail["eksAttempts"] == []
