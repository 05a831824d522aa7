"""One module of the embedded AWS reads the clocks, and knows when one was set."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import local_aws
from local_aws import clock

WALL_CLOCK = re.compile(r"\btime\.time\(|\btime_ns\(|\bdatetime\.now\(|\butcnow\(|\bdate\.today\(")
# Two that read it themselves: the clock, and a program of its own that runs as one file.
READERS = {"clock.py", "containers/supervisor.py"}


def test_no_other_module_reads_the_wall_clock() -> None:
    root = Path(local_aws.__file__).parent
    readers = {
        path.relative_to(root).as_posix() for path in root.rglob("*.py") if WALL_CLOCK.search(path.read_text("utf-8"))
    }
    assert readers == READERS


class Hands:
    """Both clocks, set by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall, self.steady = 1_800_000_000.0, 500.0
        self.held_up = 0.0  # seconds between two readings
        monkeypatch.setattr(clock, "now", lambda: self.wall)
        monkeypatch.setattr(clock, "steady", self._read)

    def _read(self) -> float:
        self.steady += self.held_up
        return self.steady

    def pass_by(self, seconds: float) -> None:
        self.wall, self.steady = self.wall + seconds, self.steady + seconds


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    return Hands(monkeypatch)


@pytest.mark.parametrize("jump", [-86_400, -3_600, -1, 1, 3_600, 86_400])
def test_a_clock_that_was_set_is_told_once(hands: Hands, jump: float) -> None:
    jumps = clock.Jumps()
    hands.pass_by(1_000)
    assert jumps.last() == 0
    hands.wall += jump
    assert jumps.last() == pytest.approx(jump)
    hands.pass_by(1_000)
    assert jumps.last() == 0


def test_a_process_that_is_held_up_takes_nothing_for_a_jump(hands: Hands) -> None:
    jumps = clock.Jumps()
    hands.held_up = 30
    assert jumps.last() == 0
    hands.held_up = 0


def test_a_clock_that_was_set_back_since_the_state_was_saved_has_jumped(hands: Hands) -> None:
    assert clock.Jumps(saved_at=hands.wall + 3_600).last() == pytest.approx(-3_600)
    assert clock.Jumps(saved_at=hands.wall - 3_600).last() == 0, "so long it was saved ago"
