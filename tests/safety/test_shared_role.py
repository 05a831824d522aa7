"""The article's way: one role for everything, with AWS's managed policies in their own words, carries the tutorial."""

from __future__ import annotations

from pathlib import Path

import pytest
from deployment import Deployment

import local_aws
from utils import cleanup, iam
from utils.config import Config
from utils.session import embedded_session

pytestmark = pytest.mark.slow


def test_one_role_with_managed_policies_does_it_all(tmp_path: Path) -> None:
    server = local_aws.start(port=0, home=tmp_path)
    try:
        config = Config("local", "sagemaker-one-role", "us-east-1", "000000000000", role_layout="shared")
        kit = Deployment(embedded_session(server.endpoint_url), config).deploy()
        made = [
            role["RoleName"] for role in kit.client("iam").list_roles()["Roles"] if config.prefix in role["RoleName"]
        ]
        assert made == [config.pipeline_role]
        assert iam.inline_policy(kit.session, config.pipeline_role) is None
        ended = kit.run()
        assert ended["PipelineExecutionStatus"] == "Succeeded", kit.steps(ended["PipelineExecutionArn"])
        cleanup.delete_all(kit.session, config)
        assert cleanup.leftovers(kit.session, config) == []
    finally:
        local_aws.stop(tmp_path)
