"""MiniStack, embedded: the only package that touches its internals.

MiniStack (MIT) emulates IAM, STS, S3, SQS, Lambda, EventBridge, CloudWatch and the rest of what the kit calls.
`patches` mends what it does otherwise than AWS. `ports` is what our own services borrow from it: signatures and
policies, role sessions, the event bus, log groups, the register of tags and the default VPC. The version is pinned.
What we rely on, `tests/local_aws/test_core_server.py` and `test_core_scopes.py` state.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

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
from local_aws.ministack.scopes import check_scope
from local_aws.ministack.settings import ACCOUNT, configure

__all__ = [
    "ACCOUNT", "Credentials", "append_log_events", "assume_role", "authorize", "caller_credentials", "check_readable",
    "check_scope", "client", "could_be_seen", "create_log_group", "identify", "instance_profile_role", "is_allowed",
    "load", "partition", "publish_event", "put_log_events", "register_tags", "role_exists", "security_group_exists",
    "snapshot", "stop_functions", "subnet_exists", "trusts",
]  # fmt: skip


def load(port: int, state_dir: Path | None) -> Callable:
    """Configure MiniStack for this process, mend it, and return its ASGI application.

    Call it once, before anything else here. Its arguments are those of `settings.configure`.
    """
    configure(port, state_dir)
    from ministack import app

    from local_aws.ministack import patches

    patches.apply()
    return app.app


def snapshot() -> None:
    """Write MiniStack's state to its state directory, as it does itself at a clean shutdown."""
    from ministack import app
    from ministack.core import persistence

    persistence.save_all(app._build_persistence_save_dict())


def stop_functions() -> None:
    """End every Lambda function that runs: the server's end would wait for the threads that wait for them."""
    from ministack.core import lambda_runtime

    lambda_runtime.reset()
