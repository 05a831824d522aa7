"""The preflight tells all that is missing at once, and touches nothing."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator
from typing import Any

import boto3
import player
import pytest
from rehearsal import Rehearsal

import local_aws
from utils import iam, kit, preflight
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
    found = preflight.check(as_user(endpoint, *OPERATOR), CONFIG)
    assert missing(found) == {}
    assert found["ok"].tolist() == [True] * len(found)
    preflight.require(found)


@pytest.mark.parametrize("number", range(len(OPERATOR)), ids=[statement["Sid"] for statement in OPERATOR])
def test_every_action_that_is_missing_is_named(endpoint: str, number: int) -> None:
    statement = OPERATOR[number]
    less = OPERATOR[:number] + OPERATOR[number + 1 :]
    actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
    found = preflight.check(as_user(endpoint, *less, SIMULATE), CONFIG)
    told = " ".join(missing(found).values())
    if statement["Sid"] == preflight.FIRST_TIME:
        assert told == ""
        assert found["ok"][number] is None
        assert actions[0] in found["then"][number]
        preflight.require(found)
        return
    # What the preflight itself is allowed here.
    assert [action for action in actions if action not in told and action not in SIMULATE["Action"]] == []
    if told:
        with pytest.raises(preflight.NotReady):
            preflight.require(found)
    else:
        assert statement["Sid"] == "AskWhatYouMay"


def without(action: str, resource: str, *, only: bool = False) -> list[dict[str, Any]]:
    """The operator's statements, but the action is denied on a resource, or on all others if `only` is true."""
    return [*OPERATOR, {"Effect": "Deny", "Action": action, ("NotResource" if only else "Resource"): resource}]


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("batch:SubmitJob", CONFIG.arn("batch", "job-definition/*")),
        ("batch:TagResource", CONFIG.arn("batch", "compute-environment/*")),
        ("sqs:CreateQueue", CONFIG.arn("sqs", "*")),
        ("logs:CreateLogGroup", CONFIG.arn("logs", "log-group:/aws/lambda/*")),
        ("logs:CreateLogGroup", CONFIG.arn("logs", f"log-group:{CONFIG.job_log_group}*")),
    ],
)
def test_what_is_refused_on_one_of_several_resources_is_missing(endpoint: str, action: str, resource: str) -> None:
    found = preflight.check(as_user(endpoint, *without(action, resource), SIMULATE), CONFIG)
    assert [then for then in missing(found).values() if action in then]


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("batch:CreateJobQueue", CONFIG.arn("batch", "job-queue/*")),
        ("batch:TerminateJob", CONFIG.arn("batch", "job/*")),
        ("logs:PutRetentionPolicy", CONFIG.arn("logs", "log-group:*:*")),  # as AWS's own policies have it
    ],
)
def test_what_is_allowed_where_it_makes_sense_is_not_missing(endpoint: str, action: str, resource: str) -> None:
    found = preflight.check(as_user(endpoint, *without(action, resource, only=True), SIMULATE), CONFIG)
    assert missing(found) == {}


@pytest.mark.parametrize("service", ["ecs-tasks.amazonaws.com", "lambda.amazonaws.com", "sagemaker.amazonaws.com"])
def test_roles_must_be_handed_to_each_service(endpoint: str, service: str) -> None:
    refused = {
        "Effect": "Deny", "Action": "iam:PassRole", "Resource": "*",
        "Condition": {"StringEquals": {"iam:PassedToService": service}},
    }  # fmt: skip
    found = preflight.check(as_user(endpoint, *OPERATOR, refused, SIMULATE), CONFIG)
    assert missing(found) == {"permission to hand the roles to the services": "ask for iam:PassRole"}


