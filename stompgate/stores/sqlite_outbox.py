"""What is owed to the relay, as SQL on one connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from stompgate.model.records import ChatRecord, RoomChanged

from .sqlite_values import padded, place_holders, slices
from .stored_rows import MESSAGE_COLUMNS, message_of


def unrelayed(connection: sqlite3.Connection, epoch: str, limit: int) -> list[ChatRecord | RoomChanged]:
    """Changes of rooms first, since they keep people out; then messages in the order of storing.

    Whatever server a row names: this process is the only one that has the database, so it owes them all. What is left of a
    deleted room's messages is owed to nobody.
    """
    changes = connection.execute(
        "SELECT uuid, members_version, deleted FROM sg_room INDEXED BY sg_room_unrelayed WHERE unrelayed_by IS NOT NULL"
        " ORDER BY id LIMIT ?",
        (limit,),
    ).fetchall()
    messages = connection.execute(
        f"SELECT {MESSAGE_COLUMNS}"
        " FROM sg_message m INDEXED BY sg_message_unrelayed CROSS JOIN sg_room r ON r.id = m.room_id AND r.deleted = 0"
        " WHERE m.unrelayed_by IS NOT NULL ORDER BY m.number LIMIT ?",
        (limit - len(changes),),
    ).fetchall()
    return [
        *(RoomChanged(uuid, version, bool(deleted), epoch) for uuid, version, deleted in changes),
        *(ChatRecord(message_of(row, epoch)) for row in messages),
    ]


def mark_relayed(connection: sqlite3.Connection, records: Sequence[ChatRecord | RoomChanged]) -> None:
    """Clear the marks of records. A room that has changed again since keeps its mark."""
    for ids in map(padded, slices([record.message.id for record in records if isinstance(record, ChatRecord)])):
        connection.execute(f"UPDATE sg_message SET unrelayed_by = NULL WHERE id IN ({place_holders(len(ids))})", ids)
    connection.executemany(
        "UPDATE sg_room SET unrelayed_by = NULL WHERE uuid = ? AND members_version <= ?",
        [(record.room, record.members_version) for record in records if isinstance(record, RoomChanged)],
    )
