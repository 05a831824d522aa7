"""Who gets past the embedded AWS's door: signed requests of this machine, and nobody else."""

from __future__ import annotations

import http.client
import io
import os
import stat
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

import pytest
from botocore import UNSIGNED
from botocore.exceptions import ClientError
from servers import Server, user

CLOSE = b"Connection: close\r\n\r\n"
SCOPE = "20260101/us-east-1/s3/aws4_request"
CLAIM = f"AWS4-HMAC-SHA256 Credential=test/{SCOPE}, SignedHeaders=host, Signature=0"  # nobody checks the root key's


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
def test_ministacks_own_endpoints_are_shut(server: Server, request_line: str) -> None:
    """Its reset needs no signature, and a claim of one must not open it either."""
    claim = f"Authorization: {CLAIM}"
    request = (f"{request_line} HTTP/1.1", f"Host: 127.0.0.1:{server.port}", "Content-Length: 0")
    assert status(server.raw(lines(*request))) == 403
    if "/_" in request_line:
        assert status(server.raw(lines(*request, claim))) == 403


def test_a_refusal_leaves_the_connection_open(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    for _ in range(2):
        connection.request("PUT", "/_made", b"x" * 1_000_000, {"Authorization": CLAIM})
        answer = connection.getresponse()
        assert b"MissingAuthenticationToken" in answer.read()
        assert answer.status == 403
        connection.auto_open = False


def test_nobody_unsigned_gets_in(server: Server) -> None:
    server.client("s3").create_bucket(Bucket="door-test")
    anonymous = server.client("s3", signature_version=UNSIGNED)
    for call in (anonymous.list_buckets, lambda: anonymous.list_objects_v2(Bucket="door-test")):
        with pytest.raises(ClientError) as refused:
            call()
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


@pytest.fixture(scope="module")
def full(server: Server) -> Server:
    """A server with something to take."""
    server.client("s3").create_bucket(Bucket="secret")
    server.client("s3").put_object(Bucket="secret", Key="k", Body=b"TOP SECRET")
    return server


@pytest.mark.parametrize(
    "authorization",
    [
        f"Bearer Credential=a/{SCOPE}",
        f"Basic Credential=a/{SCOPE}",
        f"Credential=a/{SCOPE}",
        f"AWS4-HMAC-SHA256 Credential=test/{SCOPE}",
        CLAIM.lower(),
        CLAIM.replace("-SHA256 ", "-SHA256"),
        CLAIM.replace("Credential=test", "Credential="),
        CLAIM.replace("/s3/", "//"),
        CLAIM.replace("Signature=0", "Signature="),
        CLAIM.replace("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"),
        f"Bearer x, {CLAIM}",
        f"{CLAIM}, Credential=other/{SCOPE}",
        f"{CLAIM}\r\nAuthorization: {CLAIM}",
        f"Bearer x\r\nAuthorization: {CLAIM}",
        "AWS test:0",
    ],
)
@pytest.mark.parametrize("request_line", ["GET /", "GET /secret/k", "PUT /made", "GET /health", "GET /v2/"])
def test_what_only_looks_like_a_signature_is_none(full: Server, authorization: str, request_line: str) -> None:
    host, length = f"Host: 127.0.0.1:{full.port}", "Content-Length: 0"
    answer = full.raw(lines(f"{request_line} HTTP/1.1", host, f"Authorization: {authorization}", length))
    assert status(answer) == 403
    assert b"MissingAuthenticationToken" in answer


def query(*without: str, **other: str) -> str:
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    signed = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"test/{now[:8]}/us-east-1/s3/aws4_request",
        "X-Amz-Date": now,
        "X-Amz-Expires": "60",
        "X-Amz-SignedHeaders": "host",
        "X-Amz-Signature": "0" * 64,
    }
    return urlencode({name: value for name, value in (signed | other).items() if name not in without})


