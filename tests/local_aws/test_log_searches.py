"""A search of a log group is paged, and finds what its pattern says."""

from __future__ import annotations

from typing import Any

import pytest

from local_aws.ministack.patches.cut_log_searches import Refused, matcher

from .functions import name, refusal

BEGIN = 1_790_000_000_000  # a moment of the first event


def written(aws: Any, streams: dict[str, list[tuple[int, str]]]) -> str:
    """A log group with these streams, each of lines at so many milliseconds after the beginning."""
    logs, group = aws.client("logs"), name("/searched/group")
    logs.create_log_group(logGroupName=group)
    for stream, lines in streams.items():
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
        for start in range(0, len(lines), 10_000):
            events = [{"timestamp": BEGIN + at, "message": text} for at, text in lines[start : start + 10_000]]
            logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)
    return group


def found(aws: Any, group: str, **request: Any) -> tuple[list[str], int]:
    """The lines of all pages, and how many pages there were."""
    search = aws.client("logs").get_paginator("filter_log_events")
    pages = list(search.paginate(logGroupName=group, **request))
    return [event["message"] for page in pages for event in page["events"]], len(pages)


@pytest.fixture(scope="module")
def group(aws: Any) -> str:
    other = [(number // 3, f"other {number}") for number in range(9)]
    return written(
        aws, {"a": [(number // 2, f"line {number}") for number in range(10)], "b": other, "ab": [(9, "end")]}
    )


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 19, 20, 100])
@pytest.mark.parametrize("forward", [True, False])
def test_every_event_is_on_one_page(aws: Any, group: str, limit: int, forward: bool) -> None:
    """Several events have the same time, in one stream and in two."""
    whole, _ = found(aws, group, startFromHead=forward)
    lines, pages = found(aws, group, startFromHead=forward, limit=limit)
    assert lines == whole
    assert len(set(lines)) == len(lines) == 20
    assert pages == -(-20 // limit)
    assert (lines[0], lines[-1]) != ("end", "end")
    assert lines[-1 if forward else 0] == "end"


def test_more_than_ten_thousand_events_are_found(aws: Any) -> None:
    many = written(aws, {"s": [(0, str(number)) for number in range(10_001)]})
    lines, pages = found(aws, many)
    assert (len(set(lines)), pages) == (10_001, 2)


def test_an_event_that_comes_between_two_pages_is_on_the_next(aws: Any) -> None:
    logs, own = aws.client("logs"), written(aws, {"s": [(0, "0"), (1, "1"), (2, "2")]})
    first = logs.filter_log_events(logGroupName=own, limit=2)
    logs.put_log_events(logGroupName=own, logStreamName="s", logEvents=[{"timestamp": BEGIN + 1, "message": "new"}])
    second = logs.filter_log_events(logGroupName=own, nextToken=first["nextToken"])
    assert [event["message"] for event in second["events"]] == ["new", "2"]
    assert "nextToken" not in second


def test_streams_and_times_are_chosen(aws: Any, group: str) -> None:
    assert found(aws, group, logStreamNamePrefix="a", startTime=BEGIN + 4)[0] == ["line 8", "line 9", "end"]
    assert found(aws, group, logStreamNames=["ab", "b"], startTime=BEGIN + 2, endTime=BEGIN + 2)[0] == [
        "other 6", "other 7", "other 8",
    ]  # fmt: skip
    both = {"logStreamNames": ["a"], "logStreamNamePrefix": "a"}
    code, _ = refusal(aws.client("logs").filter_log_events, logGroupName=group, **both)
    assert code == "InvalidParameterException"


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ({"nextToken": "x"}, "The specified nextToken is invalid."),
        ({"filterPattern": '{ $.level = "ERROR" }'}, "filter patterns of terms, not of JSON"),
        ({"filterPattern": "a.b"}, "Invalid filter pattern"),
    ],
)
def test_what_is_no_search_is_refused(aws: Any, group: str, request_: dict[str, str], why: str) -> None:
    code, message = refusal(aws.client("logs").filter_log_events, logGroupName=group, **request_)
    assert code == "InvalidParameterException"
    assert why in message


LINES = ["ERROR 400 bad request", "[ERROR 401] not allowed", "error in lower case", "WARN: retry", 'say "hi"']


@pytest.mark.parametrize(
    ("pattern", "matching"),
    [
        ("", {0, 1, 2, 3, 4}),
        ("ERROR", {0, 1}),
        ("ERROR bad", {0}),
        ("ERROR -400", {1}),
        ("-ERROR", {2, 3, 4}),
        ("?ERROR ?WARN", {0, 1, 3}),
        ('"ERROR 401"', {1}),
        ('"WARN:" retry', {3}),
        (r'"say \"hi\""', {4}),
        ("nothing", set()),
    ],
)
def test_a_pattern_of_terms(pattern: str, matching: set[int]) -> None:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html"""
    assert {number for number, line in enumerate(LINES) if matcher(pattern)(line)} == matching


@pytest.mark.parametrize("pattern", ["[a, b]", "%x%", "a,b", '"open', "- a", 'a"b"'])
def test_a_pattern_that_is_none(pattern: str) -> None:
    with pytest.raises(Refused):
        matcher(pattern)
