import contextlib
import itertools
import json
import unittest.mock
from pathlib import Path

import pytest
from botocore.exceptions import EndpointConnectionError, ParamValidationError
from fake_aws import EXECUTION, NEVER_STARTS, THROTTLED, UNAVAILABLE, AwsError, Context, Fault, Plan, load_lambda

POLICIES = Path(__file__).parents[2] / "utils/policies"
DENIED = AwsError("AccessDeniedException", "User is not authorized to perform: batch:DescribeJobs", 403)


def submit_jobs(fake, *plans, definition="copy"):
    """Jobs with these plans; their ids joined as submit_jobs does."""
    ids = []
    for number, plan in enumerate(plans, 1):
        fake.batch.plan = lambda *_, plan=plan: plan
        name = f"a1b2c3d4e5f6-SubmitCopies-{number:02d}"
        ids.append(fake.batch.submit_job(jobName=name, jobQueue="queue-sagemaker", jobDefinition=definition)["jobId"])
    return " ".join(ids)


def run(fake, check, seconds=86_400 * 3):
    """Let the mapping work for so long, or until the queue is empty; every invocation's answer."""
    results = list(fake.sqs.run(check.lambda_handler, until=fake.clock.now + seconds))
    assert not [result for result in results if isinstance(result, Exception)], "the function never raises"
    return results


def answers(fake):
    return [(kind, what) for _, _, kind, what in fake.sagemaker.answers]


def waiting(fake):
    return fake.sqs.queues["callbacks-sagemaker"]


