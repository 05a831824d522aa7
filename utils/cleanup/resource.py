"""A resource that cleanup may delete."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .. import cost
from ..config import Config

# A mapping polls its queue five times every 20 seconds, as `estimate.tutorial` counts, with or without messages.
_POLLS_A_MONTH = 5 * 3 * 60 * 24 * 30
_IF_LEFT = {
    "alarm": f"${cost.STANDING['alarm'].usd:.2f} a month",
    "dashboard": f"${cost.STANDING['dashboard'].usd:.2f} a month",
    "event source mapping": f"${cost.PRICES['SQS'].usd * _POLLS_A_MONTH:.2f} a month: it polls its queue",
    "bucket": "a little: S3's price for what is in it",
    "log group": "a little: CloudWatch's price for what is in it",
}


class NotDeleted(RuntimeError):
    """What must stay for now. The message says why, and what to do."""


@dataclass(frozen=True)
class Resource:
    """Something with one of our names.

    Attributes:
        kind: AWS's word for it, such as "job queue".
        name: its name.
        arn: its ARN, as the tag register lists it.
        delete: deletes it. Safe to call again.
        ours: it also has our tag, not only one of our names.
    """

    kind: str
    name: str
    arn: str
    delete: Callable[[], None]
    ours: bool

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def if_left(self) -> str:
        """What it costs to leave it where it is."""
        return _IF_LEFT.get(self.kind, "nothing")


def has_our_tag(config: Config, tags: Any) -> bool:
    """Whether a resource's tags (a map, or a list of Key and Value) hold the kit's tag with this prefix."""
    if isinstance(tags, list):
        tags = {tag["Key"]: tag["Value"] for tag in tags}
    return config.tags.items() <= tags.items()
