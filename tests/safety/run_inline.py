"""Run notebooks in this process, on either target, with each API call going through a `FaultInjectionProxy`."""

from __future__ import annotations

import json
import linecache
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest

import local_aws
from utils import session as sessions

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("0*.ipynb"))
FURTHER = sorted((Path(__file__).parents[2] / "notebooks" / "going_further").glob("[!.]*.ipynb"))
ACCOUNT = "123456789012"  # a key of twelve digits is the root of that account on the embedded AWS


def run(
    notebook: Path,
    attempt: Callable[[Callable[[], None]], None] = lambda cell: cell(),
    read: Callable[[str, dict[str, Any]], None] | None = None,
    **parameters: Any,
) -> dict[str, Any]:
    """Run a notebook's cells, with these parameters instead of its own; returns its variables.

    Args:
        attempt: is given each cell, to run it, perhaps more than once.
        read: is given the text of each other cell where it stands, and the variables at that point.
    """
    variables: dict[str, Any] = {"__name__": "__main__"}
    for cell in json.loads(notebook.read_text())["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] != "code":
            if read:
                read(source, variables)
            continue
        name = f"{notebook.name}: {source[:60]!r}"
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)  # as IPython does
        attempt(partial(exec, compile(source, name, "exec"), variables))
        if "parameters" in cell["metadata"].get("tags", []):
            variables |= parameters
    return variables


@contextmanager
def local(endpoint_url: str) -> Iterator[None]:
    """`connect("local")` finds this endpoint as the embedded AWS that runs already."""
    port = int(endpoint_url.rpartition(":")[2])
    server = local_aws.ServerInfo(endpoint_url, port, 0, "proxy", Path(os.devnull), "proxy")
    with _clean() as patch:
        patch.setattr(local_aws, "start", lambda *_, **__: server)
        yield


@contextmanager
def aws(
    endpoint_url: str,
    key: str = ACCOUNT,
    secret: str = "any",
    region: str = "eu-central-1",
    elsewhere: dict[str, str] | None = None,
) -> Iterator[None]:
    """`connect("aws")` with these credentials in the environment, as on AWS, except for where the calls end.

    The kit must not see an endpoint: it refuses to work "on AWS" with one set.

    Args:
        elsewhere: where the calls of a service end instead, such as "iam".
    """
    real = botocore.session.Session.create_client

    def create_client(self: Any, service_name: str, *arguments: Any, **options: Any) -> Any:
        ends = (elsewhere or {}).get(service_name, endpoint_url)
        return real(self, service_name, *arguments, **options | {"endpoint_url": ends})

    with _clean() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", key)
        patch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        patch.setenv("AWS_REGION", region)
        patch.setenv("AWS_DEFAULT_REGION", region)
        patch.setattr(botocore.session.Session, "create_client", create_client)
        yield


@contextmanager
def _clean() -> Iterator[pytest.MonkeyPatch]:
    """boto3's default session, which connect() sets, is as before afterwards."""
    assert sessions.boto3 is boto3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boto3, "DEFAULT_SESSION", None)
        patch.setenv("MPLBACKEND", "Agg")
        patch.setattr("IPython.display.display", lambda *_, **__: _Picture())
        yield patch


class _Picture:
    """What display() gives for a picture that changes; here nobody looks."""

    def update(self, *_: Any, **__: Any) -> None: ...
