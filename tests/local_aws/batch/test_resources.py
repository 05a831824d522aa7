"""The control plane: what is accepted, what is refused and how, what passes through which state, pages, tags, IAM."""

from __future__ import annotations

import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import LOGS, Account, refusal, wait

PREFIX = "arn:aws:batch:us-east-1:000000000000"


# --- compute environments --------------------------------------------------------------------------------------------


def test_the_life_of_a_compute_environment(account: Account) -> None:
    name = account.name("ce")
    created = account.batch.create_compute_environment(
        computeEnvironmentName=name, type="MANAGED", computeResources=account.fargate(), tags={"a": "b"}
    )
    assert created["computeEnvironmentArn"] == f"{PREFIX}:compute-environment/{name}"
    detail = account.environment_is(name, "CREATING")
    assert (detail["state"], detail["tags"], detail["computeResources"]["maxvCpus"]) == ("ENABLED", {"a": "b"}, 16)
    says = refusal(account.batch.delete_compute_environment, computeEnvironment=name)["Message"]
    assert says.endswith("Cannot delete, resource is being modified.")
    account.environment_is(name, "VALID")
    assert "already exists" in refusal(
        account.batch.create_compute_environment,
        computeEnvironmentName=name, type="MANAGED", computeResources=account.fargate(),
    )["Message"]  # fmt: skip
    assert "must be DISABLED" in refusal(account.batch.delete_compute_environment, computeEnvironment=name)["Message"]
    account.batch.update_compute_environment(
        computeEnvironment=created["computeEnvironmentArn"], state="DISABLED", computeResources={"maxvCpus": 4}
    )
    account.environment_is(name, "UPDATING")
    detail = account.environment_is(name, "VALID")
    assert (detail["state"], detail["computeResources"]["maxvCpus"]) == ("DISABLED", 4)
    assert detail["computeResources"]["subnets"] == [account.subnet]
    account.batch.delete_compute_environment(computeEnvironment=name)
    account.environment_is(name, "DELETING")
    account.environment_is(name, None)
    assert "does not exist" in refusal(account.batch.delete_compute_environment, computeEnvironment=name)["Message"]


@pytest.mark.parametrize(
    ("resources", "says"),
    [
        ({"subnets": []}, "at least one subnet"),
        ({"subnets": ["subnet-nowhere"]}, "subnet-nowhere does not exist"),
        ({"securityGroupIds": []}, "at least one security group"),
        ({"securityGroupIds": ["sg-nowhere"]}, "sg-nowhere does not exist"),
        ({"securityGroupIds": [f"sg-{i}" for i in range(6)]}, "at most 5"),
        ({"subnets": [f"subnet-{i}" for i in range(17)]}, "at most 16"),
        ({"maxvCpus": 0}, "maxvCpus"),
        ({"minvCpus": 0}, "minvCpus is not applicable for Fargate"),
        ({"instanceTypes": ["optimal"]}, "not applicable for Fargate"),
        ({"type": "EC2"}, "Exception : Instance role is required., RequestId: "),
        ({"type": "EC2", "instanceRole": "nobody"}, "does not exist"),
        ({"type": "ECS_MANAGED_INSTANCES"}, "does not cover Amazon ECS Managed Instances"),
    ],
)
def test_compute_resources_that_are_refused(account: Account, resources: dict, says: str) -> None:
    error = refusal(
        account.batch.create_compute_environment,
        computeEnvironmentName=account.name("ce"), type="MANAGED", computeResources=account.fargate(**resources),
    )  # fmt: skip
    assert error["Code"] == "ClientException"
    assert says in error["Message"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"computeEnvironmentName": "no spaces"}, "not valid"),
        ({"computeEnvironmentName": "x" * 129}, "not valid"),
        ({"computeResources": None}, "computeResources must be specified"),
        ({"type": "UNMANAGED"}, "only for MANAGED"),
        ({"unmanagedvCpus": 4}, "only for UNMANAGED"),
        ({"serviceRole": "nobody"}, "does not exist"),
        ({"eksConfiguration": {"eksClusterArn": "a", "kubernetesNamespace": "b"}}, "does not cover"),
        ({"tags": {"aws:x": "y"}}, "aws: prefixed tag key names are not allowed"),
    ],
)
def test_compute_environments_that_are_refused(account: Account, arguments: dict, says: str) -> None:
    complete = {
        "computeEnvironmentName": account.name("ce"), "type": "MANAGED",
        "computeResources": account.fargate(), **arguments,
    }  # fmt: skip
    call = {name: value for name, value in complete.items() if value is not None}
    assert says in refusal(account.batch.create_compute_environment, **call)["Message"]


def test_a_service_role_must_trust_batch(account: Account) -> None:
    arguments = {"type": "MANAGED", "computeResources": account.fargate()}
    wrong, right = account.role(), account.role(service="batch.amazonaws.com")
    create = account.batch.create_compute_environment
    assert "does not trust" in refusal(
        create, computeEnvironmentName=account.name("ce"), serviceRole=wrong, **arguments
    )["Message"]  # fmt: skip
    name = account.name("ce")
    create(computeEnvironmentName=name, serviceRole=right.rsplit("/", 1)[1], **arguments)
    assert account.environment_is(name, "VALID")["serviceRole"] == right


def test_an_unmanaged_environment_is_kept_and_runs_nothing(account: Account) -> None:
    name = account.name("ce")
    account.batch.create_compute_environment(computeEnvironmentName=name, type="UNMANAGED", unmanagedvCpus=8)
    assert account.environment_is(name, "VALID")["unmanagedvCpus"] == 8


# --- job queues ------------------------------------------------------------------------------------------------------


