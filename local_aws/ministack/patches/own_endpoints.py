"""What MiniStack answers beside AWS's services is not there."""

from __future__ import annotations

from typing import Any


def apply() -> None:
    """Of what MiniStack answers beside AWS's services nothing is left, and so nothing that it does not authenticate.

    That is its health, its reset and its settings, sign-in pages, a registry of images, and more found by a path or a
    host. For S3, `/health` is a bucket like any other. A bucket that is named in the host stays.
    """
    from ministack import app
    from ministack.core import router

    async def nothing(*_: Any, **__: Any) -> None:
        return None

    async def buckets_host(
        method: str, path: str, headers: dict, body: bytes, query: dict, request_id: str, **_: Any
    ) -> tuple | None:
        if router.detect_service(method, path, headers, query) != "s3":
            return None
        answer = await app._handle_s3_vhost_request(headers.get("host", ""), path, method, headers, body, query)
        return app._with_data_plane_headers(answer, request_id, include_s3_id=True, wildcard_cors=False)

    app._handle_pre_body_request = app._handle_post_body_shortcuts = nothing
    app._handle_special_data_plane_request = buckets_host
