"""What is done with every member of the requests that are covered.

A test holds these tables against botocore's model, and local_aws/README.md against these tables. A member is written as
its path in the request, `[]` for each item of a list; it stands for all that it contains, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from local_aws.batch.model.errors import not_covered

# Of the awslogs driver's options, those that a job may have; the last two have no effect here.
LOG_OPTIONS = (
    "awslogs-group", "awslogs-region", "awslogs-stream-prefix", "awslogs-create-group", "mode", "max-buffer-size",
)  # fmt: skip

_ENVIRONMENT = """state serviceRole
    computeResources.type computeResources.maxvCpus computeResources.instanceTypes computeResources.instanceRole"""
_CONTAINER = """image vcpus memory command jobRoleArn executionRoleArn environment resourceRequirements
    linuxParameters.initProcessEnabled logConfiguration.logDriver logConfiguration.options runtimePlatform"""
_QUEUE = "state schedulingPolicyArn priority computeEnvironmentOrder jobStateTimeLimitActions"

# Members that decide what happens, by operation. StopTask is ECS's.
HONOURED: dict[str, str] = {
    "CreateComputeEnvironment": f"computeEnvironmentName type tags {_ENVIRONMENT}",
    "DescribeComputeEnvironments": "computeEnvironments maxResults nextToken",
    "UpdateComputeEnvironment": f"computeEnvironment {_ENVIRONMENT}",
    "DeleteComputeEnvironment": "computeEnvironment",
    "CreateJobQueue": f"jobQueueName jobQueueType tags {_QUEUE}",
    "DescribeJobQueues": "jobQueues maxResults nextToken",
    "UpdateJobQueue": f"jobQueue {_QUEUE}",
    "DeleteJobQueue": "jobQueue",
    "GetJobQueueSnapshot": "jobQueue",
    "CreateSchedulingPolicy": "name fairsharePolicy tags",
    "DescribeSchedulingPolicies": "arns",
    "ListSchedulingPolicies": "maxResults nextToken",
    "UpdateSchedulingPolicy": "arn fairsharePolicy",
    "DeleteSchedulingPolicy": "arn",
    "RegisterJobDefinition": "jobDefinitionName type parameters schedulingPriority retryStrategy timeout tags "
    "platformCapabilities " + " ".join(f"containerProperties.{member}" for member in _CONTAINER.split()),
    "DescribeJobDefinitions": "jobDefinitions maxResults jobDefinitionName status nextToken",
    "DeregisterJobDefinition": "jobDefinition",
    "SubmitJob": """jobName jobQueue shareIdentifier schedulingPriorityOverride arrayProperties dependsOn jobDefinition
        parameters containerOverrides.vcpus containerOverrides.memory containerOverrides.command
        containerOverrides.environment containerOverrides.resourceRequirements retryStrategy timeout tags""",
    "DescribeJobs": "jobs",
    "ListJobs": "jobQueue arrayJobId jobStatus maxResults nextToken filters",
    "CancelJob": "jobId reason",
    "TerminateJob": "jobId reason",
    "CancelJobs": "jobs reason",
    "TerminateJobs": "jobs reason",
    "TagResource": "resourceArn tags",
    "UntagResource": "resourceArn tagKeys",
    "ListTagsForResource": "resourceArn",
    "StopTask": "cluster task reason",
}

_NETWORK = "it must exist; a job uses this machine's network"
_NO_INSTANCES = "there are no instances; shown as it was given"

# Members that are taken and shown, and change nothing for a job; and why.
WITHOUT_EFFECT: dict[str, str] = {
    "unmanagedvCpus": "an UNMANAGED environment runs nothing here",
    "ecsSettings": "there are no Container Insights",
    "updatePolicy": "an update ends no job",
    "computeResources.subnets": _NETWORK,
    "computeResources.securityGroupIds": _NETWORK,
    "computeResources.minvCpus": "checked against maxvCpus; there are no instances to keep",
    "computeResources.desiredvCpus": "checked against maxvCpus; there are no instances to start",
    "computeResources.spotIamFleetRole": "passing it needs iam:PassRole; there is no fleet",
    "computeResources.allocationStrategy": "checked; there are no instances to choose from",
    "computeResources.bidPercentage": "checked; nothing costs anything",
    "computeResources.imageId": _NO_INSTANCES,
    "computeResources.ec2KeyPair": _NO_INSTANCES,
    "computeResources.tags": _NO_INSTANCES,
    "computeResources.placementGroup": _NO_INSTANCES,
    "computeResources.launchTemplate": _NO_INSTANCES,
    "computeResources.ec2Configuration": _NO_INSTANCES,
    "computeResources.scalingPolicy": _NO_INSTANCES,
    "computeResources.updateToLatestImageVersion": "there are no instances, and so no images of theirs",
    "propagateTags": "checked that there are at most 50 tags; a task's tags can't be read here",
    "containerProperties.networkConfiguration": "a job uses this machine's network",
    "containerProperties.fargatePlatformConfiguration": "there is one platform, this machine",
    "containerProperties.ephemeralStorage": "checked; a job has this machine's disk",
    "containerProperties.privileged": "a process has the server's rights on this machine, never more; Docker gets it",
    "containerProperties.ulimits": "a process has the server's limits; Docker gets them",
    "containerProperties.user": "only root, the images' default; a process has the server's user; Docker gets it",
}

_EKS = "jobs on Amazon EKS"
_MANAGED_INSTANCES = "Amazon ECS Managed Instances"
_SERVICE_JOBS = "service jobs"
_MULTI_NODE = "multi-node parallel jobs"
_QUOTA_SHARES = "quota shares"
_CONSUMABLE = "consumable resources"

# Members that a process can't do justice to, and what they stand for. They are refused rather than run wrong.
REFUSED: dict[str, str] = {
    "eksConfiguration": _EKS,
    "context": "a member that AWS has reserved",
    "computeResources.managedInstancesProvider": _MANAGED_INSTANCES,
    "computeResources.capacityTags": _MANAGED_INSTANCES,
    "computeResources.launchTemplate.userdataType": _EKS,
    "computeResources.launchTemplate.overrides[].userdataType": _EKS,
    "computeResources.ec2Configuration[].imageKubernetesVersion": _EKS,
    "computeResources.ec2Configuration[].batchImageStatus": "a status that only AWS sets",
    "serviceEnvironmentOrder": _SERVICE_JOBS,
    "quotaSharePolicy": _QUOTA_SHARES,
    "eksProperties": _EKS,
    "nodeProperties": _MULTI_NODE,
    "ecsProperties": "jobs of several containers",
    "consumableResourceProperties": _CONSUMABLE,
    "containerProperties.instanceType": _MULTI_NODE,
    "containerProperties.volumes": "volumes",
    "containerProperties.mountPoints": "volumes",
    "containerProperties.secrets": "secrets",
    "containerProperties.repositoryCredentials": "private registries",
    "containerProperties.readonlyRootFilesystem": "read-only file systems",
    "containerProperties.enableExecuteCommand": "ECS Exec",
    "containerProperties.linuxParameters.devices": "devices of the host",
    "containerProperties.linuxParameters.sharedMemorySize": "shared memory of a given size",
    "containerProperties.linuxParameters.tmpfs": "tmpfs mounts",
    "containerProperties.linuxParameters.maxSwap": "swap",
    "containerProperties.linuxParameters.swappiness": "swap",
    "containerProperties.logConfiguration.secretOptions": "secrets",
    "nodeOverrides": _MULTI_NODE,
    "eksPropertiesOverride": _EKS,
    "ecsPropertiesOverride": "jobs of several containers",
    "consumableResourcePropertiesOverride": _CONSUMABLE,
    "containerOverrides.instanceType": _MULTI_NODE,
    "multiNodeJobId": _MULTI_NODE,
}


def check(operation: str, params: dict[str, Any]) -> None:
    """Refuse, by name, what a request has and the embedded AWS lacks.

    Raises:
        ApiError: ClientException for a member of REFUSED that has a value, and for one that is in no table.
    """
    known = {*HONOURED[operation].split(), *WITHOUT_EFFECT}
    for path in _paths(params, ""):
        upwards = list(_upwards(path))
        what = next((REFUSED[one] for one in upwards if one in REFUSED), None)
        if what:
            raise not_covered(f"{what} ({path})")
        if not known & set(upwards) and not any(one.startswith(f"{path}.") for one in known):
            raise not_covered(path)


def _paths(value: Any, path: str) -> list[str]:
    """The paths of all values. An empty list and a switch that is off are none, an empty structure is one."""
    if isinstance(value, dict):
        inside = [one for name, item in value.items() for one in _paths(item, f"{path}.{name}" if path else name)]
        return inside or ([path] if path else [])  # the request itself is no member
    if isinstance(value, list):
        return [one for item in value for one in _paths(item, f"{path}[]")]
    return [] if value is None or value is False or value == "" else [path]


def _upwards(path: str) -> Iterator[str]:
    """The path itself, then whatever contains it."""
    while path:
        yield path
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
