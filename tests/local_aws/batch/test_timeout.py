"""Waits by the clock on the wall: AWS Batch's shortest timeout is 60 seconds, and after SIGTERM it waits 30.

The jobs are submitted when the first of this folder's tests begins (conftest.py), so they run beside all the others.
In `make test` the engine's tests prove timeouts on a virtual clock.
"""

from __future__ import annotations

import pytest

from .conftest import Account

pytestmark = [pytest.mark.slow, pytest.mark.thorough]


def test_a_job_that_ignores_sigterm_is_killed_after_30_seconds(account: Account, stubborn_job: str) -> None:
    job = account.job_is(stubborn_job)
    assert (job["status"], job["statusReason"], job["isTerminated"]) == ("FAILED", "enough", True)
    assert (job["container"]["exitCode"], len(job["attempts"])) == (137, 1)
    assert 30_000 <= job["stoppedAt"] - job["startedAt"] < 60_000


def test_a_timeout_ends_an_attempt_for_good(account: Account, timed_job: str) -> None:
    job = account.job_is(timed_job)
    assert (job["status"], job["statusReason"]) == ("FAILED", "Job attempt duration exceeded timeout")
    assert 60_000 <= job["stoppedAt"] - job["startedAt"] < 90_000
    assert len(job["attempts"]) == 1
    assert job["container"]["exitCode"] == 137  # no handler of SIGTERM: it ends by SIGKILL
