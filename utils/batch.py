"""Where jobs run and what they run (notebook 02): compute environment, job queue, job definitions, a job by hand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import boto3
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_exponential_jitter

from .config import PYTHON_IMAGE, Config
from .iam import NameConflict, retry_iam_propagation
from .waiting import last_result

AWS_CLI_IMAGE = "public.ecr.aws/aws-cli/aws-cli:latest"
# SageMaker Studio's own image has Python, pandas and boto3. It suits accounts whose jobs can't reach a package index,
# and takes minutes to pull. https://github.com/aws/sagemaker-distribution
SAGEMAKER_IMAGE = "public.ecr.aws/sagemaker/sagemaker-distribution:4.4.1-cpu"
# Fargate's 20 GiB hold an image twice, packed and unpacked. Another image than the default may be too large for that.
# Up to 200 can be asked for. https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-task-storage.html
OTHER_IMAGE_GIB = 50
JOB_CODE = Path(__file__).resolve().parent.parent / "job_code"

# Of a compute environment on Fargate.
# https://docs.aws.amazon.com/batch/latest/APIReference/API_ComputeResource.html
MOST_SUBNETS = 16
# Availability zones that AWS's list for Fargate leaves out, of Tokyo, Beijing and N. California. These are the zones'
# ids, which are the same for every account, unlike their names.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/AWS_Fargate-Regions.html
ZONES_WITHOUT_FARGATE = {"apne1-az3", "cnn1-az3", "usw1-az2"}

# What a task of Fargate Spot gives as its reason when AWS took it back.
# https://repost.aws/knowledge-center/fargate-spot-termination-notice
SPOT_INTERRUPTED = "Your Spot Task was interrupted."
# By platform: a job that lost its machine or failed to start is worth another attempt, a failing program is not. On
# Fargate, pulls of an image and network interfaces fail now and then (https://github.com/nextflow-io/nextflow/issues/5681).
# At most five rules are allowed, and the first that matches decides. A job that no rule matches is retried, so the last
# ones exit. A failed program has a status reason and may have no reason, so there is one for each.
# https://docs.aws.amazon.com/batch/latest/userguide/job_retries.html
_EXIT = [{"onReason": "*", "action": "EXIT"}, {"onStatusReason": "*", "action": "EXIT"}]
RETRY_STRATEGIES: dict[str, dict[str, Any]] = {
    "FARGATE": {
        "attempts": 3,
        "evaluateOnExit": [
            {"onStatusReason": "Your Spot Task was interrupted*", "action": "RETRY"},
            {"onStatusReason": "Task failed to start*", "action": "RETRY"},
            # For a network interface, or for the task's storage.
            {"onStatusReason": "Timeout waiting for *", "action": "RETRY"},
            *_EXIT,
        ],
    },
    "EC2": {
        "attempts": 3,
        "evaluateOnExit": [
            {"onStatusReason": "Host EC2*", "action": "RETRY"},
            {"onStatusReason": "Task failed to start*", "action": "RETRY"},
            *_EXIT,
        ],
    },
}
# A job that can't start blocks the queue behind it and would wait for ever: after an hour at its head it is cancelled.
# https://docs.aws.amazon.com/batch/latest/userguide/job_stuck_in_runnable.html
TIME_LIMITS = [
    {"reason": reason, "state": "RUNNABLE", "maxTimeSeconds": 3600, "action": "CANCEL"}
    for reason in (
        "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY",
        "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE",
        "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT",
    )
]
DONE = ("SUCCEEDED", "FAILED")


class BatchError(RuntimeError):
    """A resource of AWS Batch that can't be used; the message says which, why, and what to do."""


