"""What is decided about a step, from its jobs and the time alone."""

import pytest
from fake_aws import EXECUTION, load_lambda

CHECK = load_lambda("check_jobs")
SENT = 1_800_000_000.0


def job(status, **more):
    return {"jobId": "a", "jobName": "copy-01", "status": status, **more}


def decide(jobs, seconds_later=60.0, **step):
    pending = CHECK["model"].PendingStep(
        "Token00001", EXECUTION, "a b", sent=SENT, **{"deadline_seconds": 3600, **step}
    )
    return CHECK["decision"].decide(pending, ["a", "b"], jobs, now=SENT + seconds_later)


@pytest.mark.parametrize(
    ("a", "b", "step", "outcome"),
    [
        ("SUCCEEDED", "SUCCEEDED", {}, "succeed"),
        ("SUCCEEDED", "RUNNING", {}, "wait"),
        ("SUBMITTED", "RUNNABLE", {}, "wait"),
        ("FAILED", "RUNNING", {}, "fail"),
        ("FAILED", "RUNNING", {"tolerated_failure_percentage": 50}, "wait"),
        ("FAILED", "SUCCEEDED", {"tolerated_failure_percentage": 50}, "succeed"),
        ("FAILED", "SUCCEEDED", {"tolerated_failure_percentage": 49}, "fail"),
        ("FAILED", "FAILED", {"tolerated_failure_percentage": 100}, "succeed"),
        ("RUNNING", None, {}, "unknown"),
        ("SUCCEEDED", None, {}, "unknown"),
        ("FAILED", None, {}, "fail"),
        ("RUNNING", "RUNNING", {"stopping": True}, "stop"),
        ("SUCCEEDED", "SUCCEEDED", {"stopping": True}, "stop"),
        ("RUNNING", "RUNNING", {"seconds_later": 3600}, "wait"),
        ("RUNNING", "RUNNING", {"seconds_later": 3601}, "expire"),
        ("RUNNING", None, {"seconds_later": 3601}, "expire"),
        ("SUCCEEDED", "SUCCEEDED", {"seconds_later": 3601}, "succeed"),
        ("FAILED", "RUNNING", {"seconds_later": 3601}, "fail"),
        ("RUNNING", "RUNNING", {"polls": 9, "max_polls": 10}, "wait"),
        ("RUNNING", "RUNNING", {"polls": 10, "max_polls": 10}, "expire"),
    ],
)
def test_the_outcome(a, b, step, outcome):
    jobs = {id: job(status) for id, status in (("a", a), ("b", b)) if status}
    assert decide(jobs, **step).outcome == outcome


@pytest.mark.parametrize(
    ("step", "terminated"),
    [({"stopping": True}, ("b2",)), ({"seconds_later": 3601}, ("b2",)), ({}, ())],
)
def test_what_is_terminated(step, terminated):
    """The job that stands for the first one, if it was submitted again."""
    jobs = {"a": job("SUCCEEDED"), "b": job("RUNNING", jobId="b2")}
    assert decide(jobs, **step).terminate == terminated


AGAIN, STOPPED = {"jobName": "copy-01-try2"}, {"statusReason": "The pipeline execution was stopped."}
STOPPED_BEFORE = {"statusReason": "The pipeline execution was stopped at 2027-01-15T07:59:59Z."}
STOPPED_SINCE = {"statusReason": "The pipeline execution was stopped at 2027-01-15T08:00:01Z."}
STOPPED_TAG = "sagemaker-batch:stopped"
TAGGED_BEFORE, TAGGED_SINCE = (
    {"tags": {STOPPED_TAG: "2027-01-15T07:59:59Z"}},
    {"tags": {STOPPED_TAG: "2027-01-15T08:00:01Z"}},
)


