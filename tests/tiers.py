"""The two tiers: `make test`, which a contributor waits for, and `make test-all`, which CI runs.

A test marked `thorough` runs in `make test-all` only. A test that draws random examples runs in both: with few of them
in `make test`, with many in `make test-all`.
"""

from __future__ import annotations

import os
import random

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
