"""The operations on job queues."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from local_aws.batch.api.catalogue import CREATE_SECONDS, DELETE_SECONDS, UPDATE_SECONDS, Catalogue
from local_aws.batch.api.requests import arn_of, check_quota, named_resources, own_prefix, page_of
from local_aws.batch.model import members, queues
from local_aws.batch.model.checks import check_name, check_tags
from local_aws.batch.model.errors import client_error, not_covered
from local_aws.batch.model.queues import JobQueue
from local_aws.batch.state.jobs import ACTIVE, Array, Job
from local_aws.protocol import Request


class QueueOperations(Catalogue):
    """Create, describe, update and delete job queues, and see who is next in one."""

    def create_job_queue(self, request: Request) -> dict[str, Any]:
        params = request.params
        name = params["jobQueueName"]
        arn = f"{own_prefix(request)}:job-queue/{name}"
        self._authorize_queue(request, arn, create=True)
        check_name(name, "jobQueueName")
        check_tags(params.get("tags", {}))
        members.check("CreateJobQueue", params)
        if params.get("jobQueueType") == "SAGEMAKER_TRAINING":
            raise not_covered("service jobs (jobQueueType SAGEMAKER_TRAINING)")
        if arn in self.queues:
            raise client_error(f"Object already exists: the job queue {arn}")
        check_quota(self.queues, request, "job queues")
        order = self._checked_order(request, params.get("computeEnvironmentOrder", []))
        fargate = self.environments[order[0]["computeEnvironment"]].fargate
        kind = "ECS_FARGATE" if fargate else "ECS"
        if params.get("jobQueueType", kind) != kind:
            raise client_error(
                f"jobQueueType {params['jobQueueType']} does not fit its compute environments, which are {kind}."
            )
        queues.check_priority(params["priority"])
        queues.check_time_limits(params.get("jobStateTimeLimitActions", []))
        detail = {
            "jobQueueName": name,
            "jobQueueArn": arn,
            "state": params.get("state", "ENABLED"),
            "status": "CREATING",
            "statusReason": "",
            "priority": params["priority"],
            "computeEnvironmentOrder": order,
            "serviceEnvironmentOrder": [],
            "jobQueueType": kind,
            "tags": dict(params.get("tags", {})),
            "jobStateTimeLimitActions": params.get("jobStateTimeLimitActions", []),
        }
        if params.get("schedulingPolicyArn"):
            detail["schedulingPolicyArn"] = self._policy(request, params["schedulingPolicyArn"]).arn
        queue = self.queues[arn] = JobQueue(arn, detail)
        self.records.put("queue", arn, detail)
        self.clock.call_later(CREATE_SECONDS, self.settle_queue, queue)
        return {"jobQueueName": name, "jobQueueArn": arn}

    def _authorize_queue(self, request: Request, arn: str, create: bool = False) -> None:
        params = request.params
        others = [
            arn_of(request, "compute-environment", entry["computeEnvironment"])
            for entry in params.get("computeEnvironmentOrder", [])
        ]
        if params.get("schedulingPolicyArn"):
            others.append(params["schedulingPolicyArn"])
        request.authorize(f"batch:{request.operation}", arn, *others)
        if create and params.get("tags"):
            request.authorize("batch:TagResource", arn)

    def _checked_order(self, request: Request, order: list[dict[str, Any]]) -> list[dict[str, Any]]:
        arns = [arn_of(request, "compute-environment", entry["computeEnvironment"]) for entry in order]
        queues.check_environment_order(order, [self.environments.get(arn) for arn in arns])
        return [{"order": entry["order"], "computeEnvironment": arn} for entry, arn in zip(order, arns, strict=True)]

    def update_job_queue(self, request: Request) -> dict[str, Any]:
        params = request.params
        arn = arn_of(request, "job-queue", params["jobQueue"])
        self._authorize_queue(request, arn)
        queue = self._queue(arn, params["jobQueue"])
        members.check("UpdateJobQueue", params)
        if queue.detail["status"] not in ("VALID", "INVALID"):
            raise client_error(f"Cannot update, resource is being modified: {arn}")
        updatable = ("state", "priority", "jobStateTimeLimitActions")
        changes: dict[str, Any] = {name: params[name] for name in updatable if name in params}
        queues.check_priority(changes.get("priority", 0))
        queues.check_time_limits(changes.get("jobStateTimeLimitActions", []))
        if "computeEnvironmentOrder" in params:
            changes["computeEnvironmentOrder"] = self._checked_order(request, params["computeEnvironmentOrder"])
            fargate = self.environments[changes["computeEnvironmentOrder"][0]["computeEnvironment"]].fargate
            if queue.detail["jobQueueType"] != ("ECS_FARGATE" if fargate else "ECS"):
                raise client_error("EC2 and Fargate compute environments can't be mixed in a job queue.")
        if "schedulingPolicyArn" in params:
            if not params["schedulingPolicyArn"] or not queue.policy_arn:
                raise client_error(
                    "A fair-share scheduling policy can be replaced but neither removed nor added once a queue exists."
                )
            changes["schedulingPolicyArn"] = self._policy(request, params["schedulingPolicyArn"]).arn
        queue.detail |= {**changes, "status": "UPDATING"}  # the reason stays, "JobQueue Healthy"
        self.records.put("queue", arn, queue.detail)
        self.scheduler.rearm(queue)
        self.clock.call_later(UPDATE_SECONDS, self.settle_queue, queue)
        return {"jobQueueName": queue.name, "jobQueueArn": arn}

    def describe_job_queues(self, request: Request) -> dict[str, Any]:
        request.authorize("batch:DescribeJobQueues")
        queues = named_resources(request, self.queues, "jobQueues", "job-queue")
        page, token = page_of(request.params, queues, lambda queue: queue.name)
        return {"jobQueues": [queue.detail for queue in page], **token}

    def delete_job_queue(self, request: Request) -> dict[str, Any]:
        arn = arn_of(request, "job-queue", request.params["jobQueue"])
        request.authorize("batch:DeleteJobQueue", arn)
        queue = self._queue(arn, request.params["jobQueue"])
        if queue.detail["status"] not in ("VALID", "INVALID"):
            raise client_error("Cannot delete, resource is being modified.")
        if queue.detail["state"] != "DISABLED":
            raise client_error(f"Cannot delete, the state of {arn} must be DISABLED first.")
        queue.detail |= {"status": "DELETING", "statusReason": ""}
        self.records.put("queue", arn, queue.detail)
        for job in [job for job in self.engine.jobs.values() if job.queue is queue and not job.ended]:
            self.engine.terminate(job.id, "Job queue deleted")
        self.clock.call_later(DELETE_SECONDS, self.remove_queue, queue)
        return {}

    def get_job_queue_snapshot(self, request: Request) -> dict[str, Any]:
        arn = arn_of(request, "job-queue", request.params["jobQueue"])
        request.authorize("batch:GetJobQueueSnapshot", arn)
        queue = self._queue(arn, request.params["jobQueue"])
        now = self.clock.now()
        line = self.scheduler.state(queue)
        front = [
            {
                "jobArn": job.arn,
                "earliestTimeAtPosition": line.head_since if job.id == line.head_id else _runnable_since(job),
            }
            for job in self.scheduler.front(queue)
        ]
        used = {name: share.vcpus for name, share in line.shares.items() if share.vcpus}
        if not queue.policy_arn:
            used = {"": sum(job.spec.vcpus for job in self._active(queue))}
        utilization: dict[str, Any] = {
            "totalCapacityUsage": [{"capacityUnit": "VCPU", "quantity": float(sum(used.values()))}],
            "lastUpdatedAt": now,
        }
        if queue.policy_arn:
            top = sorted(used.items(), key=lambda item: -item[1])[:20]
            utilization["fairshareUtilization"] = {
                "activeShareCount": len(used),
                "topCapacityUtilization": [
                    {"shareIdentifier": name, "capacityUsage": [{"capacityUnit": "VCPU", "quantity": float(vcpus)}]}
                    for name, vcpus in top
                ],
            }
        return {"frontOfQueue": {"jobs": front, "lastUpdatedAt": now}, "queueUtilization": utilization}

    def _active(self, queue: JobQueue) -> Iterable[Job]:
        for job in self.engine.jobs.values():
            if job.queue is not queue or job.ended:
                continue
            if isinstance(job, Array):
                if job.counts["STARTING"] + job.counts["RUNNING"]:
                    yield from (child for child in job.known_children() if child.status in ACTIVE)
            elif job.status in ACTIVE:
                yield job


def _runnable_since(job: Job) -> int:
    stopped_at = job.attempts[-1].stopped_at if job.attempts else None
    if stopped_at is not None:
        return stopped_at
    return job.parent.unstarted_at if job.parent else job.created_at
