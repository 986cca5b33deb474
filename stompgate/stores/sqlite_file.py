"""The database file: its lock, its connections, its schema, and what an error of SQLite means for a caller.

SQLite's own locks let several processes in. This store must be alone (it remembers its epoch and owes what is in the
outbox), so it holds a lock of its own on a file beside the database, from before the first connection until after the last.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from stompgate.model.ids import new_epoch
from stompgate.ports.part import SetupError
from stompgate.ports.store import OutcomeUnknown, StoreUnavailable

from .migrations import Migration, version_key

T = TypeVar("T")

UNSTORABLE = (UnicodeEncodeError, OverflowError)
"""What the driver raises for half a character of UTF-16, or a number beyond 64 bits."""

DRIVER_ERRORS = (sqlite3.Error, MemoryError)
"""What a statement may raise. SQLite without memory is no ``sqlite3.Error``."""

Connect = Callable[..., sqlite3.Connection]
"""``sqlite3.connect``, or what tests put into its place."""

OLDEST_SQLITE = (3, 37, 0)  # STRICT tables

WRITER_PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    "cache_size = -16384",  # KiB; ids are random, so every group touches many pages of their index
    "journal_size_limit = 67108864",
)
READER_PRAGMAS = ("query_only = ON",)


def lock_file(database: Path) -> int:
    """Lock the database for this process; return the descriptor that holds the lock. Raises ``SetupError``.

    The lock file stays behind when it is released: removing it would let two processes lock two files of one name.
    """
    path = database.with_name(database.name + ".lock")
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SetupError(f"cannot write in {database.parent}, where the database should be: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise SetupError(f"the database {database} is in use by another process; one server may have it at a time") from None
    except OSError as error:
        os.close(descriptor)
        raise SetupError(f"cannot lock {path}: {error.strerror}") from error
    return descriptor


def connect_writer(database: Path, *, busy_timeout_s: float, connect: Connect = sqlite3.connect) -> sqlite3.Connection:
    """Open the connection that writes, made durable: a COMMIT returns when the data has reached the disk."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise SetupError(f"SQLite {sqlite3.sqlite_version} is too old; 3.37 or later is needed")
    try:
        # Made here and not by SQLite, so that nobody else may read people's messages.
        with suppress(FileExistsError):
            os.close(os.open(database, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise SetupError(f"cannot open the database {database}: {error.strerror}") from error
    connection = _connect(connect, database, busy_timeout_s, WRITER_PRAGMAS)
    if _journal_mode(connection) != "wal":
        connection.close()
        raise SetupError(f"the file system of {database} does not allow write-ahead logging; use a local disk")
    return connection


def connect_reader(database: Path, *, busy_timeout_s: float, connect: Connect = sqlite3.connect) -> sqlite3.Connection:
    """Open a connection that only reads."""
    return _connect(connect, database, busy_timeout_s, READER_PRAGMAS)


def _connect(connect: Connect, database: Path, busy_timeout_s: float, pragmas: Sequence[str]) -> sqlite3.Connection:
    connection: sqlite3.Connection | None = None
    try:
        connection = connect(database, timeout=busy_timeout_s, isolation_level=None, cached_statements=256)
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
    except DRIVER_ERRORS as error:
        if connection is not None:
            connection.close()
        raise SetupError(f"cannot open the database {database}: {_reason(error)}") from error
    return connection


def _journal_mode(connection: sqlite3.Connection) -> str:
    """Asked for, since SQLite answers a mode that it cannot set with another one and no error. Empty if it cannot tell."""
    try:
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    except DRIVER_ERRORS:
        return ""
    return str(mode)


# The schema


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration], program_version: str) -> None:
    """Apply the migrations that are missing, each in a transaction. Raises ``SetupError``.

    A schema that a newer program has changed is refused only where that program said that this one can't work on it.
    """
    try:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS sg_migration (number INTEGER PRIMARY KEY, name TEXT NOT NULL,"
            " min_program TEXT NOT NULL, applied_at_us INTEGER NOT NULL) STRICT"
        )
        applied = connection.execute("SELECT number, min_program FROM sg_migration ORDER BY number").fetchall()
        for number, min_program in applied:
            if version_key(min_program) > version_key(program_version):
                raise SetupError(
                    f"the database is of a newer version: its change {number} needs stompgate {min_program} or later,"
                    f" this is {program_version}"
                )
        known = {number for number, _ in applied}
        for migration in migrations:
            if migration.number not in known:
                transact(connection, partial(_apply, migration=migration))
    except (*DRIVER_ERRORS, StoreUnavailable, OutcomeUnknown) as error:
        raise SetupError(f"cannot bring the database up to date: {error}") from error


def _apply(connection: sqlite3.Connection, *, migration: Migration) -> None:
    for statement in _statements(migration.sql):
        connection.execute(statement)
    connection.execute(
        "INSERT INTO sg_migration (number, name, min_program, applied_at_us) VALUES (?, ?, ?, ?)",
        (migration.number, migration.name, migration.min_program, utc_us()),
    )


def _statements(sql: str) -> Iterator[str]:
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def read_epoch(connection: sqlite3.Connection) -> str:
    """Return the name of this life of the data; a new database is given one. Raises ``SetupError``."""
    try:
        return transact(connection, _epoch)
    except (StoreUnavailable, OutcomeUnknown) as error:
        raise SetupError(f"cannot write to the database: {error}") from error


def _epoch(connection: sqlite3.Connection) -> str:
    connection.execute("INSERT OR IGNORE INTO sg_meta (name, value) VALUES ('epoch', ?)", (new_epoch(),))
    (epoch,) = connection.execute("SELECT value FROM sg_meta WHERE name = 'epoch'").fetchone()
    return str(epoch)


def write_new_epoch(connection: sqlite3.Connection) -> str:
    """Name the next life of the data."""
    epoch = new_epoch()
    connection.execute("UPDATE sg_meta SET value = ? WHERE name = 'epoch'", (epoch,))
    return epoch


# Transactions and their errors


def transact(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    """Do ``work`` in one write transaction.

    Raises ``StoreUnavailable`` when an error came before COMMIT: then it is rolled back, or ends with the process, for
    certain. An error of COMMIT itself is ``OutcomeUnknown``: its last page may be in the log and be found after a crash.
    """
    try:
        if connection.in_transaction:  # an earlier ROLLBACK failed
            connection.execute("ROLLBACK")
        connection.execute("BEGIN IMMEDIATE")
        result = work(connection)
    except BaseException as error:
        _roll_back(connection)
        if isinstance(error, DRIVER_ERRORS):
            raise StoreUnavailable(_reason(error)) from error
        raise
    try:
        connection.execute("COMMIT")
    except DRIVER_ERRORS as error:
        _roll_back(connection)
        raise OutcomeUnknown(_reason(error)) from error
    return result


def read(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    """Do ``work``, which reads all rows it asks for, so that no read transaction stays open. Raises ``StoreUnavailable``."""
    try:
        if connection.in_transaction:  # an earlier ROLLBACK failed: what it would see is of that time
            connection.execute("ROLLBACK")
        return work(connection)
    except DRIVER_ERRORS as error:
        raise StoreUnavailable(_reason(error)) from error
    except UNSTORABLE as error:
        raise StoreUnavailable(f"a value that the database cannot hold: {error}") from error


def _roll_back(connection: sqlite3.Connection) -> None:
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    except DRIVER_ERRORS:
        return  # tried again before the next transaction


def _reason(error: Exception) -> str:
    return f"{getattr(error, 'sqlite_errorname', type(error).__name__)}: {error}"


def utc_us() -> int:
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1000
