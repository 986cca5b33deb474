"""What is owed to the relay, as SQL on one connection."""

from __future__ import annotations

from collections.abc import Sequence

from stompgate.model.records import ChatRecord, RoomChanged

from .mysql_connection import BEGIN, COMMIT, MysqlConnection, Statement
from .mysql_rooms import place_holders
from .mysql_schema import IS_VALID
from .stored_rows import MESSAGE_COLUMNS, message_of


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
