import dataclasses
import re

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.config import MAX_PREFIX, Config, ConfigError, load_config


def regions() -> list[str]:
    session = boto3.Session()
    return sorted(
        {
            region
            for partition in session.get_available_partitions()
            for region in session.get_available_regions("sts", partition)
            if "global" not in region and "fips" not in region
        }
    )


def config(**changes) -> Config:
    return dataclasses.replace(Config("local", "sagemaker-batch", "us-east-1", "000000000000"), **changes)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    for name in ("TARGET", "PREFIX", "REGION", "ROLE_LAYOUT", "IMAGE"):
        monkeypatch.delenv(f"SAGEMAKER_BATCH_{name}", raising=False)


def test_without_parameters_it_is_the_local_target():
    assert load_config() == Config("local", "sagemaker-batch", "us-east-1", "000000000000", "separate")


def test_a_parameter_wins_over_the_environment(monkeypatch):
    monkeypatch.setenv("SAGEMAKER_BATCH_PREFIX", "sagemaker-of-the-environment")
    monkeypatch.setenv("SAGEMAKER_BATCH_REGION", "eu-west-1")
    monkeypatch.setenv("SAGEMAKER_BATCH_ROLE_LAYOUT", "shared")
    monkeypatch.setenv("SAGEMAKER_BATCH_IMAGE", "my-image")
    config_made = load_config(prefix="sagemaker-mine")
    assert (config_made.prefix, config_made.region, config_made.role_layout) == (
        "sagemaker-mine",
        "eu-west-1",
        "shared",
    )
    assert config_made.image == "my-image"
    assert load_config(image="another").image == "another"


def test_the_local_target_ignores_the_machines_own_region(monkeypatch):
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert load_config().region == "us-east-1"


LIMITS = {
    r"bucket": (63, r"[a-z0-9][a-z0-9-]*[a-z0-9]"),
    r".*_role": (64, r"[\w+=,.@-]+"),
    r"compute_environment|job_queue|.*_job_definition": (128, r"[A-Za-z0-9][A-Za-z0-9_-]*"),
    r".*_function": (64, r"[A-Za-z0-9-_]+"),
    r".*_queue": (80, r"[A-Za-z0-9_-]+"),
    r"pipeline": (256, r"[a-zA-Z0-9](-*[a-zA-Z0-9])*"),
    r"job_log_group": (512, r"[.\-_/#A-Za-z0-9]+"),
}


@given(
    prefix=st.from_regex(r"[a-z][a-z0-9]{0,9}(-[a-z0-9]{1,12})?", fullmatch=True).map(lambda s: f"{s}sagemaker"),
    region=st.sampled_from(regions()),
    layout=st.sampled_from(["separate", "shared"]),
)
def test_every_name_is_one_aws_takes_in_every_region(prefix, region, layout):
    config_made = Config("aws", prefix, region, "123456789012", layout)
    seen = set()
    for pattern, (length, characters) in LIMITS.items():
        for name in (n for n in dir(Config) if re.fullmatch(pattern, n) and not n.startswith("_")):
            value = getattr(config_made, name)
            assert len(value) <= length and re.fullmatch(characters, value), name
            assert "sagemaker" in value
            seen.add(name)
    assert len(seen) >= 17


def test_two_regions_and_two_prefixes_share_no_global_name():
    global_names = ("bucket", "pipeline_role", "batch_execution_role")
    deployments = [config(), config(region="eu-west-1"), config(prefix="sagemaker-other")]
    for name in global_names:
        assert len({getattr(each, name) for each in deployments}) == 3


def test_the_shared_layout_is_one_role():
    names = [name for name in dir(Config) if name.endswith("_role") and not name.startswith("_")]
    names.remove("instance_role")  # EC2 instances have their own in either layout
    assert len({getattr(config(role_layout="shared"), name) for name in names}) == 1
    assert len({getattr(config(), name) for name in names}) == len(names)


def test_arns_name_partition_and_leave_iam_without_region():
    assert config().arn("sqs", "q") == "arn:aws:sqs:us-east-1:000000000000:q"
    assert config(region="cn-north-1").arn("iam", "role/r") == "arn:aws-cn:iam::000000000000:role/r"
    assert config(region="us-gov-west-1").arn("batch", "job-queue/q").startswith("arn:aws-us-gov:batch:us-gov-west-1:")


def test_the_partition_is_botocores():
    session = boto3.Session()
    assert {region: config(region=region).partition for region in regions()} == {
        region: session.get_partition_for_region(region) for region in regions()
    }


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"target": "cloud"}, 'target is "cloud". It must be "local" or "aws".'),
        ({"role_layout": "one"}, 'role_layout is "one". It must be "separate" or "shared".'),
        ({"prefix": "batch"}, 'prefix is "batch". It must contain "sagemaker"'),
        ({"prefix": "Sagemaker"}, "lower-case letters"),
        ({"prefix": "sagemaker--x"}, "single hyphens"),
        ({"prefix": "sagemaker-"}, "single hyphens"),
        ({"prefix": "sagemaker" * 4}, f"at most {MAX_PREFIX} characters"),
        ({"region": "Virginia"}, 'region is "Virginia"'),
        ({"account": "12"}, 'account is "12"'),
    ],
)
def test_what_cannot_work_is_refused_in_one_sentence(changes, sentence):
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        config(**changes)
