"""docs/aws_calls.md can't go stale: it is what docs/aws_calls.py writes, from the operator's policy."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def calls():
    spec = importlib.util.spec_from_file_location("aws_calls", ROOT / "docs" / "aws_calls.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_script_writes(calls):
    assert calls.PAGE.read_text() == calls.render(), "run `.venv/bin/python docs/aws_calls.py`"


def test_every_action_of_the_policy_is_on_the_page(calls):
    page = calls.PAGE.read_text()
    assert [action for action in calls.permissions() if f"`{action}`" not in page] == []


def test_an_action_that_aws_does_not_know_or_not_on_this_resource_is_refused(calls):
    queue = "arn:${partition}:batch:${region}:${account}:job-queue/${prefix}-*"
    assert calls.resources_of("batch:DeleteJobQueue", [queue]) == ["job-queue/PREFIX-*"]
    with pytest.raises(LookupError, match="batch:DeleteQueue is not in the Service Authorization Reference"):
        calls.resources_of("batch:DeleteQueue", [queue])
    with pytest.raises(LookupError, match="batch:DeregisterJobDefinition goes with none of"):
        calls.resources_of("batch:DeregisterJobDefinition", [queue])


def test_every_source_is_a_public_address(calls):
    for name, call in calls.CALLS.items():
        assert all(url.startswith("https://") for url in call.sources), name
        assert name.partition(":")[0] in calls.REFERENCE, name
