import json

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from fake_aws import EVENT, EXECUTION, THROTTLED, UNAVAILABLE, AwsError, Context, Fault


def run(submit, **changes):
    return submit.lambda_handler({**EVENT, **changes}, Context())


def test_one_job_a_file_named_after_execution_and_step(fake, submit):
    answer = run(submit)
    assert answer == {
        "statusCode": 200,
        "jobIds": " ".join(fake.batch.jobs),
        "jobCount": 3,
        "submittedCount": 3,
        "reportUri": "s3://bucket-sagemaker/output/_jobs/a1b2c3d4e5f6-SubmitCopies/failed.jsonl",
    }
    jobs = list(fake.batch.jobs.values())
    assert [job.name for job in jobs] == [f"a1b2c3d4e5f6-SubmitCopies-{i:02d}" for i in (1, 2, 3)]
    assert jobs[2].parameters == {
        "s3Input": "s3://bucket-sagemaker/input/file_03.json",
        "s3Output": "s3://bucket-sagemaker/output/output_03.json",
    }
    tags = {"sagemaker-batch:execution": "a1b2c3d4e5f6", "sagemaker-batch:step": "SubmitCopies"}
    assert tags.items() < jobs[0].tags.items()


def test_inputs_and_outputs_may_be_called_otherwise(fake, submit):
    run(submit, input_name="output_{i:02d}.json", output_name="month-{i}/delays.json", max_jobs="1")
    [job] = fake.batch.jobs.values()
    assert job.parameters["s3Input"].endswith("/input/output_01.json")
    assert job.parameters["s3Output"].endswith("/output/month-1/delays.json")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"job_queue": ""}, "The event lacks job_queue"),
        ({"max_job": 3}, "unknown keys max_job"),
        ({"max_jobs": 0}, "max_jobs must be a whole number from 1 to 1,000 (mode array takes more), but it is 0"),
        ({"max_jobs": 1001}, "max_jobs must be a whole number from 1 to 1,000"),
        ({"max_jobs": "many"}, "max_jobs must be a whole number"),
        ({"max_jobs": 2.5}, "max_jobs must be a whole number"),
        ({"max_jobs": True}, "max_jobs must be a whole number"),
        ({"input_uri": "bucket/prefix"}, "input_uri must have the form s3://bucket/prefix, but it is 'bucket/prefix'"),
        ({"output_uri": "s3://Bucket/x"}, "output_uri must have the form"),
        ({"output_uri": 7}, "output_uri must be a string"),
        ({"step_name": "Copy files"}, "step_name must be 1 to 64 letters"),
        ({"execution_id": "a b"}, "execution_id must be a pipeline execution's ARN"),
        ({"input_name": "file.json"}, "input_name must contain {i}"),
        ({"mode": "list"}, "mode must be per_file or array, but it is 'list'"),
        ({"manifest_uri": "s3://bucket/items"}, "unknown keys manifest_uri. With mode per_file use"),
        ({"mode": "array", "output_name": "x{i}"}, "unknown keys output_name. With mode array use"),
        ({"mode": "array", "manifest_uri": "s3://bucket/items"}, "pass either input_uri"),
        ({"mode": "array", "input_uri": None}, "pass either input_uri"),
        ({"mode": "array", "output_uri": "s3://bucket-sagemaker/input/out"}, "must not lie within input_uri"),
        ({"output_name": "{j}.json"}, "output_name must be like"),
        ({"trial": 0}, "trial must be a whole number from 1 to 1,000, but it is 0"),
        ({"only_trial": "true"}, "The event has only_trial and no trial"),
        ({"vcpus": "many"}, "vcpus must be a number from 0.25 to 10,000, but it is 'many'"),
        ({"memory_mib": 1.5}, "memory_mib must be a whole number from 4 to"),
        ({"attempts": 11}, "attempts must be a whole number from 1 to 10, but it is 11"),
        ({"timeout_seconds": 59}, "timeout_seconds must be a whole number from 60 to"),
        ({"scheduling_priority": 10_000}, "scheduling_priority must be a whole number from 0 to 9,999"),
        ({"share_identifier": "my-team"}, "share_identifier must be 1 to 255 letters and digits"),
        ({"parameters.s3Input": "x"}, "parameters.s3Input can't be passed"),
        ({"environment.AWS_BATCH_X": "x"}, "environment.AWS_BATCH_X can't be passed"),
        ({"environment.X": ["x"]}, "environment.X must be a string or a number"),
        ({"environment.": "x"}, "unknown keys environment."),
        ({"output_name": "{i.x}.json"}, "output_name must be like"),
    ],
)
def test_a_bad_event_is_refused_in_one_sentence_before_anything_is_submitted(fake, submit, changes, sentence):
    with pytest.raises(submit["event"].BadEvent) as refusal:
        run(submit, **changes)
    assert sentence in str(refusal.value)
    assert str(refusal.value).count("\n") == 0
    assert not fake.calls


