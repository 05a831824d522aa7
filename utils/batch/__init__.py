"""Create the compute environment, job queue and job definitions of notebook 02, and run a job by hand."""

from .compute_environments import ensure_compute_environment
from .errors import BatchError
from .instance_profiles import ensure_instance_profile
from .instances import instance_resources, on_instances
from .job_definitions import (
    AWS_CLI_IMAGE,
    JOB_CODE,
    SAGEMAKER_IMAGE,
    aggregate_job,
    copy_job,
    ensure_job_definition,
    python_job,
)
from .job_queues import TIME_LIMITS, ensure_job_queue
from .jobs import DONE, SPOT_INTERRUPTED, interrupt_job, require_success, submit_job, wait_for_job
from .log_groups import ensure_log_group, log_group
from .network import default_network
from .resources import describe, settled
from .retry_strategies import RETRY_STRATEGIES

__all__ = [
    "AWS_CLI_IMAGE",
    "DONE",
    "JOB_CODE",
    "RETRY_STRATEGIES",
    "SAGEMAKER_IMAGE",
    "SPOT_INTERRUPTED",
    "TIME_LIMITS",
    "BatchError",
    "aggregate_job",
    "copy_job",
    "default_network",
    "describe",
    "ensure_compute_environment",
    "ensure_instance_profile",
    "ensure_job_definition",
    "ensure_job_queue",
    "ensure_log_group",
    "instance_resources",
    "interrupt_job",
    "log_group",
    "on_instances",
    "python_job",
    "require_success",
    "settled",
    "submit_job",
    "wait_for_job",
]
