"""The filters of EC2 that are none, and those that the embedded AWS does not have."""

from __future__ import annotations

from local_aws.ministack.patches.ignored_filters import FILTERS
from local_aws.ministack.requests import Call
from local_aws.protocol import ApiError

_OF_IPV6 = "ipv6-cidr-block-association."

# The filters that AWS has besides, and nothing here has a value of.
ABSENT = {
    "DescribeSubnets": f"""customer-owned-ipv4-pool enable-dns64 enable-lni-at-device-index ipv6-native outpost-arn
        {_OF_IPV6}ipv6-cidr-block {_OF_IPV6}association-id {_OF_IPV6}state map-customer-owned-ip-on-launch
        private-dns-name-options-on-launch.hostname-type
        private-dns-name-options-on-launch.enable-resource-name-dns-a-record
        private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record""",
    "DescribeVpcs": f"""cidr-block-association.association-id cidr-block-association.state
        {_OF_IPV6}ipv6-cidr-block {_OF_IPV6}ipv6-pool {_OF_IPV6}association-id {_OF_IPV6}state""",
    "DescribeSecurityGroups": "ip-permission.group-name egress.ip-permission.group-name",
}


def check(call: Call, _: bytes) -> None:
    """Refuse a filter that would be ignored.

    Raises:
        ApiError: InvalidParameterValue, by the filter's name.
    """
    operation = call.operation.name
    if operation not in FILTERS:
        return
    for name in (one.get("Name", "") for one in call.params.get("Filters") or []):
        if name in ABSENT[operation].split():
            why = f"The embedded AWS does not have the filter '{name}' of {operation}. AWS does."
            raise ApiError("InvalidParameterValue", why)
        if name not in FILTERS[operation] and not name.startswith("tag:") and name not in ("tag-key", "tag-value"):
            raise ApiError("InvalidParameterValue", f"The filter '{name}' is invalid")