def test_the_event_must_be_an_object(submit):
    with pytest.raises(submit["event"].BadEvent, match="must be a JSON object"):
        submit.lambda_handler(["input_uri"], Context())


def test_pipelines_pass_numbers_as_strings_and_floats(fake, submit):
    assert run(submit, max_jobs="2")["jobCount"] == 2
    assert run(submit, max_jobs=2.0)["jobCount"] == 2


def test_the_longest_names_still_make_a_job_name_in_every_retry(fake, submit):
    longest = {"step_name": "S" * 64, "max_jobs": 1000, "trial": 1000, "only_trial": True}
    run(submit, execution_id="e" * 40, **longest)
    assert max(len(f"{job.name}-try9999") for job in fake.batch.jobs.values()) <= 128
    with pytest.raises(submit["event"].BadEvent, match="up to 40 letters"):
        run(submit, execution_id="e" * 41, **longest)


def test_ids_that_do_not_fit_go_to_a_list_on_s3(fake, submit):
    assert len(run(submit, max_jobs=27)["jobIds"].split()) == 27
    uri = run(submit, max_jobs=28, step_name="More")["jobIds"]
    assert uri == "s3://bucket-sagemaker/output/_jobs/a1b2c3d4e5f6-More/job_ids.json"
    assert len(json.loads(fake.s3.objects[uri])["job_ids"]) == 28


def test_a_call_cut_short_is_completed_by_the_next(fake, submit):
    denied = Fault(AwsError("AccessDeniedException", "no", 403))
    fake.fault_rule = lambda name, _: denied if name == "SubmitJob" and len(fake.batch.jobs) == 2 else None
    with pytest.raises(ClientError, match="AccessDenied"):
        run(submit)
    fake.fault_rule = None
    answer = run(submit)
    assert (answer["submittedCount"], answer["jobCount"]) == (1, 3)
    assert answer["jobIds"].split() == list(fake.batch.jobs)


def test_another_execution_or_step_has_jobs_of_its_own(fake, submit):
    first = run(submit)["jobIds"]
    assert run(submit, execution_id=EXECUTION[:-1] + "x")["jobIds"] != first
    assert run(submit, step_name="SubmitCopies2")["jobIds"] != first
    assert run(submit, step_name="Submit")["jobIds"] != first
    assert len(fake.batch.jobs) == 12


def test_throttling_is_waited_out(fake, submit):
    fake.fail_next("SubmitJob", *[THROTTLED] * 5)
    fake.fail_next("ListJobs", THROTTLED, UNAVAILABLE)
    assert run(submit)["submittedCount"] == 3
    assert len(fake.batch.jobs) == 3


@pytest.mark.parametrize("error", [UNAVAILABLE, ReadTimeoutError(endpoint_url="https://batch")])
def test_a_job_whose_submission_was_not_confirmed_is_not_submitted_again(fake, submit, error):
    fake.fail_next("SubmitJob", error, after=True)
    answer = run(submit)
    assert len(fake.batch.jobs) == 3
    assert answer["jobIds"].split() == list(fake.batch.jobs)


