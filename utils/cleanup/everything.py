"""All kinds of resources together. Find them, delete them in order, and show the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import boto3
import pandas as pd

from ..config import Config
from . import compute, functions, pipeline, roles, storage, watching
from .resource import NotDeleted, Resource
from .tag_register import tagged

# What uses a resource comes before the resource itself. The functions come after the pipeline, since they answer its
# last callbacks. The log groups come after the functions and the jobs, whose last lines would create them anew. The
# roles are last, since all the others use them.
_FINDERS: tuple[Callable[[boto3.Session, Config], Iterator[Resource]], ...] = (
    pipeline.find_pipelines,
    watching.find_rules,
    watching.find_alarms,
    watching.find_dashboard,
    functions.find_mapping,
    functions.find_queues,
    functions.find_functions,
    compute.find_job_queue,
    compute.find_compute_environment,
    compute.find_job_definitions,
    storage.find_bucket,
    storage.find_log_groups,
    roles.find_roles,
)
# The kinds of which the kit takes over none that lacks our tag.
_REFUSED = (
    watching.find_rules,
    functions.find_queues,
    functions.find_functions,
    compute.find_job_queue,
    compute.find_compute_environment,
)


def find_all(session: boto3.Session, config: Config) -> list[Resource]:
    """The resources to delete, in an order that works."""
    return [resource for resource in find_named(session, config) if resource.ours]


def find_named(session: boto3.Session, config: Config) -> Iterator[Resource]:
    """All resources with one of our names, tagged or not. Each kind is searched after the previous ones are handled."""
    for find in _FINDERS:
        yield from find(session, config)


def foreign_resources(session: boto3.Session, config: Config) -> Iterator[Resource]:
    """What has one of our names and not our tag, of the kinds that the kit refuses to take over.

    It may take over bucket and roles: `data.check_bucket` and `iam.foreign_roles` report those that it may not.
    """
    for find in _REFUSED:
        yield from (resource for resource in find(session, config) if not resource.ours)


def table(resources: list[Resource]) -> pd.DataFrame:
    """These resources as a table with the columns kind, name, and if left (its cost if you keep it)."""
    rows = [(each.kind, each.name, each.if_left) for each in resources]
    return pd.DataFrame(rows, columns=["kind", "name", "if left"])


def delete_all(session: boto3.Session, config: Config, report: Callable[[str], None] = lambda _: None) -> list[str]:
    """Delete all that `find_all` returns.

    Args:
        report: called with each resource after its deletion, such as `print`. On AWS everything takes minutes.

    Returns:
        What was deleted, as "kind name".

    Raises:
        ClientError: AWS refuses a deletion. What was deleted stays deleted, and a second call continues from there.
        NotDeleted: an execution of the pipeline can't be stopped, another job queue uses the compute environment, or an
            instance profile uses a role. All else is deleted.
        RuntimeError: S3 refuses to delete an object.
        TimeoutError: something is still there some minutes after its deletion. A second call continues from there.
    """
    deleted: list[str] = []
    held: dict[str, str] = {}
    for resource in find_named(session, config):
        if not resource.ours:
            continue
        try:
            resource.delete()
        except NotDeleted as error:
            held[str(resource)] = str(error)
        else:
            deleted.append(str(resource))
            report(deleted[-1])
    if held:
        raise NotDeleted(_all_but(held))
    return deleted


def _all_but(held: dict[str, str]) -> str:
    """What was not deleted, and why."""
    if len(held) == 1:
        return "".join(f"All but the {name} is deleted. {why}" for name, why in held.items())
    return "\n- ".join(["All but these is deleted:", *(f"the {name}. {why}" for name, why in held.items())])


def leftovers(session: boto3.Session, config: Config) -> list[str]:
    """The names of the resources that still exist, empty after a complete cleanup.

    Returns:
        "kind name" of each. What has one of our names and not our tag may belong to someone else, and may cost, so it
        is listed last, as "not tagged, left alone: kind name".
    """
    named = list(find_named(session, config))
    untagged = [f"not tagged, left alone: {resource}" for resource in named if not resource.ours]
    return [*(str(resource) for resource in named if resource.ours), *untagged]


def only_tagged(session: boto3.Session, config: Config) -> list[str]:
    """What AWS's tag register lists under our tag, and `find_all` does not return.

    Either it is gone, and the register has not noticed: that takes minutes or hours. Or it has our tag and none of our
    names, because you made or tagged it yourself.

    Returns:
        ARNs, sorted.
    """
    named = {resource.arn for resource in find_all(session, config)}
    return [arn for arn in tagged(session, config) if arn not in named]
