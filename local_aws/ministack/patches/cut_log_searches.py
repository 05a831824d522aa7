"""A search of a log group that finds more than its limit says how to go on. MiniStack ends it there, and says nothing.

MiniStack also ignores the prefix of streams and the direction, and takes patterns for others.
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
"""

from __future__ import annotations

import heapq
import itertools
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

Event = dict[str, Any]
LIMIT = 10_000
_TERM = re.compile(r'\s*([-?]?)(?:(\w+)|"((?:[^"\\]|\\.)*)")(?=\s|$)')


class Refused(Exception):
    """The search is not made. Its text says why."""


class _Place(NamedTuple):
    """Behind which event a search goes on.

    Attributes:
        at, ingested: the event's times.
        number: how many events of these times have been passed, with it.
    """

    forward: bool
    at: int
    ingested: int
    number: int

    def token(self) -> str:
        return f"{'f' if self.forward else 'b'}/{self.at}:{self.ingested}:{self.number}"

    @classmethod
    def of(cls, token: str) -> _Place:
        parts = re.fullmatch(r"([fb])/(\d{1,18}):(\d{1,18}):(\d{1,18})", token)
        if not parts:
            raise Refused("The specified nextToken is invalid.")
        return cls(parts[1] == "f", *(int(part) for part in parts.groups()[1:]))


def apply() -> None:
    """Put AWS's search in the place of MiniStack's."""
    from ministack.services import cloudwatch_logs

    def search(data: dict[str, Any]) -> tuple:
        name = cloudwatch_logs._resolve_log_group_name(data)
        group = cloudwatch_logs._log_groups.get(name)
        if group is None:
            why = f"The specified log group does not exist: {name}"
            return cloudwatch_logs.error_response_json("ResourceNotFoundException", why, 400)
        try:
            search_from = _Search.of(data)
            with cloudwatch_logs._log_events_lock:
                runs = search_from.runs(group["streams"])
            return cloudwatch_logs.json_response(search_from.answer(runs))
        except Refused as refused:
            return cloudwatch_logs.error_response_json("InvalidParameterException", str(refused), 400)

    cloudwatch_logs._filter_log_events = search


@dataclass(frozen=True)
class _Search:
    """A request for events.

    Attributes:
        matches: whether it asks for a line.
        first, last: milliseconds, the bounds of its time.
        behind: where the page before it ended.
    """

    data: dict[str, Any]
    matches: Callable[[str], bool]
    first: int | None
    last: int | None
    forward: bool
    behind: _Place | None

    @classmethod
    def of(cls, data: dict[str, Any]) -> _Search:
        behind = _Place.of(data["nextToken"]) if data.get("nextToken") else None
        forward = behind.forward if behind else data.get("startFromHead") is not False
        first, last = data.get("startTime"), data.get("endTime")
        if behind:
            first, last = (behind.at, last) if forward else (first, behind.at)
        return cls(data, matcher(data.get("filterPattern") or ""), first, last, forward, behind)

    def runs(self, streams: dict[str, Any]) -> list[Iterator[Event]]:
        names = _names(self.data, streams)
        return [_run(streams[name]["events"], name, self.first, self.last, self.forward) for name in names]

    def answer(self, runs: list[Iterator[Event]]) -> dict[str, Any]:
        """A page of what is asked for. It has a token exactly if another one follows."""
        merged = heapq.merge(*runs, key=_times, reverse=not self.forward)
        places = _places(merged, self.forward, self.behind)
        matching = ((place, event) for place, event in places if self.matches(event["message"]))
        page = list(itertools.islice(matching, self.data.get("limit") or LIMIT))
        answer: dict[str, Any] = {"events": [event for _, event in page], "searchedLogStreams": []}
        if next(matching, None):
            answer["nextToken"] = page[-1][0].token()
        return answer


def _names(data: dict[str, Any], streams: dict[str, Any]) -> list[str]:
    names, prefix = data.get("logStreamNames"), data.get("logStreamNamePrefix")
    if names and prefix:
        raise Refused("logStreamNames and logStreamNamePrefix cannot be specified at the same time.")
    if not names:
        return [name for name in streams if name.startswith(prefix or "")]
    return [name for name in dict.fromkeys(names) if name in streams]


def _times(event: Event) -> tuple[int, int]:
    return event["timestamp"], event.get("ingestionTime", 0)


def _run(events: Any, name: str, first: int | None, last: int | None, forward: bool) -> Iterator[Event]:
    """A stream's events of a range of time, in the order of the search."""

    def at(event: Event) -> int:
        return event["timestamp"]

    start = 0 if first is None else bisect_left(events, first, key=at)
    end = len(events) if last is None else bisect_right(events, last, key=at)
    order = range(start, end) if forward else range(end - 1, start - 1, -1)
    return ({**events[number], "logStreamName": name} for number in order)


def _places(events: Iterable[Event], forward: bool, behind: _Place | None) -> Iterator[tuple[_Place, Event]]:
    """The events behind a place, each with its own."""
    for times, same in itertools.groupby(events, key=_times):
        for number, event in enumerate(same, 1):
            here = _Place(forward, *times, number)
            if behind is None or (here > behind if forward else _passed(here, behind)):
                yield here, event


def _passed(here: _Place, behind: _Place) -> bool:
    """Whether a search from the latest event comes to this place later."""
    times, others = (here.at, here.ingested), (behind.at, behind.ingested)
    return times < others or (times == others and here.number > behind.number)


def matcher(pattern: str) -> Callable[[str], bool]:
    """Whether a line matches a pattern of terms: all without a sign, or any with `?`, and none with `-`.

    Raises:
        Refused: the pattern is none, or one that looks into JSON, into columns or for a regular expression.
    """
    pattern = pattern.strip()
    if pattern[:1] in tuple("{[%"):
        raise Refused("The embedded AWS has filter patterns of terms, not of JSON, columns or regular expressions.")
    terms: dict[str, list[str]] = {"": [], "-": [], "?": []}
    at = 0
    while at < len(pattern):
        term = _TERM.match(pattern, at)
        if not term:
            raise Refused("Invalid filter pattern")
        sign, word, quoted = term.groups()
        terms[sign].append(word if word is not None else re.sub(r"\\(.)", r"\1", quoted))
        at = term.end()
    # AWS ignores terms with `?` beside others.
    some = terms["?"] if not (terms[""] or terms["-"]) else []

    def matches(line: str) -> bool:
        return (
            all(term in line for term in terms[""])
            and not any(term in line for term in terms["-"])
            and (not some or any(term in line for term in some))
        )

    return matches