def test_throttling_without_end_says_what_to_do(fake, submit):
    fake.fail_next("SubmitJob", *[THROTTLED] * 10_000)
    with pytest.raises(TimeoutError, match=r"Run the step again\. It continues where this call stopped"):
        run(submit)


def test_of_two_calls_at_once_one_set_of_jobs_stays(fake, submit):
    twin_ids = []
    real_submit = fake.batch.submit_job

    def submit_with_a_twin(**params):
        """The other call submits the same job a moment later, both having found none."""
        result = real_submit(**params)
        fake.clock.sleep(0.01)
        twin_ids.append(real_submit(**params)["jobId"])
        return result

    fake.batch.submit_job = submit_with_a_twin
    answer = run(submit)
    assert not set(answer["jobIds"].split()) & set(twin_ids)
    assert set(fake.batch.unfinished()) == set(answer["jobIds"].split())
    assert run(submit)["jobIds"] == answer["jobIds"]


def test_a_job_batch_does_not_list_yet_is_still_returned(fake, submit):
    fake.batch.seconds_until_visible = 30
    assert run(submit)["jobIds"].split() == list(fake.batch.jobs)


# Arrays


ARRAY = {**EVENT, "mode": "array", "max_jobs": None}
MANIFEST = "s3://bucket/items.jsonl"


def put_inputs(fake, *keys):
    for key in keys:
        fake.s3.objects[f"s3://bucket-sagemaker/input/{key}"] = b"{}"


def run_array(submit, **changes):
    return submit.lambda_handler({**ARRAY, **changes}, Context())


def run_manifest(fake, submit, manifest, **changes):
    fake.s3.objects[MANIFEST] = manifest
    return run_array(submit, input_uri=None, manifest_uri=MANIFEST, **changes)


def item_of(fake, job, index):
    """An array job's item, read as job_code does."""
    environment = {pair["name"]: pair["value"] for pair in job.overrides["environment"]}
    width = int(environment["MANIFEST_LINE_BYTES"])
    text = fake.s3.objects[environment["MANIFEST_URI"]]
    assert len(text) == width * len(job.plans)
    return json.loads(text[index * width : (index + 1) * width])


def test_an_array_has_an_item_for_each_object_whatever_its_key(fake, submit):
    keys = ["2013/january 1.json", "a=1/b+c.csv", "naïve/ünï\ncode.json", "plain"]
    put_inputs(fake, *keys, "folder/", "_jobs/list.json")
    answer = run_array(submit)
    assert (answer["jobCount"], answer["submittedCount"]) == (1, 1)
    [job] = fake.batch.jobs.values()
    assert answer["jobIds"] == job.id
    assert [item_of(fake, job, index) for index in range(4)] == [
        {"input": f"s3://bucket-sagemaker/input/{key}", "output": f"s3://bucket-sagemaker/output/{key}"} for key in keys
    ]
    assert not job.parameters, "a command with Ref::s3Input is not one for an array"


def test_a_single_item_is_a_plain_job(fake, submit):
    put_inputs(fake, "only.json")
    run_array(submit)
    [job] = fake.batch.jobs.values()
    assert not job.is_array
    assert item_of(fake, job, 0)["input"].endswith("only.json")


@pytest.mark.parametrize(
    ("items", "sizes"), [(10_000, [10_000]), (10_001, [10_000, 1]), (25_000, [10_000, 10_000, 5_000])]
)
def test_items_beyond_10_000_are_split_over_several_arrays(fake, submit, items, sizes):
    lines = "\n".join(json.dumps({"number": number}) for number in range(items))
    answer = run_manifest(fake, submit, lines.encode())
    jobs = list(fake.batch.jobs.values())
    assert [len(job.plans) for job in jobs] == sizes
    assert answer["jobIds"].split() == [job.id for job in jobs]
    assert item_of(fake, jobs[-1], sizes[-1] - 1) == {"number": items - 1}


def test_max_jobs_limits_the_items(fake, submit):
    put_inputs(fake, "a", "b", "c")
    run_array(submit, max_jobs="2")
    [job] = fake.batch.jobs.values()
    assert len(job.plans) == 2


