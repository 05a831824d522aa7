"""target="aws" on an AWS that does all it was recorded to do, and one clear sentence where that stops a person."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest
import run_inline
from fault_proxy import FaultInjectionProxy
from faults import OneItemAPage, RolesTake, SlowStates, Throttled
from recorded import (
    FailedJobsHaveNoLog,
    FirstAnswerIsLost,
    FunctionsBehindProxy,
    ImageOfARegistry,
    RegisterRemembers,
    ShortListings,
    SimulatorRefusesCalls,
    black_hole,
    busy_registry,
)

import local_aws
from utils import batch, cleanup, preflight
from utils.config import load_config
from utils.session import connect, embedded_session

pytestmark = pytest.mark.slow

REGION = "ap-northeast-1"  # in one of its zones is no Fargate
IMAGE = "registry.test/copies:1"
REFUSED_PULLS = (1, 6)
*BUILD, CLEANUP = run_inline.NOTEBOOKS


class Account(NamedTuple):
    """An embedded AWS with one administrator.

    Attributes:
        root: a session of the account's root.
        pulls: a file with a line for each image that was pulled.
    """

    endpoint: str
    root: boto3.Session
    key: str
    secret: str
    pulls: Path


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    home, docker = tmp_path_factory.mktemp("recorded"), tmp_path_factory.mktemp("docker")
    pulls = busy_registry(docker, IMAGE, str(Path(sys.executable).parent / "aws"), REFUSED_PULLS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{docker}{os.pathsep}{os.environ['PATH']}")
        endpoint = local_aws.start(port=0, home=home).endpoint_url
    root = embedded_session(endpoint, REGION)
    root._session.set_credentials(run_inline.ACCOUNT, "any")
    users = root.client("iam")
    users.create_user(UserName="administrator")
    everything = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
    users.put_user_policy(UserName="administrator", PolicyName="all", PolicyDocument=json.dumps(everything))
    made = users.create_access_key(UserName="administrator")["AccessKey"]
    yield Account(endpoint, root, made["AccessKeyId"], made["SecretAccessKey"], pulls)
    local_aws.stop(home)


def play(notebook: Path) -> dict[str, Any]:
    return run_inline.run(notebook, target="aws", prefix="sagemaker-recorded", region=REGION)


def begin() -> None:
    """What notebook 01 does before it makes anything."""
    config = load_config(target="aws", prefix="sagemaker-recorded", region=REGION)
    preflight.require(preflight.check(connect("aws", region=REGION), config))


def unusable_subnets(root: boto3.Session) -> set[str]:
    """A private subnet, made here, and the default subnet of the zone without Fargate."""
    ec2 = root.client("ec2")
    (vpc,) = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    made = ec2.create_subnet(VpcId=vpc["VpcId"], CidrBlock="172.31.240.0/24", AvailabilityZone=f"{REGION}a")
    zone = [{"Name": "availability-zone-id", "Values": ["apne1-az3"]}]
    (outside,) = ec2.describe_subnets(Filters=zone)["Subnets"]
    assert outside["DefaultForAz"]
    return {made["Subnet"]["SubnetId"], outside["SubnetId"]}


@pytest.mark.thorough
def test_the_notebooks_their_second_run_and_the_cleanup(account: Account, quick_retries: None) -> None:
    unusable = unusable_subnets(account.root)
    roles, pages, simulator, listings = RolesTake(1.0), OneItemAPage(), SimulatorRefusesCalls(), ShortListings()
    logs, answer, register = FailedJobsHaveNoLog(), FirstAnswerIsLost(), RegisterRemembers()
    faults = [roles, Throttled(11), simulator, logs, listings, register, pages, SlowStates(2)]
    with (
        FaultInjectionProxy(account.endpoint, faults, {account.key: account.secret}) as proxy,
        run_inline.aws(proxy.endpoint_url, account.key, account.secret, REGION),
    ):
        proxy.faults += [FunctionsBehindProxy(proxy), ImageOfARegistry(batch.AWS_CLI_IMAGE, IMAGE)]
        for notebook in BUILD:
            if notebook.name.startswith("05"):
                proxy.faults.remove(roles)  # by now they are minutes old, on AWS
                proxy.faults.append(answer)  # the monitor by hand in 04 is not meant to stand it
            play(notebook)
        first = proxy.calls[:]
        for notebook in BUILD:
            play(notebook)
        second = proxy.calls[len(first) :]
        config = load_config(target="aws", prefix="sagemaker-recorded", region=REGION)
        session = connect("aws", region=REGION)
        assert cleanup.only_tagged(session, config) == []
        assert play(CLEANUP)["left"] == []
        assert len(play(CLEANUP)["listed"]) > 5, "the register has forgotten"
        assert cleanup.leftovers(session, config) == []

    def made(calls: list[Any], action: str) -> list[dict[str, Any]]:
        return [call.params for call in calls if call.action == action and not call.error]

    assert len(made(first, "batch:RegisterJobDefinition")) == 2
    assert made(second, "batch:RegisterJobDefinition") == [], "a definition is taken for another one"
    (environment,) = made(first, "batch:CreateComputeEnvironment")
    taken = set(environment["computeResources"]["subnets"])
    assert len(taken) == 2
    assert not taken & unusable
    assert len(account.pulls.read_text().splitlines()) > max(REFUSED_PULLS), "no start has failed"
    for fault in (roles, simulator, logs, answer):
        assert fault.refused, f"{fault} has refused nothing"
    assert listings.shortened
    assert sum(pages.pages.values()) > 5, "nothing was paged"


@pytest.mark.thorough
def test_iam_out_of_reach(account: Account) -> None:
    """As from a VPC without a way to the internet; the kit stops before anything is built, and soon."""
    with black_hole() as hole, run_inline.aws(account.endpoint, account.key, account.secret, REGION, {"iam": hole}):
        begun = time.monotonic()
        with pytest.raises(preflight.NotReady, match="IAM is out of reach") as error:
            begin()
    assert "\n" not in str(error.value)
    assert time.monotonic() - begun < 120


def test_a_security_group_without_egress(account: Account) -> None:
    ec2 = account.root.client("ec2")
    (vpc,) = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    mine = [{"Name": "vpc-id", "Values": [vpc["VpcId"]]}, {"Name": "group-name", "Values": ["default"]}]
    (group,) = ec2.describe_security_groups(Filters=mine)["SecurityGroups"]
    ec2.revoke_security_group_egress(GroupId=group["GroupId"], IpPermissions=group["IpPermissionsEgress"])
    with run_inline.aws(account.endpoint, account.key, account.secret, REGION):
        with pytest.raises(preflight.NotReady, match=f"security group {group['GroupId']} lets no HTTPS out") as error:
            begin()
        ec2.authorize_security_group_egress(GroupId=group["GroupId"], IpPermissions=group["IpPermissionsEgress"])
        begin()
    assert "authorize-security-group-egress" in str(error.value)
