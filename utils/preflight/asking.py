"""How the preflight asks AWS. It gives up soon, and reports a missing answer as a row like any other."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import boto3
from botocore.config import Config as ClientConfig
from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, EndpointConnectionError

# A service that can't be reached from here is given up after about 20 seconds. boto3's own 60 seconds and four retries
# would be five minutes of silence.
# https://docs.aws.amazon.com/botocore/latest/reference/config.html
BRIEF = ClientConfig(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 4})

Answer = tuple[bool | None, str]


class Row(NamedTuple):
    """One line of the report, with a need, whether it is met (None if unknown), and what to do or know about it."""

    need: str
    ok: bool | None
    remedy: str


class BriefSession:
    """A boto3 session whose clients give up soon, and which tries an endpoint that can't be reached only once."""

    def __init__(self, session: boto3.Session) -> None:
        self.region_name = session.region_name
        self._session = session
        self._clients: dict[str, Any] = {}
        self._unreachable: dict[str, BotoCoreError] = {}

    def client(self, service: str) -> Any:
        client = self._clients.get(service) or self._session.client(service, config=BRIEF)
        self._clients[service] = client
        if error := self._unreachable.get(urlsplit(client.meta.endpoint_url).netloc):
            raise error
        return client

    def row(self, need: str, ask: Callable[[], Answer]) -> Row:
        """The answer to a question as a row, or None with the reason where there is no answer."""
        try:
            return Row(need, *ask())
        except (BotoCoreError, ClientError) as error:
            return Row(need, None, self.reason(error))

    def reason(self, error: BotoCoreError | ClientError) -> str:
        """Why a question was not answered, in words. A service that was out of reach is not asked again."""
        if isinstance(error, (ConnectTimeoutError, EndpointConnectionError)):
            self._unreachable[urlsplit(error.kwargs["endpoint_url"]).netloc] = error
        if is_denied(error):
            return f"not checked: you lack {_refused_action(error)}"
        return f"not checked: {error}"


def is_denied(error: BotoCoreError | ClientError) -> bool:
    """Whether IAM refused the call, in any service's words."""
    code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
    return "AccessDenied" in code or code == "UnauthorizedOperation"


def _refused_action(error: ClientError) -> str:
    said = re.search(r"not authorized to perform: ([\w-]+:\w+)", error.response["Error"].get("Message", ""))
    return said.group(1) if said else f"the permission for {error.operation_name}"
