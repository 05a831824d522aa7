"""What EC2 is asked to filter by, it filters by, or refuses by name."""

from __future__ import annotations

from typing import Any

import pytest

from .functions import name, refusal


def found(aws: Any, call: str, **filters: str | list[str]) -> list[str]:
    """The ids of what a Describe call lists with filters, whose names have `_` for `-` and `__` for a dot."""
    kind = {"describe_subnets": "Subnet", "describe_vpcs": "Vpc", "describe_security_groups": "SecurityGroup"}[call]
    given = [
        {"Name": one.replace("__", ".").replace("_", "-"), "Values": [values] if isinstance(values, str) else values}
        for one, values in filters.items()
    ]
    answer = getattr(aws.client("ec2"), call)(Filters=given)
    return [one["GroupId" if kind == "SecurityGroup" else f"{kind}Id"] for one in answer[f"{kind}s"]]


def test_subnets_are_found_by_what_they_are(aws: Any) -> None:
    ec2 = aws.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    own = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24", AvailabilityZone="us-east-1b")["Subnet"]
    for filters in (
        {"map_public_ip_on_launch": "false"},
        {"availability_zone_id": own["AvailabilityZoneId"]},
        {"state": "available"},
        {"owner_id": own["OwnerId"]},
        {"subnet_arn": own["SubnetArn"]},
        {"available_ip_address_count": "251"},
        {"cidr_block": "10.9.*"},
        {"cidr_block": ["nothing", "10.9.?.0/24"]},
        {"defaultForAz": "false"},
    ):
        assert found(aws, "describe_subnets", vpc_id=vpc, **filters) == [own["SubnetId"]], filters
    for filters in (
        {"map_public_ip_on_launch": "true"},
        {"state": "pending"},
        {"owner_id": "123456789012"},
        {"cidr_block": "10.9.\\*"},
    ):
        assert found(aws, "describe_subnets", vpc_id=vpc, **filters) == [], filters


def test_vpcs_and_security_groups_are_found_by_what_they_are(aws: Any) -> None:
    ec2 = aws.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"]
    assert vpc not in found(aws, "describe_vpcs", dhcp_options_id="dopt-other")
    assert found(aws, "describe_vpcs", cidr="10.8.*") == [vpc]
    group = ec2.create_security_group(GroupName=name("group"), Description="own", VpcId=vpc)["GroupId"]
    rule = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "10.8.0.0/16"}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
    for filters in (
        {"description": "own"},
        {"group_id": group},
        {"ip_permission__cidr": "10.8.*"},
        {"ip_permission__from_port": "443"},
        {"ip_permission__protocol": "tcp"},
    ):
        assert found(aws, "describe_security_groups", vpc_id=vpc, **filters) == [group], filters
    assert found(aws, "describe_security_groups", vpc_id=vpc, egress__ip_permission__protocol="tcp") == []


def test_a_security_group_of_the_default_vpc_is_found_by_its_name(aws: Any) -> None:
    ec2 = aws.client("ec2")
    own = name("named")
    group = ec2.create_security_group(GroupName=own, Description="d")["GroupId"]
    (one,) = ec2.describe_security_groups(GroupNames=[own])["SecurityGroups"]
    assert one["GroupId"] == group
    code, message = refusal(ec2.describe_security_groups, GroupNames=["nosuch"])
    assert code == "InvalidGroup.NotFound"
    assert "'nosuch' does not exist in default VPC" in message


@pytest.mark.parametrize("call", ["describe_vpcs", "describe_subnets", "describe_security_groups"])
def test_a_filter_that_is_none_is_refused(aws: Any, call: str) -> None:
    refused = refusal(getattr(aws.client("ec2"), call), Filters=[{"Name": "colour", "Values": ["red"]}])
    assert refused == ("InvalidParameterValue", "The filter 'colour' is invalid")


def test_a_filter_that_is_not_here_is_refused_by_its_name(aws: Any) -> None:
    code, message = refusal(aws.client("ec2").describe_subnets, Filters=[{"Name": "ipv6-native", "Values": ["true"]}])
    assert code == "InvalidParameterValue"
    assert "does not have the filter 'ipv6-native'" in message
