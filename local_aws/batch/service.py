"""The operations of AWS Batch, each a method of BatchService named as boto3 names it.

Every operation is authorized with the action and the resources of the service authorization reference:
https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsbatch.html
Operations: https://docs.aws.amazon.com/batch/latest/APIReference/API_Operations.html
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from local_aws.batch import definitions, members, resources, submissions, views
from local_aws.batch.checks import MAX_SHARES, check_name, check_share, check_tags
from local_aws.batch.errors import client_error, not_covered, rejected
from local_aws.batch.jobs import ACTIVE, Array, Engine, Job
from local_aws.batch.launcher import Launcher, LoopClock
from local_aws.batch.records import Records
from local_aws.batch.resources import ComputeEnvironment, JobQueue, SchedulingPolicy
from local_aws.batch.scheduler import Scheduler
from local_aws.protocol import ApiError, Request

# What AWS takes seconds or minutes for.
CREATE_SECONDS = 0.2
UPDATE_SECONDS = 0.1
DELETE_SECONDS = 0.1

MAX_DEPENDENCIES = 20
MAX_PAYLOAD_KIB = 30
MAX_DESCRIBED = 100
MAX_STOPPED = 50
MAX_REASON = 1024
RETENTION_SECONDS = 7 * 24 * 3600  # of jobs that ended
HOUR = 3600

JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
EVENT_SOURCE = "aws.batch"
STATE_CHANGE = "Batch Job State Change"
QUEUE_BLOCKED = "Batch Job Queue Blocked"
EVENTS_PER_TURN = 50


class BatchService:
    """AWS Batch. `context` is what the server gives (server.Context)."""

    name = "batch"

    def __init__(self, context: Any, clock: Any = None, launcher: Any = None) -> None:
        self.context = context
        self.world = context.ministack
        self.clock = clock or LoopClock()
        self.launcher = launcher or Launcher(context, self.clock)
        self.environments: dict[str, ComputeEnvironment] = {}  # by ARN, as all of these
        self.queues: dict[str, JobQueue] = {}
        self.policies: dict[str, SchedulingPolicy] = {}
        self.definitions: dict[str, dict[str, Any]] = {}
        self.revisions: dict[str, int] = {}  # newest revision, by ARN without it
        self.scheduler = Scheduler(self.clock, self._policy_of, self._environments_of, self._on_blocked)
        self.engine = Engine(
            self.clock, self.launcher, self.scheduler, self._on_change, self._on_fresh_change, self._on_note
        )
        self.scheduler.engine = self.launcher.engine = self.engine
        self.records = Records(context.store, self.clock)
        self._hearing: dict[tuple[str, str, str], bool] = {}
        self._job_tags: dict[str, dict[str, str]] = {}  # of tagged jobs that have not ended, by their ARNs
        self._unfinished: dict[str, int] = {}  # jobs of a queue that have not ended, by its ARN

    async def start(self) -> None:
        await self.launcher.open()
        self.world.register_tags("batch", self._tagged)
        self.context.local_routes["batch/spot-reclaim"] = self._reclaim
        self.context.container_credentials = self.launcher.container_credentials
        self.records.restore(self)
        self.clock.call_later(HOUR, self._forget_old_jobs)

    async def stop(self) -> None:
        await self.launcher.close()
        self.records.flush()

    # --- compute environments ---

    def create_compute_environment(self, request: Request) -> dict[str, Any]:
        params = request.params
        arn = f"{_prefix(request)}:compute-environment/{params['computeEnvironmentName']}"
        self._authorize_tagged(request, "batch:CreateComputeEnvironment", arn)
        self._authorize_environment_roles(request, params.get("serviceRole"), params.get("computeResources", {}))
        if arn in self.environments:
            raise client_error(f"Object already exists: the compute environment {arn}")
        self._check_quota(self.environments, request, "compute environments")
        detail = resources.compute_environment(params, _prefix(request), request.account, request.region, self.world)
        environment = self.environments[arn] = ComputeEnvironment(arn, detail)
        self.records.put("environment", arn, detail)
        self.clock.call_later(CREATE_SECONDS, self._settle_environment, environment)
        return {"computeEnvironmentName": environment.name, "computeEnvironmentArn": arn}

    def _authorize_environment_roles(self, request: Request, service_role: str | None, compute: dict[str, Any]) -> None:
        def arn(role: str) -> str:
            return role if role.startswith("arn:") else f"arn:{request.partition}:iam::{request.account}:role/{role}"

        if service_role:
            request.authorize_pass_role(arn(service_role), "batch.amazonaws.com")
        if compute.get("instanceRole"):
            role = self.world.instance_profile_role(compute["instanceRole"], request.account)
            if role:
                request.authorize_pass_role(role, "ec2.amazonaws.com")
        if compute.get("spotIamFleetRole"):
            request.authorize_pass_role(arn(compute["spotIamFleetRole"]), "spotfleet.amazonaws.com")

    def _settle_environment(self, environment: ComputeEnvironment) -> None:
        if environment.detail["status"] in ("CREATING", "UPDATING"):
            environment.detail |= {"status": "VALID", "statusReason": "ComputeEnvironment Healthy"}
            self.records.put("environment", environment.arn, environment.detail)
            self.scheduler.wake()

    def update_compute_environment(self, request: Request) -> dict[str, Any]:
        environment = self._environment(request, request.params["computeEnvironment"])
        request.authorize("batch:UpdateComputeEnvironment", environment.arn)
        self._authorize_environment_roles(
            request, request.params.get("serviceRole"), request.params.get("computeResources", {})
        )
        if environment.detail["status"] not in ("VALID", "INVALID"):
            raise client_error(f"Cannot update, resource is being modified: {environment.arn}")
        environment.detail |= resources.update_compute_environment(
            environment, request.params, request.account, request.region, self.world
        )
        environment.detail["status"] = "UPDATING"  # the reason stays, "ComputeEnvironment Healthy"
        self.records.put("environment", environment.arn, environment.detail)
        self.clock.call_later(UPDATE_SECONDS, self._settle_environment, environment)
        return {"computeEnvironmentName": environment.name, "computeEnvironmentArn": environment.arn}

    def describe_compute_environments(self, request: Request) -> dict[str, Any]:
        request.authorize("batch:DescribeComputeEnvironments")
        found = self._named(request, self.environments, "computeEnvironments", "compute-environment")
        page, token = _page(request.params, found, lambda environment: environment.name)
        return {"computeEnvironments": [environment.detail for environment in page], **token}

    def delete_compute_environment(self, request: Request) -> dict[str, Any]:
        environment = self._environment(request, request.params["computeEnvironment"])
        request.authorize("batch:DeleteComputeEnvironment", environment.arn)
        if environment.detail["status"] not in ("VALID", "INVALID"):
            raise client_error("Cannot delete, resource is being modified.")
        if environment.detail["state"] != "DISABLED":
            raise client_error(f"Cannot delete, the state of {environment.arn} must be DISABLED first.")
        if any(environment.arn in queue.environment_arns for queue in self.queues.values()):
            raise client_error("Cannot delete, found existing JobQueue relationship.")
        environment.detail |= {"status": "DELETING", "statusReason": ""}
        self.records.put("environment", environment.arn, environment.detail)
        self.clock.call_later(DELETE_SECONDS, self._remove_environment, environment)
        return {}

    def _remove_environment(self, environment: ComputeEnvironment) -> None:
        if environment.running:
            reason = "CLIENT_ERROR - Terminate the jobs that run on this compute environment before deleting it."
            environment.detail |= {"status": "INVALID", "statusReason": reason}
            self.records.put("environment", environment.arn, environment.detail)
            return
        self.environments.pop(environment.arn, None)
        self.records.delete("environment", environment.arn)

    def _environment(self, request: Request, name: str) -> ComputeEnvironment:
        arn = _arn(request, "compute-environment", name)
        if arn not in self.environments:
            # The caller's right to know is checked before whether there is something to know.
            request.authorize(f"batch:{request.operation}", arn)
            raise client_error(f"{arn} does not exist")
        return self.environments[arn]

    # --- job queues ---

    def create_job_queue(self, request: Request) -> dict[str, Any]:
        params = request.params
        name = params["jobQueueName"]
        arn = f"{_prefix(request)}:job-queue/{name}"
        self._authorize_queue(request, arn, create=True)
        check_name(name, "jobQueueName")
        check_tags(params.get("tags", {}))
        members.check("CreateJobQueue", params)
        if params.get("jobQueueType") == "SAGEMAKER_TRAINING":
            raise not_covered("service jobs (jobQueueType SAGEMAKER_TRAINING)")
        if arn in self.queues:
            raise client_error(f"Object already exists: the job queue {arn}")
        self._check_quota(self.queues, request, "job queues")
        order = self._checked_order(request, params.get("computeEnvironmentOrder", []))
        fargate = self.environments[order[0]["computeEnvironment"]].fargate
        kind = "ECS_FARGATE" if fargate else "ECS"
        if params.get("jobQueueType", kind) != kind:
            raise client_error(
                f"jobQueueType {params['jobQueueType']} does not fit: its compute environments are {kind}."
            )
        resources.check_priority(params["priority"])
        resources.check_time_limits(params.get("jobStateTimeLimitActions", []))
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
        self.clock.call_later(CREATE_SECONDS, self._settle_queue, queue)
        return {"jobQueueName": name, "jobQueueArn": arn}

    def _authorize_queue(self, request: Request, arn: str, create: bool = False) -> None:
        params = request.params
        others = [
            _arn(request, "compute-environment", entry["computeEnvironment"])
            for entry in params.get("computeEnvironmentOrder", [])
        ]
        if params.get("schedulingPolicyArn"):
            others.append(params["schedulingPolicyArn"])
        request.authorize(f"batch:{request.operation}", arn, *others)
        if create and params.get("tags"):
            request.authorize("batch:TagResource", arn)

    def _checked_order(self, request: Request, order: list[dict[str, Any]]) -> list[dict[str, Any]]:
        arns = [_arn(request, "compute-environment", entry["computeEnvironment"]) for entry in order]
        resources.check_environment_order(order, [self.environments.get(arn) for arn in arns])
        return [{"order": entry["order"], "computeEnvironment": arn} for entry, arn in zip(order, arns, strict=True)]

    def _settle_queue(self, queue: JobQueue) -> None:
        if queue.detail["status"] in ("CREATING", "UPDATING"):
            queue.detail |= {"status": "VALID", "statusReason": "JobQueue Healthy"}
            self.records.put("queue", queue.arn, queue.detail)
            self.scheduler.wake()

    def update_job_queue(self, request: Request) -> dict[str, Any]:
        params = request.params
        arn = _arn(request, "job-queue", params["jobQueue"])
        self._authorize_queue(request, arn)
        queue = self._queue(arn, params["jobQueue"])
        members.check("UpdateJobQueue", params)
        if queue.detail["status"] not in ("VALID", "INVALID"):
            raise client_error(f"Cannot update, resource is being modified: {arn}")
        changes = {name: params[name] for name in ("state", "priority", "jobStateTimeLimitActions") if name in params}
        resources.check_priority(changes.get("priority", 0))
        resources.check_time_limits(changes.get("jobStateTimeLimitActions", []))
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
        self.clock.call_later(UPDATE_SECONDS, self._settle_queue, queue)
        return {"jobQueueName": queue.name, "jobQueueArn": arn}

    def describe_job_queues(self, request: Request) -> dict[str, Any]:
        request.authorize("batch:DescribeJobQueues")
        found = self._named(request, self.queues, "jobQueues", "job-queue")
        page, token = _page(request.params, found, lambda queue: queue.name)
        return {"jobQueues": [queue.detail for queue in page], **token}

    def delete_job_queue(self, request: Request) -> dict[str, Any]:
        arn = _arn(request, "job-queue", request.params["jobQueue"])
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
        self.clock.call_later(DELETE_SECONDS, self._remove_queue, queue)
        return {}

    def _remove_queue(self, queue: JobQueue) -> None:
        if self._unfinished.get(queue.arn) or queue.detail["status"] != "DELETING":
            return  # the last of its jobs to end calls again
        self.scheduler.forget(queue)
        self.queues.pop(queue.arn, None)
        self.records.delete("queue", queue.arn)

    def _queue(self, arn: str, named: str) -> JobQueue:
        if arn not in self.queues:
            raise client_error(f"JobQueue {named} not found.")
        return self.queues[arn]

    def get_job_queue_snapshot(self, request: Request) -> dict[str, Any]:
        arn = _arn(request, "job-queue", request.params["jobQueue"])
        request.authorize("batch:GetJobQueueSnapshot", arn)
        queue = self._queue(arn, request.params["jobQueue"])
        now = self.clock.now()
        line = self.scheduler.line(queue)
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

    # --- scheduling policies ---

    def create_scheduling_policy(self, request: Request) -> dict[str, Any]:
        params = request.params
        arn = f"{_prefix(request)}:scheduling-policy/{params['name']}"
        self._authorize_tagged(request, "batch:CreateSchedulingPolicy", arn)
        check_name(params["name"], "name")
        check_tags(params.get("tags", {}))
        members.check("CreateSchedulingPolicy", params)
        if arn in self.policies:
            raise client_error(f"Object already exists: the scheduling policy {arn}")
        resources.check_fairshare(params.get("fairsharePolicy", {}))
        detail = {
            "name": params["name"],
            "arn": arn,
            "fairsharePolicy": params.get("fairsharePolicy", {}),
            "tags": dict(params.get("tags", {})),
        }
        self.policies[arn] = SchedulingPolicy(arn, detail)
        self.records.put("policy", arn, detail)
        return {"name": params["name"], "arn": arn}

    def update_scheduling_policy(self, request: Request) -> dict[str, Any]:
        params = request.params
        request.authorize("batch:UpdateSchedulingPolicy", params["arn"])
        policy = self._policy(request, params["arn"])
        members.check("UpdateSchedulingPolicy", params)
        if "fairsharePolicy" in params:
            resources.check_fairshare(params["fairsharePolicy"])
            policy.detail["fairsharePolicy"] = params["fairsharePolicy"]
            self.records.put("policy", policy.arn, policy.detail)
            self.scheduler.wake()
        return {}

    def describe_scheduling_policies(self, request: Request) -> dict[str, Any]:
        arns = request.params["arns"]
        _check_count(arns, MAX_DESCRIBED, "scheduling policies")
        request.authorize("batch:DescribeSchedulingPolicies")
        own = (arn for arn in arns if arn.startswith(_prefix(request) + ":"))
        return {"schedulingPolicies": [self.policies[arn].detail for arn in own if arn in self.policies]}

    def list_scheduling_policies(self, request: Request) -> dict[str, Any]:
        request.authorize("batch:ListSchedulingPolicies")
        prefix = _prefix(request)
        found = [policy for arn, policy in self.policies.items() if arn.startswith(prefix + ":")]
        page, token = _page(request.params, found, lambda policy: policy.detail["name"])
        return {"schedulingPolicies": [{"arn": policy.arn} for policy in page], **token}

    def delete_scheduling_policy(self, request: Request) -> dict[str, Any]:
        arn = request.params["arn"]
        request.authorize("batch:DeleteSchedulingPolicy", arn)
        self._policy(request, arn)
        if any(queue.policy_arn == arn for queue in self.queues.values()):
            raise client_error(f"Cannot delete, {arn} is used by a job queue.")
        del self.policies[arn]
        self.records.delete("policy", arn)
        return {}

    def _policy(self, request: Request, arn: str) -> SchedulingPolicy:
        if arn not in self.policies or not arn.startswith(_prefix(request) + ":"):
            raise client_error(f"{arn} does not exist")
        return self.policies[arn]

    def _policy_of(self, queue: JobQueue) -> SchedulingPolicy | None:
        return self.policies.get(queue.policy_arn) if queue.policy_arn else None

    def _environments_of(self, queue: JobQueue) -> list[ComputeEnvironment]:
        return [self.environments[arn] for arn in queue.environment_arns if arn in self.environments]

    # --- job definitions ---

    def register_job_definition(self, request: Request) -> dict[str, Any]:
        params = request.params
        name = params["jobDefinitionName"]
        family = f"{_prefix(request)}:job-definition/{name}"
        container = params.get("containerProperties", {})
        request.authorize("batch:RegisterJobDefinition", family, context=_container_keys(container))
        if params.get("tags"):
            request.authorize("batch:TagResource", family)
        for member in ("jobRoleArn", "executionRoleArn"):
            if container.get(member):
                request.authorize_pass_role(container[member], "ecs-tasks.amazonaws.com")
        definition = definitions.checked_definition(params)
        revision = self.revisions.get(family, 0) + 1
        arn = f"{family}:{revision}"
        self.revisions[family] = revision
        self.definitions[arn] = {
            "jobDefinitionName": name,
            "jobDefinitionArn": arn,
            "revision": revision,
            "status": "ACTIVE",
            **definition,
        }
        self.records.put("definition", arn, self.definitions[arn])
        return {"jobDefinitionName": name, "jobDefinitionArn": arn, "revision": revision}

    def describe_job_definitions(self, request: Request) -> dict[str, Any]:
        params = request.params
        request.authorize("batch:DescribeJobDefinitions")
        prefix = _prefix(request) + ":"
        wanted = params.get("jobDefinitions")
        if wanted:
            if {"jobDefinitionName", "status", "maxResults"} & set(params):
                raise client_error("jobDefinitions can't be used with other parameters.")
            _check_count(wanted, MAX_DESCRIBED, "job definitions")
            arns = [_arn(request, "job-definition", name) for name in wanted]
            found = [self.definitions[arn] for arn in arns if arn in self.definitions]
        else:
            found = [definition for arn, definition in self.definitions.items() if arn.startswith(prefix)]
            if "jobDefinitionName" in params:
                name = params["jobDefinitionName"].rsplit("/", 1)[-1]
                found = [definition for definition in found if definition["jobDefinitionName"] == name]
            if "status" in params:
                found = [definition for definition in found if definition["status"] == params["status"]]
        page, token = _page(
            params, found, lambda definition: [definition["jobDefinitionName"], -definition["revision"]]
        )
        return {"jobDefinitions": page, **token}

    def deregister_job_definition(self, request: Request) -> dict[str, Any]:
        arn = _arn(request, "job-definition", request.params["jobDefinition"])
        request.authorize("batch:DeregisterJobDefinition", arn)
        if not arn.rpartition(":")[2].isdecimal():
            raise client_error(f"{arn} needs a revision, as in {arn}:1.")
        if arn not in self.definitions:
            raise client_error(f"{arn} does not exist")
        self.definitions[arn]["status"] = "INACTIVE"
        self.records.put("definition", arn, self.definitions[arn])
        return {}

    def _definition(self, request: Request, name: str) -> dict[str, Any] | None:
        """The ACTIVE definition a name, a name with a revision, or an ARN stands for."""
        arn = _arn(request, "job-definition", name)
        if arn.rsplit("/", 1)[-1].rpartition(":")[0]:
            found = self.definitions.get(arn)
        else:
            newest_first = range(self.revisions.get(arn, 0), 0, -1)
            known = (self.definitions.get(f"{arn}:{revision}") for revision in newest_first)
            found = next((definition for definition in known if definition and definition["status"] == "ACTIVE"), None)
        return found if found and found["status"] == "ACTIVE" else None

    # --- jobs ---

    def submit_job(self, request: Request) -> dict[str, Any]:
        params = request.params
        queue_arn = _arn(request, "job-queue", params["jobQueue"])
        definition = self._definition(request, params["jobDefinition"])
        named = _arn(request, "job-definition", params["jobDefinition"])
        job_id = str(uuid.uuid4())
        self._authorize_submission(request, queue_arn, named, definition, job_id)
        size = len(json.dumps(params, separators=(",", ":")))
        if size > MAX_PAYLOAD_KIB * 1024:
            raise rejected(f"Job size must be less than {MAX_PAYLOAD_KIB} KiB, got {size // 1024} KiB")
        if not JOB_NAME.fullmatch(params["jobName"]):
            raise rejected("Job name should match valid pattern")
        members.check("SubmitJob", params)
        check_tags(params.get("tags", {}))
        queue = self._queue(queue_arn, params["jobQueue"])
        if queue.detail["state"] != "ENABLED" or queue.detail["status"] not in ("VALID", "UPDATING"):
            raise client_error(
                f"{queue_arn} does not accept jobs: its state is {queue.detail['state']} and its status "
                f"{queue.detail['status']}; it must be ENABLED and VALID."
            )
        if definition is None:
            raise client_error(
                f"JobDefinition name {params['jobDefinition']} does not exist or is not in ACTIVE status"
            )
        spec = submissions.resolve(definition, params)
        if spec.fargate != (queue.detail["jobQueueType"] == "ECS_FARGATE"):
            raise client_error(
                "Job Queue is attached to Compute Environment that can not run Jobs with capability "
                + ("FARGATE" if spec.fargate else "EC2")
            )
        self._check_share(queue, params, "schedulingPriority" in spec.described)
        size = params.get("arrayProperties", {}).get("size")
        if size is not None and not 2 <= size <= 10_000:
            raise client_error("arrayProperties.size must be between 2 and 10,000.")
        depends_on = params.get("dependsOn", [])
        self._check_dependencies(_prefix(request) + ":", depends_on, size)
        job = self.engine.submit(
            params["jobName"], queue, spec, size=size, share=params.get("shareIdentifier"),
            tags=dict(params.get("tags", {})), depends_on=depends_on, job_id=job_id,
        )  # fmt: skip
        self._unfinished[queue_arn] = self._unfinished.get(queue_arn, 0) + 1
        if job.tags:
            self._job_tags[job.arn] = job.tags
        self.records.put_job(job)
        self.records.flush()
        return {"jobArn": job.arn, "jobName": job.name, "jobId": job.id}

    @staticmethod
    def _authorize_submission(
        request: Request, queue_arn: str, named: str, definition: dict[str, Any] | None, job_id: str
    ) -> None:
        """SubmitJob on the queue and the definition; a submission with tags is TagResource on the same, too.

        The user guide has the definition's ARN as the request names it on one page, with its revision on another:
        https://docs.aws.amazon.com/batch/latest/userguide/iam-example-restrict-job-submission-by-tags.html
        https://docs.aws.amazon.com/batch/latest/userguide/iam-example-restrict-job-submission.html
        Here a policy must match both. TagResource on the definition is in no page, but in AWS's refusals:
        https://github.com/wri/gfw-data-api/pull/175
        """
        arns = dict.fromkeys((queue_arn, named, definition["jobDefinitionArn"] if definition else named))
        share = request.params.get("shareIdentifier")
        request.authorize("batch:SubmitJob", *arns, context={"batch:ShareIdentifier": share} if share else {})
        if request.params.get("tags"):
            request.authorize("batch:TagResource", *arns, f"{_prefix(request)}:job/{job_id}")

    def _check_share(self, queue: JobQueue, params: dict[str, Any], has_priority: bool) -> None:
        """A fair-share queue takes jobs with a share and a priority only, any other takes neither.

        A definition's own priority does no harm in any other: "This only affects jobs in job queues with a fair-share
        policy." https://docs.aws.amazon.com/batch/latest/userguide/share-identifiers.html
        https://github.com/hashicorp/terraform-provider-aws/issues/31226 https://github.com/boto/boto3/issues/3158
        """
        share = params.get("shareIdentifier")
        if not queue.policy_arn:
            if share is not None or "schedulingPriorityOverride" in params:
                raise client_error(
                    "Job with shareIdentifier or schedulingPriority can onlybe submitted to job queue with fair share "
                    "scheduling policy."
                )
            return
        if share is None:
            raise client_error("shareIdentifier must be specified.")
        check_share(share)
        if not has_priority:
            raise client_error("Either schedulingPriority in job definition or schedulingPriorityOverride is required.")
        active = {name for name, line in self.scheduler.line(queue).shares.items() if line.vcpus or line.head()}
        if len(active | {share}) > MAX_SHARES:
            raise client_error(f"{queue.arn} has {MAX_SHARES} active share identifiers already.")

    def _check_dependencies(self, prefix: str, depends_on: list[dict[str, str]], size: int | None) -> None:
        """https://docs.aws.amazon.com/batch/latest/userguide/job_dependencies.html"""
        if len(depends_on) > MAX_DEPENDENCIES:
            raise client_error(f"A job can depend on at most {MAX_DEPENDENCIES} jobs.")
        for dependency in depends_on:
            kind, job_id = dependency.get("type"), dependency.get("jobId")
            if kind == "N_TO_N" and size is None:
                raise client_error(f"A dependency of type {kind} is only for array jobs.")
            # A plain job that names a job and SEQUENTIAL waits for that job, as without a type.
            if kind == "SEQUENTIAL" and size is not None:
                if job_id is not None:
                    raise client_error("A SEQUENTIAL dependency orders an array's own children; it takes no jobId.")
                continue
            if not job_id:
                raise client_error("A dependency needs a jobId.")
            other = None if job_id.startswith("arn:") else self._visible(prefix, job_id)
            if other is None:
                raise client_error(f"The job {job_id} that this job depends on does not exist.")
            if kind == "N_TO_N" and other.size != size:
                raise client_error(
                    f"An N_TO_N dependency needs an array of the same size; {job_id} has "
                    + (f"{other.size} children." if other.size else "none.")
                )

    def describe_jobs(self, request: Request) -> dict[str, Any]:
        request.authorize("batch:DescribeJobs")
        ids = request.params["jobs"]
        if not ids:
            raise client_error("jobs must not be empty.")
        _check_count(ids, MAX_DESCRIBED, "jobs")
        prefix = _prefix(request) + ":"
        found = (self._visible(prefix, job_id) for job_id in dict.fromkeys(ids))
        return {"jobs": [views.job_detail(job) for job in found if job]}

    def _visible(self, prefix: str, name: str) -> Job | None:
        """A job of the caller's account and Region, by its id or ARN."""
        if name.startswith("arn:"):
            if not name.startswith(f"{prefix}job/"):
                return None
            name = name.removeprefix(f"{prefix}job/")
        job = self.engine.find(name)
        return job if job and job.queue.arn.startswith(prefix) else None

    def list_jobs(self, request: Request) -> dict[str, Any]:
        params = request.params
        request.authorize("batch:ListJobs")
        members.check("ListJobs", params)
        if ("jobQueue" in params) == ("arrayJobId" in params):
            raise client_error("Specify exactly one of jobQueue and arrayJobId.")
        filters = params.get("filters", [])
        if len(filters) > 1:
            raise client_error("Only one filter can be used at a time.")
        status = params.get("jobStatus", "RUNNING")
        if "arrayJobId" in params:
            if filters:
                raise client_error("Filters don't apply to the children of an array job.")
            array = self._visible(_prefix(request) + ":", params["arrayJobId"])
            if not isinstance(array, Array):
                raise client_error(f"The job {params['arrayJobId']} does not exist or is no array job.")
            indices = [index for index in range(array.size) if array.child_status(index) == status]
            page, token = _page(params, indices, lambda index: index, 1000)
            return {"jobSummaryList": [views.job_summary(array.view(index)) for index in page], **token}
        queue = self._queue(_arn(request, "job-queue", params["jobQueue"]), params["jobQueue"])
        jobs = [job for job in self.engine.jobs.values() if job.queue is queue]
        if filters:
            accepts = _filter(filters[0])
            jobs = [job for job in jobs if accepts(job)]
        if not filters or ("jobStatus" in params and filters[0].get("name") == "SHARE_IDENTIFIER"):
            jobs = [job for job in jobs if job.status == status]
        page, token = _page(params, jobs, lambda job: -job.sequence, 100 if filters else 1000)
        return {"jobSummaryList": [views.job_summary(job) for job in page], **token}

    def cancel_job(self, request: Request) -> dict[str, Any]:
        return self._stop_one(request, self.engine.cancel)

    def terminate_job(self, request: Request) -> dict[str, Any]:
        return self._stop_one(request, self.engine.terminate)

    def _stop_one(self, request: Request, act: Callable[[str, str], None]) -> dict[str, Any]:
        job_id = request.params["jobId"].rsplit("/", 1)[-1]
        if not job_id:
            raise client_error("jobId must not be empty.")
        request.authorize(f"batch:{request.operation}", f"{_prefix(request)}:job/{job_id}")
        _check_reason(request.params["reason"])
        # A job that is not (or no longer) known is no error, as in the bulk operations.
        if self._visible(_prefix(request) + ":", job_id):
            act(job_id, request.params["reason"])
        self.records.flush()
        return {}

    def cancel_jobs(self, request: Request) -> dict[str, Any]:
        return self._stop_many(request, "batch:CancelJob", self.engine.cancel)

    def terminate_jobs(self, request: Request) -> dict[str, Any]:
        return self._stop_many(request, "batch:TerminateJob", self.engine.terminate)

    def _stop_many(self, request: Request, action: str, act: Callable[[str, str], None]) -> dict[str, Any]:
        """The bulk operations answer 200 with a verdict for each job; those not found count as done."""
        ids = list(dict.fromkeys(request.params["jobs"]))
        if not 1 <= len(ids) <= MAX_STOPPED:
            raise client_error(f"jobs takes 1 to {MAX_STOPPED} job ids.")
        _check_reason(request.params["reason"])
        successful, errors = [], []
        for job_id in ids:
            if not re.fullmatch(r"[0-9a-f-]{36}(:\d+)?", job_id):
                message = f"{job_id} is not a valid job id."
                errors.append({"job": job_id, "code": "ValidationException", "message": message})
                continue
            try:
                request.authorize(action, f"{_prefix(request)}:job/{job_id}")
            except ApiError as denied:
                errors.append({"job": job_id, "code": "AccessDenied", "message": denied.message})
                continue
            if self._visible(_prefix(request) + ":", job_id):
                act(job_id, request.params["reason"])
            successful.append(job_id)
        self.records.flush()
        return {"successful": successful, "errors": errors}

    # --- tags ---

    def tag_resource(self, request: Request) -> dict[str, Any]:
        arn = request.params["resourceArn"]
        request.authorize("batch:TagResource", arn)
        check_tags(request.params["tags"])
        tags, save = self._tags(request, arn)
        check_tags({**tags, **request.params["tags"]})
        tags |= request.params["tags"]
        save()
        return {}

    def untag_resource(self, request: Request) -> dict[str, Any]:
        arn = request.params["resourceArn"]
        request.authorize("batch:UntagResource", arn, context={"aws:TagKeys": request.params["tagKeys"]})
        tags, save = self._tags(request, arn)
        for key in request.params["tagKeys"]:
            tags.pop(key, None)
        save()
        return {}

    def list_tags_for_resource(self, request: Request) -> dict[str, Any]:
        request.authorize("batch:ListTagsForResource", request.params["resourceArn"])
        return {"tags": self._tags(request, request.params["resourceArn"])[0]}

    def tags_of(self, arn: str) -> dict[str, str]:
        """What a condition on aws:ResourceTag looks at; a child has its array's tags."""
        for found in (self.environments, self.queues, self.policies):
            if arn in found:
                return found[arn].detail["tags"]
        if arn in self.definitions:
            return self.definitions[arn]["tags"]
        job = self.engine.find(arn.partition(":job/")[2])
        return job.tags if job else {}

    def _tags(self, request: Request, arn: str) -> tuple[dict[str, str], Callable[[], None]]:
        """A resource's tags, to be changed in place, and what keeps the change."""
        if not arn.startswith(_prefix(request) + ":"):
            raise client_error(f"{arn} is not a resource of Batch in this account and Region.")
        for kind, found in (("environment", self.environments), ("queue", self.queues), ("policy", self.policies)):
            if arn in found:
                detail = found[arn].detail
                return detail["tags"], lambda: self.records.put(kind, arn, detail)  # noqa: B023 - returned at once
        if arn in self.definitions:
            return self.definitions[arn]["tags"], lambda: self.records.put("definition", arn, self.definitions[arn])
        job_id = arn.partition(":job/")[2]
        if ":" in job_id:
            raise client_error("Tags of the children of an array job aren't supported.")
        job = self.engine.jobs.get(job_id)
        if job is None or job.arn != arn:
            raise client_error(f"{arn} does not exist")
        if not job.ended:
            self._job_tags[arn] = job.tags
        return job.tags, lambda: self.records.put_job(job)

    def _tagged(self, account: str, region: str) -> Iterable[tuple[str, dict[str, str]]]:
        """Every tagged resource that is in use: definitions and jobs leave when they are INACTIVE or have ended."""
        infix = f":batch:{region}:{account}:"
        for found in (self.environments, self.queues, self.policies):
            yield from ((arn, found[arn].detail["tags"]) for arn in found if infix in arn and found[arn].detail["tags"])
        for arn, definition in self.definitions.items():
            if infix in arn and definition["tags"] and definition["status"] == "ACTIVE":
                yield arn, definition["tags"]
        yield from ((arn, tags) for arn, tags in self._job_tags.items() if infix in arn)

    # --- what the engine tells ---

    def _on_change(self, job: Job) -> None:
        if job.ended and job.parent is None:
            arn = job.queue.arn
            self._job_tags.pop(job.arn, None)
            self._unfinished[arn] -= 1
            if not self._unfinished[arn] and job.queue.detail["status"] == "DELETING":
                self.clock.call_soon(self._remove_queue, job.queue)
        self.records.put_job(job)
        self._publish(job)

    def _on_note(self, job: Job) -> None:
        self.records.put_job(job)

    def _on_fresh_change(self, array: Array) -> None:
        self.records.put_job(array)
        if self._heard(array.queue.arn, array.fresh_status):
            alike = (array.fresh_view(index) for index in list(array.fresh_indices()))
            self._publish_some(alike)

    def _publish_some(self, jobs: Iterator[Job]) -> None:
        """Events of many children, a few a turn, so that the server answers meanwhile. EventBridge keeps no order."""
        few = list(islice(jobs, EVENTS_PER_TURN))
        for job in few:
            self._publish(job)
        if few:
            self.clock.call_soon(self._publish_some, jobs)

    def _on_blocked(self, job: Job) -> None:
        """https://docs.aws.amazon.com/batch/latest/userguide/batch-job-queue-blocked-events.html"""
        self.records.put_job(job)
        self._publish(job, QUEUE_BLOCKED)

    def _heard(self, queue_arn: str, status: str, detail_type: str = STATE_CHANGE) -> bool:
        """Whether any rule could see an event; asked once a turn of the loop, not once a job."""
        key = (queue_arn, status, detail_type)
        if key not in self._hearing:
            if not self._hearing:
                self.clock.call_soon(self._hearing.clear)
            _, _, _, region, account, _ = queue_arn.split(":", 5)
            known = {"status": status, "jobQueue": queue_arn}
            self._hearing[key] = self.world.could_be_seen(EVENT_SOURCE, detail_type, known, account, region)
        return self._hearing[key]

    def _publish(self, job: Job, detail_type: str = STATE_CHANGE) -> None:
        if not self._heard(job.queue.arn, job.status, detail_type):
            return
        _, _, _, region, account, _ = job.queue.arn.split(":", 5)
        self.world.publish_event(
            source=EVENT_SOURCE, detail_type=detail_type, detail=views.event_detail(job), resources=[job.arn],
            account=account, region=region,
        )  # fmt: skip

    def _forget_old_jobs(self) -> None:
        """Jobs that ended a week ago are gone: https://docs.aws.amazon.com/batch/latest/userguide/job_states.html"""
        oldest = self.clock.now() - RETENTION_SECONDS * 1000
        for job in [job for job in self.engine.jobs.values() if job.ended and (job.stopped_at or 0) < oldest]:
            del self.engine.jobs[job.id]
            self.records.delete_job(job)
        self.clock.call_later(HOUR, self._forget_old_jobs)

    # --- what AWS has no API for ---

    def _reclaim(self, body: dict[str, Any]) -> dict[str, Any]:
        """POST /_local_aws/batch/spot-reclaim {"jobId": …}: take the Spot capacity of a job away while it runs."""
        job = self.engine.find(str(body["jobId"]))
        if job is None:
            raise ValueError(f"There is no job {body['jobId']}.")
        jobs = list(job.known_children()) if isinstance(job, Array) else [job]
        running = [one for one in jobs if one.status in ACTIVE]
        if not running:
            raise ValueError(
                f"The job {job.id} is {job.status}; only a job that is STARTING or RUNNING can be reclaimed."
            )
        for one in running:
            if one.compute_environment.type not in resources.SPOT_TYPES:
                raise ValueError(
                    f"The job {one.id} runs in {one.compute_environment.name}, whose type is "
                    f"{one.compute_environment.type}; only SPOT and FARGATE_SPOT capacity can be reclaimed."
                )
        for one in running:
            self.launcher.reclaim(one)
        return {"reclaimed": [one.id for one in running]}

    # --- small things ---

    def _authorize_tagged(self, request: Request, action: str, arn: str) -> None:
        request.authorize(action, arn)
        if request.params.get("tags"):
            request.authorize("batch:TagResource", arn)

    @staticmethod
    def _check_quota(existing: dict[str, Any], request: Request, what: str) -> None:
        """https://docs.aws.amazon.com/batch/latest/userguide/service_limits.html"""
        if sum(arn.startswith(_prefix(request) + ":") for arn in existing) >= resources.MAX_RESOURCES:
            raise client_error(f"An account can have at most {resources.MAX_RESOURCES} {what} in a Region.")

    @staticmethod
    def _named(request: Request, existing: dict[str, Any], member: str, kind: str) -> list[Any]:
        """The resources a Describe call asks for, or all of the account in the Region."""
        wanted = request.params.get(member)
        if wanted:
            _check_count(wanted, MAX_DESCRIBED, member)
            arns = dict.fromkeys(_arn(request, kind, name) for name in wanted)
            return [existing[arn] for arn in arns if arn in existing]
        return [found for arn, found in existing.items() if arn.startswith(_prefix(request) + ":")]


