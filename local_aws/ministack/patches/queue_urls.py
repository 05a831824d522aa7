"""Queues that were saved are found by what happens inside the server, too, when it has another port than before.

MiniStack keeps a queue by its URL, in which the port is. Mappings make the URL from the queue's name.
"""

from __future__ import annotations

import functools
from typing import Any


def apply() -> None:
    """Give the queues of a saved state this server's URLs."""
    from ministack.core.responses import AccountRegionScopedDict
    from ministack.services import sqs

    restore = sqs.load_persisted_state

    @functools.wraps(restore)
    def with_own_urls(data: dict[str, Any] | None) -> None:
        queues = (data or {}).get("queues")
        if isinstance(queues, AccountRegionScopedDict):
            held, queues._data = queues._data, {}
            for (account, region, _), queue in held.items():
                queue["url"] = sqs._queue_url_for_account(account, queue["name"])
                queues._data[account, region, queue["url"]] = queue
        restore(data)

    sqs.load_persisted_state = with_own_urls