def test_the_life_of_a_job_queue(account: Account) -> None:
    environment, name = account.environment(), account.name("queue")
    order = [{"order": 1, "computeEnvironment": environment}]
    arguments = {"jobQueueName": name, "priority": 5, "computeEnvironmentOrder": order}
    created = account.batch.create_job_queue(**arguments, tags={"a": "b"})
    detail = account.queue_is(name, "CREATING")
    assert (detail["jobQueueType"], detail["priority"], detail["tags"]) == ("ECS_FARGATE", 5, {"a": "b"})
    assert detail["computeEnvironmentOrder"][0]["computeEnvironment"] == f"{PREFIX}:compute-environment/{environment}"
    definition = account.definition()
    assert "VALID" in refusal(account.submit, queue=name, definition=definition)["Message"]
    account.queue_is(name, "VALID")
    assert "already exists" in refusal(account.batch.create_job_queue, **arguments)["Message"]
    account.batch.update_compute_environment(computeEnvironment=environment, state="DISABLED")
    account.environment_is(environment, "VALID")
    error = refusal(account.batch.delete_compute_environment, computeEnvironment=environment)
    assert error["Message"] == "Cannot delete, found existing JobQueue relationship."
    assert "must be DISABLED" in refusal(account.batch.delete_job_queue, jobQueue=name)["Message"]
    account.batch.update_job_queue(jobQueue=created["jobQueueArn"], state="DISABLED", priority=7)
    detail = account.queue_is(name, "VALID")
    assert (detail["state"], detail["priority"]) == ("DISABLED", 7)
    assert "DISABLED" in refusal(account.submit, queue=name, definition=definition)["Message"]
    account.batch.delete_job_queue(jobQueue=name)
    account.queue_is(name, "DELETING")
    account.queue_is(name, None)
    account.batch.delete_compute_environment(computeEnvironment=environment)
    account.environment_is(environment, None)


def time_limit(**changes: Any) -> dict[str, Any]:
    action = {"state": "RUNNABLE", "maxTimeSeconds": 600, "action": "CANCEL"}
    reason = "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"
    return {"jobStateTimeLimitActions": [{"reason": reason, **action, **changes}]}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"jobQueueName": "no spaces"}, "not valid"),
        ({"computeEnvironmentOrder": []}, "at least one"),
        ({"computeEnvironmentOrder": [{"order": 1, "computeEnvironment": "nowhere"}]}, "does not exist"),
        ({"priority": -1}, "priority"),
        ({"schedulingPolicyArn": f"{PREFIX}:scheduling-policy/none"}, "does not exist"),
        ({"jobQueueType": "EKS"}, "does not fit"),
        (time_limit(maxTimeSeconds=599), "600"),
        (time_limit(action="TERMINATE"), "CANCEL"),
        (time_limit(reason="it is stuck"), "must be one of CAPACITY:"),
        ({"serviceEnvironmentOrder": [{"order": 1, "serviceEnvironment": "x"}]}, "does not cover"),
    ],
)  # fmt: skip
def test_job_queues_that_are_refused(account: Account, queue: str, arguments: dict, says: str) -> None:
    order = account.batch.describe_job_queues(jobQueues=[queue])["jobQueues"][0]["computeEnvironmentOrder"]
    complete = {"jobQueueName": account.name("queue"), "priority": 1, "computeEnvironmentOrder": order, **arguments}
    assert says in refusal(account.batch.create_job_queue, **complete)["Message"]


def test_a_queue_needs_valid_environments_and_at_most_three(account: Account) -> None:
    name = account.name("ce")
    account.batch.create_compute_environment(
        computeEnvironmentName=name, type="MANAGED", computeResources=account.fargate()
    )
    error = refusal(
        account.batch.create_job_queue,
        jobQueueName=account.name("queue"),
        priority=1,
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": name}],
    )
    assert "must be valid" in error["Message"]
    four = [account.environment() for _ in range(4)]
    with pytest.raises(ClientError, match="at most 3"):
        account.queue(*four)


# --- scheduling policies ---------------------------------------------------------------------------------------------


def test_the_life_of_a_scheduling_policy(account: Account) -> None:
    name = account.name("policy")
    fair = {"shareDecaySeconds": 60, "shareDistribution": [{"shareIdentifier": "a*", "weightFactor": 0.5}]}
    arn = account.batch.create_scheduling_policy(name=name, fairsharePolicy=fair, tags={"a": "b"})["arn"]
    assert arn == f"{PREFIX}:scheduling-policy/{name}"
    assert {"arn": arn} in account.batch.list_scheduling_policies()["schedulingPolicies"]
    queue = account.queue(account.environment(), schedulingPolicyArn=arn)
    assert "used by a job queue" in refusal(account.batch.delete_scheduling_policy, arn=arn)["Message"]
    definition = account.definition()
    says = refusal(account.submit, queue=queue, definition=definition)["Message"]
    assert says == "shareIdentifier must be specified."
    says = refusal(account.submit, queue=queue, definition=definition, shareIdentifier="ab")["Message"]
    assert says == "Either schedulingPriority in job definition or schedulingPriorityOverride is required."
    job = account.job_is(account.submit(queue, definition, shareIdentifier="ab", schedulingPriorityOverride=3))
    assert (job["status"], job["shareIdentifier"], job["schedulingPriority"]) == ("SUCCEEDED", "ab", 3)
    account.batch.update_scheduling_policy(arn=arn, fairsharePolicy={"computeReservation": 10})
    [detail] = account.batch.describe_scheduling_policies(arns=[arn, f"{arn}-none"])["schedulingPolicies"]
    assert (detail["fairsharePolicy"], detail["tags"]) == ({"computeReservation": 10}, {"a": "b"})
    account.batch.update_job_queue(jobQueue=queue, state="DISABLED")
    account.queue_is(queue, "VALID")
    account.batch.delete_job_queue(jobQueue=queue)
    account.queue_is(queue, None)
    account.batch.delete_scheduling_policy(arn=arn)
    assert "does not exist" in refusal(account.batch.delete_scheduling_policy, arn=arn)["Message"]


@pytest.mark.thorough
def test_a_queue_has_at_most_500_active_shares(account: Account) -> None:
    policy = account.batch.create_scheduling_policy(name=account.name("policy"))["arn"]
    environment = account.environment()
    queue, definition = account.queue(environment, schedulingPolicyArn=policy), account.definition()
    account.batch.update_compute_environment(computeEnvironment=environment, state="DISABLED")
    account.environment_is(environment, "VALID")  # nothing starts, so each share stays active

    def submit(share: str) -> str:
        return account.submit(queue, definition, shareIdentifier=share, schedulingPriorityOverride=1)

    jobs = [submit(f"share{number}") for number in range(500)]
    says = refusal(submit, share="another")["Message"]
    assert f"{PREFIX}:job-queue/{queue} has 500 active share identifiers already." in says
    jobs.append(submit("share7"))
    for job in jobs:
        account.batch.terminate_job(jobId=job, reason="seen enough")


