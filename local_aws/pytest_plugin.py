"""pytest fixtures: one embedded AWS for a test run, and an account for each test. pytest finds them by itself.

https://docs.pytest.org/en/stable/how-to/writing_plugins.html
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from local_aws import ServerInfo


_accounts = itertools.count(100_000_000_001)


@pytest.fixture(scope="session")
def embedded_aws_images() -> Mapping[str, str | Path] | None:
    """Your own images, and the Python environment that stands for each. Override it in your conftest.py."""
    return None


@pytest.fixture(scope="session")
def embedded_aws(
    tmp_path_factory: pytest.TempPathFactory, embedded_aws_images: Mapping[str, str | Path] | None
) -> Iterator[ServerInfo]:
    """An embedded AWS on a free port, empty at first. It is stopped after the last test, and what it held is gone.

    Tests share it. So each takes its own account (`embedded_aws_account`), or gives its resources other names.

    Raises:
        local_aws.LocalAwsError: it does not start.
    """
    import local_aws  # here, since pytest imports this module in every run, also where no test asks for the fixture

    home = tmp_path_factory.mktemp("embedded-aws")
    yield local_aws.start(port=0, home=home, images=embedded_aws_images)
    local_aws.stop(home)


@pytest.fixture
def embedded_aws_account() -> str:
    """An account of the embedded AWS that no other test has. It has nothing but the default VPC.

    Its twelve digits are also the access key that acts as its root, with any secret. Only buckets' names are shared by
    all accounts, as on AWS.
    """
    return str(next(_accounts))
