"""EC2 finds what a filter says. MiniStack ignores the filters that it does not know, and wildcards.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSubnets.html
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeVpcs.html
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSecurityGroups.html
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from typing import Any

Record = dict[str, Any]
Values = Callable[[Record], list[str]]


def _of(member: str) -> Values:
    """The value of a record's member, as a filter writes it."""

    def values(record: Record) -> list[str]:
        value = record.get(member, "")
        return [str(value).lower() if isinstance(value, bool) else str(value)]

    return values


def _of_subnet(record: Record) -> list[str]:
    from ministack.core.responses import get_account_id, get_region

    return [f"arn:aws:ec2:{get_region()}:{get_account_id()}:subnet/{record['SubnetId']}"]


def _of_rules(rules: str, group: str, member: str) -> Values:
    """The values of a member of a security group's rules, or of what is in a list of each rule."""

    def values(record: Record) -> list[str]:
        given = record.get(rules, [])
        items = [item for rule in given for item in rule.get(group, [])] if group else given
        return [str(item[member]) for item in items if isinstance(item, dict) and item.get(member) is not None]

    return values


_RULES = {
    "cidr": ("IpRanges", "CidrIp"),
    "from-port": ("", "FromPort"),
    "group-id": ("UserIdGroupPairs", "GroupId"),
    "ipv6-cidr": ("Ipv6Ranges", "CidrIpv6"),
    "prefix-list-id": ("PrefixListIds", "PrefixListId"),
    "protocol": ("", "IpProtocol"),
    "to-port": ("", "ToPort"),
    "user-id": ("UserIdGroupPairs", "UserId"),
}

# What a filter of each operation looks at. A tag's filters are not here: MiniStack has them.
FILTERS: dict[str, dict[str, Values]] = {
    "DescribeSubnets": {
        **dict.fromkeys(("availability-zone", "availabilityZone"), _of("AvailabilityZone")),
        **dict.fromkeys(("availability-zone-id", "availabilityZoneId"), _of("AvailabilityZoneId")),
        "available-ip-address-count": _of("AvailableIpAddressCount"),
        **dict.fromkeys(("cidr-block", "cidr", "cidrBlock"), _of("CidrBlock")),
        **dict.fromkeys(("default-for-az", "defaultForAz"), _of("DefaultForAz")),
        "map-public-ip-on-launch": _of("MapPublicIpOnLaunch"),
        "owner-id": _of("OwnerId"),
        "state": _of("State"),
        "subnet-arn": _of_subnet,
        "subnet-id": _of("SubnetId"),
        "vpc-id": _of("VpcId"),
    },
    "DescribeVpcs": {
        **dict.fromkeys(("cidr", "cidr-block-association.cidr-block"), _of("CidrBlock")),
        "dhcp-options-id": _of("DhcpOptionsId"),
        **dict.fromkeys(("is-default", "isDefault"), _of("IsDefault")),
        "owner-id": _of("OwnerId"),
        "state": _of("State"),
        "vpc-id": _of("VpcId"),
    },
    "DescribeSecurityGroups": {
        "description": _of("Description"),
        "group-id": _of("GroupId"),
        "group-name": _of("GroupName"),
        "owner-id": _of("OwnerId"),
        "vpc-id": _of("VpcId"),
        **{f"ip-permission.{name}": _of_rules("IpPermissions", *at) for name, at in _RULES.items()},
        **{f"egress.ip-permission.{name}": _of_rules("IpPermissionsEgress", *at) for name, at in _RULES.items()},
    },
}


def apply() -> None:
    """Match by the filters above. `limits.filters` refuses the others."""
    from ministack.services import ec2

    of_tags = ec2._resource_matches_tag_filters

    def matcher(operation: str, identity: str) -> Callable[[Record, dict[str, list[str]]], bool]:
        def matches(record: Record, filters: dict[str, list[str]]) -> bool:
            return of_tags(record[identity], filters) and _matches(operation, record, filters)

        return matches

    ec2._matches_subnet_filters = matcher("DescribeSubnets", "SubnetId")
    ec2._matches_vpc_filters = matcher("DescribeVpcs", "VpcId")
    groups = matcher("DescribeSecurityGroups", "GroupId")

    @functools.wraps(of_tags)
    def of_tags_or_a_group(resource: str, filters: dict[str, list[str]]) -> bool:
        """Of security groups MiniStack asks for the tags alone, and then for two names."""
        record = ec2._security_groups.get(resource)
        return groups(record, filters) if record else of_tags(resource, filters)

    ec2._resource_matches_tag_filters = of_tags_or_a_group
    describe = ec2._describe_security_groups

    @functools.wraps(describe)
    def of_names(params: dict[str, Any]) -> Any:
        """A name is one of a group of the default VPC. MiniStack ignores names."""
        names, given = ec2._parse_member_list(params, "GroupName"), dict(params)
        ids = ec2._parse_member_list(params, "GroupId")
        own = {one["GroupName"]: one for one in ec2._security_groups.values() if one["VpcId"] == ec2._DEFAULT_VPC_ID}
        for name in names:
            if name not in own:
                vpc = ec2._DEFAULT_VPC_ID
                why = f"The security group '{name}' does not exist in default VPC '{vpc}'"
                return ec2._error("InvalidGroup.NotFound", why, 400)
            ids.append(own[name]["GroupId"])
        return describe(given | {f"GroupId.{number}": [one] for number, one in enumerate(ids, 1)})

    ec2._describe_security_groups = ec2._ACTION_MAP["DescribeSecurityGroups"] = of_names


def _matches(operation: str, record: Record, filters: dict[str, list[str]]) -> bool:
    known = FILTERS[operation]
    return all(
        any(pattern.fullmatch(value) for pattern in _patterns(wanted) for value in known[name](record))
        for name, wanted in filters.items()
        if name in known
    )


def _patterns(wanted: list[str]) -> Iterator[re.Pattern[str]]:
    """`*` and `?` are wildcards, and a backslash makes them plain: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html"""
    for text in wanted:
        parts = re.findall(r"\\.|.", text, re.DOTALL)
        yield re.compile("".join({"*": ".*", "?": "."}.get(part, re.escape(part[-1])) for part in parts), re.DOTALL)
