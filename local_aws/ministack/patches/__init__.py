"""MiniStack's faults, mended: a module for each, named after the fault, with an `apply` that is called at the start."""

from local_aws.ministack.patches import (
    bucket_requests,
    event_targets,
    function_code,
    function_environments,
    function_roles,
    function_starts,
    ignored_filters,
    lambda_errors,
    lambda_workers,
    log_searches,
    log_streams,
    managed_policies,
    mappings,
    metrics,
    own_endpoints,
    partial_batches,
    policy_variables,
    queue_urls,
    resource_arns,
    simulator,
    sqs_requests,
    stacks,
    unchecked_entries,
    unchecked_requests,
    unchecked_s3_requests,
)


def apply() -> None:
    """Mend MiniStack in this process. Import it first: its settings are read at import."""
    own_endpoints.apply()
    resource_arns.apply()
    function_roles.apply()
    function_code.apply()
    function_environments.apply()
    event_targets.apply()
    lambda_errors.apply()
    lambda_workers.apply()
    ignored_filters.apply()
    log_searches.apply()
    log_streams.apply()
    managed_policies.apply()
    policy_variables.apply()
    queue_urls.apply()
    simulator.apply()
    unchecked_s3_requests.apply()
    unchecked_entries.apply()
    unchecked_requests.apply()
    sqs_requests.apply()
    bucket_requests.apply()
    mappings.apply()
    stacks.apply()
    partial_batches.apply()
    metrics.apply()
    function_starts.apply()
