"""Which failed attempts of a job are worth another one."""

from __future__ import annotations

from typing import Any

# By platform: a job that lost its machine or failed to start is worth another attempt, a failing program is not. On
# Fargate, pulls of an image and network interfaces fail now and then (https://github.com/nextflow-io/nextflow/issues/5681).
# At most five rules are allowed, and the first that matches decides. A job that no rule matches is retried, so the last
# ones exit. A failed program has a status reason and may have no reason, so there is one for each.
# https://docs.aws.amazon.com/batch/latest/userguide/job_retries.html
_EXIT = [{"onReason": "*", "action": "EXIT"}, {"onStatusReason": "*", "action": "EXIT"}]
RETRY_STRATEGIES: dict[str, dict[str, Any]] = {
    "FARGATE": {
        "attempts": 3,
        "evaluateOnExit": [
            {"onStatusReason": "Your Spot Task was interrupted*", "action": "RETRY"},
            {"onStatusReason": "Task failed to start*", "action": "RETRY"},
            # For a network interface, or for the task's storage.
            {"onStatusReason": "Timeout waiting for *", "action": "RETRY"},
            *_EXIT,
        ],
    },
    "EC2": {
        "attempts": 3,
        "evaluateOnExit": [
            {"onStatusReason": "Host EC2*", "action": "RETRY"},
            {"onStatusReason": "Task failed to start*", "action": "RETRY"},
            *_EXIT,
        ],
    },
}