def _prefix(request: Request) -> str:
    return f"arn:{request.partition}:batch:{request.region}:{request.account}"


def _arn(request: Request, kind: str, name: str) -> str:
    """The ARN of a resource of the caller's account and Region, given by name or ARN."""
    if not name.startswith("arn:"):
        return f"{_prefix(request)}:{kind}/{name}"
    if not name.startswith(f"{_prefix(request)}:{kind}/"):
        raise client_error(f"{name} is not the ARN of a {kind} in this account and Region.")
    return name


def _runnable_since(job: Job) -> int:
    if job.attempts:
        return job.attempts[-1].stopped_at
    return job.parent.fresh_at if job.parent else job.created_at


def _check_count(names: list[str], limit: int, what: str) -> None:
    if len(names) > limit:
        raise rejected(f"Maximum number of {what} supported is  {limit}")


def _check_reason(reason: str) -> None:
    if not reason or len(reason) > MAX_REASON:
        raise client_error(f"reason must have 1 to {MAX_REASON} characters.")


def _container_keys(container: dict[str, Any]) -> dict[str, Any]:
    """The condition keys of RegisterJobDefinition."""
    log = container.get("logConfiguration", {})
    options = log.get("options", {})
    keys = {
        "batch:Image": container.get("image"),
        "batch:Privileged": container.get("privileged"),
        "batch:User": container.get("user"),
        "batch:LogDriver": log.get("logDriver"),
        "batch:AWSLogsGroup": options.get("awslogs-group"),
        "batch:AWSLogsRegion": options.get("awslogs-region"),
        "batch:AWSLogsStreamPrefix": options.get("awslogs-stream-prefix"),
        "batch:AWSLogsCreateGroup": options.get("awslogs-create-group"),
    }
    return {name: str(value).lower() if isinstance(value, bool) else value for name, value in keys.items() if value}


