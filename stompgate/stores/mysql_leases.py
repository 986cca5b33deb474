"""Leases of server ids, as SQL on one connection, by the clock of the database and no other."""

from __future__ import annotations

from stompgate.ports.store import Lease, StoreUnavailable

from .mysql_connection import BEGIN, COMMIT, MysqlConnection
from .mysql_schema import IS_VALID, LEASE_US, NOW_US


async def take_lease(connection: MysqlConnection, epoch: str, server_id: str, owner: str) -> Lease:
    """The contract is that of ``Store.take_lease``. Raises ``StoreUnavailable`` if the data has begun another life since.

    MySQL sets columns from left to right and sees what it has set: ``owner`` first, and then the expiry by whose it is now.
    LOCK IN SHARE MODE: MariaDB does not know FOR SHARE.
    """
    _, _, _, found, _ = await connection.run(
        BEGIN,
        ("SELECT value FROM sg_meta WHERE name = 'epoch' LOCK IN SHARE MODE", ()),
        (
            "INSERT INTO sg_lease (server_id, owner, expires_at_us)"
            f" SELECT %s, %s, {NOW_US} + {LEASE_US} FROM sg_meta WHERE name = 'epoch' AND value = %s"
            f" ON DUPLICATE KEY UPDATE owner = IF({IS_VALID}, sg_lease.owner, %s),"
            f" expires_at_us = IF(sg_lease.owner = %s, {NOW_US} + {LEASE_US}, expires_at_us)",
            (server_id, owner, epoch, owner, owner),
        ),
        (
            "SELECT l.owner, l.expires_at_us FROM sg_lease l JOIN sg_meta e ON e.name = 'epoch' AND e.value = %s"
            " WHERE l.server_id = %s",
            (epoch, server_id),
        ),
        COMMIT,
        commits=True,
    )
    if not found.rows:
        raise StoreUnavailable("the data began another life since this server started")
    return Lease(*found.rows[0])


async def release_lease(connection: MysqlConnection, server_id: str, owner: str) -> None:
    await connection.run(("DELETE FROM sg_lease WHERE server_id = %s AND owner = %s", (server_id, owner)), commits=True)
