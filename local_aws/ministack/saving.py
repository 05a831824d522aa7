"""MiniStack's state on the disk: saved by a forked process, whole or not at all.

A forked process sees the state as it is at one moment, and nothing there changes any more while it is written. The
server goes on meanwhile. Each save writes a new directory, which then takes the place of the old one.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from local_aws import clock

log = logging.getLogger("local_aws.saving")

SAVED_AT = "saved_at"  # a file of the state
FAILED = 1  # the exit status of a save that failed for another reason than the system's
# The system's reason is an errno, which an exit status has room for. https://man7.org/linux/man-pages/man3/errno.3.html


def _directories() -> tuple[Path, Path, Path]:
    """Where the state is, where the next one is written, and where the last one is kept for a moment."""
    from ministack.core import persistence

    state = Path(persistence.STATE_DIR)
    return state, state.with_name(state.name + ".new"), state.with_name(state.name + ".old")


def recover(state: Path) -> float:
    """Finish what a server that was killed between two renamings has begun, before MiniStack reads its state.

    Returns:
        When the state was saved, in seconds since 1970. 0 if there is none.
    """
    new, old = state.with_name(state.name + ".new"), state.with_name(state.name + ".old")
    if not state.exists() and new.exists():
        new.rename(state)
    for left in (new, old):
        shutil.rmtree(left, ignore_errors=True)
    saved_at = state / SAVED_AT
    return float(saved_at.read_text()) if saved_at.exists() else 0


def write() -> None:
    """Write the whole state in place of the last one. Call it in a process that ends then.

    Raises:
        OSError: such as when the disk is full. The last state is still there.
    """
    from ministack import app
    from ministack.core import persistence

    state, new, old = _directories()
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700, parents=True)
    (new / SAVED_AT).write_text(str(clock.now()))
    services = app._build_persistence_save_dict()
    if state.exists():
        _link_others(state, new, services)
    functions: Any = sys.modules.get("ministack.services.lambda_svc")
    if functions:
        # It keeps the functions' packages in files of their own, and deletes those that it needs no more.
        functions.CODE_BLOB_DIR = str(new / Path(functions.CODE_BLOB_DIR).name)
    for name, get_state in services.items():
        if (held := get_state()) is not None:
            with (new / f"{name}.json").open("w") as target:
                wrapped = {"__ministack_format__": persistence._state_format_version(name), "payload": held}
                json.dump(wrapped, target, default=persistence._json_default)
    if state.exists():
        state.rename(old)
    new.rename(state)
    shutil.rmtree(old, ignore_errors=True)


def _link_others(state: Path, new: Path, services: Iterable[str]) -> None:
    """Have in the new directory what is not written anew: services that this server has not loaded, packages, keys.

    These files are replaced and never changed, so that both directories can share them.
    """
    for kept in state.iterdir():
        if kept.is_dir():
            shutil.copytree(kept, new / kept.name, copy_function=os.link)
        elif kept.name != SAVED_AT and (kept.suffix != ".json" or kept.stem not in services):
            os.link(kept, new / kept.name)


def fork() -> int:
    """Begin to write the state in another process.

    Returns:
        The process's id. Its exit status is 0, the errno of what the system refused, or FAILED.
    """
    pid = os.fork()
    if pid:
        return pid
    status = FAILED
    gc.disable()  # a collection would have the system copy all memory that it shares with the server
    try:
        # A connection that the server closes must not stay open because this process has it too.
        os.closerange(3, max(1024, os.sysconf("SC_OPEN_MAX")))
        write()
        status = 0
    except OSError as error:
        status = error.errno or FAILED
    except BaseException:
        log.exception("MiniStack's state could not be saved.")
        raise
    finally:
        os._exit(status)


def forbid_own() -> None:
    """Have MiniStack save nothing itself: at its end it would write what `write` has written, and hide what failed."""
    from ministack.core import persistence

    persistence.save_state = _no_save


def _no_save(service: str, data: dict[str, Any]) -> None:
    """What MiniStack calls instead of saving one service's state."""
