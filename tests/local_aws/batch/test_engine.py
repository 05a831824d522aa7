"""The state machine of jobs: each rule by example, and what must hold through any history (hypothesis)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule
from tiers import examples

from local_aws.batch.model.queues import SchedulingPolicy
from local_aws.batch.state.attempts import TIMED_OUT
from local_aws.batch.state.dependencies import CHILD_FAILED, DEPENDENCY_FAILED
from local_aws.batch.state.jobs import Array, Attempt
from local_aws.batch.state.retries import will_retry

from .histories import History, environment, queue, spec


@pytest.fixture
def history() -> History:
    return History()


def test_a_job_passes_through_every_state(history: History) -> None:
    job = history.submit()
    assert job.status == "SUBMITTED"
    history.turn()
    assert job.status == "STARTING"
    history.turn(1)
    history.launcher.run(job.id)
    assert job.status == "RUNNING"
    history.turn(2)
    history.launcher.end(job.id)
    assert history.seen[job.id] == ["SUBMITTED", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED"]
    assert (job.started_at - job.created_at, job.stopped_at - job.started_at) == (1000, 2000)
    assert job.attempts[0].exit_code == 0


def test_jobs_wait_for_room_and_run_in_the_order_of_submission(history: History) -> None:
    jobs = [history.submit(vcpus=2) for _ in range(5)]
    history.turn()
    assert [job.status for job in jobs] == ["STARTING"] * 2 + ["RUNNABLE"] * 3
    history.run_all()
    assert [job_id for job_id, _ in history.launcher.launched] == [job.id for job in jobs]


def test_a_job_waits_for_those_it_depends_on(history: History) -> None:
    first, second = history.submit(), history.submit()
    third = history.submit(depends_on=[{"jobId": first.id}, {"jobId": second.id}])
    history.turn()
    assert third.status == "PENDING"
    history.launcher.end(first.id)
    history.turn()
    assert third.status == "PENDING"
    history.launcher.end(second.id)
    history.turn()
    assert third.status == "STARTING"


def test_a_failed_dependency_fails_what_waits_for_it_down_the_chain(history: History) -> None:
    first = history.submit()
    second = history.submit(depends_on=[{"jobId": first.id}])
    third = history.submit(depends_on=[{"jobId": second.id}])
    array = history.submit(size=3, depends_on=[{"jobId": third.id}])
    history.turn()
    history.launcher.end(first.id, 1)
    for job in (second, third, array):
        assert (job.status, job.status_reason) == ("FAILED", DEPENDENCY_FAILED)
    assert array.counts["FAILED"] == 3
    history.check()


def test_a_dependency_that_has_ended_already_counts(history: History) -> None:
    good, bad = history.submit(), history.submit()
    history.turn()
    history.launcher.end(good.id)
    history.launcher.end(bad.id, 1)
    after_good = history.submit(depends_on=[{"jobId": good.id}])
    after_bad = history.submit(depends_on=[{"jobId": bad.id}])
    history.turn()
    assert after_good.status == "STARTING"
    assert (after_bad.status, after_bad.status_reason) == ("FAILED", DEPENDENCY_FAILED)


@pytest.mark.parametrize(("exit_code", "status"), [(0, "STARTING"), (1, "FAILED")])
@pytest.mark.parametrize("size", [None, 2])
def test_a_dependency_may_end_before_the_loops_next_turn(
    history: History, exit_code: int, status: str, size: int | None
) -> None:
    """What waits for it is still SUBMITTED then."""
    first = history.submit()
    history.turn()
    after = history.submit(size=size, depends_on=[{"jobId": first.id}])
    history.launcher.end(first.id, exit_code)
    history.turn()
    assert {history.engine.find(f"{after.id}:1" if size else after.id).status} == {status}
    assert (after.status_reason == DEPENDENCY_FAILED) is (status == "FAILED")
    history.check()


@pytest.mark.parametrize(
    ("rules", "exit_code", "reason", "status_reason", "retried"),
    [
        ([], 1, None, "Essential container in task exited", True),
        ([{"onExitCode": "1", "action": "EXIT"}], 1, None, "x", False),
        ([{"onExitCode": "1", "action": "exit"}], 2, None, "x", True),  # none matches: retry
        ([{"onExitCode": "1*", "action": "EXIT"}], 137, None, "x", False),
        ([{"onExitCode": "1", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}], 1, None, "x", True),
        ([{"onExitCode": "1", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}], 2, None, "x", False),
        ([{"onReason": "*", "action": "EXIT"}, {"onExitCode": "1", "action": "RETRY"}], 1, None, "x", False),
        ([{"onStatusReason": "Host EC2*", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}], None, None,
         "Host EC2 (instance i-1) terminated.", True),
        ([{"onReason": "CannotPull*", "action": "EXIT"}], None, "CannotPullContainerError: x", "x", False),
        ([{"onReason": "cannotpull*", "action": "EXIT"}], None, "CannotPullContainerError: x", "x", True),
        ([{"onExitCode": "1", "onStatusReason": "Host*", "action": "EXIT"}], 1, None, "Essential", True),
        ([{"onExitCode": "0*", "action": "EXIT"}], None, None, "x", True),
    ],
)  # fmt: skip
def test_retry_rules(rules: list, exit_code: int | None, reason: str | None, status_reason: str, retried: bool) -> None:
    attempt = Attempt(1)
    attempt.exit_code, attempt.reason, attempt.status_reason = exit_code, reason, status_reason
    assert will_retry(spec(retry={"attempts": 2, "evaluateOnExit": rules}), 1, attempt) is retried
    assert will_retry(spec(retry={"attempts": 1, "evaluateOnExit": rules}), 1, attempt) is False


def test_a_job_is_retried_as_often_as_its_strategy_says(history: History) -> None:
    job = history.submit(retry={"attempts": 3})
    for _ in range(3):
        history.turn()
        history.launcher.run(job.id)
        history.launcher.end(job.id, 9)
    history.turn()
    assert (job.status, [attempt.exit_code for attempt in job.attempts]) == ("FAILED", [9, 9, 9])
    assert history.seen[job.id].count("RUNNABLE") == 3


def test_a_timeout_stops_the_attempt_and_is_not_retried(history: History) -> None:
    job = history.submit(retry={"attempts": 3}, timeout=60)
    history.turn()
    history.launcher.run(job.id)
    history.turn(59.9)
    assert not history.launcher.stopping
    history.turn(0.2)
    assert history.launcher.stopping == {job.id}
    history.launcher.end(job.id, 143)
    assert (job.status, job.status_reason, len(job.attempts)) == ("FAILED", TIMED_OUT, 1)


def test_a_timeout_is_of_one_attempt(history: History) -> None:
    job = history.submit(retry={"attempts": 2}, timeout=60)
    history.turn()
    history.launcher.run(job.id)
    history.turn(50)
    history.launcher.end(job.id, 1)
    history.turn()
    history.launcher.run(job.id)
    history.turn(50)
    assert not history.launcher.stopping


def test_cancel_takes_out_what_has_not_begun_and_leaves_what_has(history: History) -> None:
    running, *waiting = (history.submit(vcpus=4) for _ in range(2))
    history.turn()
    for job in (running, *waiting):
        history.engine.cancel(job.id, "not needed")
    assert (running.status, running.cancelled) == ("STARTING", False)
    assert [(job.status, job.status_reason, job.cancelled, job.terminated) for job in waiting] == [
        ("FAILED", "not needed", True, False)
    ]


def test_a_pending_job_is_cancelled_when_what_it_waits_for_is_done(history: History) -> None:
    first = history.submit()
    second = history.submit(depends_on=[{"jobId": first.id}])
    history.turn()
    history.engine.cancel(second.id, "not needed")
    assert (second.status, second.cancelled) == ("PENDING", True)
    history.launcher.end(first.id)
    assert (second.status, second.status_reason) == ("FAILED", "not needed")


@pytest.mark.parametrize("exit_code", [0, 143])
def test_terminate_fails_a_running_job_however_it_ends(history: History, exit_code: int) -> None:
    job = history.submit(retry={"attempts": 5})
    history.turn()
    history.launcher.run(job.id)
    history.engine.terminate(job.id, "enough")
    history.engine.terminate(job.id, "again")
    assert (job.status, job.terminated, history.launcher.stopping) == ("RUNNING", True, {job.id})
    history.launcher.end(job.id, exit_code)
    assert (job.status, job.status_reason) == ("FAILED", "enough")


def test_an_array_runs_every_child_once_and_its_parent_never(history: History) -> None:
    array = history.submit(size=10)
    history.turn()
    assert array.status == "PENDING"
    assert array.counts["STARTING"] == 4
    history.run_all()
    assert array.status == "SUCCEEDED"
    assert sorted(history.launcher.launched) == sorted((f"{array.id}:{index}", 1) for index in range(10))
    assert array.attempts == []


def test_one_failed_child_fails_the_parent_when_all_have_ended(history: History) -> None:
    array = history.submit(size=3)
    history.turn()
    history.launcher.end(f"{array.id}:1", 1)
    assert array.status == "PENDING"
    history.run_all()
    assert (array.status, array.status_reason) == ("FAILED", CHILD_FAILED)
    assert (array.counts["SUCCEEDED"], array.counts["FAILED"]) == (2, 1)


def test_children_are_retried_each_for_itself(history: History) -> None:
    array = history.submit(size=3, retry={"attempts": 2})
    history.turn()
    history.launcher.end(f"{array.id}:1", 1)
    history.run_all()
    assert array.status == "SUCCEEDED"
    assert [len(child.attempts) for child in array.known_children()] == [1, 2, 1]


def test_sequential_children_run_one_after_the_other_and_end_with_the_first_failure(history: History) -> None:
    array = history.submit(size=5, depends_on=[{"type": "SEQUENTIAL"}])
    for index in range(2):
        history.turn()
        assert set(history.launcher.jobs) == {f"{array.id}:{index}"}
        history.launcher.end(f"{array.id}:{index}")
    history.turn()
    history.launcher.end(f"{array.id}:2", 1)
    assert array.status == "FAILED"
    assert [array.view(index).status_reason for index in (3, 4)] == [DEPENDENCY_FAILED] * 2
    assert len(history.launcher.launched) == 3


def test_after_a_restart_sequential_children_still_wait_for_the_one_before(history: History) -> None:
    array = history.submit(size=4, retry={"attempts": 2}, depends_on=[{"type": "SEQUENTIAL"}])
    history.turn()
    history.restart()
    history.turn()
    assert [history.engine.jobs[array.id].child_status(index) for index in (1, 2, 3)] == ["PENDING"] * 3


def test_n_to_n_children_wait_for_their_counterparts(history: History) -> None:
    first = history.submit(size=3)
    second = history.submit(size=3, depends_on=[{"jobId": first.id, "type": "N_TO_N"}])
    history.turn()
    history.launcher.end(f"{first.id}:1")
    history.turn()
    assert [second.child_status(index) for index in range(3)] == ["PENDING", "STARTING", "PENDING"]
    history.launcher.end(f"{first.id}:0", 1)
    assert (second.child_status(0), second.view(0).status_reason) == ("FAILED", DEPENDENCY_FAILED)
    history.run_all()
    assert [second.child_status(index) for index in range(3)] == ["FAILED", "SUCCEEDED", "SUCCEEDED"]


def test_n_to_n_after_the_other_array_has_ended(history: History) -> None:
    first = history.submit(size=3)
    history.turn()
    history.launcher.end(f"{first.id}:2", 1)
    history.run_all()
    second = history.submit(size=3, depends_on=[{"jobId": first.id, "type": "N_TO_N"}])
    history.run_all()
    assert [second.child_status(index) for index in range(3)] == ["SUCCEEDED", "SUCCEEDED", "FAILED"]
    history.check()


def test_a_failure_down_a_sequence_of_ten_thousand_is_no_recursion() -> None:
    history = History()
    array = history.submit(size=10_000, depends_on=[{"type": "SEQUENTIAL"}])
    history.turn()
    history.launcher.end(f"{array.id}:0", 1)
    assert (array.status, array.counts["FAILED"]) == ("FAILED", 10_000)


def test_terminating_an_array_stops_what_runs_and_never_starts_the_rest(history: History) -> None:
    array = history.submit(size=10, retry={"attempts": 2})
    history.turn()
    history.engine.terminate(array.id, "enough")
    assert array.counts["FAILED"] == 6
    assert array.status == "PENDING"
    for job_id in list(history.launcher.jobs):
        history.launcher.end(job_id, 143)
    assert (array.status, array.status_reason, array.terminated) == ("FAILED", "enough", True)
    assert array.view(9).terminated
    history.check()


def test_cancelling_an_array_lets_its_running_children_finish_without_retries(history: History) -> None:
    array = history.submit(size=6, retry={"attempts": 2})
    history.turn()
    history.engine.cancel(array.id, "not needed")
    ids = sorted(history.launcher.jobs)
    history.launcher.end(ids[0], 1)
    history.run_all()
    assert array.status == "FAILED"
    assert (array.counts["SUCCEEDED"], array.counts["FAILED"]) == (3, 3)
    assert len(history.launcher.launched) == 4


def test_a_child_can_be_terminated_alone(history: History) -> None:
    array = history.submit(size=6)
    history.turn()
    history.engine.terminate(f"{array.id}:5", "not this one")
    history.run_all()
    assert array.view(5).status_reason == "not this one"
    assert (array.counts["SUCCEEDED"], array.counts["FAILED"]) == (5, 1)


def test_children_are_found_by_their_index_and_nothing_else(history: History) -> None:
    array, plain = history.submit(size=3), history.submit()
    assert history.engine.find(f"{array.id}:2").index == 2
    for wrong in (
        f"{array.id}:3",
        f"{array.id}:-1",
        f"{array.id}:02",
        f"{array.id}:x",
        f"{array.id}:",
        f"{plain.id}:0",
    ):
        assert history.engine.find(wrong) is None


# --- the scheduler ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [None, 3])
@pytest.mark.parametrize("end", ["cancel", "terminate"])
def test_a_job_too_large_blocks_the_queue_until_it_is_ended(history: History, end: str, size: int | None) -> None:
    """https://docs.aws.amazon.com/batch/latest/userguide/job_stuck_in_runnable.html"""
    job, behind = history.submit(vcpus=8, size=size), history.submit()
    history.turn()
    assert behind.status == "RUNNABLE"
    getattr(history.engine, end)(job.id, "too large")
    history.turn()
    assert behind.status == "STARTING"


