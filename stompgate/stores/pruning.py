"""Which old messages may go, whatever the database; and the walk over the rooms that finds them. No SQL is run here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

ROOMS_PER_LOOK = 1000
ROOMS_PER_STEP = 50

Look = Callable[[int], Awaitable[Sequence[tuple[int, bool]]]]
"""The next living rooms above a number, in the order of their numbers, and whether the oldest message of each may go."""

Take = Callable[[Sequence[int]], Awaitable[int]]
"""Takes away what may go of these rooms, up to the limit, in one transaction; returns how many messages went."""

LOOK_SQL = (
    "SELECT c.id, COALESCE(m.sent_at_us < {mark} AND m.seq < c.last_seq AND m.unrelayed_by IS NULL, 0)"
    " FROM (SELECT id, last_seq FROM sg_room WHERE id > {mark} AND deleted = 0 ORDER BY id LIMIT {mark}) c"
    " LEFT JOIN sg_message m ON m.room_id = c.id AND m.seq ="
    " (SELECT f.seq FROM sg_message f WHERE f.room_id = c.id ORDER BY f.seq LIMIT 1)"
    " ORDER BY c.id"
)
"""``Look``, for the age, the number and ``ROOMS_PER_LOOK``; ``mark`` is the driver's place holder.

MIN(seq) would be the same; but there MariaDB reads a room's whole index.
"""

ARCHIVED_COLUMNS = "number, room_id, seq, id, client_id, sender, content, sent_at_us, members_version"

ARCHIVE_SQL = (
    f"INSERT INTO sg_archive ({ARCHIVED_COLUMNS}, archived_at_us)"
    f" SELECT {ARCHIVED_COLUMNS}, {{now}} FROM {{messages}} WHERE room_id = {{mark}} AND seq <= {{mark}}"
)
DELETE_SQL = "DELETE FROM sg_message WHERE room_id = {mark} AND seq <= {mark}"
OLDEST_SQL = "SELECT seq, sent_at_us, unrelayed_by FROM sg_message WHERE room_id = {mark} ORDER BY seq LIMIT {mark}"


def prefix(rows: Sequence[Sequence[Any]], before_us: int) -> tuple[int, int]:
    """Of a room's oldest rows (``OLDEST_SQL``, one more than may go) return how many may go, and the last one's ``seq``.

    Without holes: up to the first that is younger or still owed to the relay. The last row stays: it may be the newest.
    """
    count, last_seq = 0, 0
    for seq, sent_at_us, unrelayed_by in rows[:-1]:
        if sent_at_us >= before_us or unrelayed_by is not None:
            break
        count, last_seq = count + 1, seq
    return count, last_seq


class Walk:
    """Goes over all rooms, on and on, and remembers where it was: most rooms have nothing old, and are passed once a round."""

    def __init__(self) -> None:
        self._after = 0

    async def prune(self, look: Look, take: Take) -> int:
        """Take away a transaction's worth; return how many messages went. 0: a whole round found none."""
        is_from_the_start = self._after == 0
        while True:
            rooms = await look(self._after)
            old = [room for room, may_go in rooms if may_go][:ROOMS_PER_STEP]
            if old:
                taken = await take(old)
                self._after = old[-1] if taken == 0 else old[0] - 1  # 0: another server was quicker
                if taken:
                    return taken
            elif rooms:
                self._after = rooms[-1][0]
            elif is_from_the_start:
                self._after = 0
                return 0
            else:
                self._after, is_from_the_start = 0, True