def default_network(session: boto3.Session) -> tuple[list[str], list[str]]:
    """Subnets for Fargate, at most 16, and security groups of the region's default VPC.

    The default subnets are taken, which are public. Without any, all subnets of the VPC are.

    Returns:
        (subnet ids, security group ids)

    Raises:
        BatchError: the region has no default VPC, or Fargate runs in none of its subnets.

    https://docs.aws.amazon.com/vpc/latest/userguide/default-vpc.html
    """
    ec2 = session.client("ec2")
    vpcs = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    if not vpcs:
        raise BatchError(
            f"The region {session.region_name} has no default VPC; make one with `aws ec2 create-default-vpc`, or pass "
            "your own subnets and security groups to ensure_compute_environment."
        )
    of_vpc = {"Name": "vpc-id", "Values": [vpcs[0]["VpcId"]]}
    subnets = [subnet for page in _pages(ec2, "describe_subnets", Filters=[of_vpc]) for subnet in page["Subnets"]]
    subnets = [subnet for subnet in subnets if subnet.get("DefaultForAz")] or subnets
    usable = sorted(subnet["SubnetId"] for subnet in subnets if _has_fargate(session.region_name, subnet))
    if not usable:
        zones = ", ".join(sorted({subnet["AvailabilityZone"] for subnet in subnets})) or "it has none"
        raise BatchError(
            f"Fargate runs in no subnet of the default VPC {vpcs[0]['VpcId']} ({zones}); add one in another zone with "
            "`aws ec2 create-default-subnet`, or pass your own subnets to ensure_compute_environment."
        )
    default = {"Name": "group-name", "Values": ["default"]}
    groups = ec2.describe_security_groups(Filters=[of_vpc, default])["SecurityGroups"]
    return usable[:MOST_SUBNETS], [group["GroupId"] for group in groups]


def _has_fargate(region: str, subnet: dict[str, Any]) -> bool:
    """Whether Fargate runs where a subnet is: in no Local Zone, Wavelength Zone or Outpost, and not in all zones.

    An availability zone is named after its region and a letter, us-west-2a; a Local Zone is us-west-2-lax-1a.
    https://docs.aws.amazon.com/batch/latest/APIReference/API_ComputeResource.html
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/using-regions-availability-zones.html
    """
    in_a_zone = re.fullmatch(re.escape(region) + "[a-z]", subnet["AvailabilityZone"])
    return (
        bool(in_a_zone) and not subnet.get("OutpostArn") and subnet["AvailabilityZoneId"] not in ZONES_WITHOUT_FARGATE
    )


def ensure_compute_environment(
    session: boto3.Session,
    name: str,
    *,
    subnets: list[str],
    security_groups: list[str],
    max_vcpus: int,
    spot: bool = False,
    tags: dict[str, str],
) -> dict[str, Any]:
    """A managed Fargate compute environment, created or brought up to date, ENABLED and VALID.

    Args:
        max_vcpus: vCPUs that may run at once. AWS grants new accounts 6 on Fargate.
        spot: use Fargate Spot, which costs less and may take a job back with two minutes' notice.

    Returns:
        The environment as DescribeComputeEnvironments answers it.

    Raises:
        BatchError: it does not become VALID; the message carries its status, and AWS's reason.
        NameConflict: there is such an environment without these tags.

    https://docs.aws.amazon.com/batch/latest/userguide/fargate.html
    """
    batch = session.client("batch")
    resources = {
        "type": "FARGATE_SPOT" if spot else "FARGATE",
        "maxvCpus": max_vcpus,
        "subnets": subnets,
        "securityGroupIds": security_groups,
    }
    environment = _settled_ours(session, "compute environment", name, tags)
    if environment is None:
        batch.create_compute_environment(
            computeEnvironmentName=name,
            type="MANAGED",
            state="ENABLED",
            computeResources=resources,
            tags=tags,
        )
        return _usable_environment(session, name)
    changes = {
        key: value
        for key, value in resources.items()
        if not matches_desired(environment["computeResources"].get(key), value, key)
    }
    if changes or environment["state"] != "ENABLED":
        batch.update_compute_environment(computeEnvironment=name, state="ENABLED", computeResources=changes)
    return _usable_environment(session, name)


