"""All pages of an answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def paginate(client: Any, operation: str, **arguments: Any) -> Iterator[dict[str, Any]]:
    """The pages of an answer, one call a page.

    Args:
        client: boto3's client of the service.
        operation: its method, such as "list_jobs".
        arguments: of the call.

    https://docs.aws.amazon.com/boto3/latest/guide/paginators.html
    """
    return iter(client.get_paginator(operation).paginate(**arguments))
