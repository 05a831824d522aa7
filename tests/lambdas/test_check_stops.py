"""A stopped execution: EventBridge's message about it, and the jobs that no callback step waited for."""

import json

import pytest
from fake_aws import EVENT, EXECUTION, NEVER_STARTS, THROTTLED, AwsError, Context

DENIED = AwsError("AccessDeniedException", "not authorized to perform: batch:ListJobs", 403)


@pytest.fixture(autouse=True)
def job_queues(monkeypatch):
    monkeypatch.setenv("JOB_QUEUES", "queue-sagemaker")


@pytest.fixture
def submitted(fake, submit):
    submit.lambda_handler(EVENT, Context())


@pytest.fixture
def send(fake):
    """EventBridge puts an event of an execution into the queue."""

    def send(current, previous="Stopping", **changed):
        detail = {
            "pipelineExecutionArn": EXECUTION,
            "currentPipelineExecutionStatus": current,
            "previousPipelineExecutionStatus": previous,
        }
        event = {"source": "aws.sagemaker", "time": fake.clock.iso(), "detail": detail, **changed}
        fake.sqs.send_message(fake.sqs.url("callbacks-sagemaker"), json.dumps(event))

    return send


@pytest.fixture
def work(fake, check):
    """Let the mapping work for an hour; the queue must be empty then."""

    def work(seconds=3600):
        until = fake.clock.now + seconds
        for result in fake.sqs.run(check.lambda_handler, until=until):
            assert not isinstance(result, Exception), result
        assert not fake.sqs.queues["callbacks-sagemaker"]

    return work


@pytest.mark.parametrize(
    ("current", "previous", "left"),
    [
        ("Stopped", "Stopping", 0),
        ("Failed", "Stopping", 0),  # the submitting function outlasted its step's timeout
        ("Failed", "Executing", 3),  # what they finish need not be done again by a retry
    ],
)
def test_jobs_are_terminated_when_their_execution_was_stopped(fake, work, submitted, send, current, previous, left):
    send(current, previous)
    work(seconds=50)
    assert len(fake.batch.unfinished()) == left
    assert {job.terminate_reason for job in fake.batch.jobs.values()} == {
        "" if left else "The pipeline execution was stopped at 2027-01-15T08:00:00+00:00."
    }


def test_those_of_another_execution_go_on(fake, work, submit, submitted, send):
    submit.lambda_handler({**EVENT, "execution_id": EXECUTION[:-1] + "x"}, Context())
    send("Stopped")
    work(seconds=50)
    assert len(fake.batch.unfinished()) == 3


@pytest.mark.parametrize("poll_min_seconds", ["1", "10"])
def test_a_job_that_is_not_listed_yet_is_terminated_too(fake, work, submit, send, monkeypatch, poll_min_seconds):
    monkeypatch.setenv("POLL_MIN_SECONDS", poll_min_seconds)  # 1 in the notebooks: a stop has a pause of its own
    fake.batch.seconds_until_visible = 25
    submit.lambda_handler(EVENT, Context())
    send("Stopped")
    work(seconds=50)
    assert not fake.batch.unfinished()


def test_a_late_event_leaves_the_jobs_of_the_retry_alone(fake, work, submit, send):
    send("Stopped")
    fake.clock.now += 10
    submit.lambda_handler(EVENT, Context())
    work(seconds=50)
    assert len(fake.batch.unfinished()) == 3


def test_throttling_is_waited_out_further_and_further_apart(fake, work, submit, send, check):
    fake.batch.plan = lambda *_: NEVER_STARTS
    submit.lambda_handler(EVENT, Context())
    fake.fail_next("ListJobs", *[THROTTLED] * 200)
    send("Stopped")
    work(seconds=3 * 86_400)
    assert not fake.batch.unfinished()
    assert not fake.sqs.queues["dead-letters-sagemaker"]
    pauses = [call["VisibilityTimeout"] for call in fake.called("ChangeMessageVisibility")]
    assert pauses[:3] == sorted(pauses[:3])
    assert min(pauses[-100:]) >= 900, "a thousand deliveries last for days"
    assert len(set(pauses[-100:])) > 10, "jittered"


def test_a_queue_that_is_gone_leaves_the_others_to_be_cleared(fake, work, submitted, send, monkeypatch):
    monkeypatch.setenv("JOB_QUEUES", "old-queue queue-sagemaker")
    real = fake.batch.list_jobs

    def list_jobs(**request):
        if request["jobQueue"] == "old-queue":
            raise AwsError("ClientException", "old-queue does not exist")
        return real(**request)

    fake.batch.list_jobs = list_jobs
    send("Stopped")
    work()
    assert not fake.batch.unfinished()
    [dead] = fake.sqs.queues["dead-letters-sagemaker"]
    assert "old-queue does not exist" in dead.attributes["Reason"]["StringValue"]


def test_a_refusal_is_put_aside_for_a_person(fake, work, submitted, send):
    fake.fail_next("ListJobs", *[DENIED] * 20)
    send("Stopped")
    work()
    [dead] = fake.sqs.queues["dead-letters-sagemaker"]
    assert "Could not terminate a stopped execution's jobs" in dead.attributes["Reason"]["StringValue"]
    assert "batch:ListJobs" in dead.attributes["Reason"]["StringValue"]


@pytest.mark.parametrize("changed", [{"detail": {}}, {"detail": "x"}, {"time": "yesterday"}, {"time": None}])
def test_an_event_that_makes_no_sense_is_put_aside(fake, work, send, changed):
    send("Stopped", **changed)
    work()
    [dead] = fake.sqs.queues["dead-letters-sagemaker"]
    assert "not one of a pipeline execution" in dead.attributes["Reason"]["StringValue"]


def test_without_job_queues_the_event_is_let_go_with_a_warning(fake, work, submitted, send, monkeypatch, capsys):
    monkeypatch.setenv("JOB_QUEUES", "")
    send("Stopped")
    work(seconds=50)
    assert len(fake.batch.unfinished()) == 3
    assert "no JOB_QUEUES are set" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["status", "Status"])
def test_the_message_of_a_stop_is_read_as_the_example_and_as_the_prose_of_awss_guide_have_it(fake, work, submit, name):
    token = fake.sagemaker.start_callback(submit.lambda_handler(EVENT, Context())["jobIds"])
    fake.sqs.queues["callbacks-sagemaker"].clear()
    fake.sagemaker.send(token, {"job_ids": " ".join(fake.batch.jobs)}, **{name: "Stopping"})
    work(seconds=50)
    assert not fake.batch.unfinished()
    [(_, _, kind, why)] = fake.sagemaker.answers
    assert (kind, why) == ("Failure", "The pipeline execution was stopped. 3 of 3 jobs were terminated.")