def logs(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_success_carries_the_status_and_counts(fake, check):
    fake.sagemaker.start_callback(submit_jobs(fake, Plan(), Plan()))
    run(fake, check)
    outputs = {
        "job_status": "Completed",
        "jobs_total": "2",
        "jobs_succeeded": "2",
        "jobs_failed": "0",
        "failed_items_uri": "",
    }
    assert answers(fake) == [("Success", outputs)]
    assert not fake.sqs.queues["callbacks-sagemaker"]


def test_the_outputs_name_where_the_jobs_wrote_if_the_step_says_so(fake, check):
    fake.sagemaker.start_callback(submit_jobs(fake, Plan()), output_uri="s3://bucket-sagemaker/out")
    run(fake, check)
    [(_, outputs)] = answers(fake)
    assert outputs["output_uri"] == "s3://bucket-sagemaker/out"


def test_the_trials_jobs_count_with_the_rest(fake, check):
    """Also in the share of those that failed."""
    arguments = {"succeeded_before": "2.0", "tolerated_failure_percentage": 25}
    fake.sagemaker.start_callback(submit_jobs(fake, Plan(), Plan(exit_code=1)), **arguments)
    run(fake, check)
    [(kind, outputs)] = answers(fake)
    counts = outputs["jobs_total"], outputs["jobs_succeeded"], outputs["jobs_failed"]
    assert (kind, *counts) == ("Success", "4", "3", "1")


def test_the_list_of_ids_is_read_from_s3(fake, check):
    ids = submit_jobs(fake, *[Plan()] * 28).split()
    fake.s3.objects["s3://bucket/out/_jobs/x.json"] = json.dumps({"job_ids": ids}).encode()
    fake.sagemaker.start_callback("s3://bucket/out/_jobs/x.json")
    run(fake, check)
    assert answers(fake)[0][1]["jobs_total"] == "28"


@pytest.mark.parametrize("content", [None, b"{}", b"nonsense", b'{"job_ids": []}'])
def test_a_list_of_ids_that_cannot_be_read_fails_the_step_after_a_few_polls(fake, check, content):
    if content is not None:
        fake.s3.objects["s3://bucket/x.json"] = content
    fake.sagemaker.start_callback("s3://bucket/x.json")
    assert len(run(fake, check)) == 5
    assert answers(fake)[0][0] == "Failure"


def test_ids_given_twice_count_once(fake, check):
    ids = submit_jobs(fake, Plan())
    fake.sagemaker.start_callback(f"{ids} {ids}")
    run(fake, check)
    assert answers(fake)[0][1]["jobs_total"] == "1"


def test_the_failure_names_job_reason_exit_code_and_log_stream(fake, check):
    reason = "fatal error: An error occurred (404) when calling the HeadObject operation: Key does not exist"
    fake.sagemaker.start_callback(submit_jobs(fake, Plan(), Plan(end=30, exit_code=1, reason=reason)))
    run(fake, check)
    [(kind, text)] = answers(fake)
    assert kind == "Failure"
    assert "a1b2c3d4e5f6-SubmitCopies-02" in text
    assert "exit code 1" in text
    assert "fatal error: An error occurred (404)" in text
    assert fake.batch.detail(list(fake.batch.jobs)[1])["container"]["logStreamName"] in text


def test_the_longest_failure_fits_256_characters_and_keeps_what_leads_to_the_cause(fake, check):
    plan = Plan(exit_code=137, reason="OutOfMemoryError: Container killed due to memory usage. " * 5)
    ids = submit_jobs(fake, *[plan] * 12, definition="d" * 60)
    fake.sagemaker.start_callback(ids)
    run(fake, check)
    text = answers(fake)[0][1]
    assert len(text) <= 256
    assert "12 of 12 jobs failed" in text
    assert "OutOfMemoryError" in text
    assert text.endswith(fake.batch.detail(ids.split()[0])["container"]["logStreamName"])


def test_a_job_whose_container_never_started_has_no_exit_code_or_log(fake, check):
    reason = "CannotPullContainerError: pull image manifest has been retried 1 time(s)"
    fake.sagemaker.start_callback(submit_jobs(fake, Plan(exit_code=None, reason=reason)))
    run(fake, check)
    text = answers(fake)[0][1]
    assert reason in text
    assert "exit code" not in text
    assert "Log stream" not in text


def test_the_last_attempt_is_the_one_reported(check):
    job = {
        "attempts": [
            {"container": {"exitCode": 1, "reason": "Host EC2 (i-1) terminated.", "logStreamName": "first"}},
            {"container": {"exitCode": 2, "reason": "bad input", "logStreamName": "second"}},
        ],
        "container": {"exitCode": 1, "logStreamName": "first"},
    }
    assert check["job_detail"].last_attempt(job) == {"exit_code": 2, "reason": "bad input", "log_stream": "second"}


def test_the_other_jobs_of_a_failed_step_run_on(fake, check):
    fake.sagemaker.start_callback(submit_jobs(fake, Plan(end=10, exit_code=1), Plan(end=10_000)))
    run(fake, check, seconds=100)
    assert answers(fake)[0][0] == "Failure"
    assert len(fake.batch.unfinished()) == 1


# Polls and their times


def test_polls_grow_apart_within_the_bounds(fake, check, monkeypatch):
    monkeypatch.setenv("POLL_MIN_SECONDS", "1")
    monkeypatch.setenv("POLL_MAX_SECONDS", "60")
    fake.sagemaker.start_callback(submit_jobs(fake, Plan(end=3600)))
    start = fake.clock.now
    run(fake, check)
    delays = [params["VisibilityTimeout"] for params in fake.called("ChangeMessageVisibility")]
    assert delays[0] == 1
    assert delays[:20] == sorted(delays[:20])
    assert 48 <= delays[-1] <= 60
    assert fake.sagemaker.answers[0][0] - start <= 3660


def test_jitter_spreads_steps_that_began_together(fake, check):
    step = check["model"].PendingStep("Token00001", EXECUTION, "job", deadline_seconds=3600, sent=1_000)
    assert len({check["schedule"].next_poll_seconds(step, now=1_600) for _ in range(50)}) > 10


def test_no_poll_is_further_away_than_a_message_can_be_hidden(check, monkeypatch):
    monkeypatch.setenv("MAX_POLLS", "10")
    step = check["model"].PendingStep("Token00001", EXECUTION, "job", deadline_seconds=1e6, sent=1_000, polls=9)
    assert check["schedule"].next_poll_seconds(step, now=501_000) <= 12 * 3600


def test_if_the_visibility_cannot_be_changed_the_message_still_comes_back(fake, check):
    fake.sagemaker.start_callback(submit_jobs(fake, Plan()))
    fake.fail_next("ChangeMessageVisibility", AwsError("InvalidParameterValue", "expired"))
    run(fake, check)
    assert answers(fake)[0][0] == "Success"


def test_without_time_left_a_record_waits_for_the_next_invocation(fake, check, capsys):
    ids = submit_jobs(fake, Plan(end=1))
    for _ in range(3):
        fake.sagemaker.start_callback(ids)
    fake.clock.sleep(2)
    records = [fake.sqs.record(message) for message in fake.sqs.receive()]
    result = check.lambda_handler({"Records": records}, Context(milliseconds=5_000))
    assert [item["itemIdentifier"] for item in result["batchItemFailures"]] == ["message-2", "message-3"]
    assert [entry["message_id"] for entry in logs(capsys) if entry["message"] == "not yet"] == [
        "message-2",
        "message-3",
    ]
    assert len(answers(fake)) == 1


# Passing troubles


@pytest.mark.parametrize("error", [THROTTLED, UNAVAILABLE, EndpointConnectionError(endpoint_url="https://batch")])
@pytest.mark.parametrize("operation", ["DescribeJobs", "SendPipelineExecutionStepSuccess"])
def test_throttling_and_server_errors_mean_not_yet(fake, check, operation, error):
    fake.sagemaker.start_callback(submit_jobs(fake, Plan(end=1)))
    fake.fail_next(operation, *[error] * 20)
    run(fake, check)
    assert [kind for kind, _ in answers(fake)] == ["Success"]


def test_an_answer_whose_confirmation_was_lost_is_sent_again_with_the_same_request_token(fake, check):
    fake.sagemaker.start_callback(submit_jobs(fake, Plan(end=1)))
    fake.fail_next("SendPipelineExecutionStepSuccess", UNAVAILABLE, after=True)
    run(fake, check)
    sent = fake.called("SendPipelineExecutionStepSuccess")
    assert len({params["ClientRequestToken"] for params in sent}) == 1
    assert len(answers(fake)) == 1
    assert not fake.sqs.queues["callbacks-sagemaker"]


def test_a_job_batch_does_not_see_yet_is_waited_for(fake, check):
    fake.batch.seconds_until_visible = 15
    fake.sagemaker.start_callback(submit_jobs(fake, Plan()))
    run(fake, check)
    assert [kind for kind, _ in answers(fake)] == ["Success"]


def test_a_missing_permission_fails_the_step_in_its_own_words_after_a_few_polls(fake, check):
    fake.sagemaker.start_callback(submit_jobs(fake, Plan()))
    fake.fail_next("DescribeJobs", *[DENIED] * 100)
    assert len(run(fake, check)) == 5
    assert len(fake.called("DescribeJobs")) == 7, "the last poll asks three times"
    [(kind, text)] = answers(fake)
    assert kind == "Failure"
    assert "not authorized to perform: batch:DescribeJobs" in text


def test_a_refusal_of_any_length_fits_into_the_failures_reason(fake, check):
    fake.sagemaker.start_callback(submit_jobs(fake, Plan()))
    fake.fail_next("DescribeJobs", *[AwsError("ClientException", "no, " * 500, 400)] * 100)
    run(fake, check)
    [(kind, text)] = answers(fake)
    assert kind == "Failure"
    assert "no, no" in text and len(text) <= 256


@pytest.mark.parametrize("odd", ["denied", "unknown"])
def test_one_odd_answer_late_in_the_waiting_does_not_fail_the_step(fake, check, odd):
    """As when a person replaces the role's policy, or DescribeJobs answers without one of the jobs."""
    fake.sagemaker.start_callback(submit_jobs(fake, Plan(), Plan(end=3600)))
    run(fake, check, seconds=1800)
    assert len(fake.called("DescribeJobs")) > 10
    if odd == "denied":
        fake.fail_next("DescribeJobs", DENIED)
    else:
        describe = fake.batch.describe_jobs
        answers_without_a_job = iter([lambda jobs: describe(jobs[1:])])
        fake.batch.describe_jobs = lambda jobs: next(answers_without_a_job, describe)(jobs)
    run(fake, check)
    assert [kind for kind, _ in answers(fake)] == ["Success"]


ANSWER_DENIED = AwsError("AccessDeniedException", "not authorized to SendPipelineExecutionStepSuccess", 403)


def test_a_success_refused_for_good_goes_to_the_dead_letter_queue(fake, check):
    fake.sagemaker.start_callback(submit_jobs(fake, Plan(end=1)))
    refused = AwsError("ValidationException", "not like this", 400)
    fake.fail_next("SendPipelineExecutionStepSuccess", *[refused] * 100)
    run(fake, check)
    [dead] = fake.sqs.queues["dead-letters-sagemaker"]
    assert "not like this" in dead.attributes["Reason"]["StringValue"]


def test_an_answer_that_is_denied_is_tried_until_the_permission_is_there(fake, check, capsys):
    """As in a pipeline of another name than the policy's. Nothing is a dead letter, and the log says what to do."""
    fake.sagemaker.start_callback(submit_jobs(fake, Plan(end=1)), deadline_seconds="36000")
    granted = fake.clock.now + 30_000
    fake.fault_rule = lambda name, _: (
        Fault(ANSWER_DENIED) if name.startswith("SendPipeline") and fake.clock.now < granted else None
    )
    run(fake, check)
    assert [kind for kind, _ in answers(fake)] == ["Success"]
    assert not fake.sqs.queues["dead-letters-sagemaker"]
    remedies = {line["remedy"] for line in logs(capsys) if line["message"] == "answer denied"}
    (statement,) = (
        statement
        for statement in json.loads((POLICIES / "monitor_lambda.json").read_text())["Statement"]
        if "sagemaker:SendPipelineExecutionStepSuccess" in statement["Action"]
    )
    (remedy,) = remedies
    assert statement["Sid"] in remedy and "monitor_lambda.json" in remedy
    assert all(action in remedy for action in statement["Action"])
    assert "pipeline/flights-sagemaker/execution/*" in remedy


def test_an_answer_that_is_denied_until_after_the_deadline_is_a_dead_letter(fake, check):
    began = fake.clock.now
    fake.sagemaker.start_callback(submit_jobs(fake, Plan(end=1)), deadline_seconds="36000")
    fake.fault_rule = lambda name, _: Fault(ANSWER_DENIED) if name.startswith("SendPipeline") else None
    run(fake, check)
    [dead] = fake.sqs.queues["dead-letters-sagemaker"]
    assert "not authorized" in dead.attributes["Reason"]["StringValue"]
    assert dead.sent >= began + 36_000


TERMINAL_STATUS = "Step Wait is already in a terminal status, but Step ..."  # as people report it


@pytest.mark.parametrize(
    ("code", "text", "status"),
    [
        ("ConflictException", "No.", 409),
        ("ResourceNotFound", "No.", 400),
        ("ValidationException", TERMINAL_STATUS, 400),
        ("AccessDeniedException", TERMINAL_STATUS, 403),
        ("ServiceUnavailable", TERMINAL_STATUS, 503),
    ],
)
def test_a_token_that_no_step_waits_for_any_more_is_no_trouble(fake, check, code, text, status, capsys):
    """It has expired, or the execution was deleted or has ended: the message goes, and nothing is a dead letter."""
    fake.sagemaker.answer = unittest.mock.Mock(side_effect=AwsError(code, text, status))
    token = fake.sagemaker.start_callback(submit_jobs(fake, Plan(end=30)))
    fake.sagemaker.waiting.remove(token)
    run(fake, check)
    assert not any(fake.sqs.queues.values())
    output = capsys.readouterr().out
    assert "step already answered" in output
    assert "UnexpectedErrors" not in output


def test_a_job_that_a_person_cancelled_fails_the_step_with_that_reason(fake, check):
    ids = submit_jobs(fake, Plan(), Plan(start=500, end=600))
    fake.sagemaker.start_callback(ids)
    fake.batch.terminate_job(ids.split()[1], "Too expensive")
    run(fake, check)
    assert answers(fake) == [("Failure", "Job a1b2c3d4e5f6-SubmitCopies-02 failed: Too expensive")]


def test_jobs_that_batch_has_forgotten_fail_the_step_and_say_why(fake, check):
    ids = submit_jobs(fake, Plan(), Plan())
    fake.clock.sleep(8 * 86_400)
    del fake.batch.jobs[ids.split()[0]]
    fake.sagemaker.start_callback(ids)
    run(fake, check)
    [(kind, text)] = answers(fake)
    assert kind == "Failure"
    assert text.startswith(f"AWS Batch does not know 1 of 2 jobs, first {ids.split()[0]}")
    assert "over 7 days ago" in text


# The end of waiting


def test_the_step_can_set_its_own_deadline(fake, check):
    fake.sagemaker.start_callback(submit_jobs(fake, Plan(), NEVER_STARTS), deadline_seconds="600")
    start = fake.clock.now
    run(fake, check)
    [(answered, _, kind, text)] = fake.sagemaker.answers
    assert (kind, answered - start < 800) == ("Failure", True)
    assert "1 of 2 jobs were unfinished after the deadline of 600 s and terminated" in text
    assert not fake.batch.unfinished()


@pytest.mark.parametrize("push", ["true", "false"])
def test_the_polls_last_until_the_longest_deadline(fake, check, monkeypatch, push):
    """900 polls with 300 seconds between them would be over after three days."""
    monkeypatch.setenv("PUSH_EVENTS", push)
    days = 13
    fake.sagemaker.start_callback(submit_jobs(fake, NEVER_STARTS), deadline_seconds=days * 86_400)
    start = fake.clock.now
    results = run(fake, check, seconds=86_400 * 20)
    [(answered, _, kind, text)] = fake.sagemaker.answers
    assert kind == "Failure"
    assert "after the deadline of 1123200 s" in text
    assert days * 86_400 < answered - start < (days + 0.1) * 86_400
    assert len(results) < 900


def test_a_deadline_that_the_message_does_not_live_to_see_is_refused(fake, check):
    fake.sagemaker.start_callback("job", deadline_seconds=14 * 86_400)
    fake.sqs.invoke(check.lambda_handler)
    assert answers(fake) == [
        ("Failure", "deadline_seconds must be a number from 1 to 1,123,200, but it is 1209600."),
    ]


def test_finished_jobs_count_even_when_the_deadline_has_passed(fake, check):
    fake.sagemaker.start_callback(submit_jobs(fake, Plan()))
    fake.clock.sleep(86_400 * 2)
    run(fake, check)
    assert answers(fake)[0][0] == "Success"


def test_a_message_polled_too_often_ends_like_at_its_deadline(fake, check, monkeypatch):
    monkeypatch.setenv("MAX_POLLS", "4")
    fake.sagemaker.start_callback(submit_jobs(fake, NEVER_STARTS))
    assert len(run(fake, check)) == 4
    assert "after 4 polls" in answers(fake)[0][1]
    assert not fake.batch.unfinished()


def test_a_clock_behind_that_of_sqs_does_no_harm(fake, check):
    fake.sagemaker.start_callback(submit_jobs(fake, Plan()))
    fake.sqs.queues["callbacks-sagemaker"][0].sent += 300
    run(fake, check)
    assert answers(fake)[0][0] == "Success"


def test_a_stopped_execution_has_its_jobs_terminated(fake, check):
    job_ids = submit_jobs(fake, *[Plan(end=1)] * 2, *[Plan(end=10_000)] * 60, NEVER_STARTS)
    token = fake.sagemaker.start_callback(job_ids)
    run(fake, check, seconds=5)
    fake.sagemaker.send(token, {"job_ids": job_ids}, status="Stopping")
    run(fake, check, seconds=5)
    assert answers(fake) == [("Failure", "The pipeline execution was stopped. 61 of 63 jobs were terminated.")]
    assert not fake.batch.unfinished()
    run(fake, check)
    assert len(answers(fake)) == 1, "the first message, coming back later, finds its token answered"
    assert not fake.sqs.queues["callbacks-sagemaker"]


def test_stopping_waits_for_a_job_that_batch_does_not_see_yet(fake, check):
    fake.batch.seconds_until_visible = 15
    job_ids = submit_jobs(fake, Plan(end=10_000))
    terminate_job = fake.batch.terminate_job

    def terminate_what_is_seen(jobId, reason):
        if fake.clock.now < fake.batch.jobs[jobId].visible_from:
            raise AwsError("ClientException", f"Job {jobId} does not exist.")
        terminate_job(jobId, reason)

    fake.batch.terminate_job = terminate_what_is_seen
    token = fake.sagemaker.start_callback(job_ids)
    fake.sagemaker.send(token, {"job_ids": job_ids}, status="Stopping")
    run(fake, check)
    assert not fake.batch.unfinished()
    assert answers(fake)[0][0] == "Failure"


def test_throttled_termination_is_tried_again(fake, check):
    job_ids = submit_jobs(fake, Plan(end=10_000))
    fake.fail_next("TerminateJob", *[THROTTLED] * 3)
    token = fake.sagemaker.start_callback(job_ids)
    fake.sagemaker.send(token, {"job_ids": job_ids}, status="Stopping")
    run(fake, check, seconds=120)
    assert answers(fake)[0][0] == "Failure"
    assert not fake.batch.unfinished()


@pytest.mark.parametrize("seconds_a_call", [0.25, 2.0])
def test_more_jobs_than_one_invocation_can_terminate_are_terminated_by_the_next(fake, check, seconds_a_call):
    """The function's 120 seconds are for 480 calls, or for 60; either way it must not be killed in the middle."""
    jobs = submit_jobs(fake, *[NEVER_STARTS] * 600).split()
    uri = "s3://bucket-sagemaker/output/_jobs/job_ids.json"
    fake.s3.objects[uri] = json.dumps({"job_ids": jobs}).encode()
    fake.fault_rule = lambda name, _: fake.clock.sleep(seconds_a_call) if name == "TerminateJob" else None
    fake.sagemaker.start_callback(uri, deadline_seconds=60)
    invocations = []
    while not answers(fake):
        fake.clock.now = max(fake.clock.now, *(message.visible_at for message in waiting(fake)))
        began = fake.clock.now
        fake.sqs.invoke(check.lambda_handler)
        invocations.append(fake.clock.now - began)
    assert max(invocations) < 110
    assert not fake.batch.unfinished()
    assert "600 of 600 jobs were unfinished after the deadline" in answers(fake)[0][1]
    assert len(fake.called("TerminateJob")) == 600, "what has ended is not terminated again"


def test_a_function_of_few_seconds_terminates_a_job_at_each_delivery(fake, check):
    """Even where asking for them takes all of its time."""
    jobs = submit_jobs(fake, *[NEVER_STARTS] * 3)
    fake.fault_rule = lambda name, _: fake.clock.sleep(3) if name in ("DescribeJobs", "TerminateJob") else None
    token = fake.sagemaker.start_callback(jobs)
    fake.sagemaker.send(token, {"job_ids": jobs}, status="Stopping")
    for _ in range(3):
        fake.clock.now = max(fake.clock.now, waiting(fake)[1].visible_at)
        message = waiting(fake)[1]
        message.receives += 1
        message.receipt = f"{message.id}#{message.receives}"
        check.lambda_handler({"Records": [fake.sqs.record(message)]}, Context(3_000))
    assert not fake.batch.unfinished()
    assert [kind for kind, _ in answers(fake)] == ["Failure"]


def test_throttling_delays_termination_within_the_invocation(fake, check):
    jobs = submit_jobs(fake, *[NEVER_STARTS] * 20)
    number = itertools.count()
    fake.fault_rule = lambda name, _: Fault(THROTTLED) if name == "TerminateJob" and next(number) % 2 else None
    token = fake.sagemaker.start_callback(jobs)
    fake.sagemaker.send(token, {"job_ids": jobs}, status="Stopping")
    fake.sqs.invoke(check.lambda_handler)
    assert not fake.batch.unfinished()
    assert answers(fake) == [("Failure", "The pipeline execution was stopped. 20 of 20 jobs were terminated.")]


# Messages


@pytest.mark.parametrize(
    ("body", "answered"),
    [
        ("not json", False),
        ("[]", False),
        ('"text"', False),
        (json.dumps({"pipelineExecutionArn": EXECUTION, "arguments": {"job_ids": "x"}}), False),
        (json.dumps({"token": "short", "pipelineExecutionArn": EXECUTION, "arguments": {"job_ids": "x"}}), False),
        (json.dumps({"token": "Token00001", "arguments": {"job_ids": "x"}}), True),
        (json.dumps({"token": "Token00001", "pipelineExecutionArn": EXECUTION, "arguments": {}}), True),
        (json.dumps({"token": "Token00001", "pipelineExecutionArn": EXECUTION, "arguments": {"job_ids": 5}}), True),
        (
            json.dumps(
                {
                    "token": "Token00001",
                    "pipelineExecutionArn": EXECUTION,
                    "arguments": {"job_ids": "x", "deadline_seconds": "soon"},
                }
            ),
            True,
        ),
    ],
)
def test_an_invalid_message_goes_to_the_dead_letter_queue_at_once(fake, check, body, answered):
    fake.sagemaker.waiting.add("Token00001")
    fake.sqs.send_message(fake.sqs.url("callbacks-sagemaker"), body)
    assert fake.sqs.invoke(check.lambda_handler) == {"batchItemFailures": []}
    [dead] = fake.sqs.queues["dead-letters-sagemaker"]
    assert dead.body == body
    assert dead.attributes["Reason"]["StringValue"]
    assert [kind for kind, _ in answers(fake)] == (["Failure"] if answered else [])


def test_without_a_dead_letter_queue_an_unreadable_message_is_left_to_the_redrive_policy(fake, check, monkeypatch):
    monkeypatch.delenv("DEAD_LETTER_QUEUE_URL")
    fake.sqs.send_message(fake.sqs.url("callbacks-sagemaker"), "not json")
    assert fake.sqs.invoke(check.lambda_handler)["batchItemFailures"] == [{"itemIdentifier": "message-1"}]


def test_a_message_is_not_lost_when_the_dead_letter_queue_cannot_be_reached(fake, check):
    fake.sqs.send_message(fake.sqs.url("callbacks-sagemaker"), "not json")
    fake.fail_next("SendMessage", UNAVAILABLE)
    run(fake, check)
    assert len(fake.sqs.queues["dead-letters-sagemaker"]) == 1


def test_each_record_is_handled_alone(fake, check):
    fake.sagemaker.start_callback(submit_jobs(fake, Plan(end=1)))
    fake.sqs.send_message(fake.sqs.url("callbacks-sagemaker"), "not json")
    fake.sagemaker.start_callback(submit_jobs(fake, Plan(end=1, exit_code=3)))
    fake.sagemaker.start_callback(submit_jobs(fake, Plan(end=500)))
    fake.sagemaker.start_callback(submit_jobs(fake, Plan(end=1)))
    fake.clock.sleep(10)
    result = fake.sqs.invoke(check.lambda_handler)
    assert result["batchItemFailures"] == [{"itemIdentifier": "message-4"}]
    assert [kind for kind, _ in answers(fake)] == ["Success", "Failure", "Success"]


def test_a_bug_in_one_poll_does_not_touch_the_others(fake, check, capsys):
    fake.sagemaker.start_callback(submit_jobs(fake, Plan(end=1)))
    fake.sagemaker.start_callback(submit_jobs(fake, Plan(end=1)))
    fake.clock.sleep(10)
    fake.fail_next("DescribeJobs", ZeroDivisionError("a bug"))
    result = fake.sqs.invoke(check.lambda_handler)
    assert result["batchItemFailures"] == [{"itemIdentifier": "message-1"}]
    assert len(answers(fake)) == 1
    assert any("ZeroDivisionError" in entry.get("traceback", "") for entry in logs(capsys))


def test_logs_are_json_and_name_execution_step_and_jobs(fake, check, capsys):
    ids = submit_jobs(fake, Plan(), Plan(exit_code=1))
    for job in fake.batch.jobs.values():
        job.tags["sagemaker-batch:step"] = "SubmitCopies"  # as submit_jobs does
    token = fake.sagemaker.start_callback(ids)
    run(fake, check)
    entries = logs(capsys)
    assert {entry["message"] for entry in entries} == {"polled", "not yet", "job failed", "step answered"}
    for entry in entries:
        assert (entry["execution"], entry["step"], entry["job_ids"]) == (EXECUTION, "SubmitCopies", ids)
    assert any(entry["message"] == "job failed" and entry["log_stream"] for entry in entries)
    assert token not in json.dumps(entries)


@pytest.mark.parametrize("deadline", [30, 600, 3600])
@pytest.mark.parametrize("push", ["true", "false"])
def test_the_poll_at_the_deadline_is_not_late(fake, check, monkeypatch, deadline, push):
    monkeypatch.setenv("PUSH_EVENTS", push)
    began = fake.clock.now
    fake.sagemaker.start_callback(submit_jobs(fake, NEVER_STARTS), deadline_seconds=deadline)
    run(fake, check)
    [(answered, _, kind, _)] = fake.sagemaker.answers
    assert kind == "Failure"
    assert deadline < answered - began <= deadline + 3


def test_what_boto3_itself_refuses_fails_the_step_after_a_few_polls(fake, check):
    """A bucket without a key, say: no poll will ever be better."""
    refused = Fault(ParamValidationError(report="Invalid length for parameter Key"))
    fake.fault_rule = lambda name, _: refused if name == "GetObject" else None
    fake.sagemaker.start_callback("s3://bucket")
    run(fake, check)
    [(kind, reason)] = answers(fake)
    assert kind == "Failure"
    assert "Invalid length for parameter Key" in reason


@pytest.mark.parametrize("operation", ["DescribeJobs", "TerminateJob"])
@pytest.mark.parametrize("trouble", [UNAVAILABLE, RuntimeError("a bug of ours")])
def test_whatever_goes_wrong_for_ever_the_deadline_ends_the_step(fake, check, operation, trouble):
    # An older boto3 terminates jobs one by one.
    fake.fault_rule = lambda name, _: Fault(trouble) if name.startswith(operation) else None
    fake.sagemaker.start_callback(submit_jobs(fake, NEVER_STARTS), deadline_seconds=600)
    began = fake.clock.now
    run(fake, check)
    [(answered, _, kind, reason)] = fake.sagemaker.answers
    assert kind == "Failure"
    assert reason.startswith("Gave up after")
    # A deadline's time again and again, for the terminating an hour more: it may only be a bad one.
    assert answered - began < 600 + (4_500 if operation == "TerminateJob" else 1_800)
    assert len(fake.sqs.queues["dead-letters-sagemaker"]) == 1, "for a person to look at"
    assert bool(fake.batch.unfinished()) == (operation == "TerminateJob"), "what can be terminated is"


def test_one_bad_moment_long_after_the_deadline_gives_nothing_up(fake, check):
    """The mapping was off for two days; the jobs have succeeded meanwhile."""
    fake.sagemaker.start_callback(submit_jobs(fake, Plan()))
    fake.clock.sleep(2 * 86_400)
    fake.fail_next("DescribeJobs", UNAVAILABLE, UNAVAILABLE)
    run(fake, check)
    assert [kind for kind, _ in answers(fake)] == ["Success"]


@pytest.mark.parametrize("body", ["[" * 100_000, '{"token":' * 100_000])
def test_a_message_too_deep_to_parse_is_put_aside_at_once(fake, check, body):
    fake.sqs.send_message(fake.sqs.url("callbacks-sagemaker"), body)
    assert len(run(fake, check)) == 1
    assert len(fake.sqs.queues["dead-letters-sagemaker"]) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"deadline_seconds": "abc"},
        {"deadline_seconds": 10**400},
        {"tolerated_failure_percentage": "101"},
        {"report_uri": "s3://bucket"},
    ],
)
def test_a_wrong_input_fails_the_step_and_leaves_no_job_that_no_step_waits_for(fake, check, wrong):
    fake.sagemaker.start_callback(submit_jobs(fake, NEVER_STARTS, NEVER_STARTS), **wrong)
    assert len(run(fake, check)) == 1
    [(kind, reason)] = answers(fake)
    assert kind == "Failure"
    assert next(iter(wrong)) in reason
    assert not fake.batch.unfinished()


