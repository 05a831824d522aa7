"""MiniStack's faults, mended: a module for each, named after the fault, with an `apply` that is called at the start."""

from local_aws.ministack.patches import (
    cut_log_searches,
    function_code,
    function_environments,
    function_roles,
    function_starts,
    ignored_filters,
    kept_events,
    lambda_errors,
    lambda_workers,
    log_searches,
    log_streams,
    managed_policies,
    missing_metrics,
    own_endpoints,
    partial_batches,
    policy_variables,
    queue_urls,
    resource_arns,
    unauthorized_targets,
    unchecked_bucket_requests,
    unchecked_entries,
    unchecked_keys,
    unchecked_mappings,
    unchecked_requests,
    unchecked_s3_requests,
    unchecked_sqs_requests,
    unchecked_stacks,
    unfinished_simulator,
    wall_clock_waits,
)


def apply(saved_at: float = 0) -> None:
    """Mend MiniStack in this process. Import it first: its settings are read at import.

    Args:
        saved_at: when the state that it starts with was saved.
    """
    own_endpoints.apply()
    resource_arns.apply()
    function_roles.apply()
    function_code.apply()
    function_environments.apply()
    unauthorized_targets.apply()
    lambda_errors.apply()
    lambda_workers.apply()
    ignored_filters.apply()
    kept_events.apply()
    cut_log_searches.apply()
    log_searches.apply()
    log_streams.apply()
    managed_policies.apply()
    policy_variables.apply()
    queue_urls.apply()
    unfinished_simulator.apply()
    unchecked_s3_requests.apply()
    unchecked_entries.apply()
    unchecked_keys.apply()
    unchecked_requests.apply()
    unchecked_sqs_requests.apply()
    unchecked_bucket_requests.apply()
    unchecked_mappings.apply()
    unchecked_stacks.apply()
    partial_batches.apply()
    missing_metrics.apply()
    function_starts.apply()
    wall_clock_waits.apply(saved_at)
