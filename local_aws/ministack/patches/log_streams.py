"""MiniStack saves a log stream's events one by one, and restores them as a list."""

from __future__ import annotations

from typing import Any

from local_aws.ministack.ports.log_lines import MARK, Lines


def apply() -> None:
    """Save and restore the lines of jobs in portions."""
    from ministack.core import persistence
    from ministack.services import cloudwatch_logs

    default, hook, restore = (
        persistence._json_default,
        persistence._json_object_hook,
        cloudwatch_logs.load_persisted_state,
    )

    def json_default(value: Any) -> Any:
        return {MARK: value.records()} if isinstance(value, Lines) else default(value)

    def json_object_hook(value: dict[str, Any]) -> Any:
        return Lines.from_records(value[MARK]) if value.keys() == {MARK} else hook(value)

    def load_persisted_state(data: Any) -> None:
        """MiniStack sorts all events into lists, which ours need not be: they are in order."""
        groups = data.get("log_groups") if data else None
        streams = [stream for _, group in groups.all_items() for stream in group["streams"].values()] if groups else []
        kept = [(stream, stream["events"]) for stream in streams if isinstance(stream["events"], Lines)]
        for stream, _ in kept:
            stream["events"] = []
        restore(data)
        for stream, lines in kept:
            stream["events"] = lines

    persistence._json_default = json_default
    persistence._json_object_hook = json_object_hook
    cloudwatch_logs.load_persisted_state = load_persisted_state