def outage(fake, since, until, *operations):
    """A time in which these operations fail on AWS's side."""
    began = fake.clock.now
    fake.fault_rule = lambda name, _: (
        Fault(UNAVAILABLE) if name in operations and since <= fake.clock.now - began < until else None
    )


def test_an_outage_of_sagemaker_around_the_deadline_loses_no_success(fake, check):
    outage(fake, 3_500, 9_000, "SendPipelineExecutionStepSuccess", "SendPipelineExecutionStepFailure")
    fake.sagemaker.start_callback(submit_jobs(fake, Plan(end=3_550)), deadline_seconds=3_600)
    run(fake, check)
    assert [kind for kind, _ in answers(fake)] == ["Success"]


def test_an_outage_of_batch_around_the_deadline_leaves_no_job_running(fake, check):
    outage(fake, 3_500, 5_500, "DescribeJobs", "TerminateJob")
    fake.sagemaker.start_callback(submit_jobs(fake, NEVER_STARTS, NEVER_STARTS), deadline_seconds=3_600)
    run(fake, check)
    assert [kind for kind, _ in answers(fake)] == ["Failure"]
    assert not fake.batch.unfinished()


def test_one_refused_answer_after_many_polls_fails_no_step(fake, check):
    fake.fail_next("SendPipelineExecutionStepSuccess", DENIED)
    fake.sagemaker.start_callback(submit_jobs(fake, Plan(end=3_600)))
    run(fake, check)
    assert [kind for kind, _ in answers(fake)] == ["Success"]