@pytest.mark.parametrize(
    ("manifest", "sentence"),
    [
        (b"", "There is nothing to do, because s3://bucket/items.jsonl holds no items"),
        (b'{"a": 1}\nnonsense', "Line 2 of s3://bucket/items.jsonl is not JSON"),
        (b'["a"]', "Line 1 of s3://bucket/items.jsonl is not a JSON object"),
        (json.dumps({"a": "x" * 9000}).encode(), "Line 1 of s3://bucket/items.jsonl has 9,009 characters"),
    ],
)
def test_a_bad_manifest_is_refused_in_one_sentence(fake, submit, manifest, sentence):
    with pytest.raises(submit["event"].BadEvent) as refusal:
        run_manifest(fake, submit, manifest)
    assert sentence in str(refusal.value)
    assert not fake.batch.jobs


def test_no_objects_are_nothing_to_do(submit):
    with pytest.raises(
        submit["event"].BadEvent, match="nothing to do, because s3://bucket-sagemaker/input/ holds no items"
    ):
        run_array(submit)


@pytest.mark.parametrize("source", [{"manifest_uri": ""}, {"manifest_uri": MANIFEST}, {}])
def test_nothing_to_do_may_be_allowed(fake, submit, check, source):
    fake.s3.objects[MANIFEST] = b""
    event = {**source, **({"input_uri": None} if source else {}), "may_be_empty": "true"}
    answer = run_array(submit, **event)
    assert (answer["jobIds"], answer["jobCount"]) == ("none", 0)
    fake.sagemaker.start_callback(answer["jobIds"])
    fake.sqs.invoke(check.lambda_handler)
    [(_, _, kind, outputs)] = fake.sagemaker.answers
    assert (kind, outputs["jobs_total"]) == ("Success", "0")
    put_inputs(fake, "late")
    assert run_array(submit, **event)["jobIds"] == "none", "a second call keeps to the first one's plan"


def test_two_calls_that_write_their_plans_at_once_settle_for_one(fake, submit):
    put_inputs(fake, "a")
    busy = AwsError("ConditionalRequestConflict", "A conflicting conditional operation is in progress", 409)
    writes = iter([None, busy, busy])  # the manifest is written, the plan is not yet
    fake.fault_rule = lambda operation, _: (
        Fault(error) if operation == "PutObject" and (error := next(writes, None)) else None
    )
    assert run_array(submit)["submittedCount"] == 1
    assert len(fake.batch.jobs) == 1


def test_a_second_call_keeps_to_the_first_calls_items(fake, submit):
    put_inputs(fake, "a", "b")
    first = run_array(submit)
    put_inputs(fake, "c")
    again = run_array(submit)
    assert (again["jobIds"], again["submittedCount"]) == (first["jobIds"], 0)
    [job] = fake.batch.jobs.values()
    assert len(job.plans) == 2


def test_a_call_that_ended_before_it_submitted_has_planned_for_the_next(fake, submit):
    put_inputs(fake, "a", "b")
    fake.fail_next("SubmitJob", AwsError("AccessDeniedException", "no", 403))
    with pytest.raises(ClientError):
        run_array(submit)
    put_inputs(fake, "c")
    run_array(submit)
    [job] = fake.batch.jobs.values()
    assert [item_of(fake, job, index)["input"][-1] for index in range(2)] == ["a", "b"]


@pytest.mark.parametrize(
    "change", [{"input_uri": "s3://bucket-sagemaker/b"}, {"output_uri": "s3://bucket-sagemaker/b"}]
)
def test_two_steps_with_one_step_name_are_distinguished(fake, submit, change):
    """A copied cell whose step_name was forgotten: the second step must not wait for the first one's jobs."""
    run(submit)
    with pytest.raises(
        submit["event"].BadEvent, match="step_name SubmitCopies has been used in this execution for other jobs"
    ):
        run(submit, **change)
    assert len(fake.batch.jobs) == 3