def test_a_queue_s_policy_is_replaced_but_neither_removed_nor_added(account: Account) -> None:
    first, second = (account.batch.create_scheduling_policy(name=account.name("policy"))["arn"] for _ in range(2))
    fair, plain = account.queue(account.environment(), schedulingPolicyArn=first), account.queue(account.environment())
    for queue, policy in ((fair, ""), (plain, first)):
        says = refusal(account.batch.update_job_queue, jobQueue=queue, schedulingPolicyArn=policy)["Message"]
        assert "neither removed nor added" in says
    account.batch.update_job_queue(jobQueue=fair, schedulingPolicyArn=second)
    says = refusal(account.batch.update_job_queue, jobQueue=fair, priority=2)["Message"]
    assert f"Cannot update, resource is being modified: {PREFIX}:job-queue/{fair}" in says
    says = refusal(account.batch.delete_job_queue, jobQueue=fair)["Message"]
    assert "Cannot delete, resource is being modified." in says
    assert account.queue_is(fair, "VALID")["schedulingPolicyArn"] == second


@pytest.mark.thorough
def test_a_queue_has_500_active_shares(account: Account) -> None:
    policy = account.batch.create_scheduling_policy(name=account.name("policy"))["arn"]
    environment, definition = account.environment(), account.definition("true")
    queue = account.queue(environment, schedulingPolicyArn=policy)
    account.batch.update_compute_environment(computeEnvironment=environment, state="DISABLED")  # so that jobs wait
    for number in range(500):
        account.submit(queue, definition, shareIdentifier=f"s{number}", schedulingPriorityOverride=1)
    account.submit(queue, definition, shareIdentifier="s0", schedulingPriorityOverride=1)
    more = {"shareIdentifier": "s500", "schedulingPriorityOverride": 1}
    says = refusal(account.submit, queue=queue, definition=definition, **more)["Message"]
    assert "has 500 active share identifiers already" in says


@pytest.mark.parametrize(
    ("fair", "says"),
    [
        ({"shareDecaySeconds": 604801}, "shareDecaySeconds"),
        ({"computeReservation": 100}, "computeReservation"),
        ({"shareDistribution": [{"shareIdentifier": "a", "weightFactor": 0}]}, "weightFactor"),
        ({"shareDistribution": [{"shareIdentifier": "a-b"}]}, "not valid"),
        ({"shareDistribution": [{"shareIdentifier": "a*"}, {"shareIdentifier": "ab"}]}, "overlap"),
        ({"shareDistribution": [{"shareIdentifier": "a*"}, {"shareIdentifier": "abc*"}]}, "overlap"),
    ],
)
def test_fair_share_policies_that_are_refused(account: Account, fair: dict, says: str) -> None:
    error = refusal(account.batch.create_scheduling_policy, name=account.name("policy"), fairsharePolicy=fair)
    assert says in error["Message"]


# --- job definitions -------------------------------------------------------------------------------------------------


def test_revisions_of_a_job_definition(account: Account) -> None:
    name = account.name("definition")

    def register(command: str) -> dict:
        return account.batch.register_job_definition(
            jobDefinitionName=name, type="container", platformCapabilities=["FARGATE"],
            containerProperties=account.container(command), retryStrategy={"attempts": 2}, tags={"a": "b"},
        )  # fmt: skip

    assert [register(command)["revision"] for command in ("one", "two", "three")] == [1, 2, 3]
    account.batch.deregister_job_definition(jobDefinition=f"{name}:3")
    describe = account.batch.describe_job_definitions
    revisions = {d["revision"]: d for d in describe(jobDefinitionName=name)["jobDefinitions"]}
    assert {revision: d["status"] for revision, d in revisions.items()} == {1: "ACTIVE", 2: "ACTIVE", 3: "INACTIVE"}
    assert revisions[2]["jobDefinitionArn"] == f"{PREFIX}:job-definition/{name}:2"
    assert revisions[2]["containerProperties"]["command"] == ["two"]
    assert revisions[2]["retryStrategy"] == {"attempts": 2, "evaluateOnExit": []}
    active = describe(jobDefinitionName=name, status="ACTIVE")["jobDefinitions"]
    assert [d["revision"] for d in active] == [2, 1]
    [only] = describe(jobDefinitions=[f"{name}:1"])["jobDefinitions"]
    assert only["revision"] == 1
    assert register("four")["revision"] == 4
    assert "revision" in refusal(account.batch.deregister_job_definition, jobDefinition=name)["Message"]
    assert "does not exist" in refusal(account.batch.deregister_job_definition, jobDefinition=f"{name}:9")["Message"]


def test_a_submission_takes_the_newest_active_revision(account: Account, queue: str) -> None:
    name = account.name("definition")
    for _ in range(3):
        account.batch.register_job_definition(
            jobDefinitionName=name,
            type="container",
            platformCapabilities=["FARGATE"],
            containerProperties=account.container(),
        )
    account.batch.deregister_job_definition(jobDefinition=f"{name}:3")
    for given, expected in ((name, 2), (f"{name}:1", 1), (f"{PREFIX}:job-definition/{name}", 2)):
        job_id = account.submit(queue, given)
        assert account.job(job_id)["jobDefinition"].endswith(f":{expected}")
    for missing in (f"{name}:3", "nowhere"):
        says = refusal(account.submit, queue=queue, definition=missing)["Message"]
        assert f"JobDefinition name {missing} does not exist or is not in ACTIVE status" in says


def resources(vcpu: str, memory: str) -> dict[str, Any]:
    return {"resourceRequirements": [{"type": "VCPU", "value": vcpu}, {"type": "MEMORY", "value": memory}]}


