"""The default network of a region, as far as Fargate can use it."""

from __future__ import annotations

import re
from typing import Any

import boto3

from ..support.paging import paginate
from .errors import BatchError

# Of a compute environment on Fargate.
# https://docs.aws.amazon.com/batch/latest/APIReference/API_ComputeResource.html
MOST_SUBNETS = 16
# Availability zones that AWS's list for Fargate leaves out, of Tokyo, Beijing and N. California. These are the zones'
# ids, which are the same for every account, unlike their names.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/AWS_Fargate-Regions.html
ZONES_WITHOUT_FARGATE = {"apne1-az3", "cnn1-az3", "usw1-az2"}


def default_network(session: boto3.Session) -> tuple[list[str], list[str]]:
    """Subnets for Fargate, at most 16, and security groups of the region's default VPC.

    The default subnets are taken, which are public. Without any, all subnets of the VPC are.

    Returns:
        (subnet ids, security group ids)

    Raises:
        BatchError: the region has no default VPC, or Fargate runs in none of its subnets.

    https://docs.aws.amazon.com/vpc/latest/userguide/default-vpc.html
    """
    ec2 = session.client("ec2")
    vpcs = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    if not vpcs:
        raise BatchError(
            f"The region {session.region_name} has no default VPC. Make one with `aws ec2 create-default-vpc`, or pass "
            "your own subnets and security groups to ensure_compute_environment."
        )
    of_vpc = {"Name": "vpc-id", "Values": [vpcs[0]["VpcId"]]}
    subnets = [subnet for page in paginate(ec2, "describe_subnets", Filters=[of_vpc]) for subnet in page["Subnets"]]
    subnets = [subnet for subnet in subnets if subnet.get("DefaultForAz")] or subnets
    usable = sorted(subnet["SubnetId"] for subnet in subnets if _has_fargate(session.region_name, subnet))
    if not usable:
        zones = ", ".join(sorted({subnet["AvailabilityZone"] for subnet in subnets})) or "it has none"
        raise BatchError(
            f"Fargate runs in no subnet of the default VPC {vpcs[0]['VpcId']} ({zones}). Add one in another zone with "
            "`aws ec2 create-default-subnet`, or pass your own subnets to ensure_compute_environment."
        )
    default = {"Name": "group-name", "Values": ["default"]}
    groups = ec2.describe_security_groups(Filters=[of_vpc, default])["SecurityGroups"]
    return usable[:MOST_SUBNETS], [group["GroupId"] for group in groups]


def _has_fargate(region: str, subnet: dict[str, Any]) -> bool:
    """Whether Fargate runs where a subnet is: in no Local Zone, Wavelength Zone or Outpost, and not in all zones.

    An availability zone is named after its region and a letter, us-west-2a. A Local Zone is us-west-2-lax-1a.
    https://docs.aws.amazon.com/batch/latest/APIReference/API_ComputeResource.html
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/using-regions-availability-zones.html
    """
    in_a_zone = re.fullmatch(re.escape(region) + "[a-z]", subnet["AvailabilityZone"])
    return (
        bool(in_a_zone) and not subnet.get("OutpostArn") and subnet["AvailabilityZoneId"] not in ZONES_WITHOUT_FARGATE
    )
