import copy
import hashlib
import json
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError
from botocore.loaders import Loader

from utils import cleanup, data, iam
from utils.session import embedded_session


def without_tags(load):
    """botocore's models as they were before a bucket could be tagged as it is made."""

    def load_older(*which, **more):
        model = copy.deepcopy(load(*which, **more))
        model.get("shapes", {}).get("CreateBucketConfiguration", {}).get("members", {}).pop("Tags", None)
        return model

    return load_older


def tag_list(tags):
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def tags_of(session, bucket):
    return {tag["Key"]: tag["Value"] for tag in session.client("s3").get_bucket_tagging(Bucket=bucket)["TagSet"]}


def test_a_bucket_is_made_once_in_its_region_with_its_tags(session, config, calls):
    data.ensure_bucket(session, config.bucket, tags=config.tags)
    assert tags_of(session, config.bucket) == config.tags
    assert calls.writes == ["CreateBucket"], "killed between two calls it would be there untagged"
    calls.made.clear()
    data.ensure_bucket(session, config.bucket, tags=config.tags)
    assert calls.writes == []


def test_an_older_boto3_tags_the_bucket_when_it_is_made(session, config, calls, monkeypatch):
    members = session.client("s3").meta.service_model.shape_for("CreateBucketConfiguration").members
    assert "Tags" in members
    monkeypatch.setattr(Loader, "load_service_model", without_tags(Loader.load_service_model))
    calls.refuse("PutBucketTagging", "InternalError", "killed here")
    with pytest.raises(ClientError, match="killed here"):
        data.ensure_bucket(session, config.bucket, tags=config.tags)
    assert cleanup.leftovers(session, config) == [f"not tagged, left alone: bucket {config.bucket}"]
    data.ensure_bucket(session, config.bucket, tags=config.tags)
    assert tags_of(session, config.bucket) == config.tags


ABORTED = "A conflicting conditional operation is currently in progress against this resource. Please try again."


def test_a_bucket_whose_namesake_is_being_deleted_is_made_when_that_is_gone(session, config, calls, no_waiting):
    """https://github.com/aws/aws-cli/issues/2593"""
    calls.refuse("CreateBucket", "OperationAborted", ABORTED, times=2)
    data.ensure_bucket(session, config.bucket, tags=config.tags)
    assert tags_of(session, config.bucket) == config.tags
    assert len(no_waiting) == 2


def test_a_namesake_that_stays_is_one_sentence(session, config, calls, monkeypatch):
    clock = iter(range(0, 10_000, 20))
    monkeypatch.setattr("tenacity.time.monotonic", lambda: next(clock))
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=lambda _: None))
    calls.refuse("CreateBucket", "OperationAborted", ABORTED, times=20)
    with pytest.raises(TimeoutError, match=f'S3 is still deleting an earlier bucket "{config.bucket}", .* again'):
        data.ensure_bucket(session, config.bucket, tags=config.tags)
    assert 2 < calls.made.count("CreateBucket") < 20


def test_a_bucket_elsewhere_is_made_there(aws, config):
    session = in_europe(aws)
    data.ensure_bucket(session, f"{config.prefix}-eu", tags=config.tags)
    place = session.client("s3").get_bucket_location(Bucket=f"{config.prefix}-eu")
    assert place["LocationConstraint"] == "eu-west-1"
    assert tags_of(session, f"{config.prefix}-eu") == config.tags


@pytest.mark.parametrize(
    ("tags", "keys", "why"),
    [
        ({"owner": "somebody"}, [], "it has other tags than ours (owner)"),
        ({"owner": "somebody"}, ["thesis"], "it has other tags than ours (owner)"),
        ({}, ["thesis"], "it lacks our tag and is not empty"),
    ],
)
def test_somebody_elses_bucket_is_refused_and_stays(session, config, calls, tags, keys, why):
    s3 = session.client("s3")
    s3.create_bucket(Bucket=config.bucket)
    if tags:
        s3.put_bucket_tagging(Bucket=config.bucket, Tagging={"TagSet": tag_list(tags)})
    for key in keys:
        s3.put_object(Bucket=config.bucket, Key=key, Body=b"x")
    calls.made.clear()
    with pytest.raises(iam.NameConflict) as error:
        data.ensure_bucket(session, config.bucket, tags=config.tags)
    assert str(error.value) == (
        f'The bucket "{config.bucket}" exists and is not this kit\'s, since {why}. Choose another prefix, or delete it.'
    )
    assert calls.writes == []
    assert cleanup.delete_all(session, config) == []


