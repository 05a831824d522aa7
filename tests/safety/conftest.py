"""An embedded AWS of the safety tests' own, since they leave it full of rubbish."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from servers import Server

import local_aws


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("wire")
    running = Server(home, tmp_path_factory.mktemp("parent") / "state")
    yield running
    local_aws.stop(home)
