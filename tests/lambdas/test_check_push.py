"""Push: EventBridge reports ended jobs to the function. Polling stays as the fallback."""

import json

import pytest
from fake_aws import EVENT, THROTTLED, UNAVAILABLE, Context, Plan


@pytest.fixture(autouse=True)
def push(monkeypatch):
    monkeypatch.setenv("PUSH_EVENTS", "true")


@pytest.fixture
def start(fake, submit, check):
    """Submit jobs with these plans, start the callback step, and let the mapping have its first poll."""

    def start(*plans, first_poll=True, **arguments):
        waiting = iter(plans)
        fake.batch.plan = lambda *_: next(waiting)
        submitted = submit.lambda_handler({**EVENT, "max_jobs": len(plans)}, Context())
        token = fake.sagemaker.start_callback(submitted["jobIds"], **arguments)
        if first_poll:
            fake.sqs.invoke(check.lambda_handler)
        return token

    return start


def end_next(fake, check, deliver=True):
    """Move the clock to the end of the next job and deliver its event, as it was at that time."""
    jobs = [job for job in fake.batch.jobs.values() if fake.batch.end_of(job) > fake.clock.now]
    job = min(jobs, key=fake.batch.end_of)
    fake.clock.now = fake.batch.end_of(job)
    event = fake.batch.event(job)
    if deliver:
        check.lambda_handler(event, Context())
    return event


def poll(fake, check, seconds=86_400):
    return list(fake.sqs.run(check.lambda_handler, until=fake.clock.now + seconds))


def test_the_last_jobs_event_answers_the_step_at_once(fake, check, start):
    start(Plan(end=60), Plan(end=3000), Plan(end=90))
    for _ in range(2):
        end_next(fake, check)
        assert not fake.sagemaker.answers
    end_next(fake, check)
    [(answered, _, kind, outputs)] = fake.sagemaker.answers
    assert (kind, outputs["jobs_succeeded"]) == ("Success", "3")
    assert answered == max(fake.batch.end_of(job) for job in fake.batch.jobs.values())


def test_what_the_outputs_need_travels_with_the_token(fake, check, start):
    start(Plan(end=60), output_uri="s3://bucket-sagemaker/out", succeeded_before=3)
    end_next(fake, check)
    [(_, _, _, outputs)] = fake.sagemaker.answers
    assert (outputs["jobs_total"], outputs["output_uri"]) == ("4", "s3://bucket-sagemaker/out")


def test_the_message_left_over_is_deleted_at_its_next_poll(fake, check, start):
    start(Plan(end=60))
    end_next(fake, check)
    assert poll(fake, check) == [{"batchItemFailures": []}]
    assert len(fake.sagemaker.answers) == 1


def test_beside_push_polling_is_rare(fake, check, start):
    start(Plan(end=3000))
    [delay] = [params["VisibilityTimeout"] for params in fake.called("ChangeMessageVisibility")]
    assert 240 <= delay <= 300


@pytest.mark.parametrize("queue", ["another", "arn:aws:batch:us-east-1:111111111111:job-queue/another"])
def test_jobs_of_a_queue_without_the_event_rule_are_polled_as_without_push(fake, check, start, monkeypatch, queue):
    monkeypatch.setenv("JOB_QUEUES", queue)
    start(Plan(end=3000))
    [delay] = [params["VisibilityTimeout"] for params in fake.called("ChangeMessageVisibility")]
    assert delay < 60
    monkeypatch.setenv("JOB_QUEUES", f"{queue} {queue.replace('another', EVENT['job_queue'])}")
    start(Plan(end=3000))
    assert fake.called("ChangeMessageVisibility")[-1]["VisibilityTimeout"] >= 240


def test_a_failed_job_is_reported_at_once(fake, check, start):
    start(Plan(end=60, exit_code=2, reason="bad input"), Plan(end=3000))
    end_next(fake, check)
    [(_, _, kind, reason)] = fake.sagemaker.answers
    assert kind == "Failure"
    assert "bad input" in reason
    assert "exit code 2" in reason


