"""Every member of every request that Batch covers decides, is listed as without effect, or is refused by name."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import members as model
import pytest

import local_aws
from local_aws.batch import BatchService, TasksService
from local_aws.batch.model import members
from local_aws.protocol import ApiError

from .conftest import LOGS, Account, refusal

FOLDER = Path(local_aws.__file__).parent
README = (FOLDER / "README.md").read_text()


def service_of(operation: str) -> str:
    return "ecs" if operation == "StopTask" else "batch"


def covered() -> set[str]:
    """The operations that the services have a method for."""
    from botocore import xform_name
    from botocore.session import Session

    methods = {"batch": BatchService, "ecs": TasksService}
    return {
        operation
        for service, methods_of in methods.items()
        for operation in Session().get_service_model(service).operation_names
        if hasattr(methods_of, xform_name(operation))
    }


def refused_members() -> list[tuple[str, str, str]]:
    """(operation, path in REFUSED, a member that it covers)."""
    return [
        (operation, path, member)
        for operation in members.HONOURED
        for path in members.REFUSED
        for member in model.members(service_of(operation), operation)
        if model.covers(path, member)
    ]


def test_the_tables_are_about_the_operations_that_are_covered() -> None:
    assert set(members.HONOURED) == covered()


@pytest.mark.parametrize("operation", members.HONOURED)
def test_every_member_has_one_fate(operation: str) -> None:
    service, honoured = service_of(operation), members.HONOURED[operation].split()
    declared = [*honoured, *members.WITHOUT_EFFECT, *members.REFUSED]
    assert model.uncovered(service, operation, declared) == []
    for member in model.members(service, operation):
        by = [path for path in declared if model.covers(path, member)]
        closest = max(by, key=len)
        assert by.count(closest) == 1, f"{member} is declared twice"
        assert closest not in honoured or len(by) == 1, f"{member} is honoured and {by}"


def test_nothing_is_declared_that_the_model_lacks() -> None:
    every = {operation: model.members(service_of(operation), operation) for operation in members.HONOURED}
    for operation, honoured in members.HONOURED.items():
        for path in honoured.split():
            assert any(model.covers(path, member) for member in every[operation]), (operation, path)
    for path in (*members.WITHOUT_EFFECT, *members.REFUSED):
        assert any(model.covers(path, member) for known in every.values() for member in known), path


def test_the_code_reads_every_member_that_decides() -> None:
    words = {
        node.value
        for file in (FOLDER / "batch").rglob("*.py")
        if file.name != "members.py"
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    for operation, honoured in members.HONOURED.items():
        for member in model.members(service_of(operation), operation):
            if any(model.covers(path, member) for path in honoured.split()):
                name = re.findall(r"\w+", member)[-1]
                assert name in words, (operation, member)


def test_every_refused_member_is_refused_by_name() -> None:
    assert len(refused_members()) > 400  # nodeProperties has most of them
    for operation, path, member in refused_members():
        params = model.with_member("batch", operation, member, {})
        for name in [name for name in params if not model.covers(name, path)]:
            del params[name]
        with pytest.raises(ApiError) as caught:
            members.check(operation, params)
        assert caught.value.message.startswith("The embedded AWS does not cover "), member
        assert f"({path}" in caught.value.message, member


def test_a_member_that_is_in_no_table_is_refused() -> None:
    """As one would be that a newer botocore knows."""
    with pytest.raises(ApiError, match=r"does not cover containerProperties\.newer\. AWS Batch does"):
        members.check("RegisterJobDefinition", {"containerProperties": {"image": "python", "newer": 1}})
    members.check("RegisterJobDefinition", {"containerProperties": {"volumes": [], "readonlyRootFilesystem": False}})


@pytest.fixture(scope="module")
def profile(account: Account) -> str:
    iam, role, name = account.client("iam"), account.role(LOGS, service="ec2.amazonaws.com"), account.name("profile")
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=role.rsplit("/", 1)[1])
    return name


def instances(account: Account, profile: str, **changes: Any) -> dict[str, Any]:
    return account.fargate(
        type="SPOT", minvCpus=0, instanceTypes=["optimal"], instanceRole=profile,
        spotIamFleetRole=account.role(service="spotfleet.amazonaws.com"), **changes,
    )  # fmt: skip


CONTAINER = {"image": "python", "vcpus": 1, "memory": 128}


def test_the_services_refuse_them_too(account: Account, queue: str, profile: str) -> None:
    """One member of each, in a request that is accepted without it."""
    environment = account.environment(**instances(account, profile))
    policy = account.batch.create_scheduling_policy(name=account.name("policy"), fairsharePolicy={})["arn"]
    order = account.batch.describe_job_queues(jobQueues=[queue])["jobQueues"][0]["computeEnvironmentOrder"]
    bases = {
        "CreateComputeEnvironment": {
            "computeEnvironmentName": "none", "type": "MANAGED", "computeResources": instances(account, profile),
        },
        "UpdateComputeEnvironment": {"computeEnvironment": environment},
        "CreateJobQueue": {"jobQueueName": "none", "priority": 1, "computeEnvironmentOrder": order},
        "UpdateJobQueue": {"jobQueue": queue},
        "CreateSchedulingPolicy": {"name": "none"},
        "UpdateSchedulingPolicy": {"arn": policy},
        "RegisterJobDefinition": {
            "jobDefinitionName": "none", "type": "container", "containerProperties": CONTAINER,
        },
        "SubmitJob": {"jobName": "none", "jobQueue": queue, "jobDefinition": account.definition()},
        "ListJobs": {"jobQueue": queue},
    }  # fmt: skip
    for operation, path, member in {(operation, path): (operation, path, member)
                                    for operation, path, member in refused_members()}.values():  # fmt: skip
        call = getattr(account.batch, re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower())
        error = refusal(call, **model.with_member("batch", operation, member, bases[operation]))
        assert error["Code"] == "ClientException", (operation, member)
        assert f"({path}" in error["Message"], (operation, member)


def test_what_has_no_effect_is_taken_and_shown(account: Account, profile: str) -> None:
    resources = {
        "minvCpus": 0, "desiredvCpus": 1, "bidPercentage": 50, "allocationStrategy": "SPOT_CAPACITY_OPTIMIZED",
        "imageId": "ami-0123456789abcdef0", "ec2KeyPair": "pair", "tags": {"a": "b"}, "placementGroup": "group",
        "launchTemplate": {"launchTemplateName": "t", "overrides": []},
        "ec2Configuration": [{"imageType": "ECS_AL2023"}],
        "scalingPolicy": {"minScaleDownDelayMinutes": 20},
    }  # fmt: skip
    given = instances(account, profile) | resources
    settings = {"containerInsights": "DISABLED"}
    name = account.name("ce")
    account.batch.create_compute_environment(
        computeEnvironmentName=name, type="MANAGED", computeResources=given, ecsSettings=settings
    )
    shown = account.environment_is(name, "VALID")
    assert {member: shown["computeResources"][member] for member in given} == given
    assert shown["ecsSettings"] == settings
    account.batch.update_compute_environment(
        computeEnvironment=name, updatePolicy={"terminateJobsOnUpdate": True},
        computeResources={"updateToLatestImageVersion": True, "placementGroup": "other"},
    )  # fmt: skip
    assert account.environment_is(name, "VALID")["computeResources"]["placementGroup"] == "other"
    container = {
        "networkConfiguration": {"assignPublicIp": "ENABLED"}, "ephemeralStorage": {"sizeInGiB": 30},
        "fargatePlatformConfiguration": {"platformVersion": "1.4.0"},
    }  # fmt: skip
    definition = account.definition(container=container, propagateTags=True)
    (answer,) = account.batch.describe_job_definitions(jobDefinitions=[definition])["jobDefinitions"]
    assert {member: answer["containerProperties"][member] for member in container} == container
    assert answer["propagateTags"] is True


def table(heading: str) -> dict[str, str]:
    """The rows of a table of the README, by their first column."""
    lines = README.partition(heading)[2].splitlines()[2:]
    rows = [line for line in lines[: lines.index("")] if line.startswith("|")]
    return dict(re.fullmatch(r"\| (.+?) \| (.+) \|", row).groups() for row in rows)


def test_the_readme_lists_what_is_refused() -> None:
    listed = {
        (what, path)
        for what, paths in table("| what | refused members |").items()
        for path in re.findall(r"`([^`]+)`", paths)
    }
    assert listed == {(what, path) for path, what in members.REFUSED.items()}


def test_the_readme_lists_what_has_no_effect() -> None:
    listed = {first.strip("`"): why for first, why in table("| member | why |").items()}
    assert listed == members.WITHOUT_EFFECT
    assert all(f"`{option}`" in README for option in members.LOG_OPTIONS[-2:])
