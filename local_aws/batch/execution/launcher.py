"""Run attempts as processes. Assume roles, open the log stream, start the process, log its output, report its end.

The processes belong to supervisors (`local_aws/containers/`), which this talks to.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import hashlib
import logging
import os
import secrets
import signal
from dataclasses import dataclass
from typing import Any

from local_aws.batch.execution import runners
from local_aws.batch.execution.docker import Docker
from local_aws.batch.execution.roles import LOG_GROUP, TASKS, Roles, StartError
from local_aws.batch.state.attempts import CONTAINER_EXITED, START_FAILED
from local_aws.batch.state.engine import Engine
from local_aws.batch.state.jobs import Attempt, Job
from local_aws.batch.state.transitions import Clock
from local_aws.containers.link import Link
from local_aws.images import environment_of
from local_aws.protocol import ApiError

log = logging.getLogger("local_aws.batch")

# What Fargate Spot gives as the status reason of a task it has interrupted.
SPOT_INTERRUPTED = "Your Spot Task was interrupted."
STOP_SECONDS = 30  # between SIGTERM and SIGKILL
MAX_TAGS = 50
# Starting a process keeps a supervisor busy until the process has its own memory, so a second core needs a second one.
SUPERVISORS = min(4, os.cpu_count() or 1)


@dataclass(slots=True)
class Running:
    """An attempt that the supervisor has been asked to start."""

    job: Job
    number: int
    account: str
    region: str
    log_credentials: Any
    log_group: str
    token: str
    link: Link
    pid: int = 0  # of its first process, when it has started
    kill_timer: Any = None
    verdict: tuple[str, str | None] | None = None  # status reason and reason, when not the process decides
    lost: bool = False  # the machine is gone, and with it the exit code


class Launcher:
    """Runs attempts for the engine."""

    def __init__(self, context: Any, clock: Clock, stop_seconds: float = STOP_SECONDS) -> None:
        self.context, self.clock, self.stop_seconds = context, clock, stop_seconds
        self.engine: Engine  # set by whoever makes both
        self.running: dict[str, Running] = {}  # by attempt key
        self.tokens: dict[str, Running] = {}  # of the container credentials endpoint
        self._links: list[Link] = []
        self.roles = Roles(context.ministack)
        self.docker = Docker()
        self._tasks: set[asyncio.Task] = set()

    # --- the supervisors ---

    async def open(self) -> None:
        self._root = self.context.work_dir / "batch"
        self._root.mkdir(mode=0o700, exist_ok=True)
        self._links = [Link(self._root, self.handle, self.supervisor_died) for _ in range(SUPERVISORS)]
        for link in self._links:
            await link.open()

    async def close(self) -> None:
        """End every job process. A supervisor does so when its connection closes."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*(link.close() for link in self._links))

    def _keep(self, task: asyncio.Task) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def supervisor_died(self, link: Link) -> None:
        """End its jobs' attempts, since nothing watches them any more. AWS does so when a host is lost."""
        for key, running in list(self.running.items()):
            if running.link is link:
                if running.pid:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.killpg(running.pid, signal.SIGKILL)
                self._finished(key, None, machine_lost(running.job, key), None)

    # --- starting ---

    def launch(self, job: Job) -> None:
        attempt = job.attempt
        partition, _, region, account = job.queue.arn.split(":")[1:5]
        task_id = secrets.token_hex(16)
        task_arn = f"arn:{partition}:ecs:{region}:{account}:task/{job.compute_environment.cluster}/{task_id}"
        attempt.task_arn = task_arn
        key = f"{job.id}#{attempt.number}"
        try:
            running = self._prepare(job, attempt, task_arn, account, region)
        except StartError as error:
            self.clock.call_soon(self.engine.attempt_ended, job, attempt.number, None, START_FAILED, _short(str(error)))
            return
        self.running[key] = running
        if running.token:
            self.tokens[running.token] = running
        environment = runners.job_environment(job, job.compute_environment.name, self.context.endpoint_url, region)
        if running.token:
            # As in a container of ECS: credentials are fetched when needed, and fetched again before they expire.
            environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = f"{self.context.endpoint_url}/_local_aws/credentials"
            environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = running.token
        directory = str(self._root / task_id)
        if runners.runs_here(job.spec.container["image"], self.context.images):
            self._start_process(key, running, directory, environment)
        else:
            self._keep(asyncio.create_task(self._start_container(key, running, directory, environment, task_id)))

    def _prepare(self, job: Job, attempt: Attempt, task_arn: str, account: str, region: str) -> Running:
        """Assume the roles and open the log stream, as ECS does before it starts a container.

        Raises:
            StartError: with ECS's words for a role or a log stream that it can't use.
        """
        container = job.spec.container
        if job.spec.propagate_tags and len({**job.spec.definition_tags, **job.tags}) > MAX_TAGS:
            raise StartError(f"The job and its definition have more than {MAX_TAGS} tags together to propagate.")
        execution_role = container.get("executionRoleArn") or self.roles.instance_role(job, account)
        if execution_role is None:
            raise StartError("ECS was unable to assume a role for the container's logs: there is no execution role.")
        trusted = TASKS if container.get("executionRoleArn") else "ec2.amazonaws.com"
        credentials = self.roles.assume(execution_role, trusted, job, task_arn)
        if container.get("jobRoleArn"):
            self.roles.assume(container["jobRoleArn"], TASKS, job, task_arn)
        options = container.get("logConfiguration", {}).get("options", {})
        group = options.get("awslogs-group", LOG_GROUP)
        log_region = options.get("awslogs-region", region)
        prefix = options.get("awslogs-stream-prefix", job.spec.definition_name)
        stream = f"{prefix}/default/{task_arn.rpartition('/')[2]}"
        try:
            self.roles.open_log(credentials, group, stream, options, account, log_region)
        except ApiError as error:
            # ECS adds how often it tried; within a reason's 255 characters, what was refused matters more.
            raise StartError(
                f"ResourceInitializationError: failed to validate logger args: {error.code}: {error.message}"
            ) from None
        attempt.log_stream = stream
        token = secrets.token_urlsafe(32) if container.get("jobRoleArn") else ""
        link = min(self._links, key=lambda link: link.load)
        link.load += 1
        return Running(job, attempt.number, account, log_region, credentials, group, token, link)

    def _start_process(self, key: str, running: Running, directory: str, environment: dict[str, str]) -> None:
        spec, images = running.job.spec, self.context.images
        try:
            argv = runners.process_argv(spec, environment, images)
        except FileNotFoundError as error:
            self.clock.call_soon(self._finished, key, 127, START_FAILED, _not_executable(str(error)))
            return
        mapped = environment_of(images, spec.container["image"])
        process = runners.process_environment(environment, directory, key, mapped)
        running.link.order(("start", key, argv, process, directory, None))

    async def _start_container(
        self, key: str, running: Running, directory: str, environment: dict[str, str], task_id: str
    ) -> None:
        spec = running.job.spec
        failure = await self.docker.pull(spec.container["image"])
        if key not in self.running:
            return
        if running.job.terminated:
            self._finished(key, None, START_FAILED, None)
        elif failure:
            self._finished(key, None, START_FAILED, _short(f"CannotPullContainerError: {failure}"))
        else:
            name = f"local-aws-{task_id}"
            argv = runners.docker_argv(self.docker.program, spec, name, environment)
            process = {"PATH": os.environ.get("PATH", os.defpath), "HOME": directory, **environment}
            running.link.order(("start", key, argv, process, directory, [self.docker.program, "rm", "--force", name]))

    # --- what the supervisor reports ---

    def handle(self, report: tuple) -> None:
        kind, key = report[0], report[1]
        running = self.running.get(key)
        if running is None:
            return
        if kind == "started":
            running.pid = report[2]
            self.engine.attempt_running(running.job, running.number)
            if running.job.terminated or running.verdict:
                self._signal(key, running)
        elif kind == "output":
            self._log(running, report[2], report[3])
        elif kind == "ended":
            status_reason, reason = running.verdict or (CONTAINER_EXITED, None)
            self._finished(key, None if running.lost else report[2], status_reason, reason)
        else:
            self._finished(key, 127, START_FAILED, _not_executable(report[2]))

    def _log(self, running: Running, at: int, lines: list[str]) -> None:
        attempt = running.job.attempt
        ministack = self.context.ministack
        arn = (
            f"arn:{ministack.partition(running.region)}:logs:{running.region}:{running.account}:"
            f"log-group:{running.log_group}:log-stream:{attempt.log_stream}"
        )
        try:
            self.roles.permit(running.log_credentials, "logs:PutLogEvents", arn, arn.rsplit("/", 1)[0], running.region)
            ministack.append_log_events(
                running.log_group, attempt.log_stream, [(at, line) for line in lines], running.account, running.region
            )
        except ApiError as error:
            # As with the awslogs driver, a job goes on when its lines can't be delivered.
            log.warning("Lines of job %s are lost: %s", running.job.id, error.message)

    def _finished(self, key: str, exit_code: int | None, status_reason: str, reason: str | None) -> None:
        running = self.running.pop(key, None)
        if running is None:
            return
        running.link.load -= 1
        self.tokens.pop(running.token, None)
        if running.kill_timer:
            running.kill_timer.cancel()
        self.engine.attempt_ended(running.job, running.number, exit_code, status_reason, reason)

    # --- stopping ---

    def stop(self, job: Job) -> None:
        """SIGTERM now, SIGKILL to everything that is left 30 seconds later."""
        key, running = self._of(job)
        if running and running.pid:
            self._signal(key, running)  # else when it has started

    def _signal(self, key: str, running: Running) -> None:
        if running.kill_timer is None:
            init = running.job.spec.container.get("linuxParameters", {}).get("initProcessEnabled", False)
            running.link.order(("signal", key, int(signal.SIGTERM), init))
            running.kill_timer = self.clock.call_later(self.stop_seconds, running.link.order, ("kill", key))

    def stop_task(self, job: Job, reason: str) -> None:
        """End an attempt from outside, as ECS does. The job goes on with its next attempt if its rules say so."""
        _, running = self._of(job)
        if running:
            running.verdict = (reason, None)
            self.stop(job)

    def reclaim(self, job: Job) -> None:
        """Take a job's Spot capacity away, as EC2 does with an instance, or Fargate Spot with a task."""
        if job.spec.fargate:
            self.stop_task(job, SPOT_INTERRUPTED)
            return
        key, running = self._of(job)
        if running:
            running.verdict, running.lost = (host_terminated(key), None), True
            running.link.order(("kill", key))

    def job_of(self, task_arn: str) -> Job | None:
        """The job whose attempt under way is this task."""
        jobs = (running.job for running in self.running.values())
        return next((job for job in jobs if job.current and job.current.task_arn == task_arn), None)

    def _of(self, job: Job) -> tuple[str, Running | None]:
        key = f"{job.id}#{job.current.number}" if job.current else ""
        return key, self.running.get(key)

    # --- credentials ---

    def container_credentials(self, token: str) -> dict[str, Any] | None:
        """The job role's credentials, for the container that has this token while its attempt runs.

        https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
        """
        running = self.tokens.get(token)
        if running is None:
            return None
        job = running.job
        credentials = self.context.ministack.assume_role(
            job.spec.container["jobRoleArn"], TASKS, session_name=job.spec.definition_name,
            source_arn=job.attempt.task_arn,
        )  # fmt: skip
        return {
            "AccessKeyId": credentials.access_key_id,
            "SecretAccessKey": credentials.secret_access_key,
            "Token": credentials.session_token,
            "Expiration": dt.datetime.fromtimestamp(credentials.expiration, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "RoleArn": credentials.role_arn,
        }


def host_terminated(key: str) -> str:
    """AWS's status reason when the machine under a job is gone."""
    instance = hashlib.sha256(key.encode()).hexdigest()[:17]
    return f"Host EC2 (instance i-{instance}) terminated."


def machine_lost(job: Job, key: str) -> str:
    """AWS's status reason when the EC2 instance or Fargate capacity that a job ran on is gone."""
    return SPOT_INTERRUPTED if job.spec.fargate else host_terminated(key)


def _short(reason: str) -> str:
    """A container's reason has at most 255 characters."""
    return reason if len(reason) <= 255 else reason[:252] + "..."


def _not_executable(what: str) -> str:
    return _short(f"CannotStartContainerError: the command can't be executed: {what}")
