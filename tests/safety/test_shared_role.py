"""The article's way: one role for everything, with AWS's managed policies in their own words, carries the tutorial."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from deployment import Deployment
from servers import allow

import local_aws
from utils import cleanup, iam, preflight
from utils.config import Config
from utils.session import embedded_session

pytestmark = pytest.mark.slow

CONFIG = Config("local", "sagemaker-one-role", "us-east-1", "000000000000", role_layout="shared")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[boto3.Session]:
    yield embedded_session(local_aws.start(port=0, home=tmp_path).endpoint_url)
    local_aws.stop(tmp_path)


def operator(root: boto3.Session, name: str, *statements: dict[str, Any]) -> boto3.Session:
    """A session of a new IAM user with these statements."""
    users = root.client("iam")
    users.create_user(UserName=name)
    allow(users, name, statements)
    key = users.create_access_key(UserName=name)["AccessKey"]
    session = embedded_session(root.client("iam").meta.endpoint_url)
    session._session.set_credentials(key["AccessKeyId"], key["SecretAccessKey"])
    return session


@pytest.mark.thorough
def test_one_role_with_managed_policies_does_it_all(root: boto3.Session) -> None:
    session = operator(root, "operator", *preflight.statements(CONFIG))
    preflight.require(preflight.check(session, CONFIG))
    kit = Deployment(session, CONFIG).deploy()
    made = [role["RoleName"] for role in root.client("iam").list_roles()["Roles"] if CONFIG.prefix in role["RoleName"]]
    assert made == [CONFIG.pipeline_role]
    assert iam.inline_policy(session, CONFIG.pipeline_role) is None
    ended = kit.run()
    assert ended["PipelineExecutionStatus"] == "Succeeded", kit.steps(ended["PipelineExecutionArn"])
    cleanup.delete_all(session, CONFIG)
    assert cleanup.leftovers(session, CONFIG) == []


def test_the_operator_of_this_layout_needs_both_actions_of_operator_shared(root: boto3.Session) -> None:
    (statement,) = iam.render("operator_shared.json", CONFIG)["Statement"]
    rest = iam.render("operator.json", CONFIG)["Statement"]

    def may(name: str, action: str) -> boto3.Session:
        return operator(root, name, *rest, {**statement, "Action": action})

    with pytest.raises(ClientError, match="AttachRolePolicy"):
        iam.ensure_roles(may("detaches", "iam:DetachRolePolicy"), CONFIG)
    attaches = may("attaches", "iam:AttachRolePolicy")
    iam.ensure_roles(attaches, CONFIG)
    with pytest.raises(ClientError, match="DetachRolePolicy"):
        cleanup.delete_all(attaches, CONFIG)
    # No other policy, and to no other role.
    other, policy = f"{CONFIG.prefix}-b-shared-{CONFIG.region}", "arn:aws:iam::aws:policy/{}"
    trust = iam.render("trust.json", CONFIG, service="lambda.amazonaws.com")
    root.client("iam").create_role(RoleName=other, AssumeRolePolicyDocument=json.dumps(trust))
    for role, name in ((CONFIG.pipeline_role, "AdministratorAccess"), (other, "AmazonS3FullAccess")):
        with pytest.raises(ClientError, match="AccessDenied"):
            attaches.client("iam").attach_role_policy(RoleName=role, PolicyArn=policy.format(name))
