"""pytest fixtures for testing a pipeline with a BatchStep on the embedded AWS.

docs/test_your_pipeline.md has an example. Name this module in `pytest_plugins` of your conftest.py.
"""

from __future__ import annotations

import functools
import os
import uuid
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
def kit_session(embedded_aws: Any, monkeypatch: pytest.MonkeyPatch) -> boto3.Session:
    """A session whose every client goes to the embedded AWS. The SageMaker SDK's clients go there too."""
    session = embedded_session(embedded_aws.endpoint_url)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", session)
    monkeypatch.setenv("AWS_DEFAULT_REGION", session.region_name)
    return session


@pytest.fixture
def kit_config() -> Config:
    """Names that no other test has, since they begin with a prefix that is drawn for the test."""
    return load_config(target="local", prefix=f"sagemaker-{uuid.uuid4().hex[:8]}")


@pytest.fixture
def deploy_kit(kit_session: boto3.Session, kit_config: Config) -> Callable[..., kit.Kit]:
    """`kit.deploy` with the test's session and names: `deploy_kit(program=...)`."""
    return functools.partial(kit.deploy, kit_session, kit_config)
