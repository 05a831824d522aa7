"""Arrays, tolerated failures, and the report of what failed."""

import json

import pytest
from fake_aws import EXECUTION, Context, Plan

BAD = Plan(end=20, exit_code=1, reason="bad input")
EVENT = {
    "output_uri": "s3://bucket-sagemaker/output",
    "job_queue": "queue-sagemaker",
    "job_definition": "aggregate",
    "execution_id": EXECUTION,
    "step_name": "Aggregate",
    "mode": "array",
    "manifest_uri": "s3://bucket-sagemaker/items.jsonl",
}


@pytest.fixture
def run_step(fake, submit, check):
    """Submit an array with these items, of which some fail, wait for it, and return the step's answer."""

    def run(items, failing=(), **arguments):
        fake.s3.objects[EVENT["manifest_uri"]] = "\n".join(json.dumps(item) for item in items).encode()
        fake.batch.plan = lambda _parameters, index: BAD if index in failing else Plan()
        submitted = submit.lambda_handler({**EVENT, "step_name": f"Step{len(fake.batch.jobs)}"}, Context())
        if arguments.pop("report", False):
            arguments["report_uri"] = submitted["reportUri"]
        fake.sagemaker.start_callback(submitted["jobIds"], **arguments)
        results = list(fake.sqs.run(check.lambda_handler, until=fake.clock.now + 86_400))
        assert not [result for result in results if isinstance(result, Exception)]
        return fake.sagemaker.answers[-1][2:]

    return run


def items(count):
    return [{"input": f"s3://bucket/in/{n}", "output": f"s3://bucket/out/{n}"} for n in range(count)]


def test_the_children_of_an_array_are_the_jobs_that_count(fake, run_step):
    kind, outputs = run_step(items(500))
    assert (kind, outputs["jobs_total"], outputs["jobs_succeeded"], outputs["jobs_failed"]) == (
        "Success",
        "500",
        "500",
        "0",
    )
    assert max(len(params["jobs"]) for params in fake.called("DescribeJobs")) == 1, "only the array is asked about"


def test_25_000_items_are_one_step(run_step):
    kind, outputs = run_step([{"n": n} for n in range(25_000)])
    assert (kind, outputs["jobs_total"]) == ("Success", "25000")


def test_a_failed_child_fails_the_step_with_its_own_reason_and_log_stream(fake, run_step):
    kind, reason = run_step(items(10), failing=[3, 7])
    [job] = fake.batch.jobs.values()
    assert kind == "Failure"
    assert f"{job.name}[3]" in reason
    assert "bad input" in reason
    assert "exit code 1" in reason
    assert fake.batch.detail(f"{job.id}:3")["container"]["logStreamName"] in reason
    assert fake.batch.unfinished() == [], "the array's other children were left to end"


def test_tolerated_failures_are_counted_and_listed(fake, run_step):
    kind, outputs = run_step(items(10), failing=[3], tolerated_failure_percentage="10", report=True)
    assert kind == "Success"
    assert (outputs["jobs_succeeded"], outputs["jobs_failed"]) == ("9", "1")
    [line] = fake.s3.objects[outputs["failed_items_uri"]].decode().splitlines()
    entry = json.loads(line)
    assert (entry["input"], entry["output"]) == ("s3://bucket/in/3", "s3://bucket/out/3")
    assert entry["batch_failure"]["exit_code"] == 1
    assert entry["batch_failure"]["reason"] == "bad input"
    assert entry["batch_failure"]["job_id"].endswith(":3")


def test_more_failures_than_tolerated_fail_the_step_and_are_listed_too(fake, run_step):
    kind, reason = run_step(items(10), failing=[3, 4], tolerated_failure_percentage=10, report=True)
    assert kind == "Failure"
    assert "(2 of 10 jobs failed)" in reason
    [report] = [body for uri, body in fake.s3.objects.items() if uri.endswith("/failed.jsonl")]
    assert len(report.decode().splitlines()) == 2


def test_with_a_tolerance_every_job_is_waited_for(fake, run_step):
    run_step(items(2), failing=[0], tolerated_failure_percentage=0)
    [(answered, _, kind, _)] = fake.sagemaker.answers
    assert kind == "Failure"
    assert answered >= max(fake.batch.end_of(job) for job in fake.batch.jobs.values())


@pytest.mark.parametrize(
    ("failing", "percentage", "kind"), [(1, 33, "Failure"), (1, 33.4, "Success"), (3, 100, "Success")]
)
def test_the_share_is_of_all_jobs(run_step, failing, percentage, kind):
    assert run_step(items(3), failing=range(failing), tolerated_failure_percentage=percentage)[0] == kind