@pytest.mark.parametrize(
    ("container", "says"),
    [
        ({"image": ""}, "image"),
        ({"image": "no spaces"}, "image"),
        ({"command": ["a", ""]}, "empty string"),
        ({"environment": [{"name": "AWS_BATCH_X", "value": "1"}]}, "reserved"),
        ({"environment": [{"value": "1"}]}, "needs a name"),
        ({"executionRoleArn": None}, "executionRoleArn is required"),
        ({"jobRoleArn": "just-a-name"}, "not the ARN of a role"),
        (resources("0.3", "512"), "Fargate resource requirements (0.30 vCPU, 512 MiB) not valid."),
        (resources("0.25", "4096"), "Fargate resource requirements (0.25 vCPU, 4096 MiB) not valid. With 0.25 vCPU"),
        (resources("x", "512"), "Value x for type VCPU in resourceRequirement is not valid"),
        ({"resourceRequirements": [{"type": "VCPU", "value": "1"}]}, "Memory is not provided."),
        ({"resourceRequirements": [{"type": "MEMORY", "value": "512"}]}, "vCPU is not provided."),
        ({"resourceRequirements": [{"type": "VCPU", "value": "1"}] * 2}, "twice"),
        ({"vcpus": 1, "memory": 512}, "vcpus is not applicable for Fargate. Use resource requirements instead."),
        ({"privileged": True}, "privileged is not applicable for Fargate."),
        ({"ulimits": [{"name": "nofile", "softLimit": 1, "hardLimit": 1}]}, "ulimits is not applicable for Fargate."),
        ({"ephemeralStorage": {"sizeInGiB": 20}}, "between 21 and 200"),
        ({"logConfiguration": {"logDriver": "syslog"}}, "not supported on Fargate"),
        ({"logConfiguration": {"logDriver": "splunk"}}, "does not cover"),
        ({"secrets": [{"name": "a", "valueFrom": "b"}]}, "does not cover secrets"),
        ({"volumes": [{"name": "a"}]}, "does not cover volumes"),
        ({"user": "nobody"}, "does not cover another user"),
        ({"user": "0:1000"}, "does not cover another user"),
        ({"readonlyRootFilesystem": True}, "readonlyRootFilesystem"),
        ({"linuxParameters": {"sharedMemorySize": 64}}, "sharedMemorySize is not applicable for Fargate"),
        ({"instanceType": "m5.large"}, "multi-node"),
        ({"runtimePlatform": {"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"}}, "Windows"),
    ],
)
def test_containers_that_are_refused(account: Account, container: dict, says: str) -> None:
    properties = {name: value for name, value in {**account.container(), **container}.items() if value is not None}
    error = refusal(
        account.batch.register_job_definition,
        jobDefinitionName=account.name("definition"), type="container", platformCapabilities=["FARGATE"],
        containerProperties=properties,
    )  # fmt: skip
    assert error["Code"] == "ClientException"
    assert says in error["Message"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"jobDefinitionName": "no spaces"}, "not valid"),
        ({"type": "multinode"}, "does not cover multi-node"),
        ({"containerProperties": None}, "needs containerProperties"),
        ({"platformCapabilities": ["EC2", "FARGATE"]}, "one value"),
        ({"platformCapabilities": ["MANAGED_INSTANCES"]}, "does not cover"),
        ({"retryStrategy": {"attempts": 11}}, "between 1 and 10"),
        (
            {"retryStrategy": {"evaluateOnExit": [{"onExitCode": "1", "action": "EXIT"}]}},
            "Exception : RetryAttempts must be provided with retry strategy, RequestId: ",
        ),
        ({"retryStrategy": {"attempts": 2, "evaluateOnExit": [{"action": "EXIT"}]}}, "needs onStatusReason"),
        (
            {"retryStrategy": {"attempts": 2, "evaluateOnExit": [{"onExitCode": "x", "action": "EXIT"}]}},
            "Evaluate on exit condition contains restricted characters. ",
        ),
        (
            {"retryStrategy": {"attempts": 2, "evaluateOnExit": [{"onReason": "a*b", "action": "EXIT"}]}},
            "Evaluate on exit condition contains restricted characters. ",
        ),
        (
            {"retryStrategy": {"attempts": 2, "evaluateOnExit": [{"onReason": "*", "action": "EXIT"}] * 6}},
            "Up to 5 evaluateOnExit condition can be specified.",
        ),
        ({"timeout": {"attemptDurationSeconds": 59}}, "at least 60"),
        ({"schedulingPriority": 10000}, "between 0 and 9999"),
        ({"parameters": {"a": "x" * 30_000}}, "24 KiB"),
        ({"eksProperties": {}}, "does not cover"),
        ({"ecsProperties": {"taskProperties": []}}, "does not cover"),
    ],
)
def test_job_definitions_that_are_refused(account: Account, arguments: dict, says: str) -> None:
    complete = {
        "jobDefinitionName": account.name("definition"), "type": "container", "platformCapabilities": ["FARGATE"],
        "containerProperties": account.container(), **arguments,
    }  # fmt: skip
    call = {name: value for name, value in complete.items() if value is not None}
    assert says in refusal(account.batch.register_job_definition, **call)["Message"]


@pytest.mark.parametrize(
    ("vcpu", "memory"),
    [("0.25", "2048"), ("0.5", "3072"), ("1", "8192"), ("4", "30720"), ("16", "122880"), ("32", "249856")],
)
def test_fargate_sizes(account: Account, vcpu: str, memory: str) -> None:
    assert account.definition(container=resources(vcpu, memory))


def test_ec2_definitions_have_their_own_rules(account: Account) -> None:
    def register(**container: Any) -> str:
        return account.definition(
            platformCapabilities=["EC2"],
            containerProperties={"image": "python", "vcpus": 1, "memory": 128, **container},
        )

    assert register()
    assert (
        "networkConfiguration not applicable for EC2."
        in refusal(register, networkConfiguration={"assignPublicIp": "ENABLED"})["Message"]
    )
    assert (
        "Value 0.5 for type VCPU"
        in refusal(
            account.definition,
            platformCapabilities=["EC2"],
            containerProperties={"image": "python", **resources("0.5", "128")},
        )["Message"]
    )
    assert "at least 4 MiB" in refusal(register, memory=3)["Message"]


