"""How the work of a step ends when it does not succeed."""

from __future__ import annotations


class StepFailed(Exception):
    """A step can't go on. The message is its failure reason. `timed_out` says that it reached its limit."""

    def __init__(self, reason: str, *, timed_out: bool = False) -> None:
        super().__init__(reason)
        self.timed_out = timed_out


class StepStopped(Exception):
    """A step was asked to stop, and has."""
