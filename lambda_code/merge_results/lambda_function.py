"""Add up the monthly aggregates, as the last step of the existing pipeline. A LambdaStep calls it.

The event is {"input_uri": "s3://bucket/prefix" of the aggregates, "output_uri": "s3://bucket/key" of the summary},
optionally with "expected_count", the number of aggregates there must be.
Returns {"statusCode": 200, "summaryUri": ..., "fileCount": n, "flightCount": n}, and writes the summary. It has
averages in minutes by carrier, by hour, and by month.

Permissions of its role: s3:ListBucket on the bucket, s3:GetObject on input_uri/*, s3:PutObject on output_uri,
logs:CreateLogGroup, logs:CreateLogStream, logs:PutLogEvents.
"""

import contextlib
import functools
import json
import re
from collections import defaultdict

import boto3
from botocore.exceptions import ClientError

SUMS = ("flights", "departures", "dep_delay_sum", "arrivals", "arr_delay_sum")


@functools.cache
def s3():
    return boto3.client("s3")


def lambda_handler(event, _context):
    input_uri, output_uri = (str(event.get(key, "")).rstrip("/") for key in ("input_uri", "output_uri"))
    for key, uri in (("input_uri", input_uri), ("output_uri", output_uri)):
        if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/.+", uri):
            raise ValueError(f"{key} must have the form s3://bucket/path, but it is {uri!r}.")
    months = sorted(read_aggregates(input_uri), key=lambda month: month["month"])
    expected = whole_number("expected_count", event.get("expected_count"), default=len(months))
    if not months or len(months) != expected:
        raise ValueError(
            f"There are {len(months)} aggregates under {input_uri}/ where {expected or 'some'} were expected. "
            "Check that every aggregating job succeeded."
        )

    summary = merge(months)
    bucket, _, key = output_uri.removeprefix("s3://").partition("/")
    with naming(output_uri):
        s3().put_object(Bucket=bucket, Key=key, Body=json.dumps(summary).encode(), ContentType="application/json")
    result = {
        "statusCode": 200,
        "summaryUri": output_uri,
        "fileCount": len(months),
        "flightCount": summary["flights"],
    }
    print(json.dumps({"message": "results merged", **result}))
    return result


@contextlib.contextmanager
def naming(uri):
    """Add a URI to what S3 says, which names no object."""
    try:
        yield
    except ClientError as error:
        text = f"{error.response['Error'].get('Message', '')} ({uri})"
        named = {**error.response, "Error": {**error.response["Error"], "Message": text}}
        raise ClientError(named, error.operation_name) from error


def whole_number(key, value, default):
    """The value as an int. A pipeline passes numbers as int, float (12.0) or string ("12", "12.0")."""
    if value in (None, ""):
        return default
    try:
        number = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not (number >= 0 and number.is_integer()):
        raise ValueError(f"{key} must be a whole number of 0 or more, but it is {value!r}.")
    return int(number)


def read_aggregates(input_uri):
    """The aggregates directly under the prefix, without the lists of jobs and the reports deeper down."""
    bucket, _, folder = input_uri.removeprefix("s3://").partition("/")
    with naming(f"{input_uri}/"):
        pages = list(s3().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{folder}/", Delimiter="/"))
    keys = [item["Key"] for page in pages for item in page.get("Contents", []) if item["Key"].endswith(".json")]
    return [read_aggregate(bucket, key) for key in keys]


def read_aggregate(bucket, key):
    uri = f"s3://{bucket}/{key}"
    with naming(uri):
        text = s3().get_object(Bucket=bucket, Key=key)["Body"].read()
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"{uri} is not JSON: {error}. Run the job that wrote it again.") from error


def merge(months):
    """One summary of several months' aggregates, each with `month`, `flights` and `rows` by carrier and hour."""
    rows = [{**row, "month": month["month"]} for month in months for row in month["rows"]]
    return {
        "months": [month["month"] for month in months],
        "flights": sum(month["flights"] for month in months),
        **{f"by_{key}": averages_by(key, rows) for key in ("carrier", "hour", "month")},
    }


def averages_by(key, rows):
    """[{key, flights, mean_dep_delay, mean_arr_delay}], delays in minutes, None where no flight left or arrived."""
    totals: dict[str | int, dict[str, float]] = defaultdict(lambda: dict.fromkeys(SUMS, 0))
    for row in rows:
        for name in SUMS:
            totals[row[key]][name] += row[name]
    return [
        {
            key: value,
            "flights": total["flights"],
            "mean_dep_delay": mean(total["dep_delay_sum"], total["departures"]),
            "mean_arr_delay": mean(total["arr_delay_sum"], total["arrivals"]),
        }
        for value, total in sorted(totals.items())
    ]


def mean(total, count):
    return round(total / count, 2) if count else None
