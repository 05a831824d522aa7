"""What a person and an account need before anything is built (notebook 01), with everything that is missing at once."""

from __future__ import annotations

from collections.abc import Collection

import boto3
import pandas as pd

from .. import batch
from ..config import Config
from . import names, network, permissions, quotas
from .asking import BriefSession
from .permissions import UNVERIFIED, statements
from .quotas import FUNCTION_CALLS, MAX_VCPUS

__all__ = ["FUNCTION_CALLS", "MAX_VCPUS", "UNVERIFIED", "NotReady", "check", "require", "statements"]


class NotReady(RuntimeError):
    """Something is missing. The message lists all of it."""


def check(
    session: boto3.Session,
    config: Config,
    *,
    max_vcpus: float = MAX_VCPUS,
    job_vcpus: float | None = None,
    spot: bool = False,
) -> pd.DataFrame:
    """Check permissions, network, quotas and names, and change nothing.

    A question that AWS does not answer makes one row with `ok` None. It raises nothing, and a service that can't be
    reached is given up after about 20 seconds.

    Args:
        session: boto3 session of the person at the notebooks.
        max_vcpus: vCPUs that the jobs may use at once.
        job_vcpus: vCPUs of one job. None is what those of notebook 02 take.
        spot: whether the jobs are to run on Fargate Spot, which has a separate quota.

    Returns:
        Columns need, ok (True, False, or None where it is not known) and remedy, what to do or know about it.
    """
    asking = BriefSession(session)
    one_job = job_vcpus or quotas.vcpus_of(batch.copy_job(config, "", ""))
    granted = permissions.rows(asking, config)
    sees_bucket = (permissions.BUCKET, True) in {(row.need, row.ok) for row in granted}
    rows = [
        *granted,
        asking.row("a default VPC", lambda: network.way_out(asking)),
        asking.row("room for one more queue and compute environment", lambda: quotas.batch_room(asking, config)),
        asking.row(quotas.fargate_need(spot), lambda: quotas.fargate(asking, max_vcpus, one_job, spot)),
        asking.row(quotas.FUNCTIONS_NEED, lambda: quotas.function_calls(asking)),
        asking.row(quotas.roles_need(config), lambda: quotas.roles(asking, config)),
        asking.row("the names", lambda: names.free(asking, config)),
        asking.row(f"the bucket's name, {config.bucket}", lambda: names.bucket(asking, config, sees_it=sees_bucket)),
    ]
    return pd.DataFrame(rows, columns=["need", "ok", "remedy"])


def require(report: pd.DataFrame, *, allow_unverified: bool = False, ignore: Collection[str] = ()) -> None:
    """Stop here, before anything is half built, if something is missing or your permissions could not be checked.

    Args:
        report: what `check` returned.
        allow_unverified: continue although your permissions could not be checked. The first call that you are not
            allowed to make then fails, and what was created up to that point stays.
        ignore: needs, as in the report's column `need`, that don't stop you although they are missing. IAM's simulator
            can be wrong, and you don't need a default VPC if you bring another network.

    Raises:
        NotReady: something is missing. The message names all of it.
        ValueError: `ignore` holds something that is not in the report.
    """
    unknown = set(ignore) - set(report["need"])
    if unknown:
        names = ", ".join(map(repr, sorted(unknown)))
        raise ValueError(f"ignore has {names}, which the report doesn't. Copy it from the report's column need.")
    rows = [row for row in report.itertuples() if row.need not in ignore]
    missing = [f"{row.need}: {row.remedy}" for row in rows if row.ok is False]
    stops = [f"{'; '.join(missing)}. To continue anyway, pass ignore with these needs"] if missing else []
    if not allow_unverified:
        stops += [
            f"{row.need} were {row.remedy}, or pass allow_unverified=True to continue anyway"
            for row in rows
            if row.need == UNVERIFIED
        ]
    if stops:
        raise NotReady("; ".join(stops))