def test_the_next_run_processes_only_what_failed(fake, submit, run_step):
    _, outputs = run_step(items(100), failing=[5, 50, 99], tolerated_failure_percentage=50, report=True)
    event = {**EVENT, "manifest_uri": outputs["failed_items_uri"], "step_name": "Again"}
    submit.lambda_handler(event, Context())
    job = list(fake.batch.jobs.values())[-1]
    assert len(job.plans) == 3
    environment = {pair["name"]: pair["value"] for pair in job.overrides["environment"]}
    again = [json.loads(line) for line in fake.s3.objects[environment["MANIFEST_URI"]].decode().splitlines()]
    assert again == [items(100)[n] for n in (5, 50, 99)]


def test_failures_of_several_arrays_and_of_a_single_item_are_listed_together(fake, run_step):
    failing = {0: BAD, 9_999: BAD}
    _, outputs = run_step(
        [{"n": n} for n in range(20_001)], failing=failing, tolerated_failure_percentage=1, report=True
    )
    entries = [json.loads(line) for line in fake.s3.objects[outputs["failed_items_uri"]].decode().splitlines()]
    assert [entry["n"] for entry in entries] == [0, 9_999, 10_000, 19_999, 20_000]


def test_the_files_of_plain_jobs_are_listed_by_their_parameters(fake, submit, check):
    fake.batch.plan = lambda parameters, _index: BAD if "file_02" in parameters["s3Input"] else Plan()
    event = {key: value for key, value in EVENT.items() if key not in ("mode", "manifest_uri")}
    submitted = submit.lambda_handler({**event, "input_uri": "s3://bucket/in", "max_jobs": 3}, Context())
    fake.sagemaker.start_callback(
        submitted["jobIds"], tolerated_failure_percentage=50, report_uri=submitted["reportUri"]
    )
    list(fake.sqs.run(check.lambda_handler, until=fake.clock.now + 3600))
    [(_, _, kind, outputs)] = fake.sagemaker.answers
    assert (kind, outputs["jobs_failed"]) == ("Success", "1")
    entry = json.loads(fake.s3.objects[outputs["failed_items_uri"]])
    assert entry["input"] == "s3://bucket/in/file_02.json"
    assert entry["batch_failure"]["log_stream"]


def test_an_array_that_has_ended_with_its_children_not_all_counted_is_polled_again(fake, run_step):
    """Batch says of statusSummary itself that it may be behind (statusSummaryLastUpdatedAt)."""
    detail, polls = fake.batch.detail, []

    def behind(id):
        job = detail(id)
        if job and job.get("arrayProperties", {}).get("statusSummary") and job["status"] == "FAILED":
            polls.append(id)
            if len(polls) < 3:
                job["arrayProperties"]["statusSummary"] = {"SUCCEEDED": 1, "FAILED": 1, "RUNNING": 8}
        return job

    fake.batch.detail = behind
    _, outputs = run_step(items(10), failing=[1], tolerated_failure_percentage=50)
    assert (outputs["jobs_succeeded"], outputs["jobs_failed"]) == ("9", "1")


def test_an_array_cancelled_before_it_had_children_has_failed_with_all_of_them(fake, submit, check, run_step):
    fake.s3.objects[EVENT["manifest_uri"]] = b"{}\n{}\n{}"
    submitted = submit.lambda_handler(EVENT, Context())
    [job] = fake.batch.jobs.values()
    detail = fake.batch.detail
    fake.batch.detail = lambda id: {
        **detail(id),
        "status": "FAILED",
        "statusReason": "Cancelled by a user",
        "arrayProperties": {"size": 3, "statusSummary": {}},
    }
    fake.batch.list_jobs = lambda **_: {"jobSummaryList": []}
    fake.sagemaker.start_callback(submitted["jobIds"])
    fake.sqs.invoke(check.lambda_handler)
    assert fake.sagemaker.answers[0][2:] == (
        "Failure",
        f"Job {job.name} failed (3 of 3 jobs failed): Cancelled by a user",
    )


def test_a_stopped_array_is_terminated_as_a_whole(fake, submit, check):
    fake.s3.objects[EVENT["manifest_uri"]] = b"\n".join([b"{}"] * 1000)
    submitted = submit.lambda_handler(EVENT, Context())
    token = fake.sagemaker.start_callback(submitted["jobIds"])
    fake.clock.sleep(10)
    fake.sagemaker.send(token, {"job_ids": submitted["jobIds"]}, status="Stopping")
    fake.sqs.invoke(check.lambda_handler)
    assert not fake.batch.unfinished()
    assert [params["jobId"] for params in fake.called("TerminateJob")] == [submitted["jobIds"]]


def test_the_deadline_of_an_array_counts_its_children(fake, run_step, monkeypatch):
    monkeypatch.setenv("MAX_POLLS", "2")
    kind, reason = run_step(items(7))
    assert kind == "Failure"
    assert "7 of 7 jobs were unfinished after 2 polls and terminated" in reason


@pytest.mark.parametrize("percentage", ["-1", "101", "some"])
def test_a_tolerance_that_is_no_percentage_fails_the_step_in_one_sentence(fake, check, percentage):
    fake.sagemaker.start_callback("job", tolerated_failure_percentage=percentage)
    fake.sqs.invoke(check.lambda_handler)
    [(_, _, kind, reason)] = fake.sagemaker.answers
    assert kind == "Failure"
    assert reason == f"tolerated_failure_percentage must be a number from 0 to 100, but it is {percentage!r}."


