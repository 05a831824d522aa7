"""The account and the Region that MiniStack's stores look things up in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def scope(account: str, region: str) -> Iterator[None]:
    """MiniStack's stores look up the account and the Region of the current request."""
    from ministack.core import responses

    account_token = responses._request_account_id.set(account)
    region_token = responses._request_region.set(region)
    try:
        yield
    finally:
        responses._request_account_id.reset(account_token)
        responses._request_region.reset(region_token)
