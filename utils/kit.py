"""Everything that notebooks 01 to 04 make, in one call: for the notebooks of going_further, which begin after it."""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import boto3

from . import batch, data, events, existing, iam, lambdas, preflight, queues
from .config import Config, ConfigError

# Of the two functions: 256 MiB do for thousands of items. A manifest of a million, or of very long ones, takes more.
FUNCTION_MEMORY_MIB = 512
FUNCTION_TIMEOUT_SECONDS = 120  # a LambdaStep's default
VISIBILITY_TIMEOUT_SECONDS = 900
JOB_VCPUS = 0.25  # the least that Fargate offers: so with 6 vCPUs 24 jobs run at once
# Twice the least. In an account with GuardDuty's runtime monitoring an agent takes its share of a task's memory.
# https://docs.aws.amazon.com/guardduty/latest/ug/prereq-runtime-monitoring-ecs-support.html
JOB_MEMORY_MIB = 1024


@dataclass(frozen=True)
class Kit:
    """What a pipeline needs to know of a deployed kit.

    Attributes:
        job_queue: name of the Batch job queue, or the first of your own if the kit has made none.
        job_definition: ARN of the job definition, or the first of your own.
        submit_function, check_function: ARNs of the two functions.
        callback_queue: URL of the queue that the callback steps send to.
        pipeline_role: ARN of the role that a pipeline of this kit runs with.
    """

    job_queue: str
    job_definition: str
    submit_function: str
    check_function: str
    callback_queue: str
    pipeline_role: str


def job_code(name: str) -> str:
    """The text of a program in job_code/."""
    return (batch.JOB_CODE / name).read_text()


def deploy(
    session: boto3.Session,
    config: Config,
    *,
    program: str | None,
    pipelines: Sequence[str] = (),
    job_queues: Sequence[str] = (),
    job_definitions: Sequence[str] = (),
    buckets: Sequence[str] = (),
    kms_keys: Sequence[str] = (),
    max_vcpus: int = preflight.MAX_VCPUS,
    spot: bool = False,
    push: bool = False,
    check_settings: dict[str, str] | None = None,
    allow_unverified: bool = False,
    ignore: Collection[str] = (),
) -> Kit:
    """Create or bring up to date the roles, Batch resources, functions and queues of a kit.

    Args:
        program: the Python text that the jobs run, such as `job_code("copy_item.py")`; see `batch.python_job`. With
            None no Batch resources are made, so name a job queue and a job definition of yours.
        pipelines, job_queues, job_definitions, buckets: names or ARNs of what exists already, beside those in `config`.
            The policies, rules and functions include them. They are never changed or deleted.
        kms_keys: ARNs of the keys that encrypt these buckets.
        max_vcpus: vCPUs that may run at once. AWS grants new accounts 6 on Fargate.
        spot: run the jobs on Fargate Spot.
        push: let EventBridge call the checking function when a job ends.
        check_settings: environment variables of the checking function; its docstring tells which.
        allow_unverified, ignore: build although something is missing or unknown, as `preflight.require` has them.

    Raises:
        ConfigError: a name or an ARN is none that AWS takes, or without a program there is no queue and definition.
        LookupError: a job queue, a job definition or a bucket does not exist; nothing has been made.
        NotReady: something is missing, or can't be seen, as in notebook 01; nothing has been made.
    """
    config = config.with_existing(
        pipelines=pipelines,
        job_queues=job_queues,
        job_definitions=job_definitions,
        buckets=buckets,
        kms_keys=kms_keys,
    )
    if program is None and not (config.job_queues and config.job_definitions):
        raise ConfigError(
            "Without a program, name your own job queue and definition in job_queues and job_definitions."
        )
    existing.require(session, config)
    checks = preflight.check(session, config, max_vcpus=max_vcpus, job_vcpus=JOB_VCPUS, spot=spot)
    preflight.require(checks, allow_unverified=allow_unverified, ignore=ignore)
    tags = config.tags
    roles = iam.ensure_roles(session, config)
    data.ensure_bucket(session, config.bucket, tags=tags)
    if program is None:
        job_queues, definition = config.job_queues, config.job_definitions[0]
    else:
        job_queues = (config.job_queue, *config.job_queues)
        definition = _batch(session, config, roles, program, max_vcpus, spot)

    dead_letter_url = queues.ensure_queue(session, config.dead_letter_queue, tags=tags)
    callback_url = queues.ensure_queue(
        session,
        config.callback_queue,
        visibility_timeout_seconds=VISIBILITY_TIMEOUT_SECONDS,
        dead_letter_queue=queues.queue_arn(session, dead_letter_url),
        tags=tags,
    )
    ensure_function = functools.partial(
        lambdas.ensure_function,
        session,
        timeout_seconds=FUNCTION_TIMEOUT_SECONDS,
        memory_mib=FUNCTION_MEMORY_MIB,
        tags=tags,
    )
    submit_function = ensure_function(
        config.submit_jobs_function,
        code=lambdas.package("submit_jobs"),
        role=roles["submit_lambda"],
    )
    settings = {
        "DEAD_LETTER_QUEUE_URL": dead_letter_url,
        "JOB_QUEUES": " ".join(job_queues),
        "POLL_MIN_SECONDS": "1",
        "PUSH_EVENTS": "true" if push else "false",
        **(check_settings or {}),
    }
    check_function = ensure_function(
        config.check_jobs_function,
        code=lambdas.package("check_jobs"),
        role=roles["monitor_lambda"],
        environment=settings,
    )
    queues.ensure_mapping(
        session,
        queue=queues.queue_arn(session, callback_url),
        function=config.check_jobs_function,
        tags=tags,
    )
    events.ensure_stop_rule(session, config, queue_url=callback_url)
    if push:
        events.ensure_push_rule(session, config, function=check_function)
    return Kit(
        job_queue=job_queues[0],
        job_definition=definition,
        submit_function=submit_function,
        check_function=check_function,
        callback_queue=callback_url,
        pipeline_role=roles["pipeline"],
    )


def _batch(
    session: boto3.Session,
    config: Config,
    roles: dict[str, str],
    program: str,
    max_vcpus: int,
    spot: bool,
) -> str:
    """The job definition's ARN, once there is all that its jobs run in."""
    tags = config.tags
    subnets, security_groups = batch.default_network(session)
    compute = batch.ensure_compute_environment(
        session,
        config.compute_environment,
        subnets=subnets,
        security_groups=security_groups,
        max_vcpus=max_vcpus,
        spot=spot,
        tags=tags,
    )
    batch.ensure_job_queue(session, config.job_queue, compute_environment=compute["computeEnvironmentArn"], tags=tags)
    batch.ensure_log_group(session, config.job_log_group, tags=tags)
    definition = batch.python_job(
        config, program, roles["batch_job"], roles["batch_execution"], vcpus=JOB_VCPUS, memory_mib=JOB_MEMORY_MIB
    )
    return batch.ensure_job_definition(session, definition)
