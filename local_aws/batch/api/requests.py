"""What the operations share: ARNs, pages, counts."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from typing import Any

from local_aws.batch.model.errors import client_error, rejected
from local_aws.protocol import Request

MAX_DESCRIBED = 100
MAX_RESOURCES = 50  # compute environments, and job queues, of an account in a Region


def own_prefix(request: Request) -> str:
    return f"arn:{request.partition}:batch:{request.region}:{request.account}"


def arn_of(request: Request, kind: str, name: str) -> str:
    """The ARN of a resource of the caller's account and Region, given by name or ARN."""
    if not name.startswith("arn:"):
        return f"{own_prefix(request)}:{kind}/{name}"
    if not name.startswith(f"{own_prefix(request)}:{kind}/"):
        raise client_error(f"{name} is not the ARN of a {kind} in this account and Region.")
    return name


def check_count(names: list[str], limit: int, what: str) -> None:
    if len(names) > limit:
        raise rejected(f"Maximum number of {what} supported is  {limit}")


def page_of(
    params: dict[str, Any], items: list[Any], key: Callable[[Any], Any], limit: int = 100
) -> tuple[list[Any], dict[str, str]]:
    """One page of `items` in the order of `key`, and the token of the next. A token holds the last key shown."""
    size = params.get("maxResults", limit)
    if size < 1:
        raise client_error("maxResults must be at least 1.")
    size = min(size, limit)
    items = sorted(items, key=key)
    if params.get("nextToken"):
        try:
            last = json.loads(base64.urlsafe_b64decode(params["nextToken"]))
            items = [item for item in items if key(item) > last]
        except (ValueError, TypeError, binascii.Error):
            raise client_error("nextToken is not valid.") from None
    if len(items) <= size:
        return items, {}
    last = json.dumps(key(items[size - 1]))
    return items[:size], {"nextToken": base64.urlsafe_b64encode(last.encode()).decode()}


def named_resources(request: Request, existing: dict[str, Any], member: str, kind: str) -> list[Any]:
    """The resources a Describe call asks for, or all of the account in the Region."""
    wanted = request.params.get(member)
    if wanted:
        check_count(wanted, MAX_DESCRIBED, member)
        arns = dict.fromkeys(arn_of(request, kind, name) for name in wanted)
        return [existing[arn] for arn in arns if arn in existing]
    return [resource for arn, resource in existing.items() if arn.startswith(own_prefix(request) + ":")]


def check_quota(existing: dict[str, Any], request: Request, what: str) -> None:
    """https://docs.aws.amazon.com/batch/latest/userguide/service_limits.html"""
    if sum(arn.startswith(own_prefix(request) + ":") for arn in existing) >= MAX_RESOURCES:
        raise client_error(f"An account can have at most {MAX_RESOURCES} {what} in a Region.")


def authorize_tagged(request: Request, action: str, arn: str) -> None:
    request.authorize(action, arn)
    if request.params.get("tags"):
        request.authorize("batch:TagResource", arn)
