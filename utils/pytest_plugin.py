"""pytest fixtures for testing a pipeline with a BatchStep on the embedded AWS.

docs/test_your_pipeline.md has an example. Name this module in `pytest_plugins` of your conftest.py.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from . import kit
from .config import Config, load_config
from .session import embedded_session
from .support.targets import LOCAL_REGION

pytest_plugins = ["local_aws.pytest_plugin"]


def pytest_configure() -> None:
    """Set a region before any test module is imported, because importing the SageMaker SDK fails without one."""
    os.environ.setdefault("AWS_DEFAULT_REGION", LOCAL_REGION)


@pytest.fixture
def kit_session(embedded_aws: Any, embedded_aws_account: str, monkeypatch: pytest.MonkeyPatch) -> boto3.Session:
    """A session of the test's own account. Its clients go to the embedded AWS, and so do the SageMaker SDK's."""
    session = embedded_session(embedded_aws.endpoint_url, account=embedded_aws_account)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", session)
    monkeypatch.setenv("AWS_DEFAULT_REGION", session.region_name)
    return session


@pytest.fixture
def kit_config(embedded_aws_account: str) -> Config:
    """The names of a kit in the test's own account."""
    return load_config(target="local", prefix="sagemaker-test", account=embedded_aws_account)


@pytest.fixture
def deploy_kit(kit_session: boto3.Session, kit_config: Config) -> Callable[..., kit.Kit]:
    """`kit.deploy` with the test's session and names: `deploy_kit(program=...)`."""
    return functools.partial(kit.deploy, kit_session, kit_config)