def test_a_job_too_large_stays_runnable_and_says_why(history: History) -> None:
    job, behind = history.submit(vcpus=8), history.submit()
    history.turn()
    assert job.status == "RUNNABLE"
    assert job.status_reason.startswith("MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE")
    assert behind.status == "RUNNABLE"  # it blocks the queue, as on AWS


def test_a_child_too_large_says_so_too(history: History) -> None:
    array = history.submit(size=2, vcpus=8)
    history.turn()
    assert array.view(0).status_reason.startswith("MISCONFIGURATION:")
    history.check()


def test_memory_no_instance_has_is_a_misconfiguration(history: History) -> None:
    job = history.submit(memory=4_000_000)
    history.turn()
    assert job.status_reason.startswith("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT")


def test_a_queues_time_limit_cancels_the_job_that_blocks_it(history: History) -> None:
    reason = "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE"
    history.queue.detail["jobStateTimeLimitActions"] = [
        {"reason": reason, "state": "RUNNABLE", "maxTimeSeconds": 600, "action": "CANCEL"}
    ]
    job, behind = history.submit(vcpus=8), history.submit()
    history.turn(599)
    assert job.status == "RUNNABLE"
    history.turn(2)
    assert (job.status, job.status_reason) == (
        "FAILED",
        f"Canceled by JobStateTimeLimit action due to reason: {reason}",
    )
    assert behind.status == "STARTING"


