"""pytest fixtures: one embedded AWS for the whole test run. pytest finds them wherever this package is installed.

https://docs.pytest.org/en/stable/how-to/writing_plugins.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from local_aws import ServerInfo


@pytest.fixture(scope="session")
def embedded_aws_images() -> Mapping[str, str | Path] | None:
    """Your own images, and the Python environment that stands for each. Override it in your conftest.py."""
    return None


@pytest.fixture(scope="session")
def embedded_aws(
    tmp_path_factory: pytest.TempPathFactory, embedded_aws_images: Mapping[str, str | Path] | None
) -> Iterator[ServerInfo]:
    """An embedded AWS on a free port, empty at first. It is stopped after the last test, and what it held is gone.

    Tests share it, so each gives its resources other names.

    Raises:
        local_aws.LocalAwsError: it does not start.
    """
    import local_aws  # here, since pytest imports this module in every run, also where no test asks for the fixture

    home = tmp_path_factory.mktemp("embedded-aws")
    yield local_aws.start(port=0, home=home, images=embedded_aws_images)
    local_aws.stop(home)
