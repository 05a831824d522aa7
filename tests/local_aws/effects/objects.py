"""Probes of S3's objects."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import zlib
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from .world import Instead, Look, Probe, Versus, World

BODY = b"0123456789"
SECRET, WRONG = b"k" * 32, b"w" * 32
LATER, EARLIER = dt.datetime(2098, 1, 1, tzinfo=dt.UTC), dt.datetime(2001, 1, 1, tzinfo=dt.UTC)
OWNER = {"ExpectedBucketOwner": "9" * 12}
# CRC32, CRC32C, SHA1 and SHA256 of BODY, as S3 writes them; of CRC64NVME the one that S3 answers.
SUMS = {
    "ChecksumCRC32": base64.b64encode(zlib.crc32(BODY).to_bytes(4, "big")).decode(),
    "ChecksumSHA1": base64.b64encode(hashlib.sha1(BODY).digest()).decode(),
    "ChecksumSHA256": base64.b64encode(hashlib.sha256(BODY).digest()).decode(),
}
WRONG_SUMS = {
    "ChecksumCRC32": "AAAAAA==", "ChecksumCRC32C": "AAAAAA==", "ChecksumCRC64NVME": "AAAAAAAAAAA=",
    "ChecksumSHA1": base64.b64encode(bytes(20)).decode(), "ChecksumSHA256": base64.b64encode(bytes(32)).decode(),
}  # fmt: skip


def sealed_by(key: bytes, prefix: str = "SSE") -> dict[str, str]:
    digest = base64.b64encode(hashlib.md5(key).digest()).decode()
    return {
        f"{prefix}CustomerAlgorithm": "AES256", f"{prefix}CustomerKey": base64.b64encode(key).decode(),
        f"{prefix}CustomerKeyMD5": digest,
    }  # fmt: skip


def key_changes(prefix: str = "SSE", **more: Any) -> dict[str, Versus]:
    """Each member of a customer's key is missing, or wrong."""
    right = sealed_by(SECRET, prefix)
    bad = {**sealed_by(WRONG, prefix), f"{prefix}CustomerAlgorithm": None}
    return {
        name: Versus(Instead(**more, **right), Instead(**more, **{**right, name: wrong})) for name, wrong in bad.items()
    }


def place(w: World) -> str:
    """A bucket that locks objects, with two versions of k, and sealed, which has a customer's key."""
    bucket = w.bucket("own", ObjectLockEnabledForBucket=True, ObjectOwnership="ObjectWriter")
    w.put(bucket, "k", b"first version")
    w.put(bucket, "k", BODY, ContentType="text/own", Metadata={"m": "first"}, Tagging="first=tag")
    w.put(bucket, "sealed", BODY, **sealed_by(SECRET))
    w.put(bucket, "other", b"other")
    w.put(bucket, "summed", BODY, ChecksumAlgorithm="SHA256")
    return bucket


def first_version(w: World, bucket: str) -> str:
    versions = w.call("s3", "ListObjectVersions", Bucket=bucket, Prefix="k")["Versions"]
    return next(one["VersionId"] for one in versions if not one["IsLatest"])


def stored(bucket: str, key: str = "new") -> list[Any]:
    where = {"Bucket": bucket, "Key": key}

    def head(w: World, answer: Any) -> Any:
        try:
            got = w.call("s3", "HeadObject", **where, ChecksumMode="ENABLED")
        except ClientError as error:
            return error.response["Error"]["Code"]
        until = got.pop("ObjectLockRetainUntilDate", None)
        return {**got, "VersionId": "", "until": until and until.year, "expires": got.get("ExpiresString")}

    return [head, ("s3", "GetObjectTagging", where), ("s3", "GetObjectAcl", where)]


GRANTEE = f'id="{"a" * 64}"'
LOCKED = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": LATER}
BY_KMS = {"ServerSideEncryption": "aws:kms"}
KMS_KEY = "arn:aws:kms:us-east-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab"
SHOWN = {
    "SSEKMSKeyId": Versus(Instead(**BY_KMS), Instead(**BY_KMS, SSEKMSKeyId=KMS_KEY)),
    "ACL": "public-read", "GrantFullControl": GRANTEE, "GrantRead": GRANTEE, "GrantReadACP": GRANTEE,
    "GrantWriteACP": GRANTEE, "CacheControl": "no-store", "ContentDisposition": "inline", "ContentEncoding": "br",
    "ContentLanguage": "de", "ContentType": "text/plain", "Expires": LATER, "Metadata": {"a": "b"}, "Tagging": "a=b",
}  # fmt: skip
NEW = {
    **SHOWN,
    "ObjectLockMode": Versus(Instead(**LOCKED), Instead(**{**LOCKED, "ObjectLockMode": "COMPLIANCE"})),
    "ObjectLockRetainUntilDate": Versus(
        Instead(**LOCKED), Instead(**{**LOCKED, "ObjectLockRetainUntilDate": LATER + dt.timedelta(days=800)})
    ),
    "ObjectLockLegalHoldStatus": "ON",
}  # fmt: skip