@pytest.mark.parametrize("days", [-1, 1])
def test_a_time_limit_is_as_long_as_it_says_although_the_clock_is_set(history: History, days: int) -> None:
    history.queue.detail["jobStateTimeLimitActions"] = [
        {
            "reason": "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE",
            "state": "RUNNABLE",
            "maxTimeSeconds": 600,
            "action": "CANCEL",
        }
    ]
    job = history.submit(vcpus=8)
    history.turn(300)
    history.clock.set_by = days * 86_400_000
    history.scheduler.rearm(history.queue)  # as an update of the queue does
    history.turn(299)
    assert job.status == "RUNNABLE"
    history.turn(2)
    assert job.status == "FAILED"


def test_a_time_limit_of_another_reason_does_nothing(history: History) -> None:
    history.queue.detail["jobStateTimeLimitActions"] = [
        {
            "reason": "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY",
            "state": "RUNNABLE",
            "maxTimeSeconds": 600,
            "action": "CANCEL",
        }
    ]
    job = history.submit(vcpus=8)
    history.turn(2000)
    assert job.status == "RUNNABLE"


def test_the_queue_of_higher_priority_goes_first(history: History) -> None:
    high = queue("high", priority=10)
    history.environments["high"] = [history.environment]
    low_jobs = [history.submit(vcpus=4) for _ in range(2)]
    high_job = history.submit(queue=high, vcpus=4)
    history.turn()
    assert history.launcher.launched == [(high_job.id, 1)]
    history.launcher.end(high_job.id)
    history.turn()
    assert low_jobs[0].status == "STARTING"


