"""Rooms, their members and their removal, as SQL on one connection."""

from __future__ import annotations

from collections.abc import Sequence

from stompgate.model.rooms import Members, RoomHead, RoomSummary, RoomUser

from .mysql_connection import BEGIN, COMMIT, MysqlConnection, Statement
from .mysql_prune import clear_archive
from .mysql_schema import NOW_US
from .stored_rows import ROOM_USER_COLUMNS, key_of, room_user_of, summaries, summary_of

_ROOM_USER = f"SELECT {ROOM_USER_COLUMNS} FROM sg_member m JOIN sg_room r ON r.id = m.room_id WHERE r.deleted = 0"


def place_holders(count: int, of_one: str = "%s") -> str:
    """Return ``count`` place holders, or groups of them, with commas between."""
    return ", ".join([of_one] * count)


async def create_room(
    connection: MysqlConnection, uuid: str, buyer: str, seller: str, product_name: str
) -> tuple[RoomUser, RoomUser]:
    """Return the seller's and the buyer's row of the room of these three; make it if there is none.

    A room that another server makes at the same moment ends in ``StatementFailed`` (DUPLICATE); begun again, it is found.
    """
    key = key_of(buyer, seller, product_name)
    look: Statement = (_ROOM_USER + " AND r.live_key = %s ORDER BY m.id", (key,))
    (found,) = await connection.run(look)
    if not found.rows:
        _, _, _, found, _ = await connection.run(
            BEGIN,
            (
                "INSERT INTO sg_room (uuid, product_name, buyer, seller, live_key, created_at_us)"
                f" VALUES (%s, %s, %s, %s, %s, {NOW_US})",
                (uuid, product_name, buyer, seller, key),
            ),
            (
                "INSERT INTO sg_member (room_id, user, other) VALUES (LAST_INSERT_ID(), %s, %s), (LAST_INSERT_ID(), %s, %s)",
                (seller, buyer, buyer, seller),
            ),
            look,
            COMMIT,
            commits=True,
        )
    sellers, buyers = map(room_user_of, found.rows)
    return sellers, buyers


async def members(connection: MysqlConnection, room: str) -> Members | None:
    (found,) = await connection.run(
        (
            "SELECT r.members_version, r.deleted, r.last_seq, m.user FROM sg_room r"
            " LEFT JOIN sg_member m ON m.room_id = r.id AND r.deleted = 0 WHERE r.uuid = %s",
            (room,),
        )
    )
    if not found.rows:
        return None
    version, deleted, last_seq, _ = found.rows[0]
    users = frozenset(row[3] for row in found.rows if row[3] is not None)
    return Members(room, users, version, bool(deleted), last_seq)


async def heads(connection: MysqlConnection, rooms: Sequence[str]) -> list[RoomHead]:
    """All in one statement, so that the numbers are of one moment."""
    (found,) = await connection.run(
        (
            "SELECT uuid, last_seq, members_version, deleted FROM sg_room FORCE INDEX (sg_room_uuid)"
            f" WHERE uuid IN ({place_holders(len(rooms))})",
            rooms,
        )
    )
    return [RoomHead(uuid, last_seq, version, bool(deleted)) for uuid, last_seq, version, deleted in found.rows]


async def room_user(connection: MysqlConnection, room: str, user: str) -> RoomUser | None:
    rows = await _room_users(connection, " AND r.uuid = %s AND m.user = %s ORDER BY m.id LIMIT 1", room, user)
    return rows[0] if rows else None


async def rooms_of(connection: MysqlConnection, user: str) -> list[RoomUser]:
    return await _room_users(connection, " AND m.user = %s ORDER BY m.id", user)


async def all_room_users(connection: MysqlConnection) -> list[RoomUser]:
    return await _room_users(connection, " ORDER BY m.id")


async def _room_users(connection: MysqlConnection, condition: str, *values: str) -> list[RoomUser]:
    (found,) = await connection.run((_ROOM_USER + condition, values))
    return list(map(room_user_of, found.rows))


async def list_rooms(connection: MysqlConnection, user: str | None, before: int | None, limit: int) -> list[RoomSummary]:
    (found,) = await connection.run(summaries("%s", user, before, limit))
    return list(map(summary_of, found.rows))


# Removal: one change of the room's row, and then its rows in slices


async def delete_room(connection: MysqlConnection, room: str, server_id: str) -> int | None:
    """Return the version of the members that says so; None if there is no living room."""
    _, change, found, _ = await connection.run(
        BEGIN,
        (
            "UPDATE sg_room SET deleted = 1, live_key = NULL, members_version = members_version + 1, unrelayed_by = %s"
            " WHERE uuid = %s AND deleted = 0",
            (server_id, room),
        ),
        ("SELECT members_version FROM sg_room WHERE uuid = %s", (room,)),
        COMMIT,
        commits=True,
    )
    return int(found.rows[0][0]) if change.changed else None


async def clear_slice(connection: MysqlConnection, rows: int) -> bool:
    """Take away up to ``rows`` messages of one deleted room, its archive last, and then its members. False: none was left.

    Two servers may be at it at once: each takes away what the other has left.
    """
    (found,) = await connection.run(("SELECT id FROM sg_room WHERE deleted = 1 AND cleared = 0 ORDER BY id LIMIT 1", ()))
    if not found.rows:
        return False
    room = found.rows[0]
    (taken,) = await connection.run(
        ("DELETE FROM sg_message WHERE room_id = %s ORDER BY seq LIMIT %s", (*room, rows)), commits=True
    )
    gone = taken.changed
    if gone < rows:
        gone += await clear_archive(connection, *room, rows=rows - gone)
    if gone < rows:
        await connection.run(
            BEGIN,
            ("DELETE FROM sg_member WHERE room_id = %s", room),
            ("UPDATE sg_room SET cleared = 1 WHERE id = %s", room),
            COMMIT,
            commits=True,
        )
    return True
