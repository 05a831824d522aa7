"""The two tiers: `make test`, which a contributor waits for, and `make test-all`, which CI runs.

A test marked `thorough` runs in `make test-all` only. A test that draws random examples runs in both: with few of them
in `make test`, with many in `make test-all`. So does a test marked `sampled(few)`, with a few of its parameters in
`make test`, drawn anew in each run.
"""

from __future__ import annotations

import os
import random
from collections import defaultdict

import pytest

THOROUGH = os.environ.get("TEST_TIER") == "all"
SEED = int(os.environ.setdefault("TEST_SEED", str(random.randrange(2**32))))


def examples(few: int, many: int) -> int:
    """How many examples a random test draws in this tier."""
    return many if THOROUGH else few


def randomness(name: str) -> random.Random:
    """A source of random numbers for one test: new in each run, the same again with the same TEST_SEED.

    Args:
        name: the test's name, so that tests don't draw the same numbers.
    """
    return random.Random(f"{SEED} {name}")


def sampled(items: list[pytest.Item]) -> list[pytest.Item]:
    """Leaves of each test that is marked `sampled(few)` only so many, with other parameters in each run."""
    kept, drawn = [], defaultdict(list)
    for item in items:
        mark = item.get_closest_marker("sampled")
        if mark is None:
            kept.append(item)
        else:
            drawn[item.nodeid.partition("[")[0], mark.args[0]].append(item)
    for (name, few), of_test in drawn.items():
        kept += randomness(name).sample(of_test, min(few, len(of_test)))
    return kept
