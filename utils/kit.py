"""Everything that notebooks 01 to 04 create, in one call, for the notebooks of going_further."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import boto3

from . import batch, data, events, existing, iam, lambdas, preflight, queues
from .config import Config, ConfigError

# Of the two functions: 256 MiB do for thousands of items. A manifest of a million, or of very long ones, takes more.
FUNCTION_MEMORY_MIB = 512
FUNCTION_TIMEOUT_SECONDS = 120  # a LambdaStep's default
VISIBILITY_TIMEOUT_SECONDS = 900
# The task whose role a function has.
FUNCTION_ROLES = {
    "submit_jobs": "submit_lambda",
    "check_jobs": "monitor_lambda",
    "count_inputs": "data_lambda",
    "merge_results": "data_lambda",
}
JOB_VCPUS = 0.25  # the least that Fargate offers: so with 6 vCPUs 24 jobs run at once
# Twice the least. In an account with GuardDuty's runtime monitoring an agent takes its share of a task's memory.
# https://docs.aws.amazon.com/guardduty/latest/ug/prereq-runtime-monitoring-ecs-support.html
JOB_MEMORY_MIB = 1024


@dataclass(frozen=True)
class Kit:
    """What a pipeline needs to know of a deployed kit.

    Attributes:
        job_queue: name of the Batch job queue, or your first one if the kit has made none.
        job_definition: ARN of the job definition, or of your first one.
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

    @property
    def backend(self) -> dict[str, str]:
        """What each BatchStep needs of the kit: `BatchStep(..., **deployed.backend)`."""
        return {"submit_function_arn": self.submit_function, "callback_queue_url": self.callback_queue}


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
        program: the Python text that the jobs run, such as `job_code("copy_item.py")`. See `batch.python_job`. With
            None no Batch resources are created, so name your own job queue and job definition.
        pipelines, job_queues, job_definitions, buckets: names or ARNs of what exists already, beside those in `config`.
            The policies, rules and functions include them. They are never changed or deleted.
        kms_keys: ARNs of the keys that encrypt these buckets.
        max_vcpus: vCPUs that may run at once. AWS grants new accounts 6 on Fargate.
        spot: run the jobs on Fargate Spot.
        push: let EventBridge call the checking function when a job ends.
        check_settings: environment variables of the checking function, which its README lists.
        allow_unverified, ignore: build although something is missing or unknown, as `preflight.require` has them.

    Raises:
        ConfigError: a name or an ARN is none that AWS takes, or without a program there is no queue and definition.
        ResourceNotFound: a job queue, a job definition, a bucket or a key does not exist. Nothing has been made.
        NotReady: something is missing, or can't be seen, as in notebook 01. Nothing has been made.
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
    roles = iam.ensure_roles(session, config)
    data.ensure_bucket(session, config.bucket, tags=config.tags)
    if program is None:
        job_queues, definition = config.job_queues, config.job_definitions[0]
    else:
        job_queues = (config.job_queue, *config.job_queues)
        ensure_job_queue(session, config, max_vcpus=max_vcpus, spot=spot)
        properties = batch.python_job(
            config, program, roles["batch_job"], roles["batch_execution"], vcpus=JOB_VCPUS, memory_mib=JOB_MEMORY_MIB
        )
        definition = batch.ensure_job_definition(session, properties)

    settings = {"POLL_MIN_SECONDS": "1", "PUSH_EVENTS": "true" if push else "false", **(check_settings or {})}
    functions = ensure_functions(session, config, roles, job_queues=job_queues, check_settings=settings)
    callback_url = ensure_callbacks(session, config)
    if push:
        events.ensure_push_rule(session, config, function=functions["check_jobs"])
    return Kit(
        job_queue=job_queues[0],
        job_definition=definition,
        submit_function=functions["submit_jobs"],
        check_function=functions["check_jobs"],
        callback_queue=callback_url,
        pipeline_role=roles["pipeline"],
    )


def ensure_job_queue(session: boto3.Session, config: Config, *, max_vcpus: int, spot: bool = False) -> None:
    """The first part of notebook 02: compute environment in the default VPC, job queue, and the jobs' log group."""
    ensure_queue_on_fargate(session, config, max_vcpus=max_vcpus, spot=spot)
    batch.ensure_log_group(session, config.job_log_group, tags=config.tags)


def ensure_queue_on_fargate(session: boto3.Session, config: Config, *, max_vcpus: int, spot: bool = False) -> str:
    """A compute environment in the default VPC, and a job queue on it.

    Returns:
        The queue's ARN.
    """
    subnets, security_groups = batch.default_network(session)
    compute = batch.ensure_compute_environment(
        session,
        config.compute_environment,
        subnets=subnets,
        security_groups=security_groups,
        max_vcpus=max_vcpus,
        spot=spot,
        tags=config.tags,
    )
    arn = compute["computeEnvironmentArn"]
    queue = batch.ensure_job_queue(session, config.job_queue, compute_environment=arn, tags=config.tags)
    return queue["jobQueueArn"]


def ensure_functions(
    session: boto3.Session,
    config: Config,
    roles: dict[str, str],
    names: Iterable[str] = ("submit_jobs", "check_jobs"),
    *,
    job_queues: Sequence[str],
    check_settings: dict[str, str],
    timeout_seconds: int = FUNCTION_TIMEOUT_SECONDS,
) -> dict[str, str]:
    """Notebook 03: functions, and the dead-letter queue that the checking function needs.

    Args:
        roles: ARNs by task, as `iam.ensure_roles` returns them.
        names: folders of lambda_code/, of those in FUNCTION_ROLES. Default: the two that a pipeline needs.
        job_queues: whose jobs the functions may work with.
        check_settings: more environment variables of the checking function.
        timeout_seconds: of one call. At most the callback queue's visibility timeout. Default: 120.

    Returns:
        The functions' ARNs by name.
    """
    dead_letters = queues.ensure_queue(session, config.dead_letter_queue, tags=config.tags)
    check = {"DEAD_LETTER_QUEUE_URL": dead_letters, "JOB_QUEUES": " ".join(job_queues), **check_settings}
    return {
        name: lambdas.ensure_function(
            session,
            getattr(config, f"{name}_function"),
            code=lambdas.package(name),
            role=roles[FUNCTION_ROLES[name]],
            timeout_seconds=timeout_seconds,
            memory_mib=FUNCTION_MEMORY_MIB,
            environment=check if name == "check_jobs" else {},
            tags=config.tags,
        )
        for name in names
    }


def ensure_callbacks(
    session: boto3.Session, config: Config, *, visibility_timeout_seconds: int = VISIBILITY_TIMEOUT_SECONDS
) -> str:
    """Notebook 04: both queues, the mapping from the first to the checking function, the rule for stopped executions.

    Returns:
        The callback queue's URL.
    """
    tags, dead_letters = config.tags, queues.ensure_queue(session, config.dead_letter_queue, tags=config.tags)
    callbacks = queues.ensure_queue(
        session,
        config.callback_queue,
        visibility_timeout_seconds=visibility_timeout_seconds,
        dead_letter_queue=queues.queue_arn(session, dead_letters),
        tags=tags,
    )
    queues.ensure_mapping(
        session, queue=queues.queue_arn(session, callbacks), function=config.check_jobs_function, tags=tags
    )
    events.ensure_stop_rule(session, config, queue_url=callbacks)
    return callbacks