def cancelled_early(fake, ids, succeeded):
    """Arrays that were cancelled when these of their children had succeeded; no other had begun, so none is listed."""
    detail = fake.batch.detail

    def without_children(id):
        job = detail(id)
        if job and id in ids:
            job |= {"status": "FAILED", "statusReason": "Cancelled by a person", "stoppedAt": 1_800_000_000_000}
            job["arrayProperties"]["statusSummary"] = {"SUCCEEDED": len(succeeded)}
        elif job and id.partition(":")[0] in ids:
            job |= {"status": "SUCCEEDED" if int(id.partition(":")[2]) in succeeded else "PENDING"}
        return job

    fake.batch.detail = without_children


def test_children_that_never_began_are_in_the_report_too(fake, submit, check):
    fake.s3.objects[EVENT["manifest_uri"]] = b"\n".join(json.dumps({"n": n}).encode() for n in range(4))
    submitted = submit.lambda_handler(EVENT, Context())
    cancelled_early(fake, [submitted["jobIds"]], succeeded=[2])
    fake.clock.sleep(3600)
    fake.sagemaker.start_callback(
        submitted["jobIds"], tolerated_failure_percentage=100, report_uri=submitted["reportUri"]
    )
    list(fake.sqs.run(check.lambda_handler, until=fake.clock.now + 3600))
    [(_, _, kind, outputs)] = fake.sagemaker.answers
    assert (kind, outputs["jobs_failed"]) == ("Success", "3")
    entries = [json.loads(line) for line in fake.s3.objects[outputs["failed_items_uri"]].decode().splitlines()]
    assert [(entry["n"], entry["batch_failure"]["reason"]) for entry in entries] == [
        (n, "Cancelled by a person") for n in (0, 1, 3)
    ]


def test_the_report_waits_for_failed_children_that_are_not_listed_yet(fake, run_step):
    """AWS says nothing of how far ListJobs may be behind the summary of an array."""
    listed, hidden = fake.batch.list_jobs, []

    def behind(**request):
        page = listed(**request)
        if request.get("jobStatus") == "FAILED" and len(hidden) < 2:
            hidden.append(page["jobSummaryList"].pop())
        return page

    fake.batch.list_jobs = behind
    _, outputs = run_step(items(10), failing=[3, 7], tolerated_failure_percentage=50, report=True)
    entries = [json.loads(line) for line in fake.s3.objects[outputs["failed_items_uri"]].decode().splitlines()]
    assert [entry["input"] for entry in entries] == ["s3://bucket/in/3", "s3://bucket/in/7"]


def test_the_report_names_the_log_streams_of_children(fake, run_step):
    _, outputs = run_step(items(10), failing=[3], tolerated_failure_percentage=50, report=True)
    [job] = fake.batch.jobs.values()
    stream = fake.batch.detail(f"{job.id}:3")["container"]["logStreamName"]
    assert json.loads(fake.s3.objects[outputs["failed_items_uri"]])["batch_failure"]["log_stream"] == stream


def test_a_jobs_own_variable_manifest_uri_is_none_of_ours(fake, check):
    fake.batch.plan = lambda *_: BAD
    job = fake.batch.submit_job(
        "a1b2c3d4e5f6-Step-01", "queue-sagemaker", "copy", {"s3Input": "s3://b/in", "s3Output": "s3://b/out"},
        {"environment": [{"name": "MANIFEST_URI", "value": "s3://b/table.csv"}]},
    )  # fmt: skip
    fake.s3.objects["s3://b/table.csv"] = b"a,b\n1,2"
    fake.sagemaker.start_callback(job["jobId"], tolerated_failure_percentage=100, report_uri="s3://b/_jobs/f.jsonl")
    list(fake.sqs.run(check.lambda_handler, until=fake.clock.now + 3600))
    assert fake.sagemaker.answers[0][2] == "Success"
    assert json.loads(fake.s3.objects["s3://b/_jobs/f.jsonl"])["input"] == "s3://b/in"


def test_what_is_done_of_an_array_past_its_deadline_is_counted(fake, submit, check):
    fake.batch.plan = lambda _parameters, index: Plan() if index < 7 else Plan(end=10_000)
    fake.s3.objects[EVENT["manifest_uri"]] = b"\n".join(json.dumps({"n": n}).encode() for n in range(10))
    submitted = submit.lambda_handler(EVENT, Context())
    fake.sagemaker.start_callback(submitted["jobIds"], deadline_seconds=600)
    list(fake.sqs.run(check.lambda_handler, until=fake.clock.now + 3600))
    [(_, _, kind, reason)] = fake.sagemaker.answers
    assert kind == "Failure"
    assert reason.startswith("3 of 10 jobs were unfinished after the deadline of 600 s")
