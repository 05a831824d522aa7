"""MiniStack's faults, mended: a module for each, named after the fault, with an `apply` that is called at the start."""

from local_aws.ministack.patches import (
    event_targets,
    function_roles,
    lambda_errors,
    lambda_workers,
    managed_policies,
    own_doors,
    policy_variables,
    resource_arns,
    simulator,
)


def apply() -> None:
    """Mend MiniStack in this process. Import it first: its settings are read at import."""
    own_doors.apply()
    resource_arns.apply()
    function_roles.apply()
    event_targets.apply()
    lambda_errors.apply()
    lambda_workers.apply()
    managed_policies.apply()
    policy_variables.apply()
    simulator.apply()
