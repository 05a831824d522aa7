"""The values of expressions and conditions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_aws.pipelines.model import conditions
from local_aws.pipelines.model.expressions import ExpressionError, drill, parse_path, paths, resolve, to_text
from local_aws.pipelines.processing.caching import seconds

VALUES = {"Parameters.N": 5, "Parameters.S": "x", "Execution.PipelineName": "p", "Steps.C.Outcome": False}


def value(expression, document=None):
    return resolve(expression, lambda path: VALUES[path.text], lambda _: document)


def test_values_keep_their_types_and_joins_make_strings() -> None:
    assert value({"a": {"Get": "Parameters.N"}, "b": ["y", {"Get": "Parameters.S"}]}) == {"a": 5, "b": ["y", "x"]}
    join = {"Std:Join": {"On": "/", "Values": ["s3:/", {"Get": "Parameters.S"}, {"Get": "Parameters.N"}]}}
    assert value(join) == "s3://x/5"


def test_a_boolean_is_joined_as_aws_joins_it() -> None:
    """The SDK's integration test against AWS reads "...: false" for a Condition step's Outcome."""
    assert value({"Std:Join": {"On": ": ", "Values": ["is", {"Get": "Steps.C.Outcome"}]}}) == "is: false"


def test_joins_nest() -> None:
    inner = {"Std:Join": {"Values": ["a", {"Get": "Parameters.N"}]}}
    assert value({"Std:Join": {"On": "-", "Values": [inner, inner]}}) == "a5-a5"


def test_json_get_reads_a_path_of_a_document() -> None:
    document = {"metrics": {"mse": {"value": 4.2}}, "list": [{"score": 1}, {"score": 2}]}
    read = {"Std:JsonGet": {"S3Uri": "s3://b/k", "Path": "metrics.mse.value"}}
    assert value(read, document) == 4.2
    read["Std:JsonGet"]["Path"] = "list[1].score"
    assert value(read, document) == 2
    read["Std:JsonGet"]["Path"] = "list[7].score"
    with pytest.raises(ExpressionError, match="no value"):
        value(read, document)


@pytest.mark.parametrize("path", ["", "Parameters", ".a.b", "['a'].b", "a[", "a.b]c", 7, None])
def test_what_is_no_path_is_said(path) -> None:
    with pytest.raises(ExpressionError):
        list(paths({"Get": path}))


@given(
    st.text("abcXYZ_-09", min_size=1),
    st.text("abcXYZ_-09", min_size=1),
    st.lists(st.one_of(st.integers(0, 99), st.text("abc ./$", min_size=1))),
)
def test_any_path_is_taken_apart_into_its_parts(root: str, name: str, keys: list) -> None:
    text = f"{root}.{name}" + "".join(f"[{key}]" if isinstance(key, int) else f"['{key}']" for key in keys)
    parsed = parse_path(text)
    assert (parsed.root, parsed.name, parsed.keys) == (root, name, tuple(keys))


def test_outputs_of_a_job_are_found_by_their_name() -> None:
    job = {"ProcessingOutputConfig": {"Outputs": [{"OutputName": "a", "S3Output": {"S3Uri": "s3://b/a"}}]}}
    keys = ("ProcessingOutputConfig", "Outputs", "a", "S3Output", "S3Uri")
    assert drill(job, keys, "x") == drill(job, (*keys[:2], 0, *keys[3:]), "x") == "s3://b/a"


@pytest.mark.parametrize(
    ("value", "text"),
    [("a b", "a b"), ("", ""), (7, "7"), (True, "true"), ([1, "x"], '[1,"x"]'), ({"a": None}, '{"a":null}')],
)
def test_text_of_a_value(value, text: str) -> None:
    assert to_text(value) == text


def compare(kind: str, left, right) -> bool:
    return conditions.evaluate({"Type": kind, "LeftValue": left, "RightValue": right})


def test_every_operator() -> None:
    assert compare("Equals", "a", "a")
    assert not compare("Equals", "a", "b")
    assert compare("NotEquals", 1, 2)
    assert compare("GreaterThan", 2, 1)
    assert compare("GreaterThanOrEqualTo", 2, 2)
    assert compare("LessThan", 1.5, 2)
    assert compare("LessThanOrEqualTo", "a", "a")
    assert conditions.evaluate({"Type": "In", "QueryValue": 2, "Values": [1, 2]})
    assert not conditions.evaluate({"Type": "In", "QueryValue": 3, "Values": [1, 2]})
    assert conditions.evaluate({"Type": "NotIn", "Value": 3, "In": [1, 2]})


@given(st.lists(st.booleans(), min_size=1))
def test_or_and_not_are_pythons(outcomes: list[bool]) -> None:
    leaves = [{"Type": "Equals", "LeftValue": outcome, "RightValue": True} for outcome in outcomes]
    either = {"Type": "Or", "Conditions": leaves}
    assert conditions.evaluate(either) is any(outcomes)
    assert conditions.evaluate({"Type": "Not", "Condition": either}) is not any(outcomes)
    assert conditions.check({"Type": "Not", "Condition": either}) is None


@pytest.mark.parametrize(("left", "right"), [("5", 5), (True, 1), ("true", True), (1, [1])])
def test_different_types_are_not_compared(left, right) -> None:
    with pytest.raises(ExpressionError, match="compare"):
        compare("Equals", left, right)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("P30D", 30 * 86400), ("30d", 30 * 86400), ("PT1H", 3600), ("T16m", 960), ("30dT5h", 30 * 86400 + 18000),
     ("5y", 5 * 365 * 86400), ("p1m", 30 * 86400), ("", None), ("P", None), ("soon", None), (None, None)],
)  # fmt: skip
def test_durations_as_aws_writes_them(text, expected) -> None:
    assert seconds(text) == expected
