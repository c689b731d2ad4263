"""The service's SQLite file: its tables, and one connection that threads share."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from facesnap.core.errors import InputError, OutputError, UsageError, one_line

#: Of the tables below; raised with every change of them.
SCHEMA_VERSION: Final = 1

_SCHEMA: Final = """
CREATE TABLE identities (
    id TEXT PRIMARY KEY, created REAL NOT NULL, photos INTEGER NOT NULL, name TEXT NOT NULL, consent INTEGER NOT NULL,
    client TEXT NOT NULL, model TEXT NOT NULL, pose TEXT, judged BLOB,
    judge TEXT NOT NULL
);
CREATE TABLE jobs (
    id TEXT PRIMARY KEY, number INTEGER NOT NULL, identity TEXT NOT NULL, client TEXT NOT NULL, state TEXT NOT NULL,
    request TEXT NOT NULL, seeds TEXT NOT NULL, created REAL NOT NULL, started REAL, finished REAL,
    step INTEGER NOT NULL DEFAULT 0, steps INTEGER NOT NULL DEFAULT 0, error TEXT,
    pictures INTEGER NOT NULL DEFAULT 0, reports TEXT, bytes INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX jobs_by_state ON jobs (state, finished);
CREATE INDEX jobs_by_client ON jobs (client, number);
CREATE INDEX jobs_by_identity ON jobs (identity, state);
"""


class Database:
    """One connection behind a lock: what is asked of it takes microseconds.

    What is deleted is overwritten in the file (``secure_delete``): prompts and names don't linger in free pages.

    Raises:
        OutputError: the file can't be made or written. InputError: it is a newer FaceSnap's, or no database.
        UsageError: another process has it open.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=1.0)
            self._connection.row_factory = sqlite3.Row
            # Exclusive: a second server on the folder would take the first one's jobs for interrupted.
            for pragma in (
                "locking_mode = EXCLUSIVE",
                "journal_mode = WAL",
                "synchronous = NORMAL",
                "secure_delete = ON",
            ):
                self._connection.execute(f"PRAGMA {pragma}").fetchall()
            self._migrate(path)
        except OSError as error:
            raise OutputError(f"can't keep results in {path.parent}: {one_line(error)}") from error
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise UsageError(f"another server uses {path.parent}: stop it, or name another folder") from error
            raise OutputError(f"can't write {path}: {one_line(error)}") from error
        except sqlite3.DatabaseError as error:
            raise InputError(f"{path} is damaged: {one_line(error)}; move it away to start anew") from error

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Several statements, all of them or none; other threads wait.

        Raises:
            OutputError: the disk is full, or the file can't be written any more.
        """
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield self._connection
                except BaseException:
                    self._connection.execute("ROLLBACK")
                    raise
                self._connection.execute("COMMIT")
            except sqlite3.OperationalError as error:
                raise OutputError(f"the database can't be written: {one_line(error)}") from error

    def change(self, statement: str, values: Iterable[Any] = ()) -> int:
        """One statement; how many rows it changed."""
        with self.transaction() as connection:
            return connection.execute(statement, tuple(values)).rowcount

    def rows(self, query: str, values: Iterable[Any] = ()) -> list[sqlite3.Row]:
        """What a query finds."""
        with self._lock:
            return self._connection.execute(query, tuple(values)).fetchall()

    def compact(self) -> None:
        """Move everything into the file itself, so that what was deleted is in the log beside it no more."""
        with self._lock:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Close the file; it isn't used after that."""
        with self._lock:
            self._connection.close()

    def _migrate(self, path: Path) -> None:
        version = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
        if version > SCHEMA_VERSION:
            raise InputError(
                f"{path} is from a newer FaceSnap (tables {version}, this one knows {SCHEMA_VERSION}): update FaceSnap"
            )
        if version == 0:
            self._connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