def ensure_job_queue(
    session: boto3.Session, name: str, *, compute_environment: str, priority: int = 1, tags: dict[str, str]
) -> dict[str, Any]:
    """A job queue on one compute environment, created or brought up to date, ENABLED and VALID.

    Args:
        compute_environment: its ARN.
        priority: the queue with the higher number is served first.

    Returns:
        The queue as DescribeJobQueues answers it.

    Raises:
        BatchError: it does not become VALID; the message carries its status, and AWS's reason.
        NameConflict: there is such a queue without these tags.

    https://docs.aws.amazon.com/batch/latest/userguide/job_queues.html
    """
    batch = session.client("batch")
    wanted = {
        "state": "ENABLED",
        "priority": priority,
        "computeEnvironmentOrder": [{"order": 1, "computeEnvironment": compute_environment}],
        "jobStateTimeLimitActions": TIME_LIMITS,
    }
    queue = _settled_ours(session, "job queue", name, tags)
    if queue is None:
        batch.create_job_queue(jobQueueName=name, tags=tags, **wanted)
    elif not matches_desired(queue, wanted):
        batch.update_job_queue(jobQueue=name, **wanted)
    return _require_valid("job queue", name, settled(session, "job queue", name))


def copy_job(config: Config, job_role: str, execution_role: str) -> dict[str, Any]:
    """The article's job definition: `aws s3 cp`, with source and target as parameters."""
    command = ["s3", "cp", "Ref::s3Input", "Ref::s3Output", "--no-progress"]
    return _definition(config, config.copy_job_definition, AWS_CLI_IMAGE, command, job_role, execution_role)


def aggregate_job(config: Config, job_role: str, execution_role: str) -> dict[str, Any]:
    """The job definition that sums up one month, with source and target as parameters."""
    program = (JOB_CODE / "aggregate.py").read_text()
    return python_job(config, program, job_role, execution_role, arguments=["Ref::s3Input", "Ref::s3Output"])


def python_job(
    config: Config,
    program: str,
    job_role: str,
    execution_role: str,
    *,
    arguments: Sequence[str] = (),
    vcpus: float = 1,
    memory_mib: int = 2048,
) -> dict[str, Any]:
    """A job definition that runs a Python program in `config.image`.

    The program travels in the command, so there is no image to build and no code to upload. Program and arguments must
    stay well below 8,192 characters: AWS may count them with the overrides of each job, which have that limit.

    Args:
        config: names the definition, its log group and its image.
        program: text of the program. It names the packages it needs in a line such as `# dependencies = ["boto3"]`, and
            job_code/run.py installs those that the image lacks.
        job_role: ARN of the role that the program has.
        execution_role: ARN of the role that pulls the image and writes the log.
        arguments: of the program, such as "Ref::s3Input" for a parameter of each job. Default: none.
        vcpus: a number that Fargate offers. Default: 1.
        memory_mib: MiB that Fargate offers with these vCPUs. Default: 2,048.

    https://docs.aws.amazon.com/batch/latest/userguide/fargate.html
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskOverride.html
    """
    command = ["python", "-c", (JOB_CODE / "run.py").read_text(), program, *arguments]
    definition = _definition(
        config, config.aggregate_job_definition, config.image, command, job_role, execution_role, vcpus, memory_mib
    )
    if config.image != PYTHON_IMAGE:
        definition["containerProperties"]["ephemeralStorage"] = {"sizeInGiB": OTHER_IMAGE_GIB}
    return definition


def _definition(
    config: Config,
    name: str,
    image: str,
    command: list[str],
    job_role: str,
    execution_role: str,
    vcpus: float = 1,
    memory_mib: int = 2048,
) -> dict[str, Any]:
    return {
        "jobDefinitionName": name,
        "type": "container",
        "platformCapabilities": ["FARGATE"],
        "containerProperties": {
            "image": image,
            "command": command,
            "jobRoleArn": job_role,
            "executionRoleArn": execution_role,
            "resourceRequirements": [
                {"type": "VCPU", "value": f"{vcpus:g}"},
                {"type": "MEMORY", "value": str(memory_mib)},
            ],
            "networkConfiguration": {"assignPublicIp": "ENABLED"},  # to reach the image and S3 from a default VPC
            "runtimePlatform": {"operatingSystemFamily": "LINUX", "cpuArchitecture": "X86_64"},
            "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": config.job_log_group}},
        },
        "retryStrategy": RETRY_STRATEGIES["FARGATE"],
        "timeout": {"attemptDurationSeconds": 600},
        "propagateTags": True,
        "tags": config.tags,
    }


