"""Authorize and check SubmitJob, and make its job.

https://docs.aws.amazon.com/batch/latest/APIReference/API_SubmitJob.html
"""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

from local_aws.batch.api.catalogue import Catalogue
from local_aws.batch.api.requests import arn_of, own_prefix
from local_aws.batch.model import members, submissions
from local_aws.batch.model.checks import MAX_SHARES, check_share, check_tags
from local_aws.batch.model.errors import client_error, rejected
from local_aws.batch.model.queues import JobQueue
from local_aws.protocol import Request

MAX_DEPENDENCIES = 20
MAX_PAYLOAD_KIB = 30
JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")


class SubmitOperations(Catalogue):
    """Submit jobs."""

    def submit_job(self, request: Request) -> dict[str, Any]:
        params = request.params
        queue_arn = arn_of(request, "job-queue", params["jobQueue"])
        definition = self._definition(request, params["jobDefinition"])
        named = arn_of(request, "job-definition", params["jobDefinition"])
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
                f"{queue_arn} does not accept jobs. Its state is {queue.detail['state']} and its status "
                f"{queue.detail['status']}. It must be ENABLED and VALID."
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
        self._check_dependencies(own_prefix(request) + ":", depends_on, size)
        job = self.engine.submit(
            params["jobName"], queue, spec, size=size, share=params.get("shareIdentifier"),
            tags=dict(params.get("tags", {})), depends_on=depends_on, job_id=job_id,
        )  # fmt: skip
        self.unfinished[queue_arn] = self.unfinished.get(queue_arn, 0) + 1
        if job.tags:
            self.job_tags[job.arn] = job.tags
        self.records.put_job(job)
        self.records.flush()
        return {"jobArn": job.arn, "jobName": job.name, "jobId": job.id}

    @staticmethod
    def _authorize_submission(
        request: Request, queue_arn: str, named: str, definition: dict[str, Any] | None, job_id: str
    ) -> None:
        """Authorize SubmitJob on the queue and the definition. With tags it is TagResource on both, too.

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
            request.authorize("batch:TagResource", *arns, f"{own_prefix(request)}:job/{job_id}")

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
        active = {name for name, line in self.scheduler.state(queue).shares.items() if line.vcpus or line.head()}
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
                    raise client_error("A SEQUENTIAL dependency orders an array's own children. It takes no jobId.")
                continue
            if not job_id:
                raise client_error("A dependency needs a jobId.")
            other = None if job_id.startswith("arn:") else self._visible(prefix, job_id)
            if other is None:
                raise client_error(f"The job {job_id} that this job depends on does not exist.")
            if kind == "N_TO_N" and other.size != size:
                raise client_error(
                    f"An N_TO_N dependency needs an array of the same size. {job_id} has "
                    + (f"{other.size} children." if other.size else "none.")
                )
