"""Where the article's two functions break: each test passes on ours and must fail on the article's logic."""

import pytest
from botocore.exceptions import ClientError
from fake_aws import EVENT, NEVER_STARTS, Plan


def breaks_in(article, *raises):
    """Runs the test on our functions, and on the article's, where one of these errors must come up."""
    fails = pytest.mark.xfail(strict=True, raises=raises, reason="the article's logic")
    return pytest.mark.parametrize("lambdas", ["ours", pytest.param(article, marks=fails)], indirect=True)


def submit_and_wait(fake, lambdas, **event):
    return fake.sagemaker.start_callback(lambdas.submit({**EVENT, **event})["jobIds"])


def only_answer(fake):
    assert len(fake.sagemaker.answers) == 1, "the pipeline must get one answer"
    return fake.sagemaker.answers[0]


@breaks_in("article", KeyError)
def test_a_step_that_passes_no_max_jobs_is_refused(lambdas):
    with pytest.raises(ValueError, match="lacks max_jobs: pass them in the LambdaStep's inputs"):
        lambdas.submit({key: value for key, value in EVENT.items() if key != "max_jobs"})


@breaks_in("article as printed", ClientError)
def test_jobs_go_to_the_queue_and_definition_of_the_event(fake, lambdas):
    lambdas.submit(EVENT)
    assert {(job.queue, job.definition) for job in fake.batch.jobs.values()} == {("queue-sagemaker", "copy")}


@breaks_in("article", AssertionError)
def test_a_failed_job_reaches_the_pipeline_with_its_own_reason(fake, lambdas):
    fake.batch.plan = lambda *_: Plan(end=10, exit_code=1, reason="fatal error: Key not found")
    submit_and_wait(fake, lambdas)
    fake.clock.sleep(20)
    fake.sqs.invoke(lambdas.check)
    kind, reason = only_answer(fake)[2:]
    assert kind == "Failure"
    assert "Key not found" in reason


@breaks_in("article mended", AssertionError)
def test_a_failure_is_reported_once_while_other_jobs_run(fake, lambdas):
    ends = iter([Plan(end=10, exit_code=1), Plan(end=500), Plan(end=500)])
    fake.batch.plan = lambda *_: next(ends)
    submit_and_wait(fake, lambdas)
    fake.clock.sleep(20)
    assert fake.sqs.invoke(lambdas.check) == {"batchItemFailures": []}
    assert len(fake.sagemaker.answers) == 1
    assert not fake.sqs.queues["callbacks-sagemaker"]


@breaks_in("article", AssertionError)
def test_101_jobs_are_polled(fake, lambdas):
    ids = [lambdas.submit({**EVENT, "max_jobs": 1, "step_name": f"Step{n}"})["jobIds"] for n in range(101)]
    fake.sagemaker.start_callback(" ".join(ids))
    fake.clock.sleep(100)
    fake.sqs.invoke(lambdas.check)
    assert [kind for _, _, kind, _ in fake.sagemaker.answers] == ["Success"]


@breaks_in("article", AssertionError)
def test_the_ids_of_any_number_of_jobs_fit_a_step_output(fake, lambdas):
    for jobs in (27, 28, 200):
        job_ids = lambdas.submit({**EVENT, "max_jobs": jobs, "step_name": f"Step{jobs}"})["jobIds"]
        assert len(job_ids) <= 1024
        fake.sagemaker.start_callback(job_ids)
    fake.clock.sleep(100)
    fake.sqs.invoke(lambdas.check)
    assert [kind for _, _, kind, _ in fake.sagemaker.answers] == ["Success"] * 3


@breaks_in("article", AssertionError)
def test_jobs_unknown_to_batch_are_no_success(fake, lambdas):
    fake.sagemaker.start_callback("00000000-0000-4000-8000-000000000000")
    for _ in fake.sqs.run(lambdas.check, until=fake.clock.now + 86_400):
        pass
    kind, reason = only_answer(fake)[2:]
    assert kind == "Failure"
    assert "does not know 1 of 1 jobs" in reason


@breaks_in("article", AssertionError)
def test_a_job_that_never_starts_meets_a_deadline(fake, lambdas):
    fake.batch.plan = lambda *_: NEVER_STARTS
    submit_and_wait(fake, lambdas)
    for _ in fake.sqs.run(lambdas.check, until=fake.clock.now + 2 * 86_400):
        pass
    kind, reason = only_answer(fake)[2:]
    assert kind == "Failure"
    assert "RUNNABLE (MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT)" in reason
    assert not fake.batch.unfinished()


@breaks_in("article", AssertionError)
def test_waiting_is_no_error(fake, lambdas):
    submit_and_wait(fake, lambdas)
    result = fake.sqs.invoke(lambdas.check)
    assert not isinstance(result, Exception)
    assert result["batchItemFailures"] == [{"itemIdentifier": "message-1"}]


@breaks_in("article", AssertionError)
def test_the_answer_does_not_wait_for_the_queues_visibility_timeout(fake, lambdas):
    started = fake.clock.now
    submit_and_wait(fake, lambdas)  # its jobs end after 60 s
    for _ in fake.sqs.run(lambdas.check, until=started + 3600):
        pass
    answered = only_answer(fake)[0]
    assert 60 <= answered - started <= 60 * 1.3 + 1


@breaks_in("article", AssertionError)
def test_stopping_terminates_the_jobs_and_answers(fake, lambdas):
    token = submit_and_wait(fake, lambdas)
    arguments = {"job_ids": " ".join(fake.batch.jobs)}
    fake.sagemaker.send(token, arguments, status="Stopping")
    fake.clock.sleep(1)
    fake.sqs.invoke(lambdas.check)
    assert [kind for _, _, kind, _ in fake.sagemaker.answers] == ["Failure"]
    assert not fake.batch.unfinished()


@pytest.mark.parametrize("second_answer", ["ConflictException", "ResourceNotFound"])
@breaks_in("article", AssertionError)
def test_a_duplicate_message_is_harmless(fake, lambdas, second_answer):
    fake.sagemaker.second_answer = second_answer
    token = submit_and_wait(fake, lambdas)
    fake.sagemaker.send(token, {"job_ids": " ".join(fake.batch.jobs)})
    fake.clock.sleep(100)
    assert fake.sqs.invoke(lambdas.check) == {"batchItemFailures": []}
    assert len(fake.sagemaker.answers) == 1
    assert not fake.sqs.queues["callbacks-sagemaker"]


@breaks_in("article", AssertionError)
def test_submitting_again_submits_nothing_twice(fake, lambdas):
    first = lambdas.submit(EVENT)["jobIds"]
    again = lambdas.submit(EVENT)["jobIds"]
    assert again == first
    assert len(fake.batch.jobs) == 3
