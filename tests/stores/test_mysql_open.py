"""Opening a MySQL database: what it refuses in words for the operator, what it waits for, and how its tables are made."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
import structlog
import uvloop

from stompgate.ports.part import Measured, SetupError
from stompgate.ports.store import StoreUnavailable
from stompgate.stores.migrations import Migration, migrations_for
from stompgate.stores.mysql import MysqlSettings, MysqlStore
from stompgate.stores.mysql_connection import MysqlConnection, Session, connect, release_of
from stompgate.stores.mysql_schema import LOCK_NAME, migrate, statements_of
from stompgate.stores.mysql_url import address_of, from_url
from tests.ports.drafts import BUYER, make_room, say
from tests.proxy import Proxy, Way
from tests.services import Services

from .mysql_rows import ask, by_way_of, connection_to, emptied_url, locked, opened, port_of

DEADLINE_S = 30.0
SESSION = Session(lock_wait_s=2, idle_s=30, connect_s=2)


@pytest.fixture
def url(services: Services) -> str:
    return emptied_url(services)


async def refusal_of(url: str, **limits: object) -> str:
    settings = MysqlSettings(**{"start_wait_s": 0.0, **limits})  # type: ignore[arg-type]
    with pytest.raises(SetupError) as refused:
        await MysqlStore(address_of(url), server_id="server-1", settings=settings).open()
    return str(refused.value)


# Who we are and where


@pytest.mark.parametrize(
    "url",
    [
        "mysql:",
        "mysql://host/db",
        "mysql://user@host",
        "mysql://user@host/",
        "mysql://user@host/db/more",
        "mysql://user@host/db?tls=yes",
        "mysql://user@host:port/db",
        "mysql://user@host:99999/db",
        "mysql://user@/db",
    ],
)
def test_a_url_that_leads_nowhere_is_refused(url: str) -> None:
    with pytest.raises(SetupError, match="store:"):
        from_url(url, server_id="server-1")


def test_a_url_may_escape_and_never_shows_its_password() -> None:
    address = address_of("mysql://us%40er:p%3Aa%2Fss%40@db.example.org/chat%20room")
    assert (address.host, address.port, address.user) == ("db.example.org", 3306, "us@er")
    assert (address.password, address.database) == ("p:a/ss@", "chat room")
    assert "p:a/ss@" not in f"{address} {address!r}"


async def test_a_wrong_password_and_an_unknown_database_are_refused_at_once(url: str) -> None:
    wrong = url.replace(address_of(url).password, "not-the-password")
    said = await refusal_of(wrong, start_wait_s=600.0)
    assert "denied" in said
    assert "not-the-password" not in said
    assert "stompgate_nowhere" in await refusal_of(url.rpartition("/")[0] + "/stompgate_nowhere", start_wait_s=600.0)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


async def test_a_database_that_is_away_is_named(url: str) -> None:
    port = free_port()
    said = await refusal_of(by_way_of(url, port))
    assert f"127.0.0.1:{port}" in said
    assert address_of(url).password not in said


async def test_a_database_that_comes_late_is_waited_for_and_the_log_says_so(url: str) -> None:
    proxy = Proxy("127.0.0.1", port_of(url), free_port())
    store = MysqlStore(address_of(by_way_of(url, proxy.port)), server_id="server-1")
    with structlog.testing.capture_logs() as logged:
        opening = asyncio.create_task(store.open())
        async with asyncio.timeout(DEADLINE_S):
            while not logged:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        async with proxy:
            await opening
            await store.ping()
            await store.close()
    assert logged[0]["event"] == "waiting for the database"
    assert f"127.0.0.1:{proxy.port}" in logged[0]["database"]


async def test_a_peer_that_says_nothing_and_one_that_is_no_database_are_given_up(url: str) -> None:
    async with Proxy("127.0.0.1", port_of(url)) as proxy:
        proxy.held = frozenset({Way.TO_CLIENT})
        assert "did not answer" in await refusal_of(by_way_of(url, proxy.port), connect_timeout_s=0.2)

    async def talk_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(talk_http, "127.0.0.1", 0)
    async with server:
        assert "did not answer" in await refusal_of(by_way_of(url, server.sockets[0].getsockname()[1]))


async def test_without_tls_nothing_is_said_where_it_is_asked_for(url: str, tmp_path: Path) -> None:
    store = from_url(url, server_id="server-1", options={"tls_ca": "system", "start_wait_s": 0.0})
    with pytest.raises(SetupError, match="no TLS"):
        await store.open()
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    for file in (junk, tmp_path / "missing.pem"):
        with pytest.raises(SetupError, match="tls_ca"):
            from_url(url, server_id="server-1", options={"tls_ca": str(file)})


def test_versions_are_read() -> None:
    assert release_of("10.11.6-MariaDB-0+deb12u1") == (10, 11, 6)
    assert release_of("8.0.36-0ubuntu0.22.04.1") == (8, 0, 36)
    assert release_of("8.4.0") > (8, 0, 17) > release_of("8.0.16")


def test_it_works_on_uvloop(url: str) -> None:
    async def scenario() -> list[int]:
        async with opened(url) as store:
            assert isinstance(store, Measured)
            return [message.seq for message in await say(store, await make_room(store, "room"), "1", "2")]

    assert uvloop.run(scenario()) == [1, 2]


# The tables


@pytest.fixture
def fresh_url(services: Services) -> str:
    return services.fresh_store_url()


OLD_TABLES = (
    "CREATE TABLE room (id BIGINT AUTO_INCREMENT PRIMARY KEY, product_name VARCHAR(255), roomuuid VARCHAR(255))",
    "CREATE TABLE room_user (id BIGINT AUTO_INCREMENT PRIMARY KEY, other VARCHAR(255), user VARCHAR(255), room_id BIGINT)",
    "CREATE TABLE chat (id VARCHAR(255) PRIMARY KEY, message VARCHAR(255), sender VARCHAR(255), timestamp DATETIME(6))",
)


async def test_two_servers_that_start_at_once_make_the_tables_once_and_leave_those_of_others_alone(fresh_url: str) -> None:
    for sql in OLD_TABLES:
        ask(fresh_url, sql)
    ask(fresh_url, "INSERT INTO room (product_name, roomuuid) VALUES ('책상 🙂', 'old')")
    told = [ask(fresh_url, f"SHOW CREATE TABLE {table}") for table in ("room", "room_user", "chat")]
    stores = [from_url(fresh_url, server_id=f"server-{n}") for n in range(3)]
    await asyncio.gather(*(store.open() for store in stores))
    assert len({store.epoch for store in stores}) == 1
    for n, store in enumerate(stores):
        await store.create_room(f"room {n} 🙂", buyer=f"구매자 🙂 {n}", seller="판매자", product_name="책상 🙂")
        await store.close()
    assert [ask(fresh_url, f"SHOW CREATE TABLE {table}") for table in ("room", "room_user", "chat")] == told
    assert ask(fresh_url, "SELECT product_name FROM room") == [("책상 🙂",)]
    tables = {table for (table,) in ask(fresh_url, "SHOW TABLES")}
    assert all(table.startswith("sg_") for table in tables - {"room", "room_user", "chat"})
    numbers = [migration.number for migration in migrations_for("mysql")]
    assert [row[0] for row in ask(fresh_url, "SELECT number FROM sg_migration ORDER BY number")] == numbers
    collations = ask(
        fresh_url,
        "SELECT DISTINCT character_set_name, collation_name FROM information_schema.COLUMNS"
        " WHERE table_schema = DATABASE() AND table_name LIKE 'sg\\\\_%' AND collation_name IS NOT NULL",
    )
    assert collations == [("utf8mb4", await collation_of(fresh_url))]


async def test_a_migration_that_was_cut_in_half_is_done_again(fresh_url: str) -> None:
    (first, *_) = migrations_for("mysql")
    for sql in list(statements_of(first.sql))[:4]:
        ask(fresh_url, sql.replace("{collation}", await collation_of(fresh_url)))
    async with opened(fresh_url) as store:
        await say(store, await make_room(store, "room"), "1")


async def collation_of(url: str) -> str:
    connection = await connect(address_of(url), SESSION)
    connection.cut()
    return connection.collation


async def migrated(url: str, *migrations: Migration, version: str = "0.1.0", lock_wait_s: float = 5.0) -> None:
    connection: MysqlConnection = await connect(address_of(url), SESSION)
    try:
        await migrate(connection, migrations, version, lock_wait_s=lock_wait_s)
    finally:
        connection.cut()


async def test_a_missing_migration_is_applied_once_and_one_that_fails_is_tried_again(fresh_url: str) -> None:
    later = Migration(1, "later", "0.1.0", "CREATE TABLE IF NOT EXISTS later (x INT);\nINSERT INTO later VALUES (1);\n")
    for _ in range(2):
        await migrated(fresh_url, later)
    assert ask(fresh_url, "SELECT x FROM later") == [(1,)]
    half = "CREATE TABLE IF NOT EXISTS half (x INT);\nINSERT INTO nowhere VALUES (1);\n"
    with pytest.raises(SetupError, match="cannot bring the database up to date"):
        await migrated(fresh_url, later, Migration(2, "half", "0.1.0", half))
    assert ask(fresh_url, "SELECT number FROM sg_migration") == [(1,)]
    await migrated(fresh_url, later, Migration(2, "half", "0.1.0", half.replace("nowhere", "half")))
    assert ask(fresh_url, "SELECT x FROM half") == [(1,)]


async def test_a_server_waits_for_another_that_migrates_and_not_for_ever(fresh_url: str) -> None:
    with connection_to(fresh_url) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT GET_LOCK({LOCK_NAME}, 0)")
        assert cursor.fetchall() == ((1,),)
        with pytest.raises(SetupError, match="another server"):
            await migrated(fresh_url, lock_wait_s=0.1)
    await migrated(fresh_url)


async def test_a_schema_of_a_newer_program_is_refused_only_if_that_program_said_so(url: str) -> None:
    async with opened(url):
        pass
    try:
        ask(url, "INSERT INTO sg_migration VALUES (9999, 'later', '99.0.0', 0)")
        assert "newer version" in await refusal_of(url)
        ask(url, "UPDATE sg_migration SET min_program = '0.1.0' WHERE number = 9999")
        async with opened(url) as store:
            await say(store, await make_room(store, "room"), "1")
    finally:
        ask(url, "DELETE FROM sg_migration WHERE number = 9999")


def test_migrations_are_numbered_without_gaps_and_each_statement_may_be_repeated() -> None:
    migrations = migrations_for("mysql")
    assert [migration.number for migration in migrations] == list(range(1, len(migrations) + 1)) != []
    for migration in migrations:
        for sql in statements_of(migration.sql):
            assert not sql.startswith("CREATE") or "IF NOT EXISTS" in sql


# Living together


async def test_the_database_lets_go_of_a_server_that_says_nothing_any_more(url: str) -> None:
    async with opened(url) as store:
        await make_room(store, "room")
        silent = await connect(address_of(url), Session(lock_wait_s=2, idle_s=1, connect_s=2))
        await silent.run(("BEGIN", ()), ("SELECT id FROM sg_room WHERE uuid = 'room' FOR UPDATE", ()))
        assert [message.seq for message in await say(store, "room", "1")] == [1]
        silent.cut()


async def test_a_lease_of_another_life_is_not_given(url: str) -> None:
    async with opened(url) as server, opened(url, "command") as command:
        await command.new_epoch()
        with pytest.raises(StoreUnavailable, match="another life"):
            await server.take_lease("owner")
        assert ask(url, "SELECT * FROM sg_lease") == []


async def test_rows_of_deleted_rooms_are_cleared_in_slices_by_any_server(url: str) -> None:
    async with opened(url, "server-1", clear_slice_rows=3) as one, opened(url, "server-2", clear_slice_rows=3) as other:
        for room in ("room-1", "room-2"):
            await say(one, await make_room(one, room), *map(str, range(20)))
        await asyncio.gather(one.delete_room("room-1"), other.delete_room("room-2"))
        async with asyncio.timeout(DEADLINE_S):
            while ask(url, "SELECT 1 FROM sg_room WHERE cleared = 0"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert ask(url, "SELECT * FROM sg_message") == ask(url, "SELECT * FROM sg_member") == []
        assert [head.deleted for head in await one.heads(["room-1", "room-2"])] == [True, True]


async def test_two_servers_that_make_the_same_room_at_once_make_one(url: str) -> None:
    async with opened(url, "server-1") as one, opened(url, "server-2") as other:
        rooms = await asyncio.gather(
            *(
                store.create_room(f"room-{n}", buyer=BUYER, seller="seller", product_name="desk")
                for n in range(10)
                for store in (one, other)
            )
        )
        assert len(set(rooms)) == 1


async def test_more_calls_than_may_wait_are_refused(url: str) -> None:
    async with opened(url, waiting_calls=2, lock_wait_s=5) as store:
        await make_room(store, "room")
        with locked(url, "room"):
            calls = [asyncio.create_task(store.delete_room("room")) for _ in range(6)]
            done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            with pytest.raises(StoreUnavailable, match="waiting already"):
                done.pop().result()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(answer is not None and not isinstance(answer, Exception) for answer in answers) == 1
