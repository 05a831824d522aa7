"""A notebook that breaks things on purpose leaves nothing that its next run trips over."""

import contextlib

import pytest
import run_inline


@pytest.mark.thorough
@pytest.mark.slow
def test_the_monitor_is_written_broken_and_replaced_three_times_in_a_row(own_aws, capsys):
    """The monitor by hand raises at an event of the rule. So none may reach it, from this run or the one before."""
    *before, monitor = run_inline.NOTEBOOKS[:4]
    with run_inline.local(own_aws.endpoint_url), contextlib.chdir(monitor.parent):
        for notebook in [*before, *[monitor] * 3]:
            variables = run_inline.run(notebook)
    loop = variables["loop"]  # of the step that was to be lost, which no other message may hide
    assert loop["message"].iloc[-1] == "none"
    assert variables["queues"].message_counts(variables["session"], variables["callbacks"]) == {
        "waiting": 0, "hidden": 0,
    }  # fmt: skip