def ensure_job_definition(session: boto3.Session, definition: dict[str, Any]) -> str:
    """Register a job definition, unless its newest active revision says the same already.

    Args:
        definition: what RegisterJobDefinition takes.

    Returns:
        The ARN, with its revision.

    https://docs.aws.amazon.com/batch/latest/userguide/job_definitions.html
    """
    batch = session.client("batch")
    name = definition["jobDefinitionName"]
    active = [
        revision
        for page in _pages(batch, "describe_job_definitions", jobDefinitionName=name, status="ACTIVE")
        for revision in page["jobDefinitions"]
    ]
    if active:
        newest = max(active, key=lambda revision: revision["revision"])
        if matches_desired(newest, definition):
            return newest["jobDefinitionArn"]

    @retry_iam_propagation()
    def register() -> str:
        return batch.register_job_definition(**definition)["jobDefinitionArn"]

    return register()


def matches_desired(actual: Any, wanted: Any, key: str = "") -> bool:
    """Whether AWS's answer holds all of `wanted`; it adds defaults of its own, and some values come in another form."""
    if isinstance(wanted, dict):
        return isinstance(actual, dict) and all(
            matches_desired(actual.get(name), value, name) for name, value in wanted.items()
        )
    if isinstance(wanted, list):
        if not isinstance(actual, list) or len(actual) != len(wanted):
            return False
        if key in _UNORDERED:
            return all(any(matches_desired(one, other) for one in actual) for other in wanted)
        return all(matches_desired(one, other, key) for one, other in zip(actual, wanted, strict=True))
    if key == "action" and isinstance(actual, str):
        # Batch answers evaluateOnExit's action in lower case, and API_EvaluateOnExit says that case does not matter.
        # https://github.com/hashicorp/terraform-provider-aws/issues/19624
        return actual.upper() == wanted.upper()
    return actual == wanted


# Lists whose order has no meaning. Batch may answer environment variables in another one; that it keeps the order of
# the others is nowhere said.
# https://github.com/hashicorp/terraform-provider-aws/blob/main/internal/service/batch/container_properties.go
_UNORDERED = (
    "environment",
    "resourceRequirements",
    "platformCapabilities",
    "subnets",
    "securityGroupIds",
    "jobStateTimeLimitActions",
)


def ensure_log_group(session: boto3.Session, name: str, *, retention_days: int = 14, tags: dict[str, str]) -> None:
    """A log group, created or brought up to date.

    Its lines are deleted after `retention_days`: kept for ever, as in a group that a service makes by itself, they
    would cost for ever.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/Working-with-log-groups-and-streams.html
    """
    logs, group = session.client("logs"), log_group(session, name)
    if group is None:
        logs.create_log_group(logGroupName=name, tags=tags)
    else:
        arn = group["arn"].removesuffix(":*")
        if not tags.items() <= logs.list_tags_for_resource(resourceArn=arn)["tags"].items():
            logs.tag_resource(resourceArn=arn, tags=tags)
    if group is None or group.get("retentionInDays") != retention_days:
        logs.put_retention_policy(logGroupName=name, retentionInDays=retention_days)


def log_group(session: boto3.Session, name: str) -> dict[str, Any] | None:
    """A log group as DescribeLogGroups answers it, or None."""
    pages = _pages(session.client("logs"), "describe_log_groups", logGroupNamePrefix=name)
    groups = (group for page in pages for group in page["logGroups"])
    return next((group for group in groups if group["logGroupName"] == name), None)


