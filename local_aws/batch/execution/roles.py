"""Act as a job's roles, as ECS does. Assume them, open the log stream, and write its lines."""

from __future__ import annotations

import time
from typing import Any

from local_aws.batch.state.jobs import Job
from local_aws.protocol import ApiError

TASKS = "ecs-tasks.amazonaws.com"
LOG_GROUP = "/aws/batch/job"
PERMISSION_SECONDS = 1.0  # how long a policy's answer for one definition is remembered


class StartError(Exception):
    """A container could not be started. The message is ECS's stopped reason."""


class Roles:
    """Assumes roles and checks their permissions. Each answer is kept for a second."""

    def __init__(self, ministack: Any) -> None:
        self.ministack = ministack
        self._allowed: dict[tuple, float] = {}
        self._assumed: dict[tuple, tuple[float, Any]] = {}

    def assume(self, role: str, service: str, job: Job, task_arn: str) -> Any:
        """A role's credentials. That the role trusts the service is kept for a second.

        aws:SourceArn is the task's ARN, which a trust policy as ECS's guide has it, with arn:aws:ecs:region:account:*,
        lets through: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html
        """
        # A task's id is random, so what holds for one task of a cluster holds for the next.
        key = (role, service, job.spec.definition_name, task_arn.rpartition("/")[0])
        now = time.monotonic()
        until, credentials = self._assumed.get(key, (0.0, None))
        if until > now:
            return credentials
        source = task_arn if service == TASKS else None
        if not self.ministack.trusts(role, service, source_arn=source):
            raise StartError(
                f"ECS was unable to assume the role '{role}' that was provided for this task. Please verify that the "
                "role being passed has the proper trust relationship and permissions and that your IAM user has "
                "permissions to pass this role."
            )
        credentials = self.ministack.assume_role(
            role, service, session_name=job.spec.definition_name, source_arn=source
        )
        if len(self._assumed) > 1000:
            self._assumed.clear()
        self._assumed[key] = (now + PERMISSION_SECONDS, credentials)
        return credentials

    def instance_role(self, job: Job, account: str) -> str | None:
        """On EC2, without an execution role, the container's lines go out as the instance."""
        profile = job.compute_environment.detail.get("computeResources", {}).get("instanceRole")
        return self.ministack.instance_profile_role(profile, account) if profile else None

    def open_log(
        self, credentials: Any, group: str, stream: str, options: dict[str, str], account: str, region: str
    ) -> None:
        ministack = self.ministack
        arn = f"arn:{ministack.partition(region)}:logs:{region}:{account}:log-group:{group}"
        if group == LOG_GROUP:
            ministack.create_log_group(group, account, region)
        elif options.get("awslogs-create-group") == "true":
            self.permit(credentials, "logs:CreateLogGroup", arn, arn, region)
            ministack.create_log_group(group, account, region)
        stream_arn = f"{arn}:log-stream:{stream}"
        # The end of a stream's name is random, so what holds for one stream of a definition holds for the next.
        scope = stream_arn.rsplit("/", 1)[0]
        self.permit(credentials, "logs:CreateLogStream", stream_arn, scope, region)
        ministack.append_log_events(group, stream, (), account, region)

    def permit(self, credentials: Any, action: str, arn: str, scope: str, region: str) -> None:
        """Raise AWS's refusal unless the role is allowed. A yes is kept for a second."""
        key = (credentials.access_key_id, action, scope)
        now = time.monotonic()
        if self._allowed.get(key, 0.0) > now:
            return
        if refused := self.ministack.is_allowed(credentials, action, arn, region):
            raise ApiError("AccessDeniedException", refused)
        if len(self._allowed) > 1000:
            self._allowed.clear()
        self._allowed[key] = now + PERMISSION_SECONDS