def test_messages_that_come_late_are_polled_with_patience(fake, check):
    """The mapping was off from the third poll until long after the deadline."""
    fake.sagemaker.start_callback(submit_jobs(fake, Plan()), deadline_seconds=3_600)
    for message in fake.sqs.queues["callbacks-sagemaker"]:
        message.receives = 7
    fake.clock.sleep(3_600 + 1_200)
    fake.fail_next("DescribeJobs", THROTTLED)
    run(fake, check)
    assert [kind for kind, _ in answers(fake)] == ["Success"]


def test_a_deadline_that_could_not_be_reported_is_not_forgotten(fake, check):
    """The jobs it terminated must not count as failures that are tolerated."""
    fake.fail_next("SendPipelineExecutionStepFailure", THROTTLED)
    jobs = submit_jobs(fake, Plan(), Plan(), NEVER_STARTS, NEVER_STARTS)
    fake.sagemaker.start_callback(jobs, deadline_seconds=600, tolerated_failure_percentage=50)
    run(fake, check)
    [(kind, reason)] = answers(fake)
    assert kind == "Failure"
    assert reason.startswith("2 of 4 jobs were unfinished after the deadline of 600 s and terminated")


def test_what_is_left_at_the_deadline_is_reported(fake, check):
    jobs = submit_jobs(fake, Plan(), Plan(exit_code=1), NEVER_STARTS)
    report = "s3://bucket/_jobs/failed.jsonl"
    fake.sagemaker.start_callback(jobs, deadline_seconds=600, tolerated_failure_percentage=50, report_uri=report)
    run(fake, check)
    assert [kind for kind, _ in answers(fake)] == ["Failure"]
    entries = [json.loads(line) for line in fake.s3.objects[report].decode().splitlines()]
    names = [entry["batch_failure"]["job_name"] for entry in entries]
    assert names == ["a1b2c3d4e5f6-SubmitCopies-02", "a1b2c3d4e5f6-SubmitCopies-03"]


