"""The tests' own hand on a database: emptied for the next test, asked and changed past the store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pymysql

from stompgate.stores.mysql_url import address_of
from tests.services import Services

_DEADLINE_S = 20
_SHARED = "stompgate_emptied"


def emptied_url(services: Services) -> str:
    """A database with the tables of the store, if they were made once, and nothing in them. One test at a time has it.

    Quicker than a fresh one: each statement that makes a table waits for the disk.
    """
    url = f"{services.mariadb.url.rpartition('/')[0]}/{_SHARED}"
    ask(services.mariadb.url, f"CREATE DATABASE IF NOT EXISTS {_SHARED} CHARACTER SET utf8mb4")
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


def ask(url: str, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    """Do one statement on a connection of its own."""
    with connection_to(url) as connection, connection.cursor() as cursor:
        cursor.execute(sql, values or None)
        return list(cursor.fetchall())
