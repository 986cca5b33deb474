"""Taking old messages away, as SQL on one connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from . import pruning
from .sqlite_file import utc_us

_LOOK = pruning.LOOK_SQL.format(mark="?")
_OLDEST = pruning.OLDEST_SQL.format(mark="?")
_ARCHIVE = pruning.ARCHIVE_SQL.format(mark="?", now="?", messages="sg_message")
_DELETE = pruning.DELETE_SQL.format(mark="?")


def look(connection: sqlite3.Connection, after: int, before_us: int) -> list[tuple[int, bool]]:
    """``pruning.Look``."""
    rows = connection.execute(_LOOK, (before_us, after, pruning.ROOMS_PER_LOOK)).fetchall()
    return [(room, bool(may_go)) for room, may_go in rows]


def take(connection: sqlite3.Connection, rooms: Sequence[int], before_us: int, limit: int, *, archive: bool) -> int:
    """``pruning.Take``, inside a transaction."""
    taken = 0
    for room in rooms:
        rows = connection.execute(_OLDEST, (room, limit - taken + 1)).fetchall()
        count, last_seq = pruning.prefix(rows, before_us)
        if count == 0:
            continue
        if archive:
            connection.execute(_ARCHIVE, (utc_us(), room, last_seq))
        connection.execute(_DELETE, (room, last_seq))
        taken += count
        if taken >= limit:
            break
    return taken


def clear_archive(connection: sqlite3.Connection, room: int, *, rows: int) -> int:
    """Take away up to ``rows`` archived messages of a deleted room; return how many."""
    return connection.execute(
        "DELETE FROM sg_archive WHERE rowid IN (SELECT rowid FROM sg_archive WHERE room_id = ? LIMIT ?)", (room, rows)
    ).rowcount
