"""Whether jobs have a network from which they reach their image, S3 and their log."""

from __future__ import annotations

from typing import Any

from .. import batch
from .asking import Answer, BriefSession

HTTPS = 443
ANYWHERE = "0.0.0.0/0"


def way_out(session: BriefSession) -> Answer:
    """The default VPC has subnets for Fargate and a security group that lets HTTPS out.

    Security Hub's control EC2.2 has the default security group emptied. Jobs then wait in STARTING and fail.
    https://docs.aws.amazon.com/securityhub/latest/userguide/ec2-controls.html#ec2-2
    """
    try:
        _, groups = batch.default_network(session)
    except batch.BatchError as error:
        return False, str(error)
    if not groups:
        return False, "it has no default security group: pass your own to ensure_compute_environment"
    described = session.client("ec2").describe_security_groups(GroupIds=groups)["SecurityGroups"]
    rules = [rule for group in described for rule in group.get("IpPermissionsEgress", [])]
    https = [rule for rule in rules if _covers(rule, HTTPS)]
    if any(ip.get("CidrIp") == ANYWHERE for rule in https for ip in rule.get("IpRanges", [])):
        return True, ""
    if https:
        return None, (
            f"its security group {groups[0]} lets HTTPS out to {', '.join(_targets(https))} only. Jobs need to reach "
            "the registry of their image, S3 and CloudWatch Logs"
        )
    return False, (
        f"its security group {groups[0]} lets no HTTPS out, so no job could pull its image: run `aws ec2 "
        f"authorize-security-group-egress --group-id {groups[0]} --protocol tcp --port {HTTPS} --cidr {ANYWHERE}`, or "
        "pass another security group to ensure_compute_environment"
    )


def _covers(rule: dict[str, Any], port: int) -> bool:
    """Whether a rule covers TCP at this port. Protocol -1 covers all protocols."""
    if rule["IpProtocol"] == "-1":
        return True
    return rule["IpProtocol"] in ("tcp", "6") and rule["FromPort"] <= port <= rule["ToPort"]


def _targets(rules: list[dict[str, Any]]) -> list[str]:
    keys = (
        ("IpRanges", "CidrIp"),
        ("Ipv6Ranges", "CidrIpv6"),
        ("PrefixListIds", "PrefixListId"),
        ("UserIdGroupPairs", "GroupId"),
    )
    return sorted({target[name] for rule in rules for key, name in keys for target in rule.get(key, [])})
