"""Refuse a function whose code is not in S3. MiniStack makes one without code.

https://docs.aws.amazon.com/lambda/latest/api/API_FunctionCode.html
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


def apply() -> None:
    """Look for the code where a function is made, and where its code is changed."""
    from ministack.services import lambda_svc

    def checked(known: Callable[..., tuple]) -> Callable[..., tuple]:
        @functools.wraps(known)
        def call(*arguments: Any) -> tuple:
            code = arguments[-1].get("Code", arguments[-1])
            bucket, key = code.get("S3Bucket"), code.get("S3Key")
            if bucket and key and lambda_svc._fetch_code_from_s3(bucket, key, code.get("S3ObjectVersion")) is None:
                return lambda_svc._invalid_parameter_value(
                    "Error occurred while GetObject. S3 Error Code: NoSuchKey. "
                    f"S3 Error Message: The specified key does not exist: s3://{bucket}/{key}"
                )
            return known(*arguments)

        return call

    lambda_svc._create_function = checked(lambda_svc._create_function)
    lambda_svc._update_code = checked(lambda_svc._update_code)