# --- submissions -----------------------------------------------------------------------------------------------------

NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            {"jobName": "-begins-wrong"},
            "Error executing request, Exception : Job name should match valid pattern, RequestId: ",
        ),
        ({"jobName": "x" * 129}, "Job name should match valid pattern"),
        ({"arrayProperties": {"size": 1}}, "between 2 and 10,000"),
        ({"arrayProperties": {"size": 10_001}}, "between 2 and 10,000"),
        ({"dependsOn": [{"jobId": NOBODY}]}, "does not exist"),
        ({"dependsOn": [{"jobId": NOBODY}] * 21}, "at most 20"),
        ({"dependsOn": [{}]}, "needs a jobId"),
        ({"dependsOn": [{"type": "SEQUENTIAL"}]}, "needs a jobId"),
        ({"dependsOn": [{"type": "N_TO_N", "jobId": NOBODY}]}, "only for array jobs"),
        ({"dependsOn": [{"type": "SEQUENTIAL", "jobId": NOBODY}], "arrayProperties": {"size": 2}}, "takes no jobId"),
        ({"containerOverrides": {"command": [""]}}, "empty string"),
        ({"containerOverrides": {"environment": [{"name": "AWS_BATCH_X", "value": "1"}]}}, "reserved"),
        (
            {"containerOverrides": {"vcpus": 2}},
            "vcpus is not applicable for Fargate. Use resource requirements instead.",
        ),
        ({"containerOverrides": resources("0.25", "4096")}, "(0.25 vCPU, 4096 MiB) not valid"),
        ({"parameters": {"x": "y" * 48_000}}, "Job size must be less than 30 KiB, got 47 KiB"),
        ({"timeout": {"attemptDurationSeconds": 1}}, "at least 60"),
        ({"retryStrategy": {"attempts": 0}}, "between 1 and 10"),
        ({"shareIdentifier": "a"}, "Job with shareIdentifier or schedulingPriority can onlybe submitted"),
        ({"schedulingPriorityOverride": 1}, "can onlybe submitted to job queue with fair share scheduling policy."),
        ({"schedulingPriorityOverride": -1}, "between 0 and 9999"),
        ({"nodeOverrides": {"numNodes": 2}}, "does not cover"),
        ({"tags": {f"k{i}": "v" for i in range(51)}}, "50"),
    ],
)
def test_submissions_that_are_refused(account: Account, queue: str, arguments: dict, says: str) -> None:
    definition = account.definition()
    error = refusal(account.submit, queue=queue, definition=definition, **arguments)
    assert error["Code"] == "ClientException"
    assert says in error["Message"]


def test_n_to_n_needs_an_array_of_the_same_size(account: Account, queue: str) -> None:
    definition = account.definition()
    array = account.submit(queue, definition, arrayProperties={"size": 2})
    depends_on = [{"jobId": array, "type": "N_TO_N"}]
    error = refusal(
        account.submit, queue=queue, definition=definition, arrayProperties={"size": 3}, dependsOn=depends_on
    )
    assert "same size" in error["Message"]


def test_a_definition_for_ec2_does_not_fit_a_fargate_queue(account: Account, queue: str) -> None:
    definition = account.definition(
        platformCapabilities=["EC2"], containerProperties={"image": "python", "vcpus": 1, "memory": 128}
    )
    says = "Job Queue is attached to Compute Environment that can not run Jobs with capability EC2"
    assert refusal(account.submit, queue=queue, definition=definition)["Message"] == says


def test_placeholders_need_a_value(account: Account, queue: str) -> None:
    definition = account.definition("echo", "Ref::given", "Ref::default", "a Ref::word", parameters={"default": "d"})
    says = "Unable to substitute value. No parameter found for reference given"
    assert refusal(account.submit, queue=queue, definition=definition)["Message"] == says
    job = account.job_is(account.submit(queue, definition, parameters={"given": "g"}))
    assert account.lines(job) == ["g d a Ref::word"]
    assert job["parameters"] == {"given": "g", "default": "d"}


# --- describing and listing ------------------------------------------------------------------------------------------


def test_describe_jobs_finds_what_is_there(account: Account, queue: str) -> None:
    job = account.run(queue)
    jobs = account.batch.describe_jobs(jobs=[job["jobArn"], NOBODY, f"{job['jobId']}:0"])["jobs"]
    assert [one["jobId"] for one in jobs] == [job["jobId"]]
    assert (
        "Exception : Maximum number of jobs supported is  100, RequestId: "
        in refusal(account.batch.describe_jobs, jobs=[NOBODY] * 101)["Message"]
    )
    assert refusal(account.batch.describe_jobs, jobs=[])["Code"] == "ClientException"


def test_list_jobs(account: Account) -> None:
    queue = account.queue(account.environment())
    definition = account.definition()
    name = definition.rsplit("/", 1)[1].partition(":")[0]
    began = int(time.time() * 1000) - 1
    ids = [account.submit(queue, definition, jobName=f"Some-{index}") for index in range(5)]
    for job_id in ids:
        account.job_is(job_id, "SUCCEEDED")

    def listed(**arguments: Any) -> list[str]:
        return [job["jobId"] for job in account.batch.list_jobs(jobQueue=queue, **arguments)["jobSummaryList"]]

    def by(name: str, *values: str) -> list[str]:
        return listed(filters=[{"name": name, "values": list(values)}])

    assert listed() == []  # RUNNING only, when nothing is said
    newest_first = ids[::-1]
    assert listed(jobStatus="SUCCEEDED") == newest_first
    assert by("JOB_NAME", "some-*") == newest_first
    assert by("JOB_NAME", "SOME-3") == [ids[3]]
    assert by("JOB_DEFINITION", definition) == by("JOB_DEFINITION", name) == newest_first
    assert by("JOB_DEFINITION", f"{name}-other") == []
    assert by("AFTER_CREATED_AT", str(began)) == newest_first
    assert by("BEFORE_CREATED_AT", str(began)) == []
    first = account.batch.list_jobs(jobQueue=queue, jobStatus="SUCCEEDED", maxResults=2)
    assert [job["jobId"] for job in first["jobSummaryList"]] == newest_first[:2]
    pages = account.batch.get_paginator("list_jobs").paginate(
        jobQueue=queue, jobStatus="SUCCEEDED", PaginationConfig={"PageSize": 2}
    )
    assert [job["jobId"] for page in pages for job in page["jobSummaryList"]] == newest_first
    refused = account.batch.list_jobs
    assert "exactly one" in refusal(refused, jobQueue=queue, arrayJobId=ids[0])["Message"]
    assert "not valid" in refusal(refused, jobQueue=queue, filters=[{"name": "STATUS", "values": ["x"]}])["Message"]
    assert "no array job" in refusal(refused, arrayJobId=ids[0])["Message"]
    assert "nextToken" in refusal(refused, jobQueue=queue, nextToken="!")["Message"]
    assert refusal(refused, jobQueue="nowhere")["Message"] == "JobQueue nowhere not found."


