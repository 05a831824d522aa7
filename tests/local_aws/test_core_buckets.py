"""S3's requests are held against its model: what is no number, no such value or no such document is a client error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from xml.etree import ElementTree

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from .functions import name, refusal

Send = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def bucket(aws: Any) -> str:
    own = name("bucket")
    aws.client("s3").create_bucket(Bucket=own)
    aws.client("s3").put_object(Bucket=own, Key="key", Body=b"abc")
    return own


@pytest.fixture
def send(aws: Any) -> Send:
    """What S3 answers to a request that no client would make."""

    def call(method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, str]:
        given = {key.replace("_", "-"): value for key, value in headers.items()}
        request = AWSRequest(method, aws.endpoint_url + path, headers=given, data=body)
        S3SigV4Auth(Credentials("test", "test"), "s3", "us-east-1").add_auth(request)
        prepared = request.prepare()
        sent = Request(prepared.url, data=body, headers=dict(prepared.headers), method=method)
        try:
            with urlopen(sent) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()

    return call


@pytest.mark.parametrize("text", ["-0.0", "0.5", "", "0x10", "NaN", "1e308", "9" * 5000, "-1", "x"])
@pytest.mark.parametrize(
    "query",
    ["key?uploadId=u&partNumber=", "?max-keys=", "?list-type=2&max-keys=", "?versions&max-keys=",
     "?uploads&max-uploads=", "key?uploadId=u&max-parts=", "key?uploadId=u&part-number-marker=", "key?partNumber="],
)  # fmt: skip
def test_a_number_that_is_none_is_an_invalid_argument(send: Send, bucket: str, query: str, text: str) -> None:
    method = "PUT" if "uploadId=u&partNumber" in query else "GET"
    status, answer = send(method, f"/{bucket}/{query}{text}")
    assert (status, "<Code>InvalidArgument</Code>" in answer) == (400, True), answer


def test_a_part_that_is_copied_has_a_number(send: Send, bucket: str) -> None:
    status, answer = send("PUT", f"/{bucket}/key?uploadId=u&partNumber=0.5", x_amz_copy_source=f"{bucket}/key")
    assert (status, "<Code>InvalidArgument</Code>" in answer) == (400, True), answer


@pytest.mark.parametrize(
    ("header", "value", "code"),
    [
        ("x_amz_storage_class", "COLD", "InvalidStorageClass"),
        ("x_amz_acl", "everyone", "InvalidArgument"),
        ("x_amz_server_side_encryption", "rot13", "InvalidEncryptionAlgorithmError"),
        ("x_amz_server_side_encryption_bucket_key_enabled", "maybe", "InvalidArgument"),
    ],
)
def test_a_header_that_says_nothing_s3_knows_is_refused(
    send: Send, bucket: str, header: str, value: str, code: str
) -> None:
    status, answer = send("PUT", f"/{bucket}/other", b"x", **{header: value})
    assert (status, f"<Code>{code}</Code>" in answer) == (400, True), answer


LIFECYCLE = (
    "<LifecycleConfiguration><Rule><ID>a</ID><Filter/><Status>{}</Status><Expiration><Days>{}</Days></Expiration>"
    "</Rule></LifecycleConfiguration>"
)
ENTITY = '<!DOCTYPE a [<!ENTITY b "c">]>'


@pytest.mark.parametrize(
    ("query", "document"),
    [
        ("lifecycle", LIFECYCLE.format("Enabled", "0.5")),
        ("lifecycle", LIFECYCLE.format("Enabled", "")),
        ("lifecycle", LIFECYCLE.format("On", "1")),
        ("lifecycle", LIFECYCLE.format("Enabled", "<Deep/>")),
        ("lifecycle", ENTITY + LIFECYCLE.format("Enabled", "1")),
        ("lifecycle", LIFECYCLE.format("Enabled", "1")[:-9]),
        ("tagging", "<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>"),
        ("tagging", "<Tagging><TagSet><Label><Key>a</Key><Value>b</Value></Label></TagSet></Tagging>"),
        ("tagging", "<Tags/>"),
        ("tagging", "<a>" * 100_000),
        ("tagging", '<?xml version="1.0" encoding="nosuch"?><Tagging/>'),
        ("versioning", "<VersioningConfiguration><Status>Perhaps</Status></VersioningConfiguration>"),
        ("publicAccessBlock", "<PublicAccessBlockConfiguration><BlockPublicAcls>2</BlockPublicAcls>"
         "</PublicAccessBlockConfiguration>"),
    ],
)  # fmt: skip
def test_a_document_that_is_not_the_schemas_is_malformed(send: Send, bucket: str, query: str, document: str) -> None:
    status, answer = send("PUT", f"/{bucket}?{query}", document.encode())
    assert (status, "<Code>MalformedXML</Code>" in answer) == (400, True), answer


def test_a_document_that_is_missing_is_asked_for(send: Send, bucket: str) -> None:
    status, answer = send("POST", f"/{bucket}?delete")
    assert (status, "<Code>MissingRequestBodyError</Code>" in answer) == (400, True), answer


def test_an_operation_that_is_not_here_does_nothing_else(aws: Any, send: Send, bucket: str) -> None:
    """MiniStack would delete the bucket, and list its objects."""
    for method in ("DELETE", "GET"):
        status, answer = send(method, f"/{bucket}?analytics&id=a")
        assert (status, "does not cover s3:" in answer) == (501, True), answer
    assert aws.client("s3").head_bucket(Bucket=bucket)


def test_a_bucket_that_is_expected_to_be_anothers_is_not_touched(aws: Any, bucket: str) -> None:
    s3 = aws.client("s3")
    source = {"Bucket": bucket, "Key": "key"}
    for call, arguments in (
        (s3.get_object, source | {"ExpectedBucketOwner": "1" * 12}),
        (s3.put_object, source | {"Body": b"y", "ExpectedBucketOwner": "1" * 12}),
        (s3.list_objects_v2, {"Bucket": bucket, "ExpectedBucketOwner": "1" * 12}),
        (s3.copy_object, source | {"CopySource": source, "ExpectedSourceBucketOwner": "1" * 12}),
    ):
        assert refusal(call, **arguments)[0] == "AccessDenied"
    assert s3.get_object(**source, ExpectedBucketOwner=aws.account)["Body"].read() == b"abc"


@pytest.mark.parametrize("path", ["/%00/key", "/{}?list-type=2&prefix=%00", "/{}?versions&prefix=%01"])
def test_an_answer_that_repeats_what_xml_cannot_have_can_be_read(send: Send, bucket: str, path: str) -> None:
    assert ElementTree.fromstring(send("GET", path.format(bucket))[1]).tag