def put(w: World) -> Probe:
    bucket = place(w)
    md5 = base64.b64encode(hashlib.md5(b"x").digest()).decode()
    return Probe(
        {"Bucket": bucket, "Key": "new", "Body": BODY},
        {
            "Bucket": f"nosuch-{w.account}", "Key": "newer", **OWNER, **NEW, **key_changes(), **WRONG_SUMS,
            "Body": b"another body", "ContentMD5": md5, "ChecksumAlgorithm": "SHA256",
            "IfMatch": Versus(Instead(Key="k"), Instead(Key="k", IfMatch='"x"')),
            "IfNoneMatch": Versus(Instead(Key="k"), Instead(Key="k", IfNoneMatch="*")),
        },
        stored(bucket),
    )  # fmt: skip


def in_parts(w: World, bucket: str) -> None:
    upload = {"Bucket": bucket, "Key": "parts"}
    upload["UploadId"] = w.call("s3", "CreateMultipartUpload", **upload)["UploadId"]
    parts = [
        {"PartNumber": number, "ETag": w.call("s3", "UploadPart", **upload, PartNumber=number, Body=body)["ETag"]}
        for number, body in enumerate((b"x" * (5 << 20), BODY), 1)
    ]
    w.call("s3", "CompleteMultipartUpload", **upload, MultipartUpload={"Parts": parts})


def head(w: World) -> Probe:
    bucket = place(w)
    in_parts(w, bucket)
    etag = w.call("s3", "HeadObject", Bucket=bucket, Key="k")["ETag"]
    return Probe(
        {"Bucket": bucket, "Key": "k"},
        {
            "Bucket": f"nosuch-{w.account}", "Key": "other", **OWNER, **key_changes(Key="sealed"), "IfMatch": '"x"',
            "IfModifiedSince": dt.datetime.now(dt.UTC), "IfNoneMatch": etag, "IfUnmodifiedSince": EARLIER,
            "VersionId": first_version(w, bucket),
            "ChecksumMode": Versus(Instead(Key="summed"), Instead(Key="summed", ChecksumMode="ENABLED")),
        },
    )  # fmt: skip


def read(w: World) -> Probe:
    probe = head(w)
    probe.changes |= {
        "PartNumber": Versus(Instead(Key="parts"), Instead(Key="parts", PartNumber=2)),
        "Range": "bytes=0-1", "ResponseCacheControl": "no-store", "ResponseContentDisposition": "inline",
        "ResponseContentEncoding": "br", "ResponseContentLanguage": "de", "ResponseContentType": "text/other",
        "ResponseExpires": LATER,
    }  # fmt: skip
    return probe


def source_changes(w: World, bucket: str) -> dict[str, Any]:
    etag = w.call("s3", "HeadObject", Bucket=bucket, Key="k")["ETag"]
    sealed = {"CopySource": f"{bucket}/sealed"}
    return {
        "CopySource": f"{bucket}/other", "CopySourceIfMatch": '"x"', "CopySourceIfNoneMatch": etag,
        "CopySourceIfModifiedSince": dt.datetime.now(dt.UTC), "CopySourceIfUnmodifiedSince": EARLIER,
        "ExpectedSourceBucketOwner": "9" * 12, **key_changes("CopySourceSSE", **sealed),
    }  # fmt: skip