def test_what_was_deleted_from_a_bucket_with_versions_is_still_in_it(session, config):
    s3 = session.client("s3")
    s3.create_bucket(Bucket=config.bucket)
    s3.put_bucket_versioning(Bucket=config.bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=config.bucket, Key="thesis", Body=b"x")
    s3.delete_object(Bucket=config.bucket, Key="thesis")
    with pytest.raises(iam.NameConflict, match="not empty"):
        data.ensure_bucket(session, config.bucket, tags=config.tags)


def test_tags_beside_ours_stay(session, config, calls):
    both = {"team": "blue", **config.tags}
    data.ensure_bucket(session, config.bucket, tags=config.tags)
    session.client("s3").put_bucket_tagging(Bucket=config.bucket, Tagging={"TagSet": tag_list(both)})
    calls.made.clear()
    data.ensure_bucket(session, config.bucket, tags=config.tags)
    assert calls.writes == []
    assert tags_of(session, config.bucket) == both


def test_a_bucket_that_may_not_be_looked_at_is_not_taken(session, config, calls):
    calls.refuse("GetBucketTagging", "AccessDenied", "no")
    with pytest.raises(LookupError, match=r"or you lack s3:GetBucketTagging on it. Choose another prefix, or ask for"):
        data.ensure_bucket(session, config.bucket, tags=config.tags)
    assert calls.writes == []


def test_a_bucket_of_another_account_is_not_taken(aws, calls, config):
    other = in_europe(aws, "123456789012")
    data.ensure_bucket(other, config.bucket, tags={"k": "theirs"})
    session = in_europe(aws)
    with pytest.raises(LookupError, match=f'"{config.bucket}" belongs to another account, or you lack'):
        data.ensure_bucket(session, config.bucket, tags=config.tags)
    type(calls)(session).refuse("GetBucketTagging", "NoSuchBucket")  # it was made between two calls
    with pytest.raises(LookupError, match=f'"{config.bucket}" belongs to another account. Choose another prefix'):
        data.ensure_bucket(session, config.bucket, tags=config.tags)
    assert tags_of(other, config.bucket) == {"k": "theirs"}


def in_europe(aws, key="test"):
    """A session in another region; a key of twelve digits is another account's."""
    made = embedded_session(aws.endpoint_url, "eu-west-1")
    made._session.set_credentials(key, "test")
    return made


def test_the_input_is_every_flight_by_month():
    files = data.monthly_files()
    assert list(files) == [f"file_{month:02d}.json" for month in range(1, 13)]
    assert sum(body.count(b"\n") for body in files.values()) == 336_776
    for month, body in enumerate(files.values(), 1):
        first = json.loads(body.split(b"\n", 1)[0])
        assert list(first) == data.COLUMNS
        assert (first["year"], first["month"]) == (2013, month)


def test_the_input_is_the_same_bytes_every_time():
    once, again = (hashlib.sha256(data.monthly_files()["file_02.json"]).hexdigest() for _ in range(2))
    assert once == again


def test_only_what_s3_does_not_have_is_sent(session, config):
    data.ensure_bucket(session, config.bucket, tags=config.tags)
    files = {f"file_{n:02d}.json": f"{n}\n".encode() for n in range(1, 4)}
    assert data.upload(session, config.bucket, "input", files) == list(files)
    assert data.upload(session, config.bucket, "input", files) == []
    files["file_02.json"] = b"changed\n"
    assert data.upload(session, config.bucket, "input", files) == ["file_02.json"]
    assert data.listing(session, config.bucket, "input") == [
        ("input/file_01.json", 2),
        ("input/file_02.json", 8),
        ("input/file_03.json", 2),
    ]


def test_every_airline_of_the_flights_has_a_name():
    assert set(data.flights()["carrier"]) <= set(data.airlines())
    assert data.airlines()["DL"] == "Delta Air Lines Inc."
