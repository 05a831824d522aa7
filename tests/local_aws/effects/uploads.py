"""Probes of S3's uploads in parts, and of its lists of objects."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from .objects import (
    BODY,
    OWNER,
    SECRET,
    SHOWN,
    WRONG_SUMS,
    key_changes,
    place,
    sealed_by,
    source_changes,
    stored,
)
from .objects import (
    PROBES as OBJECTS,
)
from .world import Instead, Probe, Versus, World

BEGUN = {name: value for name, value in SHOWN.items() if not name.startswith("Grant") and name != "Tagging"}


def begun(w: World, bucket: str, key: str = "new", **more: Any) -> dict[str, Any]:
    made = w.call("s3", "CreateMultipartUpload", Bucket=bucket, Key=key, **more)
    return {"Bucket": bucket, "Key": key, "UploadId": made["UploadId"]}


def finished(w: World, answer: Any) -> Any:
    """What the object is after an upload of one part."""
    if "refused" in answer:
        return None
    upload = {name: answer[name] for name in ("Bucket", "Key", "UploadId")}
    sealed = sealed_by(SECRET) if answer.get("SSECustomerAlgorithm") else {}
    part = w.call("s3", "UploadPart", **upload, **sealed, PartNumber=1, Body=BODY)
    parts = {"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
    done = w.call("s3", "CompleteMultipartUpload", **upload, **sealed, MultipartUpload=parts)
    return {name: value for name, value in done.items() if name.startswith("Checksum")}


def create(w: World) -> Probe:
    bucket = place(w)
    return Probe(
        {"Bucket": bucket, "Key": "new"},
        {
            "Bucket": f"nosuch-{w.account}", "Key": "newer", **OWNER, **BEGUN, **key_changes(),
            "ChecksumAlgorithm": "SHA256",
        },
        [finished, *stored(bucket)],
    )  # fmt: skip


def part(w: World) -> Probe:
    bucket = place(w)
    upload, sealed = begun(w, bucket), begun(w, bucket, "sealing", **sealed_by(SECRET))
    md5 = base64.b64encode(hashlib.md5(b"x").digest()).decode()
    return Probe(
        {**upload, "PartNumber": 1, "Body": BODY},
        {
            "Bucket": f"nosuch-{w.account}", "Key": "other", **OWNER, **key_changes(**sealed), "UploadId": "nosuch",
            **WRONG_SUMS, "Body": b"another body", "ContentMD5": md5, "PartNumber": 2,
        },
        [("s3", "ListParts", upload)],
    )  # fmt: skip


def copied_part(w: World) -> Probe:
    bucket = place(w)
    upload, sealed = begun(w, bucket), begun(w, bucket, "sealing", **sealed_by(SECRET))
    return Probe(
        {**upload, "PartNumber": 1, "CopySource": f"{bucket}/k"},
        {
            "Bucket": f"nosuch-{w.account}", "Key": "other", **OWNER, **key_changes(**sealed), "UploadId": "nosuch",
            **source_changes(w, bucket), "CopySourceRange": "bytes=0-1", "PartNumber": 2,
        },
        [("s3", "ListParts", upload)],
    )  # fmt: skip


def complete(w: World) -> Probe:
    bucket = place(w)

    def uploaded(key: str, **more: Any) -> dict[str, Any]:
        upload = begun(w, bucket, key, **more)
        sealed = sealed_by(SECRET) if "SSECustomerKey" in more else {}
        for number in (1, 2):
            body = b"x" * (5 << 20) if number == 1 else BODY
            etag = w.call("s3", "UploadPart", **upload, **sealed, PartNumber=number, Body=body)["ETag"]
        return {**upload, "MultipartUpload": {"Parts": [{"ETag": etag, "PartNumber": 2}]}}

    upload, sealed = uploaded("new"), uploaded("sealing", **sealed_by(SECRET))
    existing = uploaded("k")
    parts = "MultipartUpload.Parts[]"
    return Probe(
        upload,
        {
            "Bucket": f"nosuch-{w.account}", "Key": "other", **OWNER, **key_changes(**sealed), "UploadId": "nosuch",
            **{f"{parts}.{name}": value for name, value in WRONG_SUMS.items()},
            "MpuObjectSize": 3, "IfMatch": '"x"',
            "IfNoneMatch": Versus(Instead(**existing), Instead(**existing, IfNoneMatch="*")),
            f"{parts}.ETag": '"x"', f"{parts}.PartNumber": 1,
        },
        stored(bucket),
    )  # fmt: skip


def abort(w: World) -> Probe:
    bucket = place(w)
    upload = begun(w, bucket)
    return Probe(
        upload,
        {"Bucket": f"nosuch-{w.account}", "Key": "other", **OWNER, "UploadId": "nosuch"},
        [("s3", "ListParts", upload)],
    )


def list_parts(w: World) -> Probe:
    bucket = place(w)
    upload = begun(w, bucket)
    for number in (1, 2):
        w.call("s3", "UploadPart", **upload, PartNumber=number, Body=BODY)
    return Probe(
        upload,
        {
            "Bucket": f"nosuch-{w.account}",
            "Key": "other",
            **OWNER,
            "UploadId": "nosuch",
            "MaxParts": 1,
            "PartNumberMarker": 1,
        },
    )


def listing(**more: Any) -> Any:
    def probe(w: World) -> Probe:
        bucket = place(w)
        for key in ("a/1", "a/2", "b c"):
            w.put(bucket, key)
        changes = {"Bucket": f"nosuch-{w.account}", **OWNER, "Delimiter": "/", "MaxKeys": 1, "Prefix": "a/"}
        if "ContinuationToken" in more:
            more["ContinuationToken"] = w.call("s3", "ListObjectsV2", Bucket=bucket, MaxKeys=1)["NextContinuationToken"]
        if "VersionIdMarker" in more:
            newest = w.call("s3", "ListObjectVersions", Bucket=bucket, Prefix="k")["Versions"][0]["VersionId"]
            more["VersionIdMarker"] = Versus(Instead(KeyMarker="k"), Instead(KeyMarker="k", VersionIdMarker=newest))
        return Probe({"Bucket": bucket}, {**changes, **more})

    return probe


PROBES: dict[str, dict[str, Any]] = {
    "s3": {
        **OBJECTS,
        "ListObjects": listing(EncodingType="url", Marker="b"),
        "ListObjectsV2": listing(EncodingType="url", ContinuationToken="", FetchOwner=True, StartAfter="b"),
        "ListObjectVersions": listing(KeyMarker="b", VersionIdMarker=""),
        "CreateMultipartUpload": create,
        "UploadPart": part,
        "UploadPartCopy": copied_part,
        "CompleteMultipartUpload": complete,
        "AbortMultipartUpload": abort,
        "ListParts": list_parts,
    },
}
