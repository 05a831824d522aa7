"""The events of a log stream, kept as what they mostly are: many short lines with one time.

MiniStack keeps two dicts an event, and copies them all for each save of its state. A job that prints a million lines
within the 8 MiB that are kept of it then takes 1.5 GB, and seconds of the event loop. Here a portion of lines is one
text, and an event is made when it is read.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ministack.core.responses import new_uuid

MARK = "__log_lines__"  # of their JSON form in a saved state


class Portion:
    """Lines that came at one time. It never changes.

    Args:
        at, ingested: milliseconds since the epoch.
        text: the lines, joined.
        key: what the events' ids begin with.
    """

    __slots__ = ("at", "count", "ingested", "key", "text")

    def __init__(self, at: int, ingested: int, text: str, key: str) -> None:
        self.at, self.ingested, self.text, self.key = at, ingested, text, key
        self.count = text.count("\n") + 1

    def events(self) -> list[dict[str, Any]]:
        """The events as MiniStack knows them."""
        return [
            {"timestamp": self.at, "message": line, "ingestionTime": self.ingested, "eventId": f"{self.key}-{number}"}
            for number, line in enumerate(self.text.split("\n"))
        ]

    def record(self) -> list[Any]:
        """Its JSON form."""
        return [self.at, self.ingested, self.text, self.key]


class Lines(Sequence):
    """What MiniStack uses as a stream's list of events."""

    def __init__(self, portions: Iterable[Portion | dict[str, Any]] = ()) -> None:
        self._portions: list[Portion | dict[str, Any]] = []
        self._ends: list[int] = []  # how many events there are up to and including each portion
        # The portion that was read last, as events. Threads read side by side, so it is taken and set as a whole.
        self._read: tuple[int, list[dict[str, Any]]] = (-1, [])
        for portion in portions:
            self._append(portion)

    def append_lines(self, at: int, ingested: int, lines: Sequence[str]) -> None:
        """Add lines that hold no line breaks, as those that a program prints."""
        self._append(Portion(at, ingested, "\n".join(lines), new_uuid()))

    def extend(self, events: Iterable[dict[str, Any]]) -> None:
        """Add events that came otherwise, such as by PutLogEvents, as they are."""
        for event in events:
            self._append(event)

    def records(self) -> list[Any]:
        """Their JSON form, one record a portion."""
        return [portion.record() if isinstance(portion, Portion) else portion for portion in self._portions]

    @classmethod
    def from_records(cls, records: list[Any]) -> Lines:
        """What `records` came from."""
        return cls(Portion(*record) if isinstance(record, list) else record for record in records)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(index)
        place = bisect_right(self._ends, index)
        number, events = self._read
        if number != place:
            events = _events(self._portions[place])
            self._read = (place, events)
        return events[index - (self._ends[place - 1] if place else 0)]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return itertools.chain.from_iterable(map(_events, self._portions))

    def __deepcopy__(self, memo: Any) -> Lines:
        return Lines(self._portions)  # none of which changes

    def _append(self, portion: Portion | dict[str, Any]) -> None:
        self._portions.append(portion)
        self._ends.append(len(self) + (portion.count if isinstance(portion, Portion) else 1))


def _events(portion: Portion | dict[str, Any]) -> list[dict[str, Any]]:
    return portion.events() if isinstance(portion, Portion) else [portion]
