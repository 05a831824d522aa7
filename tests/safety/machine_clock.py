"""A machine whose clock can be set: for a server that is started meanwhile, and for all that it starts."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("shifted_clock.c")


class MachineClock:
    """Sets the clock of what runs with `environment`."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc")
        if not sys.platform.startswith("linux") or not compiler:
            pytest.skip("needs Linux and a C compiler, for tests/safety/shifted_clock.c")
        library, self._file = folder / "shifted_clock.so", folder / "shift"
        subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, SOURCE], check=True)
        self.seconds = 0.0
        self._file.write_bytes(struct.pack("=q", 0))
        self.environment = {"LD_PRELOAD": str(library), "SHIFTED_CLOCK": str(self._file)}

    def set(self, seconds: float) -> None:
        """Have the clock be wrong by so many seconds, from now on."""
        self.seconds = seconds
        descriptor = os.open(self._file, os.O_WRONLY)  # in place, since processes have mapped it
        os.write(descriptor, struct.pack("=q", round(seconds * 1e9)))
        os.close(descriptor)

    def jump(self, seconds: float) -> None:
        """Set the clock forward, or back if negative."""
        self.set(self.seconds + seconds)
