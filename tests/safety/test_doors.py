"""Who gets past the embedded AWS's door: signed requests of this machine, and nobody else."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from botocore import UNSIGNED
from botocore.exceptions import ClientError
from servers import Server

CLOSE = b"Connection: close\r\n\r\n"


def lines(*parts: str) -> bytes:
    return "".join(f"{part}\r\n" for part in parts).encode() + CLOSE


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "127.0.0.1@evil.example",
        "evil.example:80",
        "[::1]",
        "0.0.0.0",
        "127.0.0.1:80:80",
        "127.1",
        "2130706433",
        "",
    ],
)
def test_another_hosts_name_is_refused(server: Server, host: str) -> None:
    assert status(server.raw(lines("GET /_local_aws/health HTTP/1.1", f"Host: {host}"))) == 403


def test_two_host_headers_or_none_are_refused(server: Server) -> None:
    get, mine = "GET /_local_aws/health HTTP/1.1", f"Host: 127.0.0.1:{server.port}"
    assert status(server.raw(lines(get, mine))) == 200
    assert status(server.raw(lines(get, mine, "Host: evil.example"))) == 400
    assert status(server.raw(lines(get, "Host: evil.example", mine))) == 400
    assert status(server.raw(lines(get))) == 400
    assert status(server.raw(lines("GET /_local_aws/health HTTP/1.0"))) == 403


def test_an_absolute_address_does_not_hide_the_host(server: Server) -> None:
    """A proxy's request line names another host than the header does."""
    mine = f"Host: 127.0.0.1:{server.port}"
    assert status(server.raw(lines("GET http://evil.example/_local_aws/health HTTP/1.1", "Host: evil.example"))) == 403
    assert status(server.raw(lines("GET http://evil.example/_local_aws/health HTTP/1.1", mine))) == 403


def test_http_2_has_the_same_door(server: Server) -> None:
    upgrade = ("Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA", "Connection: Upgrade, HTTP2-Settings")
    request = "".join(f"{line}\r\n" for line in ("GET /_local_aws/health HTTP/1.1", "Host: evil.example", *upgrade))
    answer = server.raw(request.encode() + b"\r\n", wait=1)
    assert b'"instance"' not in answer


def test_a_method_cannot_be_disguised(server: Server) -> None:
    """A form or an image in a web page can only GET and POST plain text; no header turns that into more."""
    for header in ("X-HTTP-Method-Override: DELETE", "X-HTTP-Method: DELETE", "X-Method-Override: DELETE"):
        answer = server.raw(lines("POST /some-bucket HTTP/1.1", f"Host: 127.0.0.1:{server.port}", header))
        assert status(answer) == 403


@pytest.mark.parametrize(
    "request_line",
    [
        "POST /_ministack/reset",
        "POST /_ministack/config",
        "GET /_ministack/health",
        "GET /_ministack/sqs/messages",
        "GET /_localstack/health",
        "GET /health",
        "GET /",
        "OPTIONS /",
        "POST /",
        "GET /bucket/key",
        "GET /2015-03-31/functions",
    ],
)
def test_ministacks_own_doors_are_shut(server: Server, request_line: str) -> None:
    """Its reset needs no signature, and a claim of one must not open it either."""
    claim = "Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, Signature=0"
    request = (f"{request_line} HTTP/1.1", f"Host: 127.0.0.1:{server.port}", "Content-Length: 0")
    assert status(server.raw(lines(*request))) == 403
    if "/_" in request_line:
        assert status(server.raw(lines(*request, claim))) == 403


def test_nobody_unsigned_gets_in(server: Server) -> None:
    server.client("s3").create_bucket(Bucket="door-test")
    anonymous = server.client("s3", signature_version=UNSIGNED)
    for call in (anonymous.list_buckets, lambda: anonymous.list_objects_v2(Bucket="door-test")):
        with pytest.raises(ClientError) as refused:
            call()
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_a_websocket_is_refused_politely(server: Server) -> None:
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    host = f"Host: 127.0.0.1:{server.port}"
    upgrade = ("Upgrade: websocket", "Connection: Upgrade", key, "Sec-WebSocket-Version: 13")
    request = "".join(f"{line}\r\n" for line in ("GET / HTTP/1.1", host, *upgrade))
    assert status(server.raw(request.encode() + b"\r\n", close=False)) == 403


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000000000\r\n\r\nhalf",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: \xff\xfe\r\n\r\n",
        b"\x00" * 1000,
    ],
    ids=["TLS", "length", "two lengths", "half a body", "chunks", "headers", "address", "bytes", "zeros"],
)
def test_what_is_not_http_does_not_hurt(server: Server, data: bytes) -> None:
    answer = server.raw(data, wait=2)
    assert answer == b"" or 400 <= status(answer) < 500
    assert server.answers()


def test_state_and_home_are_the_users_alone(server: Server) -> None:
    assert server.answers()
    for folder in (server.home, server.state):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder


def test_the_server_listens_on_loopback_only(server: Server) -> None:
    """Every listening socket of the process and its children, also one MiniStack might open by itself."""
    if not Path("/proc/net/tcp").exists():
        pytest.skip("reads Linux's /proc")
    pids = {server.info.pid} | {
        int(path.name)
        for path in Path("/proc").iterdir()
        if path.name.isdigit() and _session(path) == os.getsid(server.info.pid)
    }
    inodes = {target[8:-1] for pid in pids for target in _descriptors(pid) if target.startswith("socket:[")}
    listening = [
        (fields[1], fields[9])
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for fields in (line.split() for line in Path(table).read_text().splitlines()[1:])
        if fields[3] == "0A"
    ]
    ours = [address for address, inode in listening if inode in inodes]
    assert ours
    assert all(address.startswith("0100007F:") for address in ours), ours


def _session(path: Path) -> int:
    try:
        return int((path / "stat").read_text().rpartition(")")[2].split()[3])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _descriptors(pid: int) -> list[str]:
    try:
        return [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]
    except (FileNotFoundError, PermissionError):  # it has just ended
        return []
