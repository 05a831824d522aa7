"""A call is authorized on the resource that AWS names, where MiniStack asks for "*"."""

from __future__ import annotations

import functools
import json
from typing import Any


def apply() -> None:
    """MiniStack asks for some calls whether they are allowed on "*", where AWS names what they are about.

    And a role's ARN has its path, if it has one. Of an instance profile MiniStack asks for "*", or for the role that is
    added to it. Of GetAccountSettings of Lambda it asks nothing.

    https://docs.aws.amazon.com/service-authorization/latest/reference/list_awslambda.html
    https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoneventbridge.html
    https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatch.html
    https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html
    """
    from ministack.core import iam_actions
    from ministack.services import iam

    known, known_action = iam_actions.extract_resource_arn, iam_actions._lambda_action

    @functools.wraps(known)
    def extract(
        service: str, method: str, path: str, headers: dict, body: bytes, query: dict, region: str, account: str
    ) -> str:
        arn = known(service, method, path, headers, body, query, region, account)
        if service == "lambda" and arn == "*" and method == "POST" and path.rstrip("/").endswith("/functions"):
            name = str(_parsed(body).get("FunctionName", ""))  # CreateFunction
            return name if name.startswith("arn:") else f"arn:aws:lambda:{region}:{account}:function:{name}"
        if service == "iam" and (profile := (query.get("InstanceProfileName") or [""])[0]):
            made = iam._instance_profiles.get_scoped(account, None, profile)
            return made["Arn"] if made else f"arn:aws:iam::{account}:instance-profile/{profile}"
        if service == "iam" and arn == "*":  # SimulatePrincipalPolicy
            return str((query.get("PolicySourceArn") or ["*"])[0])
        if service == "iam" and ":role/" in arn:
            role = iam._roles.get_scoped(account, None, arn.rpartition("/")[2])
            return role["Arn"] if role else arn
        if service == "events":
            tagged = str(_parsed(body).get("ResourceARN") or _parsed(body).get("Rule") or "")
            if arn == "*" and tagged:  # tags of a rule; its targets
                return tagged if tagged.startswith("arn:") else f"arn:aws:events:{region}:{account}:rule/{tagged}"
            return arn.replace(":rule/default/", ":rule/")  # the default bus is not named
        if service == "monitoring":
            operation = headers.get("x-amz-target", "").rpartition(".")[2]
            return _cloudwatch_arn(operation, _parsed(body), region, account) or arn
        return arn

    @functools.wraps(known_action)
    def lambda_action(method: str, path: str) -> str | None:
        if method == "GET" and path.rstrip("/").endswith("/account-settings"):
            return "GetAccountSettings"
        return known_action(method, path)

    iam_actions.extract_resource_arn, iam_actions._lambda_action = extract, lambda_action


def _cloudwatch_arn(operation: str, params: dict[str, Any], region: str, account: str) -> str:
    """The alarm or the dashboard that a call to CloudWatch is about. "" where it is neither."""
    alarms, dashboards = f"arn:aws:cloudwatch:{region}:{account}:alarm:", f"arn:aws:cloudwatch::{account}:dashboard/"
    if operation == "DescribeAlarms":
        return f"{alarms}*"  # whichever are asked for
    for prefix, names in (
        ("", [params.get("ResourceARN")]),
        (alarms, params.get("AlarmNames")),
        (dashboards, [params.get("DashboardName")]),
        (dashboards, params.get("DashboardNames")),
    ):
        if names and names[0]:
            return f"{prefix}{names[0]}"
    return ""


def _parsed(body: bytes) -> dict[str, Any]:
    """The members of a JSON object, or none where the body is something else."""
    try:
        value = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
