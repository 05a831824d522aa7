"""Ctrl-C during `make tutorial`."""

from __future__ import annotations

import logging
import signal
import threading


class Interrupt:
    """Ctrl-C. It is heard once, and what fails because of it, such as a kernel that is being started, is no failure."""

    def __init__(self) -> None:
        self.came = False

    def __enter__(self) -> Interrupt:
        self._before = signal.getsignal(signal.SIGINT)
        if self._before is not signal.SIG_IGN and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._come)
        return self

    def __exit__(self, *_) -> None:
        if signal.getsignal(signal.SIGINT) == self._come:
            signal.signal(signal.SIGINT, self._before)

    def _come(self, *_) -> None:
        self.came = True
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it logs each task that the interrupt cut short
        raise KeyboardInterrupt
