"""The walk over botocore's models that the tests of covered members stand on."""

from __future__ import annotations

from .members import covers, members, uncovered, with_member


def test_every_member_of_a_request_has_a_path() -> None:
    paths = members("batch", "SubmitJob")
    assert {"jobName", "tags", "containerOverrides.environment[].name", "dependsOn[].jobId"} <= set(paths)
    assert "containerOverrides" not in paths
    assert len(paths) == len(set(paths))


def test_a_declared_path_covers_what_it_contains() -> None:
    assert covers("volumes", "volumes[].host.sourcePath")
    assert covers("volumes[].host", "volumes[].host.sourcePath")
    assert not covers("volume", "volumes[].name")
    assert not covers("volumes[].name", "volumes")
    assert uncovered("batch", "CancelJob", ["jobId"]) == ["reason"]


def test_a_member_joins_a_request_with_what_its_structure_requires() -> None:
    base = {"jobName": "j", "containerOverrides": {"environment": [{"name": "a"}, {"name": "b"}]}}
    assert with_member("batch", "SubmitJob", "containerOverrides.environment[].value", base) == {
        "jobName": "j",
        "containerOverrides": {"environment": [{"name": "a", "value": "x"}, {"name": "b"}]},
    }
    rule = with_member("batch", "SubmitJob", "retryStrategy.evaluateOnExit[].onReason", {})
    assert rule == {"retryStrategy": {"evaluateOnExit": [{"action": "RETRY", "onReason": "x"}]}}
    assert base == {"jobName": "j", "containerOverrides": {"environment": [{"name": "a"}, {"name": "b"}]}}