@pytest.mark.parametrize("action", ["iam:AttachRolePolicy", "iam:DetachRolePolicy"])
def test_the_shared_role_needs_its_managed_policies_attached(endpoint: str, action: str) -> None:
    shared = dataclasses.replace(CONFIG, role_layout="shared")
    whole = preflight.statements(shared)
    assert missing(preflight.check(as_user(endpoint, *whole), shared)) == {}
    need = "permission to attach managed policies to the shared role"
    found = preflight.check(as_user(endpoint, *OPERATOR), shared)
    assert missing(found) == {need: "ask for iam:AttachRolePolicy, iam:DetachRolePolicy"}
    # One of the six will not do.
    first = {"ArnNotEquals": {"iam:PolicyARN": f"arn:aws:iam::aws:policy/{iam.SHARED_MANAGED_POLICIES[0]}"}}
    refused = {"Effect": "Deny", "Action": action, "Resource": "*", "Condition": first}
    assert missing(preflight.check(as_user(endpoint, *whole, refused), shared)) == {need: f"ask for {action}"}
    with pytest.raises(preflight.NotReady):
        preflight.require(found)


def test_a_kit_is_not_half_built(endpoint: str) -> None:
    lacking = without("events:PutRule", "*")  # the last thing that deploy does
    credentials = as_user(endpoint, *lacking).get_credentials()
    with Rehearsal(endpoint) as stage:
        session = embedded_session(stage.endpoint_url, CONFIG.region)
        session._session.set_credentials(credentials.access_key, credentials.secret_key)
        with pytest.raises(preflight.NotReady, match="events:PutRule"):
            kit.deploy(session, CONFIG, program="print(1)", push=True)
        assert stage.writes == []


def test_nothing_at_all_is_told_in_one_go(endpoint: str) -> None:
    found = preflight.check(as_user(endpoint, SIMULATE), CONFIG)
    assert len(missing(found)) >= len(OPERATOR) - 2
    with pytest.raises(preflight.NotReady) as error:
        preflight.require(found)
    assert "sagemaker:CreatePipeline" in str(error.value)
    assert "batch:CreateJobQueue" in str(error.value)


def test_who_may_not_ask_is_told_so(endpoint: str) -> None:
    silent = [statement for statement in OPERATOR if "iam:SimulatePrincipalPolicy" not in statement["Action"]]
    found = preflight.check(as_user(endpoint, *silent), CONFIG)
    permissions = [row for row in found.itertuples() if row.need.startswith("permission to")]
    assert len(permissions) == len(OPERATOR)
    assert {row.ok for row in permissions} == {None}
    assert all("iam:SimulatePrincipalPolicy" in row.then for row in permissions)
    preflight.require(found)


def test_an_account_full_of_roles_is_told(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    session = embedded_session(endpoint, CONFIG.region)
    client = session.client("iam")
    full = client.get_account_summary()["SummaryMap"] | {"Roles": 999}
    monkeypatch.setattr(type(client), "get_account_summary", lambda _: {"SummaryMap": full})
    monkeypatch.setattr(session, "client", lambda _, real=session.client: client if _ == "iam" else real(_))
    config = Config("local", "sagemaker-full", CONFIG.region, "0" * 12)
    assert missing(preflight.check(session, config)) == {
        "room for 6 more roles": "999 of 1000 roles are taken: delete some"
    }
    iam.ensure_roles(session, config)
    assert missing(preflight.check(session, config)) == {}, "these six are counted already"


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


def test_names_that_somebody_else_has_taken_are_told(endpoint: str) -> None:
    config = Config("aws", "sagemaker-taken", CONFIG.region, player.ACCOUNT)
    root = embedded_session(endpoint, config.region)
    root._session.set_credentials(player.ACCOUNT, "any")
    assert missing(preflight.check(root, config)) == {}
    root.client("s3").create_bucket(
        Bucket=config.bucket, CreateBucketConfiguration={"LocationConstraint": config.region}
    )
    root.client("s3").put_object(Bucket=config.bucket, Key="thesis.txt", Body=b"x")
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    root.client("iam").create_role(RoleName=config.pipeline_role, AssumeRolePolicyDocument=document)
    told = missing(preflight.check(root, config))
    assert set(told) == {"the roles' names", f"the bucket's name, {config.bucket}"}
    assert config.pipeline_role in told["the roles' names"]
