"""A connection to SQLite that fails, or stands still, at a chosen statement: before it is done, after it, or from there on."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from .rivals import DEADLINE_S

WRITER, READER = "sqlite-writer", "sqlite-reader"


class At(Enum):
    """Where a statement fails."""

    NEVER = "never"
    BEFORE = "before it is done"
    AFTER = "after it is done"


@dataclass(frozen=True)
class Fault:
    """What goes wrong at the chosen statement, and at every ROLLBACK behind it. ``lasts``: at every statement from there on."""

    statement: At
    rollback: At = At.NEVER
    error: type[Exception] = sqlite3.OperationalError
    lasts: bool = False

    def __str__(self) -> str:
        rollback = f", ROLLBACK {self.rollback.value}" if self.rollback is not At.NEVER else ""
        return f"{self.error.__name__} {self.statement.value}{rollback}{', and on' if self.lasts else ''}"


FAULTS = (
    *(Fault(statement, rollback) for statement in (At.BEFORE, At.AFTER) for rollback in At),
    *(Fault(statement, error=MemoryError) for statement in (At.BEFORE, At.AFTER)),
    *(Fault(statement, At.BEFORE, lasts=True) for statement in (At.BEFORE, At.AFTER)),
)


class Hold:
    """Stands still at the chosen statement until the test lets go; then ``fault`` happens there."""

    def __init__(self, fault: Fault | None = None) -> None:
        self.fault = fault or Fault(At.NEVER)
        self.reached = threading.Event()
        self.release = threading.Event()


@dataclass
class Disk:
    """Where the faults are. ``connect`` goes into the store; ``statements`` are those of ``thread`` since the last ``arm``."""

    thread: str = WRITER
    statements: list[str] = field(default_factory=list)
    _chosen: int = 0
    _fault: Fault = field(default_factory=lambda: Fault(At.NEVER))
    _hold: Hold | None = None

    def connect(self, database: Any, **options: Any) -> sqlite3.Connection:
        """What ``sqlite3.connect`` does."""
        return _Connection(self, database, **options)

    def arm(self, chosen: int = 0, what: Fault | Hold | None = None) -> None:
        """Count from here, and fail or stand still at statement number ``chosen``, from 1."""
        self._hold = what if isinstance(what, Hold) else None
        self._fault = what.fault if isinstance(what, Hold) else what or Fault(At.NEVER)
        self._chosen = chosen
        self.statements.clear()

    def heal(self) -> None:
        """Fail no more."""
        self.arm()

    def do(self, sql: str, statement: Callable[[], sqlite3.Cursor]) -> sqlite3.Cursor:
        """Do a statement as well as this disk can."""
        if threading.current_thread().name != self.thread:
            return statement()
        self.statements.append(sql)
        number = len(self.statements)
        if number == self._chosen and self._hold is not None:
            self._hold.reached.set()
            assert self._hold.release.wait(DEADLINE_S)
        at = self._place(number, sql)
        if at is At.BEFORE:
            raise self._fault.error(f"failed before {sql}")
        cursor = statement()
        if at is At.AFTER:
            cursor.close()
            raise self._fault.error(f"failed after {sql}")
        return cursor

    def _place(self, number: int, sql: str) -> At:
        if not self._chosen or number < self._chosen:
            return At.NEVER
        if number == self._chosen:
            return self._fault.statement
        if sql == "ROLLBACK" and self._fault.rollback is not At.NEVER:
            return self._fault.rollback
        return self._fault.statement if self._fault.lasts else At.NEVER


class _Connection(sqlite3.Connection):
    def __init__(self, disk: Disk, database: Any, **options: Any) -> None:
        super().__init__(database, **options)
        self._disk = disk

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        return self._disk.do(sql, lambda: super(_Connection, self).execute(sql, parameters))

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        return self._disk.do(sql, lambda: super(_Connection, self).executemany(sql, parameters))
