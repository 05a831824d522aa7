"""An embedded AWS of the safety tests' own, since they leave it full of rubbish."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from servers import Server

import local_aws


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("wire")
    running = Server(home, tmp_path_factory.mktemp("parent") / "state")
    yield running
    local_aws.stop(home)


@pytest.fixture(scope="module")
def endpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where an embedded AWS of this module's own answers."""
    home = tmp_path_factory.mktemp(request.module.__name__)
    yield local_aws.start(port=0, home=home).endpoint_url
    local_aws.stop(home)


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore's retries wait a tenth: whether they are made is what matters, and there are many."""
    patient = SimpleNamespace(sleep=lambda seconds: time.sleep(seconds / 10))
    monkeypatch.setattr("botocore.endpoint.time", patient)
