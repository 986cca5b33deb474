"""Reading stored messages, as SQL on one connection; and the two probes of the health page."""

from __future__ import annotations

import sqlite3

from stompgate.model.messages import ChatMessage

from .sqlite_values import MESSAGE_COLUMNS, message_of

LOWEST, HIGHEST = -(2**63), 2**63 - 1
"""What an SQLite integer can hold. A client's position may name any number."""

_MESSAGE = (
    f"SELECT {MESSAGE_COLUMNS} FROM sg_room r CROSS JOIN sg_message m ON m.room_id = r.id WHERE r.uuid = ? AND r.deleted = 0"
)


def history(
    connection: sqlite3.Connection, epoch: str, room: str, before: int | None, after: int | None, limit: int
) -> list[ChatMessage]:
    """The contract is that of ``Store.history``; with both bounds, the oldest ones between them."""
    upper = HIGHEST if before is None else min(before - 1, HIGHEST)
    lower = LOWEST if after is None else max(after + 1, LOWEST)
    if lower > upper or lower > HIGHEST or upper < LOWEST or limit <= 0:
        return []
    direction = "DESC" if after is None else "ASC"
    rows = connection.execute(
        f"{_MESSAGE} AND m.seq BETWEEN ? AND ? ORDER BY m.seq {direction} LIMIT ?",
        (room, lower, upper, min(limit, HIGHEST)),
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
