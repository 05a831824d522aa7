"""A pytest fixture: one embedded AWS for the whole test run. pytest finds it wherever this package is installed.

https://docs.pytest.org/en/stable/how-to/writing_plugins.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from local_aws import ServerInfo


@pytest.fixture(scope="session")
def embedded_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerInfo]:
    """An embedded AWS on a free port, empty at first. It is stopped after the last test, and what it held is gone.

    Tests share it, so each gives its resources names of their own.

    Raises:
        local_aws.LocalAwsError: it does not start.
    """
    import local_aws  # here, since pytest imports this module in every run, also where no test asks for the fixture

    home = tmp_path_factory.mktemp("embedded-aws")
    yield local_aws.start(port=0, home=home)
    local_aws.stop(home)
