"""The existing pipeline's own functions, and the job between them, from flights to the summary."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas
import pytest
from botocore.exceptions import ClientError
from fake_aws import AwsError, load_lambda

AGGREGATE = Path(__file__).parents[2] / "job_code" / "aggregate.py"


@pytest.fixture
def count_inputs(fake):
    function = load_lambda("count_inputs")
    function["lambda_function"].s3 = lambda: fake.client("s3")
    return function.lambda_handler


@pytest.fixture
def merge_results(fake):
    function = load_lambda("merge_results")
    function["lambda_function"].s3 = lambda: fake.client("s3")
    return function.lambda_handler


@pytest.fixture
def aggregate():
    namespace = {"__name__": "aggregate"}
    exec(compile(AGGREGATE.read_text(), "aggregate.py", "exec"), namespace)  # as `python -c` has it: a text
    return namespace["aggregate"]


def flight(month=1, hour=5, carrier="UA", dep_delay=2.0, arr_delay=11.0):
    return {
        "year": 2013,
        "month": month,
        "day": 1,
        "hour": hour,
        "carrier": carrier,
        "flight": 1545,
        "tailnum": "N14228",
        "origin": "EWR",
        "dest": "IAH",
        "dep_delay": dep_delay,
        "arr_delay": arr_delay,
        "distance": 1400,
    }


def test_inputs_are_counted(fake, count_inputs):
    fake.s3.objects = {"s3://bucket/in/a.json": b"12", "s3://bucket/in/b.json": b"3", "s3://bucket/in/c.txt": b""}
    assert count_inputs({"input_uri": "s3://bucket/in/"}, None) == {
        "statusCode": 200,
        "inputCount": 2,
        "inputBytes": 3,
    }


def test_no_inputs_stop_the_pipeline_at_its_first_step(count_inputs):
    with pytest.raises(ValueError, match=r"no .json objects under s3://bucket/in/. Upload the input files first"):
        count_inputs({"input_uri": "s3://bucket/in"}, None)


@pytest.mark.parametrize("uri", ["", "bucket/in", "s3://b"])
def test_a_wrong_uri_is_named(count_inputs, merge_results, uri):
    with pytest.raises(ValueError, match="input_uri must have the form s3://"):
        count_inputs({"input_uri": uri}, None)
    with pytest.raises(ValueError, match="input_uri must have the form s3://"):
        merge_results({"input_uri": uri, "output_uri": "s3://bucket/summary.json"}, None)


def test_months_are_aggregated_and_merged(fake, aggregate, merge_results):
    january = [flight(dep_delay=10, arr_delay=20), flight(dep_delay=None, arr_delay=None), flight(carrier="AA", hour=6)]
    february = [flight(month=2, dep_delay=30, arr_delay=-10)]
    for number, flights in enumerate([january, february], 1):
        result = aggregate(pandas.DataFrame(flights))
        fake.s3.objects[f"s3://bucket/months/output_{number:02d}.json"] = json.dumps(result).encode()
    fake.s3.objects["s3://bucket/months/_jobs/list.json"] = b"{}"

    event = {"input_uri": "s3://bucket/months", "output_uri": "s3://bucket/summary.json", "expected_count": "2"}
    assert merge_results(event, None) == {
        "statusCode": 200,
        "summaryUri": "s3://bucket/summary.json",
        "fileCount": 2,
        "flightCount": 4,
    }
    summary = json.loads(fake.s3.objects["s3://bucket/summary.json"])
    assert summary["months"] == ["2013-01", "2013-02"]
    assert summary["by_carrier"] == [
        {"carrier": "AA", "flights": 1, "mean_dep_delay": 2.0, "mean_arr_delay": 11.0},
        {"carrier": "UA", "flights": 3, "mean_dep_delay": 20.0, "mean_arr_delay": 5.0},
    ]
    assert [row["hour"] for row in summary["by_hour"]] == [5, 6]
    assert [row["flights"] for row in summary["by_month"]] == [3, 1]


@pytest.mark.parametrize("expected", [2, 2.0, "2", "2.0", "", None])
def test_the_expected_count_comes_in_many_forms(fake, merge_results, expected):
    for number in (1, 2):
        body = json.dumps({"month": f"2013-{number:02d}", "flights": 0, "rows": []}).encode()
        fake.s3.objects[f"s3://bucket/months/output_{number:02d}.json"] = body
    event = {"input_uri": "s3://bucket/months", "output_uri": "s3://bucket/summary.json", "expected_count": expected}
    assert merge_results(event, None)["fileCount"] == 2


@pytest.mark.parametrize("expected", ["two", 2.5, "2.5", True, -2, "nan", "inf"])
def test_an_expected_count_that_is_no_whole_number_is_named(merge_results, expected):
    event = {"input_uri": "s3://bucket/months", "output_uri": "s3://bucket/summary.json", "expected_count": expected}
    with pytest.raises(ValueError, match="expected_count must be a whole number of 0 or more, but it is"):
        merge_results(event, None)


def test_what_s3_refuses_is_named(fake, count_inputs, merge_results):
    event = {"input_uri": "s3://bucket/months", "output_uri": "s3://bucket/summary.json"}
    fake.s3.objects["s3://bucket/months/output_01.json"] = b'{"month": "2013-01", "flights": 0, "rows": []}'
    missing = AwsError("NoSuchBucket", "The specified bucket does not exist", 404)
    for operation, function, uri in (
        ("ListObjectsV2", count_inputs, "s3://bucket/months/"),
        ("ListObjectsV2", merge_results, "s3://bucket/months/"),
        ("GetObject", merge_results, "s3://bucket/months/output_01.json"),
        ("PutObject", merge_results, "s3://bucket/summary.json"),
    ):
        fake.fail_next(operation, missing)
        with pytest.raises(ClientError, match=re.escape(f"does not exist ({uri})")):
            function(event, None)


def test_an_aggregate_that_is_no_json_is_named(fake, merge_results):
    fake.s3.objects["s3://bucket/months/output_01.json"] = b"{"
    with pytest.raises(ValueError, match=r"s3://bucket/months/output_01\.json is not JSON"):
        merge_results({"input_uri": "s3://bucket/months", "output_uri": "s3://bucket/summary.json"}, None)


def test_a_missing_month_is_not_passed_over(fake, aggregate, merge_results):
    result = aggregate(pandas.DataFrame([flight(dep_delay=None, arr_delay=None)]))
    fake.s3.objects["s3://bucket/months/output_01.json"] = json.dumps(result).encode()
    event = {"input_uri": "s3://bucket/months", "output_uri": "s3://bucket/summary.json"}
    with pytest.raises(ValueError, match="There are 1 aggregates under s3://bucket/months/ where 2 were expected"):
        merge_results({**event, "expected_count": 2}, None)
    merge_results(event, None)
    assert json.loads(fake.s3.objects["s3://bucket/summary.json"])["by_carrier"][0]["mean_dep_delay"] is None


def test_the_job_is_a_text_that_fits_a_job_definition():
    text = AGGREGATE.read_text()
    assert len(text) < 8 * 1024, "a job definition holds 24 KiB"
    assert "Ref::" not in text, "Batch would take it for a parameter"


@pytest.mark.slow
def test_the_job_runs_as_the_container_runs_it(aws, tmp_path):
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="aggregate-job-test")
    lines = "\n".join(json.dumps(flight(hour=hour)) for hour in (5, 6, 6))
    s3.put_object(Bucket="aggregate-job-test", Key="in.json", Body=lines.encode())
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AWS_ENDPOINT_URL": aws.endpoint_url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }

    def run(key):
        uris = [f"s3://aggregate-job-test/{name}" for name in (key, "out.json")]
        command = [sys.executable, "-c", AGGREGATE.read_text(), *uris]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    done = run("in.json")
    assert done.returncode == 0, done.stderr
    assert "3 flights in 2 rows" in done.stdout
    result = json.loads(s3.get_object(Bucket="aggregate-job-test", Key="out.json")["Body"].read())
    assert (result["month"], result["flights"]) == ("2013-01", 3)

    s3.put_object(Bucket="aggregate-job-test", Key="other.json", Body=b'{"a": 1}')
    refused = run("other.json")
    assert refused.returncode != 0
    assert "lacks the columns" in refused.stderr