@pytest.mark.parametrize("jobs", [3, 6])
def test_two_steps_with_one_step_name_at_once_are_distinguished_too(fake, submit, jobs):
    """Neither sees the other's jobs before it submits its own. The earlier ones go on, all of the later are ended."""
    fake.batch.seconds_until_visible = 3
    run(submit)
    fake.batch.seconds_until_visible = 0
    first = list(fake.batch.jobs)
    fake.fault_rule = lambda name, _: fake.clock.sleep(2) if name == "SubmitJob" else None
    with pytest.raises(submit["event"].BadEvent, match="Give each submitting step a different step_name"):
        run(submit, input_uri="s3://bucket-sagemaker/b", max_jobs=jobs)
    assert [id for id, job in fake.batch.jobs.items() if job.terminated is None] == first


def test_two_jobs_of_one_name_are_settled_by_the_next_call_even_if_none_is_missing(fake, submit):
    """A call that was killed before it could settle what it and another had both submitted."""
    first = run(submit)["jobIds"].split()
    for job in list(fake.batch.jobs.values()):
        fake.batch.submit_job(job.name, job.queue, job.definition, job.parameters, tags=job.tags)
    assert run(submit)["jobIds"].split() == first
    assert [id for id, job in fake.batch.jobs.items() if job.terminated is None] == first


def test_an_array_is_found_again_when_its_items_are_gone(fake, submit):
    first = run_manifest(fake, submit, b'{"n": 1}\n{"n": 2}')
    del fake.s3.objects[MANIFEST]
    again = run_array(submit, input_uri=None, manifest_uri=MANIFEST)
    assert (again["jobIds"], again["submittedCount"]) == (first["jobIds"], 0)


def test_where_the_bucket_may_not_be_listed_a_missing_plan_is_no_failure(fake, submit):
    fake.fail_next("GetObject", AwsError("AccessDenied", "Access Denied", 403))
    assert run_manifest(fake, submit, b'{"n": 1}')["jobCount"] == 1


def test_long_items_make_smaller_arrays(fake, submit):
    items = [{"n": n, "text": "x" * (8_000 if n == 7 else 1)} for n in range(9_000)]
    run_manifest(fake, submit, "\n".join(map(json.dumps, items)).encode())
    assert sum(len(job.plans) for job in fake.batch.jobs.values()) == 9_000
    written = {uri: body for uri, body in fake.s3.objects.items() if "/items-" in uri}
    assert len(written) == len(fake.batch.jobs) == 3
    assert max(map(len, written.values())) <= 32 * 1024 * 1024


def test_an_items_own_member_called_failure_stays(fake, submit):
    run_manifest(fake, submit, b'{"failure": "bearing", "batch_failure": {"exit_code": 1}}')
    [items] = [body for uri, body in fake.s3.objects.items() if "/items-" in uri]
    assert json.loads(items) == {"failure": "bearing"}


@pytest.mark.parametrize(
    ("text", "why"),
    [(b'\xff{"n": 1}', "is not text in UTF-8"), (b'{"a":' * 100_000, "Line 1 of .* is not JSON")],
)
def test_a_manifest_that_can_not_be_read_is_refused(fake, submit, text, why):
    with pytest.raises(submit["event"].BadEvent, match=why):
        run_manifest(fake, submit, text)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("NoSuchKey", "there is no such object, so check manifest_uri"),
        ("NoSuchBucket", "there is no such bucket, so check manifest_uri"),
        (
            "AccessDenied",
            "there is none, or this function's role lacks s3:GetObject on it or kms:Decrypt on its key",
        ),
    ],
)
def test_a_missing_manifest_is_named(fake, submit, code, reason):
    fake.fault_rule = lambda _, params: (
        Fault(AwsError(code, "It does not exist.", 404)) if params.get("Key") == "items.jsonl" else None
    )
    with pytest.raises(submit["event"].BadEvent) as refusal:
        run_manifest(fake, submit, b"{}")
    assert str(refusal.value) == f"The manifest s3://bucket/items.jsonl can't be read: {reason}."


