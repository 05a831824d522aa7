"""Durable records of our services, as small JSON documents in one SQLite file, written as they change.

SQLite's write-ahead log survives a killed process, and one connection in autocommit needs no queue.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

# Unlike INSERT OR REPLACE, this keeps the row where it was, and so the order of `all`.
_UPSERT = "INSERT INTO records VALUES (?, ?, ?) ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body"


class Store:
    """Records by kind and key. Used on the event loop's thread only, as the state it mirrors is.

    Args:
        path: of the file.
        refused: called with what the database says when a write fails, before the error goes on to the caller.
    """

    def __init__(self, path: Path, refused: Callable[[sqlite3.Error], None] = lambda _: None) -> None:
        self._refused = refused
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        path.chmod(0o600)
        self._db.execute("PRAGMA journal_mode=WAL")
        # NORMAL survives a killed process; only a power cut can lose the last moments.
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute("CREATE TABLE IF NOT EXISTS records (kind TEXT, key TEXT, body TEXT, PRIMARY KEY (kind, key))")

    def put(self, kind: str, key: str, record: dict[str, Any]) -> None:
        """Write one record, replacing the one of the same kind and key."""
        with self._writing():
            self._db.execute(_UPSERT, (kind, key, _dumps(record)))

    def put_many(self, kind: str, records: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Write many records in one transaction."""
        rows = ((kind, key, _dumps(record)) for key, record in records)
        with self._writing():
            self._db.execute("BEGIN")
            self._db.executemany(_UPSERT, rows)
            self._db.execute("COMMIT")

    def delete(self, kind: str, key: str) -> None:
        """Forget one record. A missing one is no error."""
        with self._writing():
            self._db.execute("DELETE FROM records WHERE kind = ? AND key = ?", (kind, key))

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if self._db.in_transaction:
                with contextlib.suppress(sqlite3.Error):  # a full disk ends a transaction by itself
                    self._db.execute("ROLLBACK")
            self._refused(error)
            raise

    def all(self, kind: str) -> dict[str, dict[str, Any]]:
        """Every record of a kind by its key, in the order they were first written."""
        rows = self._db.execute("SELECT key, body FROM records WHERE kind = ? ORDER BY rowid", (kind,))
        return {key: json.loads(body, object_hook=_revive) for key, body in rows}

    def close(self) -> None:
        self._db.close()


def _dumps(record: dict[str, Any]) -> str:
    return json.dumps(record, default=_plain, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return {"$time": value.timestamp()}
    raise TypeError(f"{type(value).__name__} can't be stored")


def _revive(value: dict[str, Any]) -> Any:
    if value.keys() == {"$time"}:
        return dt.datetime.fromtimestamp(value["$time"], dt.UTC)
    return value
