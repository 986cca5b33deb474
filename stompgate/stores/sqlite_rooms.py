"""Rooms, their members and their removal, as SQL on one connection. Used within the transactions of the store."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from stompgate.model.rooms import Members, RoomHead, RoomSummary, RoomUser

from .sqlite_file import utc_us
from .sqlite_prune import clear_archive
from .sqlite_values import padded, place_holders, slices
from .stored_rows import ROOM_USER_COLUMNS, key_of, room_user_of, summaries, summary_of

_ROOM_USER = f"SELECT {ROOM_USER_COLUMNS} FROM sg_member m JOIN sg_room r ON r.id = m.room_id WHERE r.deleted = 0"


def create_room(
    connection: sqlite3.Connection, uuid: str, buyer: str, seller: str, product_name: str
) -> tuple[RoomUser, RoomUser]:
    """Return the seller's and the buyer's row of the room of these three; make it if there is none."""
    key = key_of(buyer, seller, product_name)
    found = connection.execute("SELECT id FROM sg_room WHERE live_key = ?", (key,)).fetchone()
    number = found[0] if found else _insert_room(connection, uuid, buyer, seller, product_name, key)
    rows = connection.execute(_ROOM_USER + " AND r.id = ? ORDER BY m.id", (number,)).fetchall()
    sellers, buyers = map(room_user_of, rows)
    return sellers, buyers


def _insert_room(connection: sqlite3.Connection, uuid: str, buyer: str, seller: str, product_name: str, key: str) -> int | None:
    number = connection.execute(
        "INSERT INTO sg_room (uuid, product_name, buyer, seller, live_key, created_at_us) VALUES (?, ?, ?, ?, ?, ?)",
        (uuid, product_name, buyer, seller, key, utc_us()),
    ).lastrowid
    connection.execute(
        "INSERT INTO sg_member (room_id, user, other) VALUES (?, ?, ?), (?, ?, ?)",
        (number, seller, buyer, number, buyer, seller),
    )
    return number


def members(connection: sqlite3.Connection, room: str) -> Members | None:
    rows = connection.execute(
        "SELECT r.members_version, r.deleted, r.last_seq, m.user FROM sg_room r"
        " LEFT JOIN sg_member m ON m.room_id = r.id AND r.deleted = 0 WHERE r.uuid = ?",
        (room,),
    ).fetchall()
    if not rows:
        return None
    version, deleted, last_seq, _ = rows[0]
    return Members(room, frozenset(row[3] for row in rows if row[3] is not None), version, bool(deleted), last_seq)


def heads(connection: sqlite3.Connection, rooms: Sequence[str]) -> list[RoomHead]:
    """All in one read transaction, so that the numbers are of one moment."""
    answer: list[RoomHead] = []
    connection.execute("BEGIN")
    try:
        for uuids in map(padded, slices(rooms)):
            rows = connection.execute(
                f"SELECT uuid, last_seq, members_version, deleted FROM sg_room WHERE uuid IN ({place_holders(len(uuids))})",
                uuids,
            ).fetchall()
            answer.extend(RoomHead(uuid, last_seq, version, bool(deleted)) for uuid, last_seq, version, deleted in rows)
    finally:
        connection.execute("ROLLBACK")
    return answer


def room_user(connection: sqlite3.Connection, room: str, user: str) -> RoomUser | None:
    row = connection.execute(_ROOM_USER + " AND r.uuid = ? AND m.user = ? ORDER BY m.id LIMIT 1", (room, user)).fetchone()
    return room_user_of(row) if row else None


def rooms_of(connection: sqlite3.Connection, user: str) -> list[RoomUser]:
    return [room_user_of(row) for row in connection.execute(_ROOM_USER + " AND m.user = ? ORDER BY m.id", (user,)).fetchall()]


def all_room_users(connection: sqlite3.Connection) -> list[RoomUser]:
    return [room_user_of(row) for row in connection.execute(_ROOM_USER + " ORDER BY m.id").fetchall()]


def list_rooms(connection: sqlite3.Connection, user: str | None, before: int | None, limit: int) -> list[RoomSummary]:
    return list(map(summary_of, connection.execute(*summaries("?", user, before, limit)).fetchall()))


# Removal: one change of the room's row, and then its rows in slices


def delete_room(connection: sqlite3.Connection, room: str, server_id: str) -> int | None:
    """Mark a living room as deleted and as owed to the relay; return its new version. None if there is none."""
    changed = connection.execute(
        "UPDATE sg_room SET deleted = 1, live_key = NULL, members_version = members_version + 1, unrelayed_by = ?"
        " WHERE uuid = ? AND deleted = 0",
        (server_id, room),
    ).rowcount
    if not changed:
        return None
    (version,) = connection.execute("SELECT members_version FROM sg_room WHERE uuid = ?", (room,)).fetchone()
    return int(version)


def clear_slice(connection: sqlite3.Connection, rows: int) -> bool:
    """Take away up to ``rows`` messages of one deleted room, its archive last, and then its members. False: none was left."""
    found = connection.execute("SELECT id FROM sg_room WHERE deleted = 1 AND cleared = 0 ORDER BY id LIMIT 1").fetchone()
    if found is None:
        return False
    taken = connection.execute(
        "DELETE FROM sg_message WHERE number IN (SELECT number FROM sg_message WHERE room_id = ? LIMIT ?)", (*found, rows)
    ).rowcount
    if taken < rows:
        taken += clear_archive(connection, *found, rows=rows - taken)
    if taken < rows:
        connection.execute("DELETE FROM sg_member WHERE room_id = ?", found)
        connection.execute("UPDATE sg_room SET cleared = 1 WHERE id = ?", found)
    return True
