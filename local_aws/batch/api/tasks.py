"""Jobs as ECS knows them: tasks in the cluster of their compute environment. Of ECS's API, StopTask is answered.

A Batch user has one use for it: to take a job's machine away, to see what the retry strategy makes of it.
https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_StopTask.html
"""

from __future__ import annotations

from typing import Any

from local_aws import clock
from local_aws.batch.api.service import BatchService
from local_aws.protocol import ApiError, Request

# What AWS says where the caller says nothing is not documented; this is what others have seen.
NO_REASON = "Stopped by user."


class TasksService:
    """The `ecs` of the embedded AWS."""

    name = "ecs"

    def __init__(self, batch: BatchService) -> None:
        self.batch = batch

    async def start(self) -> None:
        """Nothing to start, since the tasks are Batch's."""

    async def stop(self) -> None:
        """As above."""

    def stop_task(self, request: Request) -> dict[str, Any]:
        prefix = f"arn:{request.partition}:ecs:{request.region}:{request.account}"
        cluster_arn = arn_of(f"{prefix}:cluster/", request.params.get("cluster", "default"))
        cluster = cluster_arn.rpartition("/")[2]
        task_arn = arn_of(f"{prefix}:task/{cluster}/", request.params["task"])
        request.authorize("ecs:StopTask", task_arn, context={"ecs:cluster": cluster_arn})
        if not any(one.detail["ecsClusterArn"] == cluster_arn for one in self.batch.environments.values()):
            raise ApiError("ClusterNotFoundException", "Cluster not found.")
        job = self.batch.launcher.job_of(task_arn)
        if job is None:
            raise ApiError("InvalidParameterException", "The referenced task was not found.")
        reason = request.params.get("reason") or NO_REASON
        self.batch.launcher.stop_task(job, reason)
        return {
            "task": {
                "taskArn": task_arn,
                "clusterArn": cluster_arn,
                "launchType": "FARGATE" if job.spec.fargate else "EC2",
                "lastStatus": "RUNNING" if job.status == "RUNNING" else "PENDING",
                "desiredStatus": "STOPPED",
                "stopCode": "UserInitiated",
                "stoppedReason": reason,
                "stoppingAt": clock.date(),
            }
        }


def arn_of(prefix: str, name: str) -> str:
    """The ARN of something that is given by its name or its ARN."""
    return name if name.startswith("arn:") else prefix + name