def submit_job(
    session: boto3.Session, name: str, *, queue: str, definition: str, parameters: dict[str, str], tags: dict[str, str]
) -> str:
    """Submit one job and return its id."""
    answer = session.client("batch").submit_job(
        jobName=name, jobQueue=queue, jobDefinition=definition, parameters=parameters, tags=tags
    )
    return answer["jobId"]


def wait_for_job(
    session: boto3.Session, job_id: str, *, states: Sequence[str] = DONE, seconds: float = 900
) -> dict[str, Any]:
    """Look at a job until it is in one of these states, and return it as DescribeJobs answers it.

    Raises:
        TimeoutError: it is in none of them after `seconds`; the message names its state and Batch's reason for it.

    https://docs.aws.amazon.com/batch/latest/userguide/job_states.html
    """
    batch = session.client("batch")

    def look() -> dict[str, Any]:
        jobs = batch.describe_jobs(jobs=[job_id])["jobs"]
        return jobs[0] if jobs else {"status": "not known to Batch yet"}

    def give_up(state) -> None:
        job = state.outcome.result()
        raise TimeoutError(
            f"Job {job_id} is {job['status']} after {seconds:.0f} seconds ({job.get('statusReason', 'no reason given')}"
            "); see notebook 06 on jobs that don't start."
        )

    return Retrying(
        retry=retry_if_result(lambda job: job["status"] not in states),
        wait=wait_exponential_jitter(multiplier=0.2, exp_base=1.5, max=10, jitter=0.1),
        stop=stop_after_delay(seconds),
        retry_error_callback=give_up,
    )(look)


def require_success(job: dict[str, Any]) -> dict[str, Any]:
    """Return a job that has succeeded.

    Args:
        job: as DescribeJobs answers it. One that failed before its container started has no start and no exit code.

    Raises:
        BatchError: it has not succeeded; the message has its exit code and Batch's reasons.

    https://docs.aws.amazon.com/batch/latest/APIReference/API_JobDetail.html
    """
    if job["status"] == "SUCCEEDED":
        return job
    container = job.get("container", {})
    exit_code = f", exit code {container['exitCode']}" if "exitCode" in container else ""
    reasons = dict.fromkeys(reason for reason in (job.get("statusReason"), container.get("reason")) if reason)
    why = "; ".join(reasons) or "no reason given"
    raise BatchError(
        f"Job {job['jobName']} ({job['jobId']}) is {job['status']}{exit_code}: {why}. "
        "Mend the cause and submit it again."
    )


def interrupt_job(session: boto3.Session, job_id: str, *, seconds: float = 900) -> str:
    """Take a job's machine away while it works, as Fargate Spot may, to see what its retry strategy makes of it.

    ECS stops the job's task, with the reason that a Spot reclaim gives. A real one only AWS can cause; its Fault
    Injection Service interrupts tasks in the same way. That Batch shows a task's reason as the attempt's status reason
    is seen with reclaims; that it does so with one of ours, AWS does not say.

    Args:
        seconds: how long to wait for the job to run.

    Returns:
        The ARN of the task that was stopped.

    Raises:
        BatchError: the job has ended, or ended before it could be interrupted.
        TimeoutError: it does not run after `seconds`; the message names its state and Batch's reason for it.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_StopTask.html
    https://docs.aws.amazon.com/fis/latest/userguide/fis-actions-reference.html
    """
    job = wait_for_job(session, job_id, states=("RUNNING", *DONE), seconds=seconds)
    if job["status"] in DONE:
        raise BatchError(f"Job {job_id} is {job['status']}: only a job that runs can be interrupted.")
    task = job["container"]["taskArn"]
    ecs = session.client("ecs")
    try:
        ecs.stop_task(cluster=task.split("/")[1], task=task, reason=SPOT_INTERRUPTED)
    except (ecs.exceptions.InvalidParameterException, ecs.exceptions.ClusterNotFoundException) as error:
        why = error.response["Error"]["Message"]
        raise BatchError(f"Job {job_id} ended before it could be interrupted: {why}") from None
    return task


