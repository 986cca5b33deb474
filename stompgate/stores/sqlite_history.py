"""Reading stored messages, as SQL on one connection; and the two probes of the health page."""

from __future__ import annotations

import sqlite3

from stompgate.model.messages import ChatMessage

from .stored_rows import HIGHEST, LOWEST, MESSAGE_COLUMNS, message_of, page_bounds

_MESSAGE = (
    f"SELECT {MESSAGE_COLUMNS} FROM sg_room r CROSS JOIN sg_message m ON m.room_id = r.id WHERE r.uuid = ? AND r.deleted = 0"
)


def history(
    connection: sqlite3.Connection, epoch: str, room: str, before: int | None, after: int | None, limit: int
) -> list[ChatMessage]:
    """The contract is that of ``Store.history``; with both bounds, the oldest ones between them."""
    page = page_bounds(before, after, limit)
    if page is None:
        return []
    direction = "DESC" if after is None else "ASC"
    rows = connection.execute(
        f"{_MESSAGE} AND m.seq BETWEEN ? AND ? ORDER BY m.seq {direction} LIMIT ?",
        (room, *page, min(limit, HIGHEST)),
    ).fetchall()
    messages = [message_of(row, epoch) for row in rows]
    if after is None:
        messages.reverse()
    return messages


def message_at(connection: sqlite3.Connection, epoch: str, room: str, seq: int) -> ChatMessage | None:
    if not LOWEST <= seq <= HIGHEST:
        return None
    row = connection.execute(f"{_MESSAGE} AND m.seq = ?", (room, seq)).fetchone()
    return message_of(row, epoch) if row else None


def probe_read(connection: sqlite3.Connection) -> None:
    connection.execute("SELECT value FROM sg_meta WHERE name = 'epoch'").fetchone()


def probe_write(connection: sqlite3.Connection) -> None:
    connection.execute(
        "INSERT INTO sg_meta (name, value) VALUES ('probe', '1') ON CONFLICT (name) DO UPDATE SET value = value + 1"
    )
