"""The instance profile of EC2 instances that run jobs. Fargate has none."""

from __future__ import annotations

import boto3

from .. import iam
from ..config import Config

# What ECS's agent on an instance needs.
# https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AmazonEC2ContainerServiceforEC2Role.html
AGENT_POLICY = "service-role/AmazonEC2ContainerServiceforEC2Role"


def ensure_instance_profile(session: boto3.Session, config: Config) -> str:
    """The instance profile `config.instance_role` with a role of the same name, created or brought up to date.

    You need `policies/operator_instance_profile.json` and `policies/operator_instances.json` beside the operator's
    policy. `cleanup.delete_all` leaves it, so delete it with `cleanup.delete_instance_profile`.

    Returns:
        The profile's ARN, which `ensure_compute_environment` takes as `instance_role`.

    https://docs.aws.amazon.com/batch/latest/userguide/instance_IAM_role.html
    """
    name, client = config.instance_role, session.client("iam")
    domain = "amazonaws.com.cn" if config.partition == "aws-cn" else "amazonaws.com"  # EC2 is called so in China
    iam.ensure_role(
        session,
        name,
        trust=iam.render("trust.json", config, service=f"ec2.{domain}"),
        managed_policy_arns=[f"arn:{config.partition}:iam::aws:policy/{AGENT_POLICY}"],
        tags=config.tags,
    )
    try:
        profile = client.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
    except client.exceptions.NoSuchEntityException:
        tags = [{"Key": key, "Value": value} for key, value in config.tags.items()]
        profile = client.create_instance_profile(InstanceProfileName=name, Tags=tags)["InstanceProfile"]
    if name not in [role["RoleName"] for role in profile["Roles"]]:
        client.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    return profile["Arn"]
