"""MiniStack reads and writes an object that a KMS key encrypts without a permission on the key.

There is no KMS here, and objects are not encrypted. A key is a name, given by the bucket's default encryption or by the
request. Its key policy counts as AWS's default one, which lets the account's IAM policies decide.
"""

from __future__ import annotations

import functools
from typing import Any
from urllib.parse import unquote

_KEY = "x-amz-server-side-encryption-aws-kms-key-id"
_ALGORITHM = "x-amz-server-side-encryption"

Checks = list[tuple[str, str]]


def apply() -> None:
    """Ask for what S3 asks of KMS in the caller's name: kms:GenerateDataKey to write, kms:Decrypt to read.

    AWS's own key `aws/s3` is for everyone whom S3 lets in, so a bucket that names no key asks for nothing.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateMultipartUpload.html
    https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html
    """
    from ministack.core import iam_actions

    known, known_resources = iam_actions.s3_additional_checks, iam_actions.s3_access_point_resources

    @functools.wraps(known)
    def checks(method: str, path: str, headers: dict, body: bytes, query: dict) -> Checks:
        action = iam_actions._s3_action(method, path, query) or ""
        return [*known(method, path, headers, body, query), *_of_keys(action, method, path, headers, query)]

    @functools.wraps(known_resources)
    def resources(arn: str) -> list[tuple[str, dict]]:
        if arn.split(":")[2:3] == ["kms"]:
            return [(arn, {"kms:ViaService": f"s3.{arn.split(':')[3]}.amazonaws.com"})]
        return known_resources(arn)

    iam_actions.s3_additional_checks, iam_actions.s3_access_point_resources = checks, resources


def _of_keys(action: str, method: str, path: str, headers: dict, query: dict) -> Checks:
    from ministack.services import s3

    bucket, _, key = unquote(path).lstrip("/").partition("/")
    if method == "GET" and action in ("GetObject", "GetObjectVersion"):
        return _decrypt(_object(bucket, key, (query.get("versionId") or [""])[0]))
    if action != "PutObject":
        return []
    source, _, version = unquote(headers.get("x-amz-copy-source", "")).lstrip("/").partition("?versionId=")
    checks = _decrypt(_object(*source.partition("/")[::2], version)) if source else []
    if "uploadId" in query:  # parts, which S3 puts together
        return checks + _decrypt(s3._multipart_uploads.get(query["uploadId"][0]))
    written = headers if _ALGORITHM in headers else s3._bucket_default_sse_headers(bucket)
    return checks + [("kms:GenerateDataKey", arn) for arn in _arns(written)]


def _object(bucket: str, key: str, version: str) -> dict[str, Any] | None:
    """MiniStack's record of an object or of one of its versions, or None if there is none."""
    from ministack.services import s3

    owner = s3._bucket_owner_account(bucket)
    if owner is None:
        return None
    if version and version != "null":
        versions = s3._object_versions.get_scoped(owner, None, (bucket, key)) or []
        return next((each for each in versions if each["version_id"] == version), None)
    return s3._buckets.get_scoped(owner, None, bucket)["objects"].get(key)


def _decrypt(stored: dict[str, Any] | None) -> Checks:
    return [("kms:Decrypt", arn) for arn in _arns((stored or {}).get("preserved_headers", {}))]


def _arns(headers: dict[str, str]) -> list[str]:
    """The ARN of the key in these headers, as a list of at most one. An alias has its own ARN, which is no key's."""
    from ministack.core.responses import get_account_id, get_region

    name = headers.get(_KEY) if headers.get(_ALGORITHM, "").startswith("aws:kms") else None
    if not name or name.startswith("arn:"):
        return [name] if name else []
    kind = "" if name.startswith("alias/") else "key/"
    return [f"arn:aws:kms:{get_region()}:{get_account_id()}:{kind}{name}"]
