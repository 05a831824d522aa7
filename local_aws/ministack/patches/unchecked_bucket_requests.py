"""S3 refuses a bucket policy that is none, and AWS's reserved tags. MiniStack takes them.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketPolicy.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketTagging.html
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from typing import Any

from local_aws.ministack import policies

_RESERVED = re.compile(rb"<Key>\s*aws:", re.IGNORECASE)


def apply() -> None:
    """Check policies and tags where they are put."""
    from ministack.services import s3

    put_policy = s3._put_bucket_policy

    @functools.wraps(put_policy)
    def checked_policy(bucket: str, body: bytes) -> tuple:
        document = body.decode(errors="replace")
        why = policies.problem(document, "resource") or _without_resource(json.loads(document))
        return s3._error("MalformedPolicy", why, 400) if why else put_policy(bucket, body)

    def checked_tags(put: Callable[..., tuple], body_at: int) -> Callable[..., tuple]:
        @functools.wraps(put)
        def call(*arguments: Any, **more: Any) -> tuple:
            if _RESERVED.search(arguments[body_at]):
                return s3._error("InvalidTag", "System tags cannot be added/updated by requester", 400)
            return put(*arguments, **more)

        return call

    s3._put_bucket_policy = checked_policy
    s3._put_bucket_tagging = checked_tags(s3._put_bucket_tagging, 1)
    s3._put_object_tagging = checked_tags(s3._put_object_tagging, 2)


def _without_resource(policy: dict[str, Any]) -> str | None:
    statements = policy["Statement"]
    statements = statements if isinstance(statements, list) else [statements]
    named = all("Resource" in statement or "NotResource" in statement for statement in statements)
    return None if named else "Missing required field Resource"
