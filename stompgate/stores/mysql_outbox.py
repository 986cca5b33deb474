"""What is owed to the relay, and inquiries owed to the mail, as SQL on one connection."""

from __future__ import annotations

from collections.abc import Sequence

from stompgate.model.inquiries import Inquiry
from stompgate.model.records import ChatRecord, RoomChanged
from stompgate.ports.store import MAIL_CLAIM_S

from .mysql_connection import BEGIN, COMMIT, MysqlConnection, Statement
from .mysql_rooms import place_holders
from .mysql_schema import IS_VALID, NOW_US
from .stored_rows import MESSAGE_COLUMNS, key_of, message_of

_CLAIM_US = round(MAIL_CLAIM_S * 1_000_000)


async def unrelayed(connection: MysqlConnection, epoch: str, server_id: str, limit: int) -> list[ChatRecord | RoomChanged]:
    """Changes of rooms first, since they keep people out; then messages in the order of storing.

    First who owes anything that is ours to publish; then, server by server, what: so each is read along its index and no
    further than ``limit``, however much is owed. What is left of a deleted room's messages is owed to nobody.
    """
    servers = await _servers_to_act_for(connection, server_id)
    if not servers:
        return []
    changes, *messages = await connection.run(
        (
            f"SELECT uuid, members_version, deleted FROM sg_room WHERE unrelayed_by IN ({place_holders(len(servers))})"
            " ORDER BY id LIMIT %s",
            (*servers, limit),
        ),
        *(
            (
                f"SELECT m.number, {MESSAGE_COLUMNS} FROM sg_message m FORCE INDEX (sg_message_unrelayed)"
                " STRAIGHT_JOIN sg_room r ON r.id = m.room_id AND r.deleted = 0"
                " WHERE m.unrelayed_by = %s ORDER BY m.number LIMIT %s",
                (server, limit),
            )
            for server in servers
        ),
    )
    rows = sorted(row for found in messages for row in found.rows)
    records: list[ChatRecord | RoomChanged] = [
        RoomChanged(uuid, version, bool(deleted), epoch) for uuid, version, deleted in changes.rows
    ]
    records.extend(ChatRecord(message_of(row[1:], epoch)) for row in rows)
    return records[:limit]


async def _servers_to_act_for(connection: MysqlConnection, server_id: str) -> list[str]:
    """Who owes anything and is this server, or has no valid lease.

    Found by one step along the indexes for each, since DISTINCT would read all that is owed.
    """
    servers: list[str] = []
    last = ""
    while True:
        leases, *firsts = await connection.run(
            (f"SELECT server_id FROM sg_lease WHERE {IS_VALID}", ()),
            ("SELECT MIN(unrelayed_by) FROM sg_room WHERE unrelayed_by > %s", (last,)),
            ("SELECT MIN(unrelayed_by) FROM sg_message WHERE unrelayed_by > %s", (last,)),
        )
        found = [server for first in firsts for (server,) in first.rows if server is not None]
        if not found:
            return servers
        last = min(found)
        if last == server_id or (last,) not in leases.rows:
            servers.append(last)


async def mark_relayed(connection: MysqlConnection, records: Sequence[ChatRecord | RoomChanged]) -> None:
    """Clear the marks of records, in one order on all servers. A room that has changed again since keeps its mark."""
    ids = sorted(record.message.id for record in records if isinstance(record, ChatRecord))
    changes = sorted({(one.room, one.members_version) for one in records if isinstance(one, RoomChanged)})
    statements: list[Statement] = [
        ("UPDATE sg_room SET unrelayed_by = NULL WHERE uuid = %s AND members_version <= %s", change) for change in changes
    ]
    if ids:
        statements.append((f"UPDATE sg_message SET unrelayed_by = NULL WHERE id IN ({place_holders(len(ids))})", ids))
    await connection.run(BEGIN, *statements, COMMIT, commits=True)


async def add_inquiry(connection: MysqlConnection, inquiry: Inquiry) -> Inquiry:
    """One that waits word for word already is answered with that one: LAST_INSERT_ID makes its number the answer."""
    texts = (inquiry.name, inquiry.email, inquiry.phone, inquiry.message)
    (added,) = await connection.run(
        (
            "INSERT INTO sg_inquiry (name, email, phone, message, waiting_key, created_at_us)"
            f" VALUES (%s, %s, %s, %s, %s, {NOW_US}) ON DUPLICATE KEY UPDATE id = LAST_INSERT_ID(id)",
            (*texts, key_of(*texts)),
        ),
        commits=True,
    )
    return Inquiry(added.inserted_id, *texts)


async def unmailed(connection: MysqlConnection, server_id: str, limit: int) -> list[Inquiry]:
    """Claim the oldest that are free or ours, and return them. A claim that ends too far ahead is of a clock set back since."""
    _, _, found, _ = await connection.run(
        BEGIN,
        (
            f"UPDATE sg_inquiry SET claimed_by = %s, claimed_until_us = {NOW_US} + {_CLAIM_US} WHERE mailed_at_us IS NULL"
            " AND (claimed_by IS NULL OR claimed_by = %s"
            f" OR NOT (claimed_until_us > {NOW_US} AND claimed_until_us <= {NOW_US} + {_CLAIM_US})) ORDER BY id LIMIT %s",
            (server_id, server_id, limit),
        ),
        (
            "SELECT id, name, email, phone, message FROM sg_inquiry WHERE mailed_at_us IS NULL AND claimed_by = %s"
            " ORDER BY id LIMIT %s",
            (server_id, limit),
        ),
        COMMIT,
        commits=True,
    )
    return [Inquiry(*row) for row in found.rows]


async def mark_mailed(connection: MysqlConnection, inquiry_id: int) -> None:
    await connection.run(
        (
            f"UPDATE sg_inquiry SET mailed_at_us = {NOW_US}, waiting_key = NULL WHERE id = %s AND mailed_at_us IS NULL",
            (inquiry_id,),
        ),
        commits=True,
    )