def _page(
    params: dict[str, Any], items: list[Any], key: Callable[[Any], Any], limit: int = 100
) -> tuple[list[Any], dict[str, str]]:
    """One page of `items` in the order of `key`, and the token of the next. A token holds the last key shown."""
    size = params.get("maxResults", limit)
    if size < 1:
        raise client_error("maxResults must be at least 1.")
    size = min(size, limit)
    items = sorted(items, key=key)
    if params.get("nextToken"):
        try:
            last = json.loads(base64.urlsafe_b64decode(params["nextToken"]))
            items = [item for item in items if key(item) > last]
        except (ValueError, TypeError, binascii.Error):
            raise client_error("nextToken is not valid.") from None
    if len(items) <= size:
        return items, {}
    last = json.dumps(key(items[size - 1]))
    return items[:size], {"nextToken": base64.urlsafe_b64encode(last.encode()).decode()}


def _filter(given: dict[str, Any]) -> Callable[[Job], bool]:
    """https://docs.aws.amazon.com/batch/latest/APIReference/API_ListJobs.html"""
    name, values = given.get("name"), given.get("values", [])
    if not values:
        raise client_error("A filter needs values.")

    def matches(pattern: str, value: str) -> bool:
        return value.startswith(pattern[:-1]) if pattern.endswith("*") else value == pattern

    if name == "JOB_NAME":
        return lambda job: any(matches(value.lower(), job.name.lower()) for value in values)
    if name == "JOB_DEFINITION":
        return lambda job: any(
            job.spec.definition_arn == value if value.startswith("arn:") else matches(value, job.spec.definition_name)
            for value in values
        )
    if name == "SHARE_IDENTIFIER":
        return lambda job: job.share is not None and any(matches(value, job.share) for value in values)
    if name in ("BEFORE_CREATED_AT", "AFTER_CREATED_AT"):
        if len(values) != 1 or not values[0].isdecimal():
            raise client_error(f"The filter {name} takes one value, in milliseconds since the epoch.")
        limit = int(values[0])
        return lambda job: job.created_at < limit if name == "BEFORE_CREATED_AT" else job.created_at > limit
    raise client_error(
        f"The filter {name!r} is not valid; use JOB_NAME, JOB_DEFINITION, BEFORE_CREATED_AT, AFTER_CREATED_AT or "
        "SHARE_IDENTIFIER."
    )
