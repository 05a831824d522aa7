"""A server's directory. Its lock says whether the server lives, and its record says where it answers.

The lock decides. The server holds it as long as it lives, and the kernel takes it back from a process that dies.
Its file names the process. The record, server.json, outlives a killed server, so it proves nothing.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import pwd
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO


def _python() -> str:
    """This process's Python, as one types it in a terminal at the repository's root."""
    python, root = Path(sys.executable), Path(__file__).parents[1]
    return str(python.relative_to(root)) if python.is_relative_to(root) else "python"


COMMAND = f"{_python()} -m local_aws"  # for messages that say what to type


class LocalAwsError(RuntimeError):
    """The embedded AWS can't be started, found or stopped. The message says why and what to do."""


@dataclass(frozen=True)
class ServerInfo:
    """A running server.

    Attributes:
        instance: distinguishes two servers that had the same port.
        state_id: names what it holds. Two servers that use a state directory one after the other share it.
        images: folders of the Python environments that stand for images, by the images' names.
    """

    endpoint_url: str
    port: int
    pid: int
    instance: str
    log: Path
    state_id: str
    images: Mapping[str, str] = field(default_factory=dict, hash=False)


class Home:
    """A server's directory.

    Args:
        path: of the directory. A relative one is resolved now, so that a later change of directory moves nothing.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path).resolve()
        self.log, self.record, self._lock = (self.path / name for name in ("server.log", "server.json", "lock"))

    def make(self) -> None:
        """Make the directory, closed to other users.

        Raises:
            LocalAwsError: it is another user's.
        """
        with explained(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            self.path.chmod(0o700)

    # --- the record ---

    def read(self) -> ServerInfo | None:
        """What the record says, or None when there is none that can be read."""
        with explained(self.path), contextlib.suppress(FileNotFoundError, ValueError, KeyError, TypeError):
            record = json.loads(self.record.read_text())
            url = f"http://127.0.0.1:{record['port']}"
            return ServerInfo(
                url, record["port"], record["pid"], record["instance"], self.log, record.get("state_id", ""),
                record.get("images", {}),
            )  # fmt: skip
        return None

    def write(self, port: int, instance: str, state_id: str, images: Mapping[str, Path] | None = None) -> None:
        """Record where this process will answer, whole or not at all."""
        partial = self.record.with_suffix(".tmp")
        folders = {name: str(folder) for name, folder in (images or {}).items()}
        record = {
            "port": port, "pid": os.getpid(), "instance": instance, "state_id": state_id, "images": folders,
        }  # fmt: skip
        partial.write_text(json.dumps(record))
        partial.replace(self.record)

    def forget(self) -> None:
        """Delete the record of a server that is gone. A server that is starting keeps its record."""
        with explained(self.path):
            if self.record.exists() and (lock := self.lock()):
                with lock:
                    self.record.unlink(missing_ok=True)

    # --- the lock ---

    def lock(self) -> IO[str] | None:
        """Take the lock until this file is closed here and in the process that inherits it. None if it is taken.

        The process that starts the server has it first, then the server as long as it lives.
        """
        with explained(self.path):
            file = os.fdopen(os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600), "r+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        name_holder(file, None)  # the last one, which was killed
        return file

    def is_locked(self) -> bool:
        """Whether a server lives here, or is being started."""
        with explained(self.path):
            try:
                file = self._lock.open()
            except FileNotFoundError:
                return False
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def holder(self) -> int | None:
        """The process id of the server that has the lock, or None while it is being started or can't be seen.

        It can't be seen when it runs in a container, or on another machine that shares this directory.
        """
        with explained(self.path):
            try:
                pid = int(self._lock.read_text())
            except (FileNotFoundError, ValueError):
                return None
        return pid if _has_open(pid, self._lock) else None


def state_id(state_dir: Path | None, instance: str) -> str:
    """Return the id of the state that a server holds, its own or that of its state directory, which is made here."""
    if state_dir is None:
        return instance
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    state_dir.chmod(0o700)
    name = state_dir / "id"
    if not name.exists():
        name.write_text(instance)
    return name.read_text()


def name_holder(lock: IO[str], pid: int | None) -> None:
    """Write into the lock's file which process has the lock."""
    os.ftruncate(lock.fileno(), 0)
    if pid:
        os.pwrite(lock.fileno(), f"{pid}\n".encode(), 0)


def _has_open(pid: int, path: Path) -> bool:
    """Whether this process has this file open, where the system says it (Linux). Elsewhere, whether there is one."""
    try:
        os.kill(pid, 0)
        files = list(Path(f"/proc/{pid}/fd").iterdir()) if Path("/proc/self/fd").exists() else None
    except (ProcessLookupError, FileNotFoundError):
        return False
    except PermissionError:
        return True  # another user's, which no signal of ours can hurt
    if files is None:
        return True
    for file in files:
        with contextlib.suppress(OSError):  # closed since
            if file.samefile(path):
                return True
    return False


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Have one sentence said about files that this user must not use, or that the disk does not take.

    Args:
        path: the directory that what is done in this block needs.

    Raises:
        LocalAwsError: instead of what the system said.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, PermissionError):
            raise LocalAwsError(_not_ours(path, Path(error.filename or path))) from error
        if error.errno == errno.EROFS:
            raise LocalAwsError(
                f"{path} is on a file system that takes no writes. Choose another directory with LOCAL_AWS_HOME."
            ) from error
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise LocalAwsError(
                f"The disk that holds {path} is full. Make room on it, then start the embedded AWS again."
            ) from error
        raise


def _not_ours(directory: Path, refused: Path) -> str:
    """Whose the file is that was refused, where it is, and what to do."""
    if not os.path.lexists(directory):  # it was to be made
        parent = next(parent for parent in directory.parents if parent.exists())
        return (
            f"{directory} can't be made, since {parent} belongs to {owner(parent)}. Choose another directory with "
            "LOCAL_AWS_HOME."
        )
    try:
        refused.lstat()
    except OSError:  # it is in a directory that does not let us in, or is not there yet
        refused = directory
    if refused.lstat().st_uid == os.geteuid():
        return f"{refused} is closed to you. Open it with `chmod -R u+rwX {shlex.quote(str(directory))}`."
    return (
        f"{refused} belongs to {owner(refused)}, perhaps since an earlier sudo, and the embedded AWS needs it. Take it "
        f"back with `sudo chown -R {_name(os.geteuid())} {shlex.quote(str(directory))}`, or choose another directory "
        "with LOCAL_AWS_HOME."
    )


def owner(path: Path) -> str:
    """The name of the user who owns a file."""
    return _name(path.lstat().st_uid)


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"