_KINDS = {
    "compute environment": ("describe_compute_environments", "computeEnvironments"),
    "job queue": ("describe_job_queues", "jobQueues"),
}


def describe(session: boto3.Session, kind: str, name: str) -> dict[str, Any] | None:
    """A "compute environment" or a "job queue" by name, or None."""
    call, key = _KINDS[kind]
    resources = getattr(session.client("batch"), call)(**{key: [name]})[key]
    # For a while after its deletion Batch still tells of a resource, as DELETED.
    return resources[0] if resources and resources[0]["status"] != "DELETED" else None


def settled(session: boto3.Session, kind: str, name: str, seconds: float = 300) -> dict[str, Any] | None:
    """The resource when it is no longer CREATING, UPDATING or DELETING, or as it is after `seconds`; None if gone."""
    return Retrying(
        retry=retry_if_result(lambda resource: resource and resource["status"] in ("CREATING", "UPDATING", "DELETING")),
        wait=wait_exponential_jitter(multiplier=0.1, exp_base=1.5, max=5, jitter=0.1),
        stop=stop_after_delay(seconds),
        retry_error_callback=last_result,
    )(lambda: describe(session, kind, name))


def _settled_ours(session: boto3.Session, kind: str, name: str, tags: dict[str, str]) -> dict[str, Any] | None:
    """As `settled`, of what has these tags.

    Raises:
        NameConflict: there is one without them.
    """
    resource = settled(session, kind, name)
    if resource and not tags.items() <= resource.get("tags", {}).items():
        raise NameConflict(f'{kind} "{name}"', "it lacks our tag")
    return resource


def _usable_environment(session: boto3.Session, name: str, seconds: float = 60) -> dict[str, Any]:
    """The compute environment when it is VALID.

    In a new account the first one may be INVALID for some seconds, since Batch and ECS can't use the service-linked
    roles that were made with it. AWS says that an update repairs an environment, so it is updated until it is VALID.
    Should Batch check again by itself, that does no harm.

    Raises:
        BatchError: it does not become VALID within `seconds`, or is INVALID for another reason.

    https://docs.aws.amazon.com/batch/latest/userguide/invalid_compute_environment.html
    https://github.com/hashicorp/terraform-provider-aws/issues/37945
    """
    batch = session.client("batch")

    def check() -> dict[str, Any] | None:
        environment = settled(session, "compute environment", name)
        if _lacks_role(environment):
            batch.update_compute_environment(computeEnvironment=name, state="ENABLED")
        return environment

    environment = Retrying(
        retry=retry_if_result(_lacks_role),
        wait=wait_exponential_jitter(multiplier=2, exp_base=1.5, max=10, jitter=0.5),
        stop=stop_after_delay(seconds),
        retry_error_callback=last_result,
    )(check)
    if environment and _lacks_role(environment):
        raise BatchError(
            f'The compute environment "{name}" is INVALID: {environment["statusReason"].rstrip(".")}. A new '
            "service-linked role can take some minutes, so run this again. If that does not help, create ECS's with "
            "`aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com`."
        )
    return _require_valid("compute environment", name, environment)


def _lacks_role(environment: dict[str, Any] | None) -> bool:
    """Whether an environment is INVALID since a role of Batch's or ECS's can't be used, or not yet."""
    if not environment or environment["status"] != "INVALID":
        return False
    return bool(
        re.search(r"not authorized to perform|assume|service.linked role", environment.get("statusReason", ""), re.I)
    )


def _require_valid(kind: str, name: str, resource: dict[str, Any] | None) -> dict[str, Any]:
    if resource is None or resource["status"] != "VALID":
        status, reason = (resource["status"], resource.get("statusReason")) if resource else ("gone", None)
        raise BatchError(f'The {kind} "{name}" is {status}: {(reason or "AWS gives no reason").rstrip(".")}.')
    return resource


def _pages(client: Any, operation: str, **arguments: Any):
    return client.get_paginator(operation).paginate(**arguments)
