"""What is owed to the relay, and inquiries owed to the mail, as SQL on one connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from stompgate.model.inquiries import Inquiry
from stompgate.model.records import ChatRecord, RoomChanged
from stompgate.ports.store import MAIL_CLAIM_S

from .sqlite_file import utc_us
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


def add_inquiry(connection: sqlite3.Connection, inquiry: Inquiry) -> Inquiry:
    """One that waits word for word already is answered with that one."""
    texts = (inquiry.name, inquiry.email, inquiry.phone, inquiry.message)
    found = connection.execute(
        "SELECT id FROM sg_inquiry WHERE mailed_at_us IS NULL AND name = ? AND email = ? AND phone = ? AND message = ?", texts
    ).fetchone()
    number = found[0] if found else _insert_inquiry(connection, texts)
    return Inquiry(number or 0, *texts)


def _insert_inquiry(connection: sqlite3.Connection, texts: tuple[str, str, str, str]) -> int | None:
    return connection.execute(
        "INSERT INTO sg_inquiry (name, email, phone, message, created_at_us) VALUES (?, ?, ?, ?, ?)", (*texts, utc_us())
    ).lastrowid


def unmailed(connection: sqlite3.Connection, server_id: str, limit: int) -> list[Inquiry]:
    """Claim the oldest that are free or ours. A claim that ends too far ahead is of a clock that was set back since.

    The file may have been another server's before.
    """
    now_us = utc_us()
    until_us = now_us + round(MAIL_CLAIM_S * 1_000_000)
    rows = connection.execute(
        "SELECT id, name, email, phone, message FROM sg_inquiry WHERE mailed_at_us IS NULL"
        " AND (claimed_by IS NULL OR claimed_by = ? OR NOT (claimed_until_us > ? AND claimed_until_us <= ?))"
        " ORDER BY id LIMIT ?",
        (server_id, now_us, until_us, limit),
    ).fetchall()
    connection.executemany(
        "UPDATE sg_inquiry SET claimed_by = ?, claimed_until_us = ? WHERE id = ?",
        [(server_id, until_us, row[0]) for row in rows],
    )
    return [Inquiry(*row) for row in rows]


def mark_mailed(connection: sqlite3.Connection, inquiry_id: int) -> None:
    connection.execute("UPDATE sg_inquiry SET mailed_at_us = ? WHERE id = ? AND mailed_at_us IS NULL", (utc_us(), inquiry_id))
