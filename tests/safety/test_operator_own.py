"""What the reader of your_own_pipeline is allowed on AWS: operator.json for each of its prefixes, as the docs say."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import boto3
import pytest
import run_inline
from botocore.exceptions import ClientError
from servers import allow

import local_aws
from utils import cleanup, iam
from utils.config import Config
from utils.session import embedded_session

pytestmark = [pytest.mark.slow, pytest.mark.thorough]

REGION = "eu-central-1"
OWNERS = {
    "prefix": "sagemaker-own-reader",
    "team_prefix": "sagemaker-own-team",
    "platform_prefix": "sagemaker-own-rest",
}
(NOTEBOOK,) = (path for path in run_inline.FURTHER if path.stem == "your_own_pipeline")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[boto3.Session]:
    server = local_aws.start(port=0, home=tmp_path)
    session = embedded_session(server.endpoint_url, REGION)
    session._session.set_credentials(run_inline.ACCOUNT, "any")
    yield session
    local_aws.stop(tmp_path)


def test_its_reader_needs_the_operators_policy_for_each_prefix_and_no_more(
    root: boto3.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = root.client("iam")
    users.create_user(UserName="reader")
    key = users.create_access_key(UserName="reader")["AccessKey"]
    configs = {owner: Config("aws", prefix, REGION, run_inline.ACCOUNT) for owner, prefix in OWNERS.items()}
    waiting = list(OWNERS)
    statements: list[dict] = []
    refusals: list[tuple[str, str]] = []

    def grant() -> str:
        owner = waiting.pop(0)
        policy = iam.render("operator.json", configs[owner])["Statement"]
        statements.extend({**each, "Sid": f"{each['Sid']}{len(waiting)}"} for each in policy)  # they are put together
        allow(users, "reader", statements)
        return owner

    def cell(run: Callable[[], None]) -> None:
        if sdk := sys.modules.get("sagemaker.core.common_utils"):  # its start() tries two minutes long
            monkeypatch.setattr(sdk, "time", SimpleNamespace(**vars(time) | {"sleep": lambda _: None}))
        for _ in range(2):
            try:
                return run()
            except (ClientError, LookupError) as error:
                action = re.search(r"(?:not authorized to perform:|you lack) ([\w:]+)", str(error))
                assert action, error
                refusals.append((grant(), action[1]))
        raise AssertionError(f"refused again: {refusals[-1]}")

    grant()
    endpoint = users.meta.endpoint_url
    with run_inline.aws(endpoint, key["AccessKeyId"], key["SecretAccessKey"], REGION):
        run_inline.run(NOTEBOOK, cell, target="aws", **OWNERS)
    # Each is refused at the first thing that an owner makes.
    assert refusals == [("team_prefix", "s3:GetBucketTagging"), ("platform_prefix", "batch:CreateComputeEnvironment")]
    for config in configs.values():
        assert cleanup.leftovers(root, config) == []