@pytest.mark.parametrize(
    "parameters",
    [
        f"foo=X-Amz-Credential=a/{SCOPE}",
        f"X-Amz-Credential=a/{SCOPE}",
        "AWSAccessKeyId=test&Signature=0&Expires=9999999999",
        *(query(name) for name in ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-SignedHeaders", "X-Amz-Signature")),
        query() + "&X-Amz-Signature=1",
        query().lower(),
    ],
)
@pytest.mark.parametrize("path", ["/", "/secret/k", "/health", "/v2/"])
def test_a_query_that_only_looks_presigned_is_none(full: Server, parameters: str, path: str) -> None:
    answer = full.raw(lines(f"GET {path}?{parameters} HTTP/1.1", f"Host: 127.0.0.1:{full.port}"))
    assert status(answer) == 403
    assert b"MissingAuthenticationToken" in answer


def test_a_wrong_signature_is_refused(full: Server) -> None:
    """Of a presigned URL also the root key's; of a header that of every other key."""
    key = user(full, "forged", "*")
    date = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    mine = {"X-Amz-Credential": f"{key['AccessKeyId']}/{date[:8]}/us-east-1/s3/aws4_request"}
    for presigned in (query(), query(**mine)):
        answer = full.raw(lines(f"GET /secret/k?{presigned} HTTP/1.1", f"Host: 127.0.0.1:{full.port}"))
        assert status(answer) == 403
        assert b"SignatureDoesNotMatch" in answer
    for algorithm, scope in (("AWS4-HMAC-SHA256", "/us-east-1/s3"), ("AWS4-ECDSA-P256-SHA256", "/s3")):
        claim = f"{algorithm} Credential={key['AccessKeyId']}/{date[:8]}{scope}/aws4_request"
        signed = "SignedHeaders=host;x-amz-date;x-amz-region-set, Signature=00"
        answer = full.raw(
            lines(
                "GET /secret/k HTTP/1.1", f"Host: 127.0.0.1:{full.port}", f"X-Amz-Date: {date}",
                "X-Amz-Region-Set: us-east-1", f"Authorization: {claim}, {signed}",
            )
        )  # fmt: skip
        assert status(answer) == 403
        assert b"SignatureDoesNotMatch" in answer


@pytest.mark.parametrize("path", ["/health", "/v2/", "/oauth2/token", "/iceberg/v1/config"])
def test_signed_too_ministacks_own_pages_are_buckets_that_do_not_exist(server: Server, path: str) -> None:
    answer = server.raw(lines(f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{server.port}", f"Authorization: {CLAIM}"))
    assert status(answer) == 404
    assert b"<Code>NoSuchBucket</Code>" in answer


@pytest.mark.parametrize(
    ("scope", "path", "target"),
    [
        ("s3", "/", "AmazonSQS.ListQueues"),
        ("sqs", "/", "AmazonEC2ContainerServiceV20141113.StopTask"),
        ("lambda", "/2026-04-04/network-connectors", ""),
    ],
)
def test_a_signature_is_for_one_service(server: Server, scope: str, path: str, target: str) -> None:
    code, answer = server.signed(scope, path, X_Amz_Target=target)
    assert code == 403, answer
    assert "Credential should be scoped to correct service" in answer


def test_a_service_that_is_not_here_is_named(server: Server) -> None:
    """Were its path routed instead, a function could be made past the checks on its role."""
    for scope in ("dynamodb", "nosuch"):
        code, answer = server.signed(scope, "/2015-03-31/functions")
        assert code == 501
        assert scope in answer


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("kind", ["root", "user", "session"])
def test_presigned_urls_work(full: Server, kind: str, host: str) -> None:
    key = {"AccessKeyId": "test", "SecretAccessKey": "test"}
    if kind != "root":
        key = user(full, f"presigner-{kind}-{host.replace('.', '-')}", "*")
    if kind == "session":
        key = full.client("sts", key=key).get_session_token()["Credentials"]
    s3 = full.client("s3", key=key, host=host, signature_version="s3v4")
    put = s3.generate_presigned_url("put_object", {"Bucket": "secret", "Key": "made/by url"})
    assert urllib.request.urlopen(urllib.request.Request(put, b"url", method="PUT")).status == 200
    get = s3.generate_presigned_url("get_object", {"Bucket": "secret", "Key": "made/by url"})
    assert urllib.request.urlopen(get).read() == b"url"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(get.replace("by%20url", "other"))


def test_who_is_asked_by_url_may_be_presigned_too(server: Server) -> None:
    url = server.client("sts").generate_presigned_url("get_caller_identity")
    assert b":root</Arn>" in urllib.request.urlopen(url).read()


@pytest.mark.parametrize("kind", ["root", "user"])
def test_chunked_and_large_uploads_work(full: Server, kind: str) -> None:
    key = user(full, "uploader", "*") if kind == "user" else None
    s3 = full.client("s3", key=key, request_checksum_calculation="when_supported")
    content = os.urandom(9 << 20)  # more than one part
    s3.upload_fileobj(io.BytesIO(content), "secret", "large")
    assert s3.get_object(Bucket="secret", Key="large")["Body"].read() == content
    s3.put_object(Bucket="secret", Key="stream", Body=io.BytesIO(b"abc" * 100_000), ChecksumAlgorithm="CRC32")
    assert s3.head_object(Bucket="secret", Key="stream")["ContentLength"] == 300_000


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