@pytest.fixture(scope="module")
def several(account: Account) -> None:
    """At least two of each kind of resource."""
    for _ in range(2):
        account.queue(account.environment())
        account.definition()
        account.batch.create_scheduling_policy(name=account.name("policy"), fairsharePolicy={})


@pytest.mark.parametrize(
    ("operation", "key"),
    [
        ("describe_compute_environments", "computeEnvironments"),
        ("describe_job_queues", "jobQueues"),
        ("describe_job_definitions", "jobDefinitions"),
        ("list_scheduling_policies", "schedulingPolicies"),
    ],
)
def test_pages_together_are_the_whole(account: Account, several: None, operation: str, key: str) -> None:
    whole = getattr(account.batch, operation)()[key]
    pages = list(account.batch.get_paginator(operation).paginate(PaginationConfig={"PageSize": 1}))
    paged = [item for page in pages for item in page[key]]
    assert max(len(page[key]) for page in pages) == 1
    assert [str(item) for item in paged][: len(whole)] == [str(item) for item in whole]


# --- tags ------------------------------------------------------------------------------------------------------------


def test_tags_of_every_kind_of_resource(account: Account, queue: str) -> None:
    environment = f"{PREFIX}:compute-environment/{account.environment()}"
    policy = account.batch.create_scheduling_policy(name=account.name("policy"), fairsharePolicy={})["arn"]
    job = f"{PREFIX}:job/{account.submit(queue, account.definition())}"
    for arn in (environment, f"{PREFIX}:job-queue/{queue}", policy, account.definition(), job):
        account.batch.tag_resource(resourceArn=arn, tags={"one": "1", "two": "2"})
        account.batch.tag_resource(resourceArn=arn, tags={"two": "II"})
        assert account.batch.list_tags_for_resource(resourceArn=arn)["tags"] == {"one": "1", "two": "II"}
        account.batch.untag_resource(resourceArn=arn, tagKeys=["one", "none"])
        assert account.batch.list_tags_for_resource(resourceArn=arn)["tags"] == {"two": "II"}
        many = {f"k{index}": "v" for index in range(50)}
        assert "50" in refusal(account.batch.tag_resource, resourceArn=arn, tags=many)["Message"]
        account.batch.untag_resource(resourceArn=arn, tagKeys=["two"])
    assert "does not exist" in refusal(account.batch.list_tags_for_resource, resourceArn=f"{policy}-none")["Message"]
    array = account.submit(queue, account.definition(), arrayProperties={"size": 2})
    child = f"{PREFIX}:job/{array}:0"
    assert "aren't supported" in refusal(account.batch.tag_resource, resourceArn=child, tags={"a": "b"})["Message"]


def test_tagged_resources_are_found_by_their_tag(account: Account) -> None:
    mark = account.name("mark")
    queue = account.queue(account.environment(), tags={"mark": mark})
    definition = account.definition(tags={"mark": mark})
    tagging = account.client("resourcegroupstaggingapi")

    def tagged() -> set[str]:
        answer = tagging.get_resources(TagFilters=[{"Key": "mark", "Values": [mark]}])
        return {entry["ResourceARN"] for entry in answer["ResourceTagMappingList"]}

    assert tagged() == {f"{PREFIX}:job-queue/{queue}", definition}
    job_id = account.submit(queue, account.definition("sleep", "60"), tags={"mark": mark})
    assert tagged() == {f"{PREFIX}:job-queue/{queue}", definition, f"{PREFIX}:job/{job_id}"}
    account.batch.terminate_job(jobId=job_id, reason="found")
    account.job_is(job_id)
    account.batch.deregister_job_definition(jobDefinition=definition)
    assert tagged() == {f"{PREFIX}:job-queue/{queue}"}


# --- IAM -------------------------------------------------------------------------------------------------------------


def allow(action: str | list[str], resource: str | list[str] = "*", **condition: Any) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return statement | ({"Condition": condition} if condition else {})