def test_tolerance_and_report_travel_with_the_token(fake, check, start):
    bad = Plan(end=60, exit_code=2)
    start(bad, Plan(end=90), tolerated_failure_percentage=50, report_uri="s3://bucket-sagemaker/r/failed.jsonl")
    end_next(fake, check)
    assert not fake.sagemaker.answers
    end_next(fake, check)
    [(_, _, kind, outputs)] = fake.sagemaker.answers
    assert (kind, outputs["jobs_failed"]) == ("Success", "1")
    assert outputs["failed_items_uri"] in fake.s3.objects


def test_a_lost_event_is_made_good_by_polling(fake, check, start):
    start(Plan(end=60))
    end_next(fake, check, deliver=False)
    poll(fake, check)
    [(answered, _, kind, _)] = fake.sagemaker.answers
    assert kind == "Success"
    assert answered - fake.clock.now <= 300


def test_a_job_that_ends_between_the_first_poll_and_the_tag_is_not_missed(fake, check, start):
    tag = fake.batch.tag_resource

    def tag_late(**params):
        fake.clock.sleep(100)  # the job has ended, and its event came, before anyone could know the token
        return tag(**params)

    fake.batch.tag_resource = tag_late
    start(Plan(end=60))
    assert [kind for _, _, kind, _ in fake.sagemaker.answers] == ["Success"]


def test_an_event_before_the_callback_step_has_begun_answers_no_step(fake, check, start):
    start(Plan(end=60), first_poll=False)
    end_next(fake, check)
    assert not fake.sagemaker.answers
    poll(fake, check)
    assert [kind for _, _, kind, _ in fake.sagemaker.answers] == ["Success"]


def test_events_may_come_twice_late_and_in_any_order(fake, check, start):
    start(Plan(end=60), Plan(end=70), Plan(end=80))
    events = [end_next(fake, check, deliver=False) for _ in range(3)]
    for event in [*reversed(events), *events]:
        check.lambda_handler(event, Context())
    assert len(fake.sagemaker.answers) == 1


def test_the_event_is_believed_when_describe_jobs_is_behind_it(fake, check, start):
    start(Plan(end=60), Plan(end=50))
    end_next(fake, check)
    event = end_next(fake, check, deliver=False)
    fake.clock.now -= 5  # what ListJobs and DescribeJobs show is 5 s old
    check.lambda_handler(event, Context())
    assert [kind for _, _, kind, _ in fake.sagemaker.answers] == ["Success"]


def test_jobs_that_are_not_listed_yet_are_not_left_out_of_the_answer(fake, check, start):
    start(Plan(end=60), Plan(end=3000))
    listed = fake.batch.list_jobs

    def list_the_first(**params):
        page = listed(**params)
        return {**page, "jobSummaryList": [job for job in page["jobSummaryList"] if job["jobName"].endswith("1")]}

    fake.batch.list_jobs = list_the_first
    end_next(fake, check)
    assert not fake.sagemaker.answers


@pytest.mark.parametrize("operation", ["ListJobs", "DescribeJobs", "SendPipelineExecutionStepSuccess"])
@pytest.mark.parametrize("error", [THROTTLED, UNAVAILABLE, ZeroDivisionError("a bug")])
def test_trouble_in_the_push_path_is_left_to_polling(fake, check, start, operation, error):
    start(Plan(end=60))
    fake.fail_next(operation, error)
    end_next(fake, check)
    assert not fake.sagemaker.answers
    poll(fake, check)
    assert [kind for _, _, kind, _ in fake.sagemaker.answers] == ["Success"]


def test_both_paths_at_once_answer_once(fake, check, start):
    """The event arrives while the poller has just found the jobs ended."""
    start(Plan(end=60))
    event = end_next(fake, check, deliver=False)
    send = fake.sagemaker.send_pipeline_execution_step_success

    def overtaken(**params):
        fake.sagemaker.send_pipeline_execution_step_success = send
        check.lambda_handler(event, Context())
        return send(**params)

    fake.sagemaker.send_pipeline_execution_step_success = overtaken
    fake.clock.sleep(600)
    assert fake.sqs.invoke(check.lambda_handler) == {"batchItemFailures": []}
    assert len(fake.sagemaker.answers) == 1


def test_if_the_tag_cannot_be_written_the_step_is_polled(fake, check, start):
    fake.fail_next("TagResource", THROTTLED)
    start(Plan(end=60))
    assert fake.called("ChangeMessageVisibility")[0]["VisibilityTimeout"] == 10
    poll(fake, check)
    assert [kind for _, _, kind, _ in fake.sagemaker.answers] == ["Success"]


