"""Taking old messages away, as SQL on one connection. Several servers may be at it at once."""

from __future__ import annotations

from collections.abc import Sequence

from . import pruning
from .mysql_connection import BEGIN, COMMIT, MysqlConnection, Statement
from .mysql_schema import NOW_US

_LOOK = pruning.LOOK_SQL.format(mark="%s")
_OLDEST = pruning.OLDEST_SQL.format(mark="%s")
# FOR UPDATE: if the room is deleted meanwhile, who clears it waits for what is moved here, and takes it from the archive. Both
# lock along one index.
_MESSAGES = "sg_message FORCE INDEX (sg_message_seq)"
_ARCHIVE = pruning.ARCHIVE_SQL.format(mark="%s", now=NOW_US, messages=_MESSAGES) + " FOR UPDATE"
_DELETE = pruning.DELETE_SQL.format(mark="%s")

# A row of no meaning, locked until the commit: one server at a time, so that what was read is what goes. Nobody else waits.
_MY_TURN: Statement = (
    "INSERT INTO sg_meta (name, value) VALUES ('prunings', '1') ON DUPLICATE KEY UPDATE value = value + 1",
    (),
)


async def look(connection: MysqlConnection, after: int, before_us: int) -> list[tuple[int, bool]]:
    """``pruning.Look``."""
    (found,) = await connection.run((_LOOK, (before_us, after, pruning.ROOMS_PER_LOOK)))
    return [(int(room), bool(may_go)) for room, may_go in found.rows]


async def take(connection: MysqlConnection, rooms: Sequence[int], before_us: int, limit: int, *, archive: bool) -> int:
    """``pruning.Take``: one transaction of its own."""
    taken = 0
    await connection.run(BEGIN, _MY_TURN)
    for room in rooms:
        (oldest,) = await connection.run((_OLDEST, (room, limit - taken + 1)))
        count, last_seq = pruning.prefix(oldest.rows, before_us)
        if count == 0:
            continue
        statements = [(_ARCHIVE, (room, last_seq))] if archive else []
        await connection.run(*statements, (_DELETE, (room, last_seq)))
        taken += count
        if taken >= limit:
            break
    await connection.run(COMMIT, commits=True)
    return taken


async def clear_archive(connection: MysqlConnection, room: int, *, rows: int) -> int:
    """Take away up to ``rows`` archived messages of a deleted room; return how many."""
    (taken,) = await connection.run(("DELETE FROM sg_archive WHERE room_id = %s LIMIT %s", (room, rows)), commits=True)
    return taken.changed
