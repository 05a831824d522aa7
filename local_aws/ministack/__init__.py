"""MiniStack, embedded: the only package that touches its internals.

MiniStack (MIT) emulates IAM, STS, S3, SQS, Lambda, EventBridge, CloudWatch and the rest of what the kit calls.
`patches` mends what it does otherwise than AWS. `ports` is what our own services borrow from it: signatures and
policies, role sessions, the event bus, log groups, the register of tags and the default VPC. The version is pinned.
What we rely on, `tests/local_aws/test_core_server.py` and `test_core_scopes.py` state.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from local_aws.disk import Disk
from local_aws.ministack import saving
from local_aws.ministack.ports.clients import client
from local_aws.ministack.ports.events import could_be_seen, publish_event
from local_aws.ministack.ports.identity import authorize, identify, partition
from local_aws.ministack.ports.logs import append_log_events, create_log_group, put_log_events
from local_aws.ministack.ports.network import security_group_exists, subnet_exists
from local_aws.ministack.ports.roles import (
    Credentials,
    assume_role,
    caller_credentials,
    instance_profile_role,
    is_allowed,
    role_exists,
    trusts,
)
from local_aws.ministack.ports.tags import register_tags
from local_aws.ministack.requests import check_readable
from local_aws.ministack.saving import fork as fork_save
from local_aws.ministack.scopes import check_scope
from local_aws.ministack.settings import ACCOUNT, configure

__all__ = [
    "ACCOUNT", "Credentials", "append_log_events", "assume_role", "authorize", "caller_credentials", "check_readable",
    "check_scope", "client", "could_be_seen", "create_log_group", "fork_save", "identify", "instance_profile_role",
    "is_allowed", "load", "partition", "publish_event", "put_log_events", "register_tags", "role_exists",
    "security_group_exists", "start_no_functions", "stop_functions", "subnet_exists", "trusts", "watch_metrics",
]  # fmt: skip


def load(port: int, disk: Disk | None) -> Callable:
    """Configure MiniStack for this process, mend it, and return its ASGI application.

    Call it once, before anything else here.

    Args:
        port: where this server listens.
        disk: where the state is kept. Default: it is kept in memory.
    """
    configure(port, disk.directory if disk else None)
    saved_at = saving.recover(disk.directory / "ministack") if disk else 0
    from ministack import app

    with _without_docker():
        from ministack.services import lambda_svc  # noqa: F401
    from local_aws.ministack import patches
    from local_aws.ministack.patches import object_files

    patches.apply(saved_at)
    if disk:
        saving.forbid_own()
        object_files.apply(disk)
    return app.app


@contextlib.contextmanager
def _without_docker() -> Iterator[None]:
    """MiniStack takes Docker's client for not installed. To import it, SSH and all, takes a seventh of a start."""
    known = sys.modules.get("docker")
    sys.modules["docker"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["docker"]
        if known:
            sys.modules["docker"] = known


async def watch_metrics() -> None:
    """Measure the queues and evaluate the alarms, until the task is cancelled."""
    from local_aws.ministack.patches.missing_metrics import clock

    await clock.run()


def start_no_functions() -> None:
    """Start no Lambda function any more. What a queue has for one stays there."""
    from local_aws.ministack.patches import function_starts

    function_starts.forbid()


def stop_functions() -> None:
    """End every Lambda function that runs: the server's end would wait for the threads that wait for them.

    Call it from a thread, after `start_no_functions`.
    """
    from local_aws.ministack.patches import function_starts

    function_starts.end()