def test_a_queue_of_lower_priority_does_not_take_the_room_a_higher_one_waits_for(history: History) -> None:
    high = queue("high", priority=10)
    history.environments["high"] = [history.environment]
    first = history.submit(vcpus=3)
    history.turn()
    history.submit(queue=high, vcpus=4)
    small = history.submit(vcpus=1)
    history.turn()
    assert small.status == "RUNNABLE"
    history.launcher.end(first.id)
    history.run_all()
    assert small.status == "SUCCEEDED"


def test_a_second_environment_takes_what_the_first_has_no_room_for(history: History) -> None:
    spare = environment("spare", 1)
    history.environments["q"].append(spare)
    jobs = [history.submit(vcpus=4), history.submit(vcpus=1)]
    history.turn()
    assert [job.compute_environment for job in jobs] == [history.environment, spare]


@pytest.mark.parametrize("change", [{"state": "DISABLED"}, {"status": "DELETING"}])
def test_an_environment_that_takes_no_jobs_gets_none(history: History, change: dict) -> None:
    history.environment.detail |= change
    job = history.submit()
    history.turn()
    assert job.status == "RUNNABLE"


def fair(**policy: Any) -> History:
    return History(max_vcpus=4, policy=SchedulingPolicy("p", {"fairsharePolicy": policy}))


