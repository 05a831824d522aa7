"""The preflight tells all that is missing at once, and touches nothing."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterator
from typing import Any

import boto3
import player
import pytest
from rehearsal import Rehearsal

import local_aws
from utils import iam, preflight
from utils.config import Config
from utils.session import embedded_session

CONFIG = Config("aws", "sagemaker-preflight", "eu-central-1", player.ACCOUNT)
SIMULATE = {"Effect": "Allow", "Action": ["iam:SimulatePrincipalPolicy", "iam:GetRole"], "Resource": "*"}
OPERATOR = iam.render("operator.json", CONFIG)["Statement"]
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("preflight")
    yield local_aws.start(port=0, home=home).endpoint_url
    local_aws.stop(home)


def as_user(endpoint: str, *statements: dict[str, Any]) -> boto3.Session:
    """A session of a new IAM user with these statements."""
    root = embedded_session(endpoint, CONFIG.region)
    root._session.set_credentials(player.ACCOUNT, "any")
    users, name = root.client("iam"), f"user-{next(_numbers)}"
    users.create_user(UserName=name)
    document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    users.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)
    key = users.create_access_key(UserName=name)["AccessKey"]
    session = embedded_session(endpoint, CONFIG.region)
    session._session.set_credentials(key["AccessKeyId"], key["SecretAccessKey"])
    return session


def missing(found: Any) -> dict[str, str]:
    return {row.need: row.then for row in found.itertuples() if row.ok is False}


def test_root_needs_nothing_and_nothing_is_touched(endpoint: str) -> None:
    with Rehearsal(endpoint) as stage:
        found = preflight.check(
            embedded_session(stage.endpoint_url), Config("local", "sagemaker-x", "us-east-1", "0" * 12)
        )
    assert missing(found) == {}
    preflight.require(found)
    assert stage.writes == []


def test_the_operators_policy_passes(endpoint: str) -> None:
    found = preflight.check(as_user(endpoint, *OPERATOR, SIMULATE), CONFIG)
    assert missing(found) == {}
    judged = [row.need for row in found.itertuples() if row.ok is True]
    assert len(judged) > len(OPERATOR) - 3
    preflight.require(found)


@pytest.mark.parametrize("number", range(len(OPERATOR)), ids=[statement["Sid"] for statement in OPERATOR])
def test_every_action_that_is_missing_is_named(endpoint: str, number: int) -> None:
    statement = OPERATOR[number]
    if "Condition" in statement:
        found = preflight.check(as_user(endpoint, *OPERATOR, SIMULATE), CONFIG)
        assert found["ok"][number] is None
        return
    less = copy.deepcopy(OPERATOR)
    del less[number]
    actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
    found = preflight.check(as_user(endpoint, *less, SIMULATE), CONFIG)
    told = " ".join(missing(found).values())
    # iam:GetRole is what the preflight itself is allowed here.
    assert [action for action in actions if action not in told and action != "iam:GetRole"] == []
    with pytest.raises(preflight.NotReady):
        preflight.require(found)


def test_nothing_at_all_is_told_in_one_go(endpoint: str) -> None:
    found = preflight.check(as_user(endpoint, SIMULATE), CONFIG)
    assert len(missing(found)) >= len(OPERATOR) - 3
    with pytest.raises(preflight.NotReady) as error:
        preflight.require(found)
    assert "sagemaker:CreatePipeline" in str(error.value)
    assert "batch:CreateJobQueue" in str(error.value)


def test_who_may_not_ask_is_told_so(endpoint: str) -> None:
    found = preflight.check(as_user(endpoint, *OPERATOR), CONFIG)
    (row,) = (row for row in found.itertuples() if row.need == "permissions")
    assert row.ok is None
    assert "iam:SimulatePrincipalPolicy" in row.then
    preflight.require(found)


def test_a_region_without_a_default_vpc_is_told(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config("local", "sagemaker-x", "eu-west-2", "0" * 12)
    session = embedded_session(endpoint, "eu-west-2")
    ec2 = session.client("ec2")
    (vpc,) = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    for subnet in ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    for gateway in ec2.describe_internet_gateways()["InternetGateways"]:
        ec2.detach_internet_gateway(InternetGatewayId=gateway["InternetGatewayId"], VpcId=vpc["VpcId"])
    ec2.delete_vpc(VpcId=vpc["VpcId"])
    found = preflight.check(session, config)
    assert "create-default-vpc" in missing(found)["a default VPC"]
    monkeypatch.setattr(preflight, "MOST_QUEUES", 0)
    assert set(missing(preflight.check(session, config))) == {
        "a default VPC",
        "room for one more queue and compute environment",
    }
