"""A timeout by the clock on the wall: 60 seconds is the shortest that AWS Batch takes."""

from __future__ import annotations

import pytest

from .conftest import World


@pytest.mark.slow
def test_a_timeout_ends_an_attempt_for_good(world: World, timed_job: str) -> None:
    job = world.job_is(timed_job)
    assert (job["status"], job["statusReason"]) == ("FAILED", "Job attempt duration exceeded timeout")
    assert 60_000 <= job["stoppedAt"] - job["startedAt"] < 90_000
    assert len(job["attempts"]) == 1
    assert job["container"]["exitCode"] == 143