def test_every_operation_needs_its_action_on_its_resource(account: Account, queue: str) -> None:
    definition = account.definition()
    job_id = account.job_is(account.submit(queue, definition))["jobId"]
    environment = account.environment()
    queue_arn, job_arn = f"{PREFIX}:job-queue/{queue}", f"{PREFIX}:job/{job_id}"
    environment_arn = f"{PREFIX}:compute-environment/{environment}"
    policy = account.batch.create_scheduling_policy(name=account.name("policy"), fairsharePolicy={})["arn"]
    order = [{"order": 1, "computeEnvironment": environment}]
    calls: list[tuple[str, dict, list[dict]]] = [
        ("describe_compute_environments", {}, [allow("batch:DescribeComputeEnvironments")]),
        ("describe_job_queues", {}, [allow("batch:DescribeJobQueues")]),
        ("describe_job_definitions", {}, [allow("batch:DescribeJobDefinitions")]),
        ("describe_jobs", {"jobs": [job_id]}, [allow("batch:DescribeJobs")]),
        ("list_jobs", {"jobQueue": queue}, [allow("batch:ListJobs")]),
        ("list_scheduling_policies", {}, [allow("batch:ListSchedulingPolicies")]),
        ("describe_scheduling_policies", {"arns": [policy]}, [allow("batch:DescribeSchedulingPolicies")]),
        ("update_scheduling_policy", {"arn": policy}, [allow("batch:UpdateSchedulingPolicy", policy)]),
        ("get_job_queue_snapshot", {"jobQueue": queue}, [allow("batch:GetJobQueueSnapshot", queue_arn)]),
        ("list_tags_for_resource", {"resourceArn": job_arn}, [allow("batch:ListTagsForResource", job_arn)]),
        ("tag_resource", {"resourceArn": job_arn, "tags": {"a": "b"}}, [allow("batch:TagResource", job_arn)]),
        ("untag_resource", {"resourceArn": job_arn, "tagKeys": ["a"]}, [allow("batch:UntagResource", job_arn)]),
        ("cancel_job", {"jobId": job_id, "reason": "x"}, [allow("batch:CancelJob", job_arn)]),
        ("terminate_job", {"jobId": job_id, "reason": "x"}, [allow("batch:TerminateJob", job_arn)]),
        ("update_compute_environment", {"computeEnvironment": environment, "computeResources": {"maxvCpus": 8}},
         [allow("batch:UpdateComputeEnvironment", environment_arn)]),
        ("update_job_queue", {"jobQueue": queue, "priority": 1}, [allow("batch:UpdateJobQueue", queue_arn)]),
        ("create_scheduling_policy", {"name": "by-a-user", "fairsharePolicy": {}},
         [allow("batch:CreateSchedulingPolicy", f"{PREFIX}:scheduling-policy/by-a-user")]),
        ("delete_scheduling_policy", {"arn": f"{PREFIX}:scheduling-policy/by-a-user"},
         [allow("batch:DeleteSchedulingPolicy", f"{PREFIX}:scheduling-policy/by-a-user")]),
        ("create_compute_environment",
         {"computeEnvironmentName": "by-a-user", "type": "MANAGED", "computeResources": account.fargate(),
          "tags": {"a": "b"}},
         [allow("batch:CreateComputeEnvironment", f"{PREFIX}:compute-environment/by-a-user"),
          allow("batch:TagResource", f"{PREFIX}:compute-environment/by-a-user",
                StringEquals={"aws:RequestTag/a": "b"})]),
        ("create_job_queue", {"jobQueueName": "by-a-user", "priority": 1, "computeEnvironmentOrder": order},
         [allow("batch:CreateJobQueue", [f"{PREFIX}:job-queue/by-a-user", environment_arn])]),
        ("register_job_definition",
         {"jobDefinitionName": "by-a-user", "type": "container", "platformCapabilities": ["FARGATE"],
          "containerProperties": account.container()},
         [allow("batch:RegisterJobDefinition", f"{PREFIX}:job-definition/by-a-user"),
          allow("iam:PassRole", account.execution_role,
                StringEquals={"iam:PassedToService": "ecs-tasks.amazonaws.com"})]),
        ("deregister_job_definition", {"jobDefinition": "by-a-user:1"},
         [allow("batch:DeregisterJobDefinition", f"{PREFIX}:job-definition/by-a-user:1")]),
        ("submit_job", {"jobName": "j", "jobQueue": queue, "jobDefinition": definition},
         [allow("batch:SubmitJob", [queue_arn, definition])]),
        ("submit_job", {"jobName": "j", "jobQueue": queue, "jobDefinition": definition, "tags": {"a": "b"}},
         [allow("batch:SubmitJob", [queue_arn, definition]),
          allow("batch:TagResource", [queue_arn, definition, f"{PREFIX}:job/*"])]),
    ]  # fmt: skip
    nobody = account.user()
    for operation, arguments, statements in calls:
        error = refusal(getattr(nobody, operation), **arguments)
        assert error["Code"] == "AccessDeniedException", operation
        assert statements[0]["Action"] in error["Message"], operation
        wait(lambda: _settled(account, environment, queue))
        for left_out in range(1, len(statements)):
            partly = account.user(*(s for index, s in enumerate(statements) if index != left_out))
            assert refusal(getattr(partly, operation), **arguments)["Code"] == "AccessDeniedException", operation
        getattr(account.user(*statements), operation)(**arguments)


def _settled(account: Account, environment: str, queue: str) -> bool:
    environments = account.batch.describe_compute_environments(computeEnvironments=[environment, "by-a-user"])
    queues = account.batch.describe_job_queues(jobQueues=[queue, "by-a-user"])["jobQueues"]
    return all(one["status"] == "VALID" for one in environments["computeEnvironments"] + queues)


def test_passing_a_service_role_needs_the_right(account: Account) -> None:
    role = account.role(service="batch.amazonaws.com")
    arguments = {"computeEnvironmentName": account.name("ce"), "type": "MANAGED", "computeResources": account.fargate()}
    user = account.user(allow("batch:*"))
    assert "iam:PassRole" in refusal(user.create_compute_environment, serviceRole=role, **arguments)["Message"]


def test_a_policy_must_match_a_definition_as_it_is_named_and_with_its_revision(account: Account, queue: str) -> None:
    definition = account.definition()
    family, queue_arn = definition.rpartition(":")[0], f"{PREFIX}:job-queue/{queue}"
    by_name, by_revision = (
        {"jobName": "j", "jobQueue": queue, "jobDefinition": named} for named in (family, definition)
    )
    for resources, accepted, refused in (
        ([family], [], [by_name, by_revision]),
        ([f"{family}:*"], [by_revision], [by_name]),
        ([f"{family}*"], [by_name, by_revision], []),
    ):
        user = account.user(allow("batch:SubmitJob", [queue_arn, *resources]))
        for arguments in accepted:
            assert user.submit_job(**arguments)["jobId"]
        for arguments in refused:
            assert refusal(user.submit_job, **arguments)["Code"] == "AccessDeniedException"


