"""The embedded AWS's two clocks, and how to know that one of them was set.

What time it is, the machine's wall clock says. It can jump: someone sets it, or a virtual machine wakes up. How long
something takes, and when it is due, a steady clock says, which only goes forward. Timestamps are of the first, and
whatever waits goes by the second. Both have no time zone, so a daylight-saving change is no jump.
"""

from __future__ import annotations

import datetime as dt
import threading
import time

# On Linux it goes on while the machine sleeps, as macOS's CLOCK_MONOTONIC does: to sleep is no jump of the wall clock.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
LEAST_SECONDS = 0.5  # what is less is no jump: two clocks can't be read at once
TOGETHER_SECONDS = 0.05  # two readings of the steady clock around one of the wall clock


def now() -> float:
    """The time, in seconds since 1970."""
    return time.time()


def milliseconds() -> int:
    """The time, in milliseconds since 1970."""
    return int(time.time() * 1000)


def date() -> dt.datetime:
    """The time, in UTC."""
    return dt.datetime.fromtimestamp(now(), dt.UTC)


def steady() -> float:
    """Seconds since some moment."""
    return time.clock_gettime(_STEADY)


class Jumps:
    """Tells by how much the wall clock was set.

    Args:
        saved_at: the time when the state that is in use was saved. A clock that shows less now was set back meanwhile.
    """

    def __init__(self, saved_at: float = 0) -> None:
        self._offset = max(saved_at, now()) - steady()
        self._lock = threading.Lock()

    def last(self) -> float:
        """By how many seconds the wall clock was set since the last call. 0 if it was not."""
        before = steady()
        wall = now()
        if steady() - before > TOGETHER_SECONDS:
            return 0.0  # this process was held up between the two readings, so they tell nothing
        with self._lock:
            jump = wall - before - self._offset
            if abs(jump) < LEAST_SECONDS:
                return 0.0
            self._offset += jump
            return jump