def test_a_function_that_is_cut_off_in_every_poll_ends_the_step_a_day_after_its_deadline(fake, check):
    """Its time or its memory does not do: nothing that it could catch."""
    fake.sagemaker.start_callback(submit_jobs(fake, NEVER_STARTS), deadline_seconds=3_600)
    began = fake.clock.now

    def cut_off(name, _):
        if name == "DescribeJobs":
            raise KeyboardInterrupt

    fake.fault_rule = cut_off
    while not fake.sagemaker.answers and fake.clock.now < began + 5 * 86_400:
        with contextlib.suppress(KeyboardInterrupt):
            fake.sqs.invoke(check.lambda_handler)
        fake.clock.sleep(900)
    [(answered, _, kind, reason)] = fake.sagemaker.answers
    assert (kind, "no poll has come to an end" in reason) == ("Failure", True)
    assert answered - began < 3_600 + 86_400 + 2_000
    assert not fake.batch.unfinished()


def test_a_wrong_input_is_tried_again_until_its_jobs_and_its_step_have_ended(fake, check):
    fake.fail_next("TerminateJob", UNAVAILABLE)
    fake.fail_next("SendPipelineExecutionStepFailure", DENIED)
    fake.sagemaker.start_callback(submit_jobs(fake, NEVER_STARTS), tolerated_failure_percentage="five")
    run(fake, check)
    assert [kind for kind, _ in answers(fake)] == ["Failure"]
    assert not fake.batch.unfinished()
    assert len(fake.sqs.queues["dead-letters-sagemaker"]) == 1


