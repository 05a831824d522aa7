"""What S3's model refuses is refused: MiniStack fails at numbers that are none, and takes some operations for others.

https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

from __future__ import annotations

import base64
import functools
import hashlib
import logging
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from local_aws import refusals
from local_aws.ministack import members, s3_requests
from local_aws.ministack.requests import Call
from local_aws.protocol import ApiError

log = logging.getLogger("local_aws.ministack")

# The operations that MiniStack takes for others: for one it would delete the bucket.
_NOT_HERE = re.compile(
    r"\w*(?:Analytics|IntelligentTiering|Inventory|Metrics|Metadata)\w*Configurations?|\w+BucketAbac|GetObjectTorrent"
    r"|GetBucketPolicyStatus|GetBucketRequestPayment|RenameObject|SelectObjectContent|UpdateObjectEncryption"
)


def apply() -> None:
    """Check each request when its bucket and its key are known, and answer 400 for what still can't be read."""
    from ministack.core.responses import get_account_id
    from ministack.services import s3

    dispatch = s3._dispatch

    @functools.wraps(dispatch)
    def checked(method: str, bucket: str, key: str, headers: dict, body: bytes, query: dict) -> tuple:
        try:
            call = s3_requests.read(method, bucket, key, headers, query, body)
            if call:
                _refuse_what_is_not_here(call)
                _check_owners(call, get_account_id())
                _check_tags(call)
                _check_digest(call, body)
                _check_upload(call)
        except ApiError as error:
            return s3._error(error.code, error.message, error.status)
        return dispatch(method, bucket, key, headers, body, query)

    document = s3._xml_body

    @functools.wraps(document)
    def readable(root: Any) -> bytes:
        """What an answer repeats of the request may have characters that XML can't have."""
        return refusals.readable_xml(document(root).decode()).encode()

    s3._dispatch, s3._xml_body = checked, readable
    s3.handle_request = _readable(s3.handle_request, s3._error)


def _refuse_what_is_not_here(call: Call) -> None:
    if _NOT_HERE.fullmatch(call.operation.name):
        raise ApiError("NotImplemented", f"The embedded AWS does not cover s3:{call.operation.name}.", 501)
    if path := members.unsupported(call.service, call.operation, call.params):
        what = f"the member {path} of {call.operation.name}"
        message = f"The embedded AWS does not have {what}. local_aws/README.md lists what it has."
        raise ApiError("NotImplemented", message, 501)


def _check_owners(call: Call, account: str) -> None:
    """Buckets of other accounts are not here, so the account is the owner of every bucket.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html
    """
    for member in ("ExpectedBucketOwner", "ExpectedSourceBucketOwner"):
        if call.params.get(member, account) != account:
            raise ApiError("AccessDenied", "Access Denied", 403)


def _check_tags(call: Call) -> None:
    """Tags of new objects and buckets; `unchecked_bucket_requests` has those that are put by themselves.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
    """
    header = call.params.get("Tagging")
    keys = [key for key, _ in parse_qsl(header, keep_blank_values=True)] if isinstance(header, str) else []
    keys += [tag["Key"] for tag in call.params.get("CreateBucketConfiguration", {}).get("Tags", [])]
    if call.operation.name == "CopyObject" and call.params.get("TaggingDirective") != "REPLACE":
        return  # the source's tags are copied, and the header says nothing
    if any(key.lower().startswith("aws:") for key in keys):
        raise ApiError("InvalidTag", "System tags cannot be added/updated by requester")


def _check_digest(call: Call, body: bytes) -> None:
    """The digest of a document. MiniStack checks those of objects and parts."""
    digest = call.params.get("ContentMD5")
    of_bytes = call.operation.name in ("PutObject", "UploadPart")
    if digest and not of_bytes and digest != base64.b64encode(hashlib.md5(body).digest()).decode():
        raise ApiError("BadDigest", "The Content-MD5 you specified did not match what we received.")


def _check_upload(call: Call) -> None:
    """A part that is copied belongs to an upload of this bucket and key. MiniStack looks for the upload alone.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPartCopy.html
    """
    from ministack.services import s3

    upload = s3._multipart_uploads.get(call.params.get("UploadId"))
    if call.operation.name != "UploadPartCopy" or upload is None:
        return
    if (upload["bucket"], upload["key"]) != (call.params["Bucket"], call.params["Key"]):
        raise ApiError("NoSuchUpload", "The specified multipart upload does not exist.", 404)


def _readable(handler: Callable[..., Any], refuse: Callable[..., tuple]) -> Callable[..., Any]:
    """What MiniStack can't read of a request is the request's fault."""

    @functools.wraps(handler)
    async def handle(*arguments: Any, **more: Any) -> tuple:
        try:
            return await handler(*arguments, **more)
        except (ValueError, OverflowError) as error:
            log.warning("S3 could not read a request: %r", error)
            return refuse("InvalidArgument", "The request has a value that can't be read.", 400)

    return handle