def test_a_submission_with_tags_tags_its_definition_and_queue(account: Account, queue: str) -> None:
    definition = account.definition()
    submit = allow("batch:SubmitJob", [f"{PREFIX}:job-queue/{queue}", definition])
    user = account.user(submit, allow("batch:TagResource", f"{PREFIX}:job/*"))
    arguments = {"jobName": "j", "jobQueue": queue, "jobDefinition": definition}
    assert "batch:TagResource" in refusal(user.submit_job, **arguments, tags={"a": "b"})["Message"]
    assert user.submit_job(**arguments)["jobId"]


def test_a_resources_tags_can_be_a_condition(account: Account, queue: str) -> None:
    """https://docs.aws.amazon.com/batch/latest/userguide/iam-example-restrict-job-submission-by-tags.html"""
    calc, other = account.definition(tags={"Project": "calc"}), account.definition(tags={"Project": "other"})
    user = account.user(
        allow("batch:SubmitJob", f"{PREFIX}:job-queue/*"),
        allow("batch:SubmitJob", f"{PREFIX}:job-definition/*:*", StringEquals={"aws:ResourceTag/Project": "calc"}),
        allow("batch:TerminateJob", StringEquals={"aws:ResourceTag/owner": "me"}),
    )
    arguments = {"jobName": "j", "jobQueue": queue}
    assert user.submit_job(**arguments, jobDefinition=calc)["jobId"]
    for refused in (other, calc.rpartition(":")[0]):
        assert refusal(user.submit_job, **arguments, jobDefinition=refused)["Code"] == "AccessDeniedException"
    mine = account.submit(queue, calc, tags={"owner": "me"}, arrayProperties={"size": 2})
    yours = account.submit(queue, calc, tags={"owner": "you"})
    user.terminate_job(jobId=mine, reason="mine")
    user.terminate_job(jobId=f"{mine}:1", reason="mine")
    assert refusal(user.terminate_job, jobId=yours, reason="not mine")["Code"] == "AccessDeniedException"


def test_an_explicit_deny_of_a_definition_wins(account: Account, queue: str) -> None:
    definition = account.definition()
    deny = {"Effect": "Deny", "Action": "batch:SubmitJob", "Resource": definition}
    user = account.user(allow("batch:SubmitJob"), deny)
    error = refusal(user.submit_job, jobName="j", jobQueue=queue, jobDefinition=definition)
    assert "explicit deny" in error["Message"]


def test_a_share_identifier_can_be_a_condition(account: Account) -> None:
    policy = account.batch.create_scheduling_policy(name=account.name("policy"), fairsharePolicy={})["arn"]
    queue = account.queue(account.environment(), schedulingPolicyArn=policy)
    user = account.user(allow("batch:SubmitJob", StringEquals={"batch:ShareIdentifier": "lowCpu"}))
    arguments = {"jobName": "j", "jobQueue": queue, "jobDefinition": account.definition()}
    assert user.submit_job(**arguments, shareIdentifier="lowCpu", schedulingPriorityOverride=0)["jobId"]
    assert refusal(user.submit_job, **arguments, shareIdentifier="other")["Code"] == "AccessDeniedException"


def test_bulk_operations_say_for_each_job_whether_it_was_allowed(account: Account, queue: str) -> None:
    definition = account.definition()
    ids = [account.job_is(account.submit(queue, definition))["jobId"] for _ in range(2)]
    user = account.user(allow("batch:TerminateJob", f"{PREFIX}:job/{ids[0]}"))
    answer = user.terminate_jobs(jobs=ids, reason="x")
    assert answer["successful"] == [ids[0]]
    assert [(error["job"], error["code"]) for error in answer["errors"]] == [(ids[1], "AccessDenied")]


def test_accounts_regions_and_what_is_not_covered(account: Account, queue: str) -> None:
    elsewhere = account.aws.session.client("batch", region_name="eu-west-1", endpoint_url=account.aws.endpoint_url)
    assert elsewhere.describe_job_queues()["jobQueues"] == []
    job = account.run(queue)
    assert elsewhere.describe_jobs(jobs=[job["jobId"]])["jobs"] == []
    prefix, queue_arn = "in this account and Region", f"{PREFIX}:job-queue/{queue}"
    environment = account.batch.describe_compute_environments()["computeEnvironments"][0]["computeEnvironmentArn"]
    policy = account.batch.create_scheduling_policy(name=account.name("policy"), fairsharePolicy={})["arn"]
    assert prefix in refusal(elsewhere.get_job_queue_snapshot, jobQueue=queue_arn)["Message"]
    assert prefix in refusal(elsewhere.delete_compute_environment, computeEnvironment=environment)["Message"]
    assert prefix in refusal(elsewhere.list_tags_for_resource, resourceArn=queue_arn)["Message"]
    assert (
        prefix
        in refusal(elsewhere.submit_job, jobName="j", jobQueue="q", jobDefinition=job["jobDefinition"])["Message"]
    )
    assert prefix in refusal(elsewhere.describe_job_definitions, jobDefinitions=[job["jobDefinition"]])["Message"]
    assert "does not exist" in refusal(elsewhere.delete_scheduling_policy, arn=policy)["Message"]
    elsewhere.terminate_job(jobId=job["jobId"], reason="from elsewhere")
    client = account.aws.client("batch", retries={"total_max_attempts": 1})
    error = refusal(client.list_consumable_resources)
    assert "does not cover batch:ListConsumableResources" in error["Message"]


def test_conditions_on_the_log_group_of_a_definition(account: Account) -> None:
    name = account.name("definition")
    user = account.user(
        allow("batch:RegisterJobDefinition", StringEquals={"batch:AWSLogsGroup": "/mine"}), allow("iam:PassRole"), LOGS
    )
    arguments = {"jobDefinitionName": name, "type": "container", "platformCapabilities": ["FARGATE"]}

    def container(group: str) -> dict:
        return account.container(logConfiguration={"logDriver": "awslogs", "options": {"awslogs-group": group}})

    refused = refusal(user.register_job_definition, containerProperties=container("/other"), **arguments)
    assert refused["Code"] == "AccessDeniedException"
    assert user.register_job_definition(containerProperties=container("/mine"), **arguments)["revision"] == 1
