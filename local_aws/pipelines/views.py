"""Show pipelines' lists, steps and tags as the API returns them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from local_aws.pipelines.model.definition import Definition
from local_aws.pipelines.state import StepRun
from local_aws.protocol import ApiError

PAGE = 100  # the models give no default; their maximum, so that what one call shows here it may show on AWS


def execution_step(run: StepRun, definition: Definition) -> dict[str, Any]:
    """A started step, as ListPipelineExecutionSteps shows it."""
    name = run.name.rpartition("-")[0] if run.parent else run.name
    written = definition.steps.get(name) or next(c for c in definition.steps[run.parent or ""].body if c.name == name)
    return {
        "StepName": run.name,
        "StepDisplayName": written.spec.get("DisplayName"),
        "StepDescription": written.spec.get("Description"),
        "StartTime": run.started,
        "EndTime": run.ended,
        "StepStatus": run.status,
        "CacheHitResult": {"SourcePipelineExecutionArn": run.cache_source} if run.cache_source else None,
        "FailureReason": run.reason or None,
        "Metadata": run.metadata,
        "AttemptCount": run.attempts,
        "SelectiveExecutionResult": (
            {"SourcePipelineExecutionArn": run.selective_source} if run.selective_source else None
        ),
    }


def page(
    items: list[Any], key: Callable[[Any], tuple], params: dict[str, Any], *, descending: bool = True
) -> tuple[list[Any], str | None]:
    """One page of a list and the token of the next.

    The token holds the key of the page's last item, so that pages neither repeat nor skip when items come and go.
    """
    order = params.get("SortOrder", "Descending" if descending else "Ascending")
    descending = order == "Descending"
    items = sorted(items, key=key, reverse=descending)
    if "NextToken" in params:
        try:
            last = tuple(json.loads(base64.urlsafe_b64decode(params["NextToken"])))
            items = [item for item in items if (key(item) < last if descending else key(item) > last)]
        except (ValueError, TypeError, RecursionError):
            raise ApiError("ValidationException", "The NextToken is not one of this list's.") from None
    size = params.get("MaxResults", PAGE)
    token = None
    if len(items) > size:
        token = base64.urlsafe_b64encode(json.dumps(key(items[size - 1])).encode()).decode()
    return items[:size], token


def within(moment: Any, params: dict[str, Any]) -> bool:
    after, before = params.get("CreatedAfter"), params.get("CreatedBefore")
    return (after is None or moment > after) and (before is None or moment < before)


def parallelism(limit: int | None) -> dict[str, int] | None:
    return {"MaxParallelExecutionSteps": limit} if limit else None


def tag_map(tags: list[dict[str, str]]) -> dict[str, str]:
    """The tags a call gives, by key.

    Raises:
        ApiError: ValidationException for a key that is given twice or that is AWS's own.
    """
    by_key = {tag["Key"]: tag["Value"] for tag in tags}
    if len(by_key) < len(tags):
        raise ApiError("ValidationException", "A tag key is given twice.")
    # "Do not use aws: ... as a prefix": https://docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html
    if reserved := next((key for key in by_key if key.lower().startswith("aws:")), None):
        message = (
            f"aws: prefixed tag key names are not allowed for external use. Give the tag {reserved!r} another key."
        )
        raise ApiError("ValidationException", message)
    return by_key


def tag_list(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
