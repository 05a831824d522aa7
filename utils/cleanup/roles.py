"""The roles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import boto3

from .. import iam
from ..config import Config
from .resource import NotDeleted, Resource, has_our_tag
from .waiting import delete_if_there, delete_when_free, in_steps

GRACE_SECONDS = 120.0  # for some moments IAM may still count what was just taken from a role


def find_roles(session: boto3.Session, config: Config) -> Iterator[Resource]:
    """The roles of both layouts, since you may have tried the other one, too."""
    client = session.client("iam")
    layouts = [replace(config, role_layout=layout) for layout in ("separate", "shared")]
    for name in sorted({name for each in layouts for name in iam.role_names(each).values()}):
        try:
            tags = client.list_role_tags(RoleName=name)["Tags"]
        except client.exceptions.NoSuchEntityException:
            continue
        arn = config.arn("iam", f"role/{name}")
        yield Resource("role", name, arn, _role_deleter(client, name), has_our_tag(config, tags))


def delete_instance_profile(session: boto3.Session, config: Config) -> None:
    """Delete what `batch.ensure_instance_profile` made, after the compute environment that uses it.

    `delete_all` leaves it, because only `policies/operator_instance_profile.json` allows to see it.
    """
    client, name = session.client("iam"), config.instance_role
    delete_if_there(client.remove_role_from_instance_profile, InstanceProfileName=name, RoleName=name)
    delete_if_there(client.delete_instance_profile, InstanceProfileName=name)
    _role_deleter(client, name)()


def _role_deleter(client: Any, name: str) -> Callable[[], None]:
    def delete() -> None:
        for policy in client.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
            client.detach_role_policy(RoleName=name, PolicyArn=policy["PolicyArn"])
        for policy in client.list_role_policies(RoleName=name)["PolicyNames"]:
            client.delete_role_policy(RoleName=name, PolicyName=policy)
        try:
            delete_when_free("DeleteConflict", client.delete_role, seconds=GRACE_SECONDS, RoleName=name)
        except client.exceptions.DeleteConflictException as error:
            raise NotDeleted(
                f'Something that the kit did not make uses it, and AWS says "{error.response["Error"]["Message"]}" '
                "Do that, then run the cleanup again."
            ) from None

    return in_steps(delete)
