"""EC2's default VPC."""

from __future__ import annotations

from local_aws.ministack.ports.scope import scope


def subnet_exists(subnet_id: str, account: str, region: str) -> bool:
    """Whether EC2 has this subnet."""
    from ministack.services import ec2

    with scope(account, region):
        ec2._ensure_defaults_initialized()
        return subnet_id in ec2._subnets


def security_group_exists(group_id: str, account: str, region: str) -> bool:
    """Whether EC2 has this security group."""
    from ministack.services import ec2

    with scope(account, region):
        ec2._ensure_defaults_initialized()
        return group_id in ec2._security_groups