def test_what_a_tag_cannot_hold_is_left_to_polling(fake, check, start):
    start(Plan(end=60), report_uri="s3://bucket-sagemaker/" + "long/" * 60, tolerated_failure_percentage=1)
    assert not fake.called("TagResource")
    poll(fake, check)
    assert [kind for _, _, kind, _ in fake.sagemaker.answers] == ["Success"]


def test_one_tag_is_written_for_any_number_of_jobs(fake, check, start):
    start(*[Plan(end=60)] * 150)
    assert len(fake.called("TagResource")) == 1
    poll(fake, check, seconds=30)
    assert len(fake.called("TagResource")) == 1


def test_jobs_of_other_makers_are_polled(fake, check):
    ids = [
        fake.batch.submit_job(jobName=name, jobQueue="queue-sagemaker", jobDefinition="copy")["jobId"]
        for name in ("mine", "yours-1")
    ]
    fake.sagemaker.start_callback(" ".join(ids))
    fake.sqs.invoke(check.lambda_handler)
    assert not fake.called("TagResource")
    end_next(fake, check)
    poll(fake, check)
    assert [kind for _, _, kind, _ in fake.sagemaker.answers] == ["Success"]


def test_an_array_needs_two_polls_and_one_event_at_any_size(fake, submit, check):
    fake.s3.objects["s3://bucket-sagemaker/items.jsonl"] = b"\n".join([b"{}"] * 10_000)
    event = {
        **EVENT,
        "mode": "array",
        "manifest_uri": "s3://bucket-sagemaker/items.jsonl",
        "input_uri": "",
        "max_jobs": "",
    }
    submitted = submit.lambda_handler(event, Context())
    fake.sagemaker.start_callback(submitted["jobIds"])
    polls = [fake.sqs.invoke(check.lambda_handler)]
    end_next(fake, check)
    assert [what["jobs_total"] for _, _, _, what in fake.sagemaker.answers] == ["10000"]
    polls += poll(fake, check)
    assert len(polls) == 2


@pytest.mark.parametrize(
    "detail",
    [
        {"jobId": "1:3", "jobName": "a1b2c3d4e5f6-Step-01", "status": "SUCCEEDED"},
        {"jobId": "1", "jobName": "a1b2c3d4e5f6-Step-01", "status": "RUNNING"},
        {"jobId": "1", "jobName": "other", "status": "SUCCEEDED"},
    ],
)
def test_events_that_do_not_matter_cost_no_call(fake, check, detail):
    check.lambda_handler({"source": "aws.batch", "detail": {"jobQueue": "queue-sagemaker", **detail}}, Context())
    assert not fake.calls


def test_a_retried_callback_step_takes_the_jobs_over_with_its_new_token(fake, check, start):
    first = start(Plan(end=60))
    fake.sagemaker.waiting.remove(first)
    second = fake.sagemaker.start_callback(" ".join(fake.batch.jobs))
    fake.sqs.invoke(check.lambda_handler)
    end_next(fake, check)
    assert [(token, kind) for _, token, kind, _ in fake.sagemaker.answers] == [(second, "Success")]


def test_a_caller_that_is_neither_is_refused(check):
    with pytest.raises(ValueError, match="Neither SQS messages nor an event of"):
        check.lambda_handler({"hello": 1}, Context())


def test_metrics_are_in_embedded_metric_format(fake, check, start, capsys, monkeypatch):
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "sagemaker-batch-check")
    start(Plan(end=60))
    end_next(fake, check)
    entries = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    [answered] = [entry for entry in entries if entry["message"] == "step answered"]
    assert answered["path"] == "push"
    assert answered["AnswerLag"] == 0
    for entry in entries:
        for directive in entry.get("_aws", {}).get("CloudWatchMetrics", []):
            assert directive["Namespace"] == "sagemaker-batch"
            assert isinstance(entry["_aws"]["Timestamp"], int)
            for metric in directive["Metrics"]:
                assert isinstance(entry[metric["Name"]], int | float)
                assert metric["Unit"] == ("Seconds" if metric["Name"] == "AnswerLag" else "Count")
            for dimension in directive["Dimensions"][0]:
                assert entry[dimension] == "sagemaker-batch-check"
