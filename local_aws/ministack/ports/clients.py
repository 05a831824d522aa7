"""boto3 clients of this server."""

from __future__ import annotations

import json
import threading
from typing import Any

from local_aws.ministack import settings
from local_aws.ministack.ports.roles import Credentials

_clients: dict[tuple, Any] = {}
_clients_lock = threading.Lock()


def client(service: str, credentials: Credentials, region: str, **config: Any) -> Any:
    """A boto3 client at our own endpoint as a role, made once. Call it from a thread, never on the loop.

    Args:
        config: settings of botocore's Config, such as read_timeout (seconds).
    """
    import boto3
    from botocore.config import Config

    key = (service, credentials.access_key_id, region, json.dumps(config, sort_keys=True))
    with _clients_lock:
        if key not in _clients:
            if len(_clients) >= 256:  # sessions are renewed twice an hour; forget the oldest
                _clients.pop(next(iter(_clients)))
            session = boto3.Session(
                aws_access_key_id=credentials.access_key_id,
                aws_secret_access_key=credentials.secret_access_key,
                aws_session_token=credentials.session_token or None,
                region_name=region,
            )
            _clients[key] = session.client(service, endpoint_url=settings.endpoint_url(), config=Config(**config))
        return _clients[key]
