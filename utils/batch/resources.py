"""Describe a compute environment or job queue, and wait until Batch has finished changing it."""

from __future__ import annotations

from typing import Any

import boto3

from ..iam import NameConflict
from ..support.waiting import wait
from .errors import BatchError

_KINDS = {
    "compute environment": ("describe_compute_environments", "computeEnvironments"),
    "job queue": ("describe_job_queues", "jobQueues"),
}


def describe(session: boto3.Session, kind: str, name: str) -> dict[str, Any] | None:
    """A "compute environment" or a "job queue" by name, or None."""
    call, key = _KINDS[kind]
    resources = getattr(session.client("batch"), call)(**{key: [name]})[key]
    # For a while after its deletion Batch still describes a resource, as DELETED.
    return resources[0] if resources and resources[0]["status"] != "DELETED" else None


def settled(session: boto3.Session, kind: str, name: str, seconds: float = 300) -> dict[str, Any] | None:
    """The resource once it is not CREATING, UPDATING or DELETING, or after `seconds`. None if it is gone."""
    return wait(
        lambda: describe(session, kind, name),
        until=lambda resource: not resource or resource["status"] not in ("CREATING", "UPDATING", "DELETING"),
        seconds=seconds,
    )


def settled_ours(session: boto3.Session, kind: str, name: str, tags: dict[str, str]) -> dict[str, Any] | None:
    """As `settled`, of what has these tags.

    Raises:
        NameConflict: there is one without them.
    """
    resource = settled(session, kind, name)
    if resource and not tags.items() <= resource.get("tags", {}).items():
        raise NameConflict(f'{kind} "{name}"', "it lacks our tag")
    return resource


def require_valid(kind: str, name: str, resource: dict[str, Any] | None) -> dict[str, Any]:
    """The resource, as `settled` returned it, if it is VALID.

    Raises:
        BatchError: it is not. The message carries its status, and AWS's reason.
    """
    if resource is None or resource["status"] != "VALID":
        status, reason = (resource["status"], resource.get("statusReason")) if resource else ("gone", None)
        why = (reason or "AWS gives no reason").rstrip(".")
        raise BatchError(f'The {kind} "{name}" is {status}: {why}. Delete it, mend the cause, and run this again.')
    return resource