def test_jobs_beside_one_that_batch_has_forgotten_are_not_left_alone(fake, check):
    jobs = submit_jobs(fake, Plan(), NEVER_STARTS).split()
    del fake.batch.jobs[jobs[0]]
    fake.sagemaker.start_callback(" ".join(jobs))
    run(fake, check)
    [(kind, reason)] = answers(fake)
    assert (kind, "does not know 1 of 2 jobs" in reason) == ("Failure", True)
    assert not fake.batch.unfinished()


def test_a_truth_value_is_no_number(fake, check):
    fake.sagemaker.start_callback(submit_jobs(fake, Plan()), deadline_seconds=True)
    run(fake, check)
    assert "deadline_seconds must be a number" in answers(fake)[0][1]


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("DEADLINE_SECONDS", "24h", "a number"),
        ("PUSH_POLL_SECONDS", "nan", "a number"),
        ("POLL_MIN_SECONDS", "-1", "a number"),
        ("PUSH_EVENTS", "yes", "true or false"),
    ],
)
def test_a_wrong_setting_is_an_error_of_the_function(monkeypatch, name, value, kind):
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=f"{name} must be {kind}.*, but it is '{value}'"):
        load_lambda("check_jobs")


def test_a_list_of_ids_that_is_missing_is_named(fake, check):
    fake.sagemaker.start_callback("s3://bucket-sagemaker/nothing/_jobs/job_ids.json")
    run(fake, check)
    [(kind, reason)] = answers(fake)
    assert (kind, "s3://bucket-sagemaker/nothing/_jobs/job_ids.json" in reason) == ("Failure", True)


def test_long_texts_are_cut_to_what_batch_takes(fake, check):
    fake.sagemaker.start_callback(submit_jobs(fake, NEVER_STARTS), report_uri="no uri " * 300)
    run(fake, check)
    assert [kind for kind, _ in answers(fake)] == ["Failure"]
    assert not fake.batch.unfinished()