@pytest.mark.parametrize("days", [0, -1])
def test_fair_share_divides_by_weight(days: int) -> None:
    """Also when the clock is set back after the first job."""
    history = fair(
        shareDistribution=[{"shareIdentifier": "a", "weightFactor": 1}, {"shareIdentifier": "b*", "weightFactor": 0.5}]
    )
    for index in range(40):
        history.submit(share="a" if index < 20 else "b1")
    shares = []
    for _ in range(12):
        history.turn(1)
        history.clock.set_by = days * 86_400_000
        for job_id in list(history.launcher.jobs):
            shares.append(history.launcher.jobs[job_id].share)
            history.launcher.end(job_id)
    assert 1.6 <= shares[:24].count("b1") / shares[:24].count("a") <= 2.4  # half the weight, twice the room


def test_within_a_share_the_scheduling_priority_decides() -> None:
    history = fair()
    low, high = history.submit(share="a", vcpus=4, priority=1), history.submit(share="a", vcpus=4, priority=5)
    history.turn()
    assert (low.status, high.status) == ("RUNNABLE", "STARTING")


def test_a_compute_reservation_keeps_room_for_shares_not_yet_active() -> None:
    history = fair(computeReservation=50)
    jobs = [history.submit(share="a") for _ in range(4)]
    history.turn()
    assert [job.status for job in jobs].count("STARTING") == 2
    other = history.submit(share="b")
    history.turn()
    assert other.status == "STARTING"


def test_a_compute_reservation_shrinks_with_each_active_share() -> None:
    """(computeReservation/100)^ActiveFairShares of the maximum: half of it for one share, a quarter for two.

    https://docs.aws.amazon.com/batch/latest/APIReference/API_FairsharePolicy.html
    """
    history = fair(computeReservation=50)
    jobs = [history.submit(share=share) for share in ("a", "b") * 3]
    history.turn()
    assert [job.status for job in jobs].count("STARTING") == 3
    other = history.submit(share="c")
    history.turn()
    assert other.status == "STARTING"


def test_the_front_of_a_queue_is_in_dispatch_order(history: History) -> None:
    history.submit(vcpus=4)
    array, job = history.submit(size=3), history.submit()
    history.turn()
    front = [one.id for one in history.scheduler.front(history.queue)]
    assert front == [f"{array.id}:{index}" for index in range(3)] + [job.id]


# --- any history -----------------------------------------------------------------------------------------------------

RETRIES = st.sampled_from(
    [
        None,
        {"attempts": 2},
        {
            "attempts": 3,
            "evaluateOnExit": [{"onExitCode": "1", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}],
        },
    ]
)