def test_what_s3_refuses_is_named(fake, submit):
    denied = AwsError("AccessDenied", "Access Denied", 403)
    fake.fail_next("PutObject", denied)
    with pytest.raises(ClientError, match=r"Access Denied \(s3://bucket-sagemaker/output/_jobs/.*/items-.*jsonl\)"):
        run_manifest(fake, submit, b"{}")
    fake.fail_next("ListObjectsV2", AwsError("NoSuchBucket", "The specified bucket does not exist", 404))
    with pytest.raises(ClientError, match=r"does not exist \(s3://bucket-sagemaker/input/\)"):
        run(submit, mode="array", max_jobs=None, step_name="Other")


def test_a_byte_order_mark_is_no_part_of_the_first_item(fake, submit):
    assert run_manifest(fake, submit, b'\xef\xbb\xbf{"n": 1}\r\n{"n": 2}')["jobCount"] == 1
    [items] = [body for uri, body in fake.s3.objects.items() if "/items-" in uri]
    assert [json.loads(line) for line in items.splitlines()] == [{"n": 1}, {"n": 2}]


@pytest.mark.parametrize("letter", ["é", "語", "\N{OWL}", '\\"'])
def test_a_lines_length_is_counted_as_it_is_written(fake, submit, letter):
    room = 8_192 - len('{"text":""}')
    longest = '{"text":"' + letter * (room // len(letter)) + "x" * (room % len(letter)) + '"}'
    assert run_manifest(fake, submit, longest.encode())["jobCount"] == 1
    [items] = [body for uri, body in fake.s3.objects.items() if "/items-" in uri]
    assert json.loads(items) == json.loads(longest)
    with pytest.raises(submit["event"].BadEvent, match=r"Line 1 of .* has 8,193 characters, and 8,192 are allowed"):
        run_manifest(fake, submit, longest.replace('"}', 'x"}').encode(), step_name="Longer")


def test_the_longest_item_may_be_run_again_after_it_failed(fake, submit):
    item = {"a": 1, "text": "é" * (8_192 - len('{"a":1,"text":""}'))}
    failed = json.dumps({**item, "batch_failure": {"exit_code": 1, "reason": "x" * 200}})
    assert run_manifest(fake, submit, failed.encode())["jobCount"] == 1


@pytest.mark.parametrize("value", [True, "true", "True", "TRUE"])
def test_there_may_be_nothing_to_do(fake, submit, value):
    assert run_manifest(fake, submit, b"", may_be_empty=value)["jobIds"] == "none"


@pytest.mark.parametrize("value", ["yes", "1", 1, 0, "no", []])
def test_a_truth_value_that_is_none_is_refused(fake, submit, value):
    with pytest.raises(submit["event"].BadEvent, match="may_be_empty must be true or false, but it is"):
        run_manifest(fake, submit, b"{}", may_be_empty=value)
    assert not fake.calls


def test_slow_submitting_ends_before_the_functions_timeout_and_says_so(fake, submit):
    fake.fault_rule = lambda name, _: fake.clock.sleep(1) if name == "SubmitJob" else None
    with pytest.raises(TimeoutError, match=r"Run the step again\. It continues where this call stopped"):
        run(submit, max_jobs=500)
    assert 100 < len(fake.batch.jobs) < 120, "of the 120 seconds some are kept in hand"
    fake.fault_rule = None
    assert run(submit, max_jobs=500)["jobCount"] == len(fake.batch.jobs) == 500


def test_a_report_that_would_not_fit_a_steps_output_is_refused_before_anything_runs(fake, submit):
    with pytest.raises(
        submit["event"].BadEvent, match=r"output_uri is too long, because a step's output holds 1,024 characters"
    ):
        run(submit, output_uri="s3://bucket-sagemaker/" + "x" * 980)
    assert not fake.batch.jobs


@pytest.mark.parametrize("number", [3, 3.0, "3", "3.0"])
def test_a_number_comes_in_many_forms(submit, number):
    assert run(submit, max_jobs=number)["jobCount"] == 3


def test_jobs_that_describe_jobs_does_not_know_yet_are_asked_for_again(fake, submit):
    run(submit)
    unseen = [{"jobs": []}]
    describe = fake.batch.describe_jobs
    fake.batch.describe_jobs = lambda jobs: unseen.pop() if unseen else describe(jobs)
    with pytest.raises(submit["event"].BadEvent, match="step_name SubmitCopies has been used"):
        run(submit, input_uri="s3://bucket-sagemaker/b")


JOB_OPTIONS = {
    "parameters.threshold": "0.5",
    "parameters.rounds": 3.0,
    "environment.LOG_LEVEL": "DEBUG",
    "environment.EMPTY": "",
    "vcpus": "1.0",
    "memory_mib": 2048.0,
    "attempts": "2",
    "timeout_seconds": 3600.0,
    "share_identifier": "churn",
    "scheduling_priority": 0,
}


@pytest.mark.parametrize("mode", ["per_file", "array"])
def test_every_job_is_told_what_the_step_says(fake, submit, mode):
    """The fake checks each request against botocore's model."""
    put_inputs(fake, "a", "b")
    (run if mode == "per_file" else run_array)(submit, **JOB_OPTIONS)
    for request in fake.called("SubmitJob"):
        assert {"threshold": "0.5", "rounds": "3"}.items() <= request["parameters"].items()
        overrides = request["containerOverrides"]
        variables = {pair["name"]: pair["value"] for pair in overrides["environment"]}
        assert {"LOG_LEVEL": "DEBUG", "EMPTY": ""}.items() <= variables.items()
        assert ("MANIFEST_URI" in variables) == (mode == "array")
        assert overrides["resourceRequirements"] == [
            {"type": "VCPU", "value": "1"},
            {"type": "MEMORY", "value": "2048"},
        ]
        assert request["retryStrategy"] == {"attempts": 2}
        assert request["timeout"] == {"attemptDurationSeconds": 3600}
        assert (request["shareIdentifier"], request["schedulingPriorityOverride"]) == ("churn", 0)


def test_a_job_that_is_told_nothing_has_no_overrides(fake, submit):
    run(submit)
    told = {"jobName", "jobQueue", "jobDefinition", "parameters", "tags"}
    assert all(set(request) == told for request in fake.called("SubmitJob"))


def test_a_changed_option_makes_it_another_step(fake, submit):
    run(submit, vcpus=1)
    with pytest.raises(submit["event"].BadEvent, match="has been used in this execution for other jobs"):
        run(submit, vcpus=2)


def test_the_trial_is_submitted_first_and_the_rest_later(fake, submit):
    run(submit, max_jobs=5, trial=2, only_trial="true")
    trial = list(fake.batch.jobs.values())
    assert [job.name for job in trial] == [f"a1b2c3d4e5f6-SubmitCopies-Trial-{i:02d}" for i in (1, 2)]
    assert {job.tags["sagemaker-batch:step"] for job in trial} == {"SubmitCopies-Trial"}
    answer = run(submit, max_jobs=5, trial=2)
    rest = [fake.batch.jobs[id] for id in answer["jobIds"].split()]
    assert [job.name for job in rest] == [f"a1b2c3d4e5f6-SubmitCopies-{i:02d}" for i in (3, 4, 5)]
    assert answer["trialCount"] == 2
    inputs = [job.parameters["s3Input"][-7:-5] for job in (*trial, *rest)]
    assert inputs == ["01", "02", "03", "04", "05"], "each item once"


def test_the_rest_of_an_array_is_what_the_trial_has_left(fake, submit):
    """Even if there are other objects by now."""
    put_inputs(fake, "b", "c", "d", "e")
    trial = run_array(submit, trial="2.0", only_trial="true")
    put_inputs(fake, "a", "f")
    rest = run_array(submit, trial="2.0")
    assert (trial["trialCount"], rest["trialCount"]) == (2, 2)
    worked_on = [
        item_of(fake, fake.batch.jobs[answer["jobIds"]], index)["input"][-1]
        for answer in (trial, rest)
        for index in (0, 1)
    ]
    assert worked_on == ["b", "c", "d", "e"]
    assert run_array(submit, trial="2.0")["submittedCount"] == 0


@pytest.mark.parametrize("trial", [3, 1_000])
def test_a_trial_of_all_items_leaves_nothing(fake, submit, check, trial):
    put_inputs(fake, "a", "b", "c")
    for answers in (
        [run_array(submit, trial=trial, only_trial=True), run_array(submit, trial=trial)],
        [run(submit, trial=trial, only_trial=True, step_name="Files"), run(submit, trial=trial, step_name="Files")],
    ):
        assert answers[1]["jobIds"] == "none"
        assert answers[1]["trialCount"] == 3
    fake.sagemaker.start_callback("none", succeeded_before=3)
    fake.sqs.invoke(check.lambda_handler)
    [(_, _, kind, outputs)] = fake.sagemaker.answers
    assert (kind, outputs["jobs_total"], outputs["jobs_succeeded"]) == ("Success", "3", "3")


TOGETHER = {"pipeline_steps": "Days-Submit Days"}


def test_a_step_selected_in_part_is_refused_naming_all_its_steps(fake, submit):
    fake.sagemaker.selected = ["Days-Submit", "Merge"]
    with pytest.raises(
        submit["event"].BadEvent, match=r"selects Days-Submit alone.*together. Select Days-Submit, Days"
    ):
        run(submit, **TOGETHER)
    assert not fake.batch.jobs


@pytest.mark.parametrize("selected", [[], ["Days", "Days-Submit"], ["Merge", "Days", "Days-Submit"], ["Loop"]])
def test_a_step_selected_whole_or_not_by_name_runs(fake, submit, selected):
    fake.sagemaker.selected = selected
    assert run(submit, **TOGETHER)["submittedCount"] == 3


def test_without_the_permission_to_ask_what_is_selected_nothing_is_refused(fake, submit, capsys):
    fake.sagemaker.selected = ["Days-Submit"]
    fake.fail_next("DescribePipelineExecution", AwsError("AccessDeniedException", "not authorized", 400))
    assert run(submit, **TOGETHER)["submittedCount"] == 3
    assert "selected steps not checked" in capsys.readouterr().out


# Batch's own words, and as it sometimes frames them.
NO_PARAMETER = "Unable to substitute value. No parameter found for reference {}"
FRAMED = "Error executing request, Exception : " + NO_PARAMETER + ", RequestId: 5f7a2b1c-0d3e-4f6a-8b9c-1d2e3f4a5b6c"


@pytest.mark.parametrize("says", [NO_PARAMETER, FRAMED])
@pytest.mark.parametrize(
    ("mode", "name", "cure"),
    [
        (
            "array",
            "s3Input",
            "has Ref::s3Input, but no item of an array gets a parameter s3Input. Pass max_jobs with input_uri to "
            "BatchStep (mode per_file in the event), or take Ref::s3Input out of the command.",
        ),
        (
            "per_file",
            "month",
            "has Ref::month, but the step passes no parameter month. Pass it in BatchStep's parameters "
            "(parameters.month in the event), or take Ref::month out of the command.",
        ),
    ],
)
def test_a_command_with_a_parameter_that_no_job_is_given_is_named(fake, submit, says, mode, name, cure):
    fake.s3.objects["s3://bucket-sagemaker/input/a.json"] = b"{}"
    fake.fail_next("SubmitJob", AwsError("ClientException", says.format(name)))
    with pytest.raises(submit["event"].BadEvent) as refusal:
        run(submit, mode=mode, max_jobs=3)
    assert str(refusal.value) == f"The command of job definition copy {cure}"
    assert not fake.batch.jobs


@pytest.mark.parametrize(
    "error",
    [AwsError("ClientException", "Job definition copy does not exist."), AwsError("OtherException", NO_PARAMETER)],
)
def test_what_else_batch_refuses_stays_as_batch_says_it(fake, submit, error):
    fake.fail_next("SubmitJob", error)
    with pytest.raises(ClientError, match=error.message):
        run(submit)
