"""Runs one job's command, and ends it when the server is gone: `python -I warden.py FD COMMAND...`.

FD is the reading end of a pipe whose writing end only the server has; however the server ends, the pipe ends with it.
The command is in this process's group, so that a signal to the group reaches it and what it started.
"""

import os
import signal
import subprocess
import sys
import threading


def main() -> int:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the command decides what a stop does to it
    try:
        command = subprocess.Popen(sys.argv[2:], restore_signals=True, preexec_fn=_default_term)
    except OSError as error:
        sys.stderr.write(f"{sys.argv[2]}: {error.strerror}\n")
        return 127
    threading.Thread(target=_outlive_nobody, args=(int(sys.argv[1]),), daemon=True).start()
    code = command.wait()
    return code if code >= 0 else 128 - code


def _default_term() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _outlive_nobody(pipe: int) -> None:
    os.read(pipe, 1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
