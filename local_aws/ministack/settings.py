"""How MiniStack is set up in this process, and which of its services are here."""

from __future__ import annotations

import os
from pathlib import Path

ACCOUNT = "000000000000"
# MiniStack's name for the services the kit calls; what is not named here is neither loaded nor served.
SERVICES = "iam,sts,s3,sqs,lambda,events,logs,ec2,tagging,monitoring,cloudformation,sns"

OWN: set[str] = set()  # the names of what `configure` has set


def configure(port: int, state_dir: Path | None) -> None:
    """Set what MiniStack reads from the environment when it is imported.

    Args:
        port: where this server listens.
        state_dir: directory that keeps MiniStack's state. Default: the state is kept in memory.
    """
    settings = {
        "AUTH": "true",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",  # else it listens on 0.0.0.0:8883
        "SFTP_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "SERVICES": SERVICES,
        "DOCKER_HOST": "unix:///nonexistent",  # Lambda handlers run as local processes; no containers are looked for
    }
    if state_dir:
        settings |= {
            "PERSIST_STATE": "1",
            "STATE_DIR": str(state_dir / "ministack"),
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(state_dir / "s3"),
        }
    os.environ.update(settings)
    OWN.update(settings)


def endpoint_url() -> str:
    """This server's address."""
    return f"http://127.0.0.1:{os.environ['GATEWAY_PORT']}"
