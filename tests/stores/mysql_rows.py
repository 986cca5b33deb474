"""The tests' own hand on a database: emptied for the next test, asked and changed past the store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pymysql

from stompgate.stores.mysql import MysqlSettings, MysqlStore
from stompgate.stores.mysql_url import address_of
from tests.services import Services

Rows = list[tuple[Any, ...]]

_DEADLINE_S = 30
_LOOK_EVERY_S = 0.2  # asked more often, the database goes on showing the transactions that it saw before
_SHARED, _SAVED = "stompgate_emptied", "stompgate_saved"


def emptied_url(services: Services) -> str:
    """A database with the tables of the store, if they were made once, and nothing in them. One test at a time has it.

    Quicker than a fresh one: each statement that makes a table waits for the disk.
    """
    url = f"{services.database.url.rpartition('/')[0]}/{_SHARED}"
    ask(services.database.url, f"CREATE DATABASE IF NOT EXISTS {_SHARED} CHARACTER SET utf8mb4")
    with connection_to(url) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW TABLES LIKE 'sg\\_%'")
        tables = [table for (table,) in cursor.fetchall() if table != "sg_migration"]
        connection.begin()
        for table in tables:
            cursor.execute(f"DELETE FROM {table}")
        connection.commit()
    return url


@contextmanager
def connection_to(url: str) -> Iterator[pymysql.Connection[pymysql.cursors.Cursor]]:
    """A connection of one's own, in autocommit until it begins a transaction."""
    address = address_of(url)
    connection = pymysql.connect(
        host=address.host,
        port=address.port,
        user=address.user,
        password=address.password,
        database=address.database,
        charset="utf8mb4",
        autocommit=True,
        read_timeout=_DEADLINE_S,
        connect_timeout=_DEADLINE_S,
    )
    try:
        yield connection
    finally:
        connection.close()


def ask(url: str, sql: str, values: Sequence[object] = ()) -> Rows:
    """Do one statement on a connection of its own."""
    with connection_to(url) as connection, connection.cursor() as cursor:
        cursor.execute(sql, values or None)
        return list(cursor.fetchall())


@asynccontextmanager
async def opened(url: str, server_id: str = "server-1", **limits: Any) -> AsyncIterator[MysqlStore]:
    """A store on the database, with some limits of its own."""
    store = MysqlStore(address_of(url), server_id=server_id, settings=MysqlSettings(**limits))
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def by_way_of(url: str, port: int) -> str:
    """The same database through another port of this machine."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{port}"))


def port_of(url: str) -> int:
    return address_of(url).port


@contextmanager
def locked(url: str, room: str) -> Iterator[None]:
    """Another server's transaction that holds a room, until it is rolled back at the end."""
    with connection_to(url) as connection, connection.cursor() as cursor:
        connection.begin()
        cursor.execute("SELECT id FROM sg_room WHERE uuid = %s FOR UPDATE", (room,))
        assert cursor.fetchall()
        yield
        connection.rollback()


_LIVING = "r.id = m.room_id AND r.deleted = 0"
_ALL = (
    "SELECT uuid, product_name, live_key, last_seq, members_version, deleted, unrelayed_by FROM sg_room ORDER BY uuid",
    f"SELECT r.uuid, m.user, m.other FROM sg_member m JOIN sg_room r ON {_LIVING} ORDER BY r.uuid, m.id",
    "SELECT r.uuid, m.seq, m.id, m.client_id, m.sender, m.content, m.members_version, m.unrelayed_by"
    f" FROM sg_message m JOIN sg_room r ON {_LIVING} ORDER BY m.id",
    "SELECT name, email, phone, message, mailed_at_us IS NULL, waiting_key IS NULL FROM sg_inquiry ORDER BY id",
)


def snapshot(url: str) -> list[Rows]:
    """All that is committed, but for the time of day, what deleted rooms left, and row numbers: a second try skips some."""
    with connection_to(url) as connection, connection.cursor() as cursor:
        found: list[Rows] = []
        for sql in _ALL:
            cursor.execute(sql)
            found.append(list(cursor.fetchall()))
        return found


class Saved:
    """What a database holds now, to be put back as often as needed: in one transaction, which waits for the disk once."""

    _ROWS = ("sg_room", "sg_member", "sg_message", "sg_inquiry", "sg_meta")

    def __init__(self, url: str) -> None:
        self.url = url
        with connection_to(url) as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE IF NOT EXISTS {_SAVED}")
            for table in self._ROWS:
                cursor.execute(f"DROP TABLE IF EXISTS {_SAVED}.{table}")
                cursor.execute(f"CREATE TABLE {_SAVED}.{table} AS SELECT * FROM {table}")

    def put_back(self) -> str:
        """Make it so again; return where."""
        with connection_to(self.url) as connection, connection.cursor() as cursor:
            connection.begin()
            for table in self._ROWS:
                cursor.execute(f"DELETE FROM {table}")
                cursor.execute(f"INSERT INTO {table} SELECT * FROM {_SAVED}.{table}")
            connection.commit()
        return self.url


async def someone_waits_for_a_lock(url: str) -> None:
    """Wait until a transaction is held up by another one."""
    async with asyncio.timeout(_DEADLINE_S):
        while not ask(url, "SELECT 1 FROM information_schema.INNODB_TRX WHERE trx_state = 'LOCK WAIT'"):  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_EVERY_S)


async def no_transaction_is_left(url: str) -> None:
    """Wait until nothing is under way."""
    async with asyncio.timeout(_DEADLINE_S):
        while ask(url, "SELECT 1 FROM information_schema.INNODB_TRX"):  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_EVERY_S)