def copy(w: World) -> Probe:
    bucket = place(w)
    replaced = {"MetadataDirective": "REPLACE", "TaggingDirective": "REPLACE"}
    shown = ("CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "ContentType", "Expires")
    with_new = {
        name: Versus(Instead(**replaced), Instead(**replaced, **{name: NEW[name]}))
        for name in (*shown, "Metadata", "Tagging")
    }
    return Probe(
        {"Bucket": bucket, "Key": "new", "CopySource": f"{bucket}/k"},
        {
            "Bucket": f"nosuch-{w.account}", "Key": "newer", **OWNER, **SHOWN, **with_new, **key_changes(),
            **source_changes(w, bucket), "MetadataDirective": "REPLACE", "TaggingDirective": "REPLACE",
        },
        stored(bucket),
    )  # fmt: skip


def versions(bucket: str) -> Callable[[World, Any], Any]:
    def listed(w: World, answer: Any) -> Any:
        got = w.call("s3", "ListObjectVersions", Bucket=bucket)
        return [
            [(one["Key"], one["IsLatest"], one.get("Size")) for one in got.get(kind, [])]
            for kind in ("Versions", "DeleteMarkers")
        ]

    return listed


def locked_version(w: World, bucket: str) -> dict[str, str]:
    made = w.put(bucket, "locked", BODY, **LOCKED)
    return {"Key": "locked", "VersionId": made["VersionId"]}


def delete(w: World) -> Probe:
    bucket = place(w)
    locked, size = locked_version(w, bucket), {"IfMatchSize": 1}
    return Probe(
        {"Bucket": bucket, "Key": "k"},
        {
            "Bucket": f"nosuch-{w.account}", "Key": "other", **OWNER, "VersionId": first_version(w, bucket),
            "BypassGovernanceRetention": Versus(
                Instead(**locked), Instead(**locked, BypassGovernanceRetention=True)
            ),
            "IfMatch": '"x"', "IfMatchLastModifiedTime": EARLIER, **size,
        },
        [versions(bucket)],
    )  # fmt: skip


def delete_several(w: World) -> Probe:
    bucket = place(w)
    locked = {"Delete": {"Objects": [locked_version(w, bucket)]}}
    return Probe(
        {"Bucket": bucket, "Delete": {"Objects": [{"Key": "k"}]}},
        {
            "Bucket": f"nosuch-{w.account}", **OWNER, "Delete": {"Objects": [{"Key": "other"}], "Quiet": True},
            "BypassGovernanceRetention": Versus(
                Instead(**locked), Instead(**locked, BypassGovernanceRetention=True)
            ),
        },
        [versions(bucket)],
    )  # fmt: skip


def of_bucket(request: dict[str, Any], changes: dict[str, Any], *looks: Look) -> Any:
    def probe(w: World) -> Probe:
        bucket = w.bucket()
        tags = {"TagSet": [{"Key": "first", "Value": "tag"}]}
        w.call("s3", "PutBucketTagging", Bucket=bucket, Tagging=tags)
        seen = [(service, name, {"Bucket": bucket}) for service, name, _ in looks]
        return Probe({"Bucket": bucket, **request}, {"Bucket": f"nosuch-{w.account}", **OWNER, **changes}, seen)

    return probe


def create_bucket(w: World) -> Probe:
    name = f"new-{w.account}"
    where = {"Bucket": name}
    enforced = {"ObjectOwnership": "BucketOwnerPreferred"}

    def granted(member: str, value: str) -> Versus:
        return Versus(Instead(**enforced), Instead(**enforced, **{member: value}))

    grants = ("GrantFullControl", "GrantRead", "GrantReadACP", "GrantWriteACP", "GrantWrite")
    return Probe(
        where,
        {
            "Bucket": f"newer-{w.account}", "ACL": granted("ACL", "public-read"),
            **{member: granted(member, GRANTEE) for member in grants}, "ObjectLockEnabledForBucket": True,
            "ObjectOwnership": "ObjectWriter",
            "CreateBucketConfiguration.LocationConstraint": "eu-west-1",
            "CreateBucketConfiguration.Tags": [{"Key": "a", "Value": "b"}],
        },
        [
            ("s3", name, where)
            for name in (
                "GetBucketAcl", "GetObjectLockConfiguration", "GetBucketOwnershipControls", "GetBucketLocation",
                "GetBucketTagging",
            )
        ],
    )  # fmt: skip


def list_buckets(w: World) -> Probe:
    for name in ("a1", "a2", "b"):
        w.bucket(name)
    token = w.call("s3", "ListBuckets", MaxBuckets=1)["ContinuationToken"]
    return Probe({}, {"MaxBuckets": 1, "ContinuationToken": token, "Prefix": "b", "BucketRegion": "eu-west-1"})


TAG_SET = {"TagSet": [{"Key": "a", "Value": "b"}]}
TAGGED: Look = ("s3", "GetBucketTagging", {})
PROBES: dict[str, Any] = {
    "ListBuckets": list_buckets,
    "CreateBucket": create_bucket,
    "HeadBucket": of_bucket({}, {}),
    "DeleteBucket": of_bucket({}, {}, TAGGED),
    "GetBucketLocation": of_bucket({}, {}),
    "GetBucketTagging": of_bucket({}, {}),
    "PutBucketTagging": of_bucket(
        {"Tagging": TAG_SET},
        {"Tagging": {"TagSet": []}, "ContentMD5": "AAAAAAAAAAAAAAAAAAAAAA=="},
        TAGGED,
    ),
    "PutObject": put,
    "GetObject": read,
    "HeadObject": head,
    "CopyObject": copy,
    "DeleteObject": delete,
    "DeleteObjects": delete_several,
}
