"""Whether resources with the kit's names exist that are not the kit's."""

from __future__ import annotations

from .. import cleanup, data, iam
from ..config import Config
from .asking import Answer, BriefSession


def free(session: BriefSession, config: Config) -> Answer:
    """The names of roles, queues, functions, event rules and what Batch has."""
    refusals = [
        *iam.foreign_roles(session, config),
        *(
            iam.NameConflict(f'{each.kind} "{each.name}"', "it lacks our tag")
            for each in cleanup.foreign_resources(session, config)
        ),
    ]
    if len(refusals) < 2:
        return not refusals, "".join(map(str, refusals))
    *others, last = (f"the {refusal.what}" for refusal in refusals)
    told = f"{', '.join(others)} and {last} exist and are not this kit's, since they lack our tag"
    return False, f"T{told[1:]}. Choose another prefix, or delete them."


def bucket(session: BriefSession, config: Config, *, sees_it: bool) -> Answer:
    """Whether the bucket is there or can be.

    Args:
        sees_it: the caller's own policies allow it, so a refusal comes from the bucket's owner.
    """
    try:
        data.check_bucket(session, config.bucket, tags=config.tags)
    except iam.NameConflict as refusal:
        return False, str(refusal)
    except LookupError as refusal:
        if sees_it:
            taken = "it is taken by another account, or the bucket's own policy keeps you out: choose another prefix"
            return False, taken
        return None, str(refusal)
    return True, ""
