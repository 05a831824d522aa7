"""target="aws" where the embedded AWS behaves like AWS on a bad day: it works, or says one clear sentence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import run_inline
from botocore.exceptions import ClientError
from deployment import Deployment
from fault_proxy import FaultInjectionProxy
from faults import Denied, InPartition, OneItemAPage, RegionNotEnabled, RolesTake, SlowStates, Throttled

import local_aws
from utils import batch, cleanup
from utils.config import Config, ConfigError, load_config
from utils.session import connect

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("as-on-aws")
    yield local_aws.start(port=0, home=home).endpoint_url
    local_aws.stop(home)


def one_sentence(error: BaseException) -> str:
    text = str(error)
    assert "\n" not in text
    assert len(text) < 400, text
    assert "Traceback" not in text
    return text


@pytest.mark.thorough
def test_a_bad_day(endpoint: str, quick_retries: None) -> None:
    """Roles that take a while, throttling, pages of one item, slow states: all at once, from first role to last."""
    faults = [RolesTake(2.0), Throttled(11), OneItemAPage(), SlowStates(2)]
    with FaultInjectionProxy(endpoint, faults) as proxy, run_inline.aws(proxy.endpoint_url):
        config = load_config(target="aws", prefix="sagemaker-badday")
        assert (config.account, config.region) == (run_inline.ACCOUNT, "eu-central-1")
        kit = Deployment(connect(target="aws", region=config.region), config).deploy()
        assert kit.run()["PipelineExecutionStatus"] == "Succeeded"
        assert len(cleanup.tagged(kit.session, config)) > 5
        assert len(cleanup.delete_all(kit.session, config)) > 20
        assert cleanup.leftovers(kit.session, config) == []
    assert faults[0].refused, "no role was too young"
    assert sum(faults[2].pages.values()) > 5, "nothing was paged"
    assert len([call for call in proxy.calls if call.message == "Rate exceeded"]) > 20, "little was throttled"


def test_no_default_vpc(endpoint: str) -> None:
    region = "eu-west-3"
    with run_inline.aws(endpoint, region=region):
        ec2 = boto3.client("ec2")
        (vpc,) = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
        for subnet in ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])["Subnets"]:
            ec2.delete_subnet(SubnetId=subnet["SubnetId"])
        for gateway in ec2.describe_internet_gateways()["InternetGateways"]:
            ec2.detach_internet_gateway(InternetGatewayId=gateway["InternetGatewayId"], VpcId=vpc["VpcId"])
        ec2.delete_vpc(VpcId=vpc["VpcId"])
        kit = Deployment(connect("aws"), load_config("aws", "sagemaker-novpc"))
        kit.notebook_01()
        with pytest.raises(batch.BatchError) as error:
            kit.notebook_02()
    assert "no default VPC" in one_sentence(error.value)
    assert "create-default-vpc" in str(error.value)
    assert region in str(error.value)


def test_a_region_not_opted_into(endpoint: str) -> None:
    faults = [RegionNotEnabled("ap-east-1")]
    with FaultInjectionProxy(endpoint, faults) as proxy, run_inline.aws(proxy.endpoint_url, region="ap-east-1"):
        for begin in (lambda: load_config("aws"), lambda: connect("aws")):
            with pytest.raises(ConfigError) as error:
                begin()
            assert "does not accept your credentials" in one_sentence(error.value)


@pytest.mark.thorough
def test_a_studio_role_without_permissions(endpoint: str) -> None:
    """The refusal reaches the reader at once, with the action in it: it is not retried, and not taken for something.

    Once the action is allowed, the same notebook goes on where it was refused.
    """
    refused = {
        "notebook_01": ("iam:CreateRole", "iam:PutRolePolicy"),
        "notebook_02": ("ec2:DescribeVpcs", "batch:CreateComputeEnvironment"),
        "notebook_03": ("lambda:CreateFunction",),
        "notebook_04": ("sqs:CreateQueue", "lambda:CreateEventSourceMapping"),
        "notebook_05": ("sagemaker:CreatePipeline",),
    }
    with FaultInjectionProxy(endpoint) as proxy, run_inline.aws(proxy.endpoint_url):
        kit = Deployment(connect("aws"), load_config("aws", "sagemaker-studio-role"))
        for notebook, actions in refused.items():
            for action in actions:
                proxy.faults, before = [Denied((action,))], len(proxy.calls)
                with pytest.raises(ClientError) as error:
                    getattr(kit, notebook)()
                assert action in one_sentence(error.value)
                assert [call.action for call in proxy.calls[before:] if "not authorized" in call.message] == [action]
            proxy.faults = []
            getattr(kit, notebook)()
        cleanup.delete_all(kit.session, kit.config)
        assert cleanup.leftovers(kit.session, kit.config) == []


@pytest.mark.parametrize(
    ("region", "partition"), [("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov"), ("eu-central-1", "aws")]
)
def test_every_arn_is_of_the_regions_partition(region: str, partition: str) -> None:
    config = Config("aws", "sagemaker-part", region, run_inline.ACCOUNT)
    assert config.partition == partition
    assert config.arn("batch", "job-queue/x") == f"arn:{partition}:batch:{region}:{run_inline.ACCOUNT}:job-queue/x"
    assert config.arn("iam", "role/x") == f"arn:{partition}:iam::{run_inline.ACCOUNT}:role/x"


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("region", "partition", "role_layout"),
    [("cn-north-1", "aws-cn", "separate"), ("us-gov-west-1", "aws-us-gov", "shared")],
)
def test_from_the_first_role_to_the_last_in_another_partition(
    endpoint: str, region: str, partition: str, role_layout: str
) -> None:
    fault = InPartition(partition, region)
    with FaultInjectionProxy(endpoint, [fault]) as proxy, run_inline.aws(proxy.endpoint_url, region=region):
        config = load_config("aws", "sagemaker-elsewhere", role_layout=role_layout)
        assert (config.account, config.region, config.partition) == (run_inline.ACCOUNT, region, partition)
        first, *_ = run_inline.NOTEBOOKS
        seen = run_inline.run(first, target="aws", prefix=config.prefix, role_layout=role_layout)
        assert {arn.split(":")[1] for arn in seen["arns"].values()} == {partition}
        kit = Deployment(connect("aws"), config).deploy()
        assert kit.run()["PipelineExecutionStatus"] == "Succeeded"
        assert len(cleanup.delete_all(kit.session, config)) > 15
        assert cleanup.leftovers(kit.session, config) == []
    assert fault.wrong == []


def test_no_partition_is_written_out() -> None:
    """The kit's own code never says "arn:aws:", which is wrong in China and GovCloud."""
    root = Path(__file__).parents[2]
    sources: list[Any] = [
        *root.glob("utils/**/*.py"),
        *root.glob("utils/policies/*.json"),
        *root.glob("lambda_code/**/*.py"),
    ]
    left = {
        f"{path.relative_to(root)}: {line.strip()}"
        for path in sources
        for line in path.read_text().splitlines()
        if "arn:aws:" in line and not line.lstrip().startswith("#")
    }
    assert left == set()


def test_the_kit_refuses_to_call_the_embedded_aws_aws(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(ConfigError, match="AWS_ENDPOINT_URL"):
        connect("aws", region="eu-central-1")
