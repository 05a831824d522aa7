# /// script
# dependencies = ["boto3==1.43.106", "pandas==3.1.1"]
# ///
"""Sum up one month of flights: delays by carrier and hour. Runs in a Batch container.

    python -c "<this text>" s3://bucket/in/file_01.json s3://bucket/out/output_01.json

In an array job, input and output come from line AWS_BATCH_JOB_ARRAY_INDEX of the manifest that MANIFEST_URI names.
The input has one flight a line as JSON. The output keeps sums and counts, not averages, so that months can be added.
"""

import json
import os
import sys
from io import BytesIO

import boto3
import pandas

KEYS = ["carrier", "hour"]


def aggregate(flights):
    """Sums of a month's flights by carrier and scheduled hour; a cancelled flight has no delays."""
    grouped = flights.groupby(KEYS, sort=True)
    rows = grouped.agg(
        flights=("flight", "size"),
        departures=("dep_delay", "count"),
        dep_delay_sum=("dep_delay", "sum"),
        arrivals=("arr_delay", "count"),
        arr_delay_sum=("arr_delay", "sum"),
    ).reset_index()
    first = flights.iloc[0]
    return {
        "month": f"{int(first['year'])}-{int(first['month']):02d}",
        "flights": len(flights),
        "rows": json.loads(rows.to_json(orient="records")),
    }


def split(uri):
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return {"Bucket": bucket, "Key": key}


def read_item(s3):
    """This job's line of the manifest: all lines have the same length, so no other line is read."""
    index = int(os.environ.get("AWS_BATCH_JOB_ARRAY_INDEX", "0"))
    width = int(os.environ["MANIFEST_LINE_BYTES"])
    span = f"bytes={index * width}-{(index + 1) * width - 1}"
    item = json.loads(s3.get_object(**split(os.environ["MANIFEST_URI"]), Range=span)["Body"].read())
    return item["input"], item["output"]


def main(arguments):
    s3 = boto3.client("s3")
    input_uri, output_uri = read_item(s3) if "MANIFEST_URI" in os.environ else arguments
    body = s3.get_object(**split(input_uri))["Body"].read()
    flights = pandas.read_json(BytesIO(body), lines=True)
    if flights.empty:
        raise SystemExit(f"{input_uri} holds no flights.")
    lacking = sorted({"year", "month", "flight", "dep_delay", "arr_delay", *KEYS} - set(flights.columns))
    if lacking:
        raise SystemExit(f"{input_uri} lacks the columns {', '.join(lacking)}: is it a file of flights?")
    summary = aggregate(flights)
    s3.put_object(**split(output_uri), Body=json.dumps(summary).encode(), ContentType="application/json")
    print(f"{input_uri}: {summary['flights']} flights in {len(summary['rows'])} rows -> {output_uri}")


if __name__ == "__main__":
    main(sys.argv[1:3])
