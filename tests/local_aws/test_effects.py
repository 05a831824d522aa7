"""Each honoured member of a request has an effect. A call with another value ends otherwise, or leaves other things."""

from __future__ import annotations

import ast
import contextlib
import http.client
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from local_aws.ministack.members import HONOURED

from .effects import events, functions, identities, logs, metrics, queues, stacks, uploads
from .effects.world import Clients, Probe, Versus, World, changed, seen

TESTS = Path(__file__).parents[1]
PROBES: dict[str, dict[str, Callable[[World], Probe]]] = {
    **identities.PROBES,
    **queues.PROBES,
    **functions.PROBES,
    **events.PROBES,
    **logs.PROBES,
    **metrics.PROBES,
    **stacks.PROBES,
    **uploads.PROBES,
}
# Members whose effect another test shows: its file below tests/, and its name.
_LENGTH = ("local_aws/test_effects.py", "test_an_object_is_as_long_as_its_request_says")
SHOWN_BY: dict[tuple[str, str, str], tuple[str, str]] = {
    ("s3", "PutObject", "ContentLength"): _LENGTH,
    ("s3", "UploadPart", "ContentLength"): _LENGTH,
}
OPERATIONS = [(service, operation) for service in PROBES for operation in PROBES[service]]


@pytest.fixture(scope="module")
def clients(aws: Any) -> Clients:
    return Clients(aws)


@pytest.mark.sampled(50)
@pytest.mark.parametrize(("service", "operation"), OPERATIONS)
def test_each_honoured_member_has_an_effect(clients: Clients, service: str, operation: str) -> None:
    """Two calls that are alike look alike. So what differs after a call with another value comes from that value."""
    make = PROBES[service][operation]

    def played(member: str, which: str = "other") -> str:
        world = World(clients)
        probe = make(world)
        change = probe.changes.get(member)
        if isinstance(change, Versus):
            change = getattr(change, which)
        request = changed(probe.request, member, change) if member else probe.request
        return seen(world, service, operation, request, probe)

    def has_effect(member: str) -> bool:
        before = played(member, "usual") if isinstance(changes[member], Versus) else usual
        return played(member) != before

    usual = played("")
    assert "refused" not in usual[:12], usual
    assert played("") == usual
    members = HONOURED[service][operation].split()
    probed = [member for member in members if (service, operation, member) not in SHOWN_BY]
    changes = make(World(clients)).changes
    assert not set(probed) ^ set(changes), f"not probed: {set(probed) - set(changes)}, or no member"
    without = [member for member in probed if not has_effect(member)]
    assert not without, f"no effect: {', '.join(without)}"


def test_each_honoured_member_is_probed() -> None:
    assert {service: set(operations) for service, operations in PROBES.items()} == {
        service: set(operations) for service, operations in HONOURED.items()
    }


@pytest.mark.parametrize("member", SHOWN_BY)
def test_the_test_that_shows_an_effect_exists(member: tuple[str, str, str]) -> None:
    service, operation, name = member
    assert name in HONOURED[service][operation].split()
    file, test = SHOWN_BY[member]
    tree = ast.parse((TESTS / file).read_text())
    assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("operation", ["put_object", "upload_part"])
def test_an_object_is_as_long_as_its_request_says(aws: Any, operation: str) -> None:
    """What a client sends beyond its Content-Length is no part of the request."""
    s3, where = aws.client("s3", signature_version="s3v4"), {"Bucket": f"length-{operation[:3]}", "Key": "k"}
    s3.create_bucket(Bucket=where["Bucket"])
    upload = s3.create_multipart_upload(**where)["UploadId"]
    more = {"UploadId": upload, "PartNumber": 1} if operation == "upload_part" else {}
    url = urlsplit(s3.generate_presigned_url(operation, Params={**where, **more}))
    connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=30)
    with contextlib.closing(connection):
        connection.request("PUT", f"{url.path}?{url.query}", body=b"0123456789", headers={"Content-Length": "3"})
        assert connection.getresponse().status == 200
    parts = s3.list_parts(**where, UploadId=upload).get("Parts", [])
    assert (parts[0]["Size"] if more else s3.head_object(**where)["ContentLength"]) == 3
