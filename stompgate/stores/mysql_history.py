"""Reading stored messages, as SQL on one connection."""

from __future__ import annotations

from stompgate.model.messages import ChatMessage

from .mysql_connection import MysqlConnection
from .stored_rows import HIGHEST, LOWEST, MESSAGE_COLUMNS, message_of, page_bounds

# The room first, by its UUID, and then its messages by their numbers, whatever the statistics say of small tables.
_MESSAGE = (
    f"SELECT {MESSAGE_COLUMNS} FROM sg_room r STRAIGHT_JOIN sg_message m FORCE INDEX (sg_message_seq) ON m.room_id = r.id"
    " WHERE r.uuid = %s AND r.deleted = 0"
)


async def history(
    connection: MysqlConnection, epoch: str, room: str, bounds: tuple[int | None, int | None], limit: int
) -> list[ChatMessage]:
    """The contract is that of ``Store.history``; with both bounds, before and after, the oldest ones between them."""
    before, after = bounds
    page = page_bounds(before, after, limit)
    if page is None:
        return []
    direction = "DESC" if after is None else "ASC"
    (found,) = await connection.run(
        (f"{_MESSAGE} AND m.seq BETWEEN %s AND %s ORDER BY m.seq {direction} LIMIT %s", (room, *page, min(limit, HIGHEST)))
    )
    messages = [message_of(row, epoch) for row in found.rows]
    if after is None:
        messages.reverse()
    return messages


async def message_at(connection: MysqlConnection, epoch: str, room: str, seq: int) -> ChatMessage | None:
    if not LOWEST <= seq <= HIGHEST:
        return None
    (found,) = await connection.run((f"{_MESSAGE} AND m.seq = %s", (room, seq)))
    return message_of(found.rows[0], epoch) if found.rows else None