class AnyHistory(RuleBasedStateMachine):
    """Submissions, cancellations, terminations, starts, ends and time, in any order."""

    ids = Bundle("ids")

    @initialize()
    def begin(self) -> None:
        self.history = History()

    @rule(target=ids, size=st.sampled_from([None, None, 2, 3, 5]), retry=RETRIES, timeout=st.sampled_from([None, 60]),
          data=st.data(), vcpus=st.integers(1, 3))  # fmt: skip
    def submit(self, size: int | None, retry: dict | None, timeout: int | None, data: st.DataObject, vcpus: int) -> str:
        jobs = list(self.history.engine.jobs.values())
        known = [job.id for job in jobs] + [f"{job.id}:0" for job in jobs if job.size]
        depends_on: list[dict[str, str]] = [
            {"jobId": job_id}
            for job_id in data.draw(st.lists(st.sampled_from(known), max_size=2, unique=True) if known else st.just([]))
        ]
        if size:
            arrays = [job.id for job in jobs if job.size == size]
            if arrays and data.draw(st.booleans()):
                depends_on.append({"jobId": data.draw(st.sampled_from(arrays)), "type": "N_TO_N"})
            if data.draw(st.booleans()):
                depends_on.append({"type": "SEQUENTIAL"})
        job = self.history.submit(size=size, retry=retry, timeout=timeout, vcpus=vcpus, depends_on=depends_on)
        return job.id

    @rule(job_id=ids, child=st.none() | st.integers(0, 1), terminate=st.booleans())
    def stop(self, job_id: str, child: int | None, terminate: bool) -> None:
        target = job_id if child is None else f"{job_id}:{child}"
        act = self.history.engine.terminate if terminate else self.history.engine.cancel
        act(target, "stopped")

    @rule(seconds=st.sampled_from([0, 0.5, 61]))
    def turn(self, seconds: float) -> None:
        self.history.turn(seconds)

    @rule(data=st.data(), exit_code=st.sampled_from([0, 0, 1, 2]), run=st.booleans())
    def end(self, data: st.DataObject, exit_code: int, run: bool) -> None:
        if self.history.launcher.jobs:
            job_id = data.draw(st.sampled_from(sorted(self.history.launcher.jobs)))
            self.history.launcher.run(job_id)
            if run:
                self.history.launcher.end(job_id, exit_code)

    @rule(job_id=ids)
    def report_twice(self, job_id: str) -> None:
        """A report of an attempt that is over changes nothing."""
        job = self.history.engine.jobs[job_id]
        before = job.status
        if not isinstance(job, Array) and job.attempts and job.current is None:
            self.history.engine.attempt_ended(job, len(job.attempts), 0, "again")
            self.history.engine.attempt_running(job, len(job.attempts))
        assert job.status == before

    @rule()
    def restart(self) -> None:
        ended = {job.id: (job.status, job.status_reason) for job in self.history.engine.jobs.values() if job.ended}
        known = set(self.history.engine.jobs)
        self.history.restart()
        assert set(self.history.engine.jobs) == known
        for job_id, outcome in ended.items():
            job = self.history.engine.jobs[job_id]
            assert (job.status, job.status_reason) == outcome

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "history"):
            self.history.check()

    def teardown(self) -> None:
        """In the end, every job ends: none is lost, none waits for ever."""
        if hasattr(self, "history"):
            self.history.turn(1)
            self.history.run_all()
            self.history.check()
            for job in self.history.engine.jobs.values():
                assert job.ended, f"{job.id} is {job.status}"
                if isinstance(job, Array):
                    assert job.counts["SUCCEEDED"] + job.counts["FAILED"] == job.size
            assert self.history.environment.used_vcpus == 0


AnyHistory.TestCase.settings = settings(
    max_examples=examples(25, 120), stateful_step_count=40, suppress_health_check=list(HealthCheck)
)
TestAnyHistory = AnyHistory.TestCase


@settings(max_examples=examples(30, 250))
@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=30))
def test_first_in_first_out_never_overtakes(sizes: list[int]) -> None:
    """In a FIFO queue the starts are in the order of the submissions, whatever the jobs' sizes."""
    history = History()
    jobs = [history.submit(vcpus=vcpus) for vcpus in sizes]
    history.run_all()
    assert [job_id for job_id, _ in history.launcher.launched] == [job.id for job in jobs]