@pytest.mark.parametrize(
    ("number", "a", "b", "step", "outcome", "resubmit"),
    [
        (2, job("FAILED"), job("SUCCEEDED"), {}, "resubmit", ("a",)),
        (2, job("FAILED"), job("RUNNING"), {}, "resubmit", ("a",)),
        (2, job("FAILED"), job("FAILED"), {"tolerated_failure_percentage": 100}, "resubmit", ("a", "b")),
        (2, job("FAILED"), job("FAILED", **AGAIN), {"tolerated_failure_percentage": 100}, "resubmit", ("a",)),
        (2, job("FAILED"), job("FAILED", **AGAIN), {}, "fail", ()),
        (2, job("FAILED", **AGAIN), job("SUCCEEDED"), {}, "fail", ()),
        (3, job("FAILED", **AGAIN), job("SUCCEEDED"), {}, "resubmit", ("a",)),
        (2, job("FAILED"), job("RUNNING"), {"stopping": True}, "stop", ()),
        (2, job("FAILED"), job("RUNNING"), {"seconds_later": 3601}, "expire", ()),
        (2, job("FAILED"), job("SUCCEEDED"), {"seconds_later": 3601}, "fail", ()),
        (1, job("FAILED"), job("SUCCEEDED"), {}, "fail", ()),
        (1, job("FAILED", **STOPPED), job("SUCCEEDED"), {}, "resubmit", ("a",)),
        (1, job("FAILED", **STOPPED, jobName="copy-01-try1"), job("SUCCEEDED"), {}, "fail", ()),
        (0, job("FAILED", **STOPPED), job("SUCCEEDED"), {}, "fail", ()),
        (1, job("FAILED", **STOPPED_BEFORE), job("SUCCEEDED"), {}, "resubmit", ("a",)),
        (1, job("FAILED", **STOPPED_SINCE), job("SUCCEEDED"), {}, "stop", ()),
        (1, job("FAILED", **TAGGED_BEFORE), job("SUCCEEDED"), {}, "resubmit", ("a",)),
        (1, job("FAILED", **TAGGED_SINCE), job("SUCCEEDED"), {}, "stop", ()),
        (1, job("FAILED", tags={STOPPED_TAG: "true"}), job("SUCCEEDED"), {}, "resubmit", ("a",)),
        (1, job("SUCCEEDED", **TAGGED_SINCE), job("SUCCEEDED"), {}, "succeed", ()),
        (2, job("FAILED"), job("FAILED", **STOPPED_SINCE), {"tolerated_failure_percentage": 100}, "stop", ()),
        (2, job("FAILED"), job("PENDING", **TAGGED_SINCE), {}, "stop", ()),
    ],
)
def test_what_a_try_of_the_step_submits_again(number, a, b, step, outcome, resubmit):
    decision = decide({"a": a, "b": b}, number=number, **step)
    assert (decision.outcome, decision.resubmit) == (outcome, resubmit)


def test_an_array_is_submitted_again_once_it_has_ended():
    array = {"size": 3, "statusSummary": {"FAILED": 1, "RUNNING": 2}}
    jobs = {"a": job("PENDING", arrayProperties=array), "b": job("SUCCEEDED")}
    assert decide(jobs, number=2).outcome == "wait"
    jobs["a"]["status"] = "FAILED"
    assert decide(jobs, number=2).outcome == "resubmit"


def test_what_had_succeeded_before_counts():
    array = {"size": 3, "statusSummary": {"FAILED": 1, "SUCCEEDED": 2}}
    counts = decide({"a": job("FAILED", arrayProperties=array, firstSize=10), "b": job("SUCCEEDED")}).counts
    assert (counts.total, counts.succeeded, counts.failed) == (11, 10, 1)


def test_jobs_of_another_execution_are_a_mistake():
    tags = {"sagemaker-batch:execution": "other"}
    assert decide({"a": job("SUCCEEDED", tags=tags), "b": job("SUCCEEDED")}).outcome == "mistake"
    tags = {"sagemaker-batch:execution": EXECUTION.rsplit("/", 1)[1]}
    assert decide({"a": job("SUCCEEDED", tags=tags), "b": job("SUCCEEDED")}).outcome == "succeed"


def test_beside_an_unknown_job_the_known_ones_are_to_be_terminated():
    assert decide({"a": job("RUNNING")}).terminate == ("a",)


@pytest.mark.parametrize(("ended", "outcome"), [(SENT + 10, "expire"), (SENT - 10, "fail")])
def test_a_job_that_this_steps_deadline_has_ended_is_late_and_one_of_an_earlier_try_is_not(ended, outcome):
    late = job("FAILED", stoppedAt=ended * 1000, statusReason="The pipeline step's deadline has passed.")
    assert decide({"a": late, "b": job("SUCCEEDED")}).outcome == outcome


@pytest.mark.parametrize(
    ("counted", "seconds_later", "outcome", "settling"),
    [
        (9, 60, "wait", True),
        (9, 400, "succeed", False),
        (10, 60, "succeed", False),
        (9, -86_400, "succeed", False),  # the clock was set back since
    ],
)
def test_an_array_that_has_just_ended_may_still_be_counted(counted, seconds_later, outcome, settling):
    array = {"size": 10, "statusSummary": {"FAILED": 1, "SUCCEEDED": counted - 1}}
    jobs = {"a": job("FAILED", stoppedAt=(SENT + 50) * 1000, arrayProperties=array), "b": job("SUCCEEDED")}
    decision = decide(jobs, seconds_later, tolerated_failure_percentage=20)
    assert (decision.outcome, decision.settling) == (outcome, settling)


def test_the_children_of_arrays_count_singly():
    array = {"size": 10, "statusSummary": {"FAILED": 2, "SUCCEEDED": 5, "RUNNING": 3}}
    counts = decide({"a": job("PENDING", arrayProperties=array), "b": job("SUCCEEDED")}).counts
    assert (counts.total, counts.succeeded, counts.failed) == (11, 6, 2)


@pytest.mark.parametrize(
    ("seconds_left", "is_submitting"),
    [(-1, False), (900, True), (86_400, False)],
    ids=["it is over", "it runs", "the clock was set back"],
)
def test_a_call_reserves_the_submitting_for_a_while_and_not_for_a_day(seconds_left, is_submitting):
    this = CHECK["model"].Try(record={"submitting_until": SENT + seconds_left})
    assert this.is_submitting(SENT) is is_submitting
