"""Opening an SQLite file: what it is set to, and what it refuses in words for the operator."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from pathlib import Path

import pytest
import uvloop

from stompgate.ports.part import SetupError
from stompgate.stores import sqlite_file
from stompgate.stores.migrations import Migration, migrations_for, parse_migration, version_key
from stompgate.stores.sqlite import SqliteStore
from stompgate.stores.sqlite_file import connect_reader, connect_writer, migrate
from tests.ports.drafts import make_room, say

from .rivals import another_process_with, ask


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chat.db"


async def refusal_of(path: Path) -> str:
    with pytest.raises(SetupError) as refused:
        await SqliteStore(path, server_id="server-1").open()
    return str(refused.value)


def test_a_commit_is_durable_by_the_settings_of_the_writer(path: Path) -> None:
    connection = connect_writer(path, busy_timeout_s=1)
    settings = {
        name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous", "foreign_keys")
    }
    connection.close()
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_the_reader_cannot_write(path: Path) -> None:
    connect_writer(path, busy_timeout_s=1).close()
    connection = connect_reader(path, busy_timeout_s=1)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("CREATE TABLE t (x)")
    connection.close()


async def test_the_files_are_for_the_owner_alone_and_the_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "chat.db"
    store = SqliteStore(path, server_id="server-1")
    await store.open()
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    await store.close()
    assert set(modes) == {"chat.db", "chat.db-wal", "chat.db-shm", "chat.db.lock"}
    assert set(modes.values()) == {0o600}


def test_it_works_on_uvloop(path: Path) -> None:
    async def scenario() -> list[int]:
        store = SqliteStore(path, server_id="server-1")
        await store.open()
        messages = await say(store, await make_room(store, "room"), "1", "2")
        await store.close()
        return [message.seq for message in messages]

    assert uvloop.run(scenario()) == [1, 2]


async def test_a_second_process_is_refused_until_the_first_is_gone_however_it_went(path: Path) -> None:
    async with another_process_with(path) as process:
        assert "in use by another process" in await refusal_of(path)
        process.kill()
        await process.wait()
        store = SqliteStore(path, server_id="server-1")
        await store.open()
        await store.close()


async def test_a_second_store_in_the_same_process_is_refused_and_the_first_works_on(path: Path) -> None:
    store = SqliteStore(path, server_id="server-1")
    await store.open()
    assert "in use" in await refusal_of(path)
    await say(store, await make_room(store, "room"), "1")
    async with another_process_with(path.with_name("other.db")):
        pass
    assert "in use" in await refusal_of(path)
    await store.close()


async def test_a_store_whose_reader_cannot_open_lets_go_of_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(database: Path, **_: object) -> sqlite3.Connection:
        raise SetupError("no reader today")

    with monkeypatch.context() as patch:
        patch.setattr("stompgate.stores.sqlite.connect_reader", refuse)
        assert await refusal_of(path) == "no reader today"
    store = SqliteStore(path, server_id="server-1")
    await store.open()
    await store.close()


async def test_a_place_where_nothing_can_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    for path in (tmp_path / "file" / "chat.db", Path("/proc/stompgate/chat.db"), Path("/proc/chat.db")):
        assert str(path.parent) in await refusal_of(path)


async def test_a_path_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "chat.db").mkdir()
    assert "cannot open the database" in await refusal_of(tmp_path / "chat.db")


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(path: Path) -> None:
    diary = b"a diary, and none of your business\n" * 100
    path.write_bytes(diary)
    assert "not a database" in asyncio.run(refusal_of(path))
    assert path.read_bytes() == diary


async def test_a_database_locked_by_another_program_is_refused(path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    assert "locked" in await refusal_of(path)
    connection.close()


async def test_an_sqlite_that_is_too_old_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "OLDEST_SQLITE", (99, 0, 0))
    assert "too old" in await refusal_of(path)


# Migrations


async def remember_migration(path: Path, number: int, min_program: str) -> None:
    store = SqliteStore(path, server_id="server-1")
    await store.open()
    await store.close()
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO sg_migration VALUES (?, 'later', ?, 0)", (number, min_program))
    connection.commit()
    connection.close()


async def test_a_schema_that_needs_a_newer_program_is_refused(path: Path) -> None:
    await remember_migration(path, 9999, "99.0.0")
    assert "newer version" in await refusal_of(path)


async def test_a_newer_schema_that_this_program_can_work_on_is_taken(path: Path) -> None:
    await remember_migration(path, 9999, "0.1.0")
    store = SqliteStore(path, server_id="server-1")
    await store.open()
    await say(store, await make_room(store, "room"), "1")
    await store.close()


def test_migrations_are_numbered_without_gaps() -> None:
    numbers = [migration.number for migration in migrations_for("sqlite")]
    assert numbers == list(range(1, len(numbers) + 1)) != []


def test_a_missing_migration_is_applied_once(path: Path) -> None:
    connection = connect_writer(path, busy_timeout_s=1)
    known = migrations_for("sqlite")
    later = Migration(len(known) + 1, "later", "0.1.0", "CREATE TABLE later (x INTEGER);\nINSERT INTO later VALUES (1);\n")
    for migrations in (known, (*known, later), (*known, later)):
        migrate(connection, migrations, "0.1.0")
    assert connection.execute("SELECT x FROM later").fetchall() == [(1,)]
    assert connection.execute("SELECT max(number) FROM sg_migration").fetchone() == (later.number,)
    connection.close()


def test_a_migration_that_fails_leaves_nothing_behind(path: Path) -> None:
    connection = connect_writer(path, busy_timeout_s=1)
    with pytest.raises(SetupError, match="cannot bring the database up to date"):
        migrate(connection, [Migration(1, "bad", "0.1.0", "CREATE TABLE half (x);\nCREATE TABLE half (x);\n")], "0.1.0")
    connection.close()
    assert ask(path, "SELECT name FROM sqlite_master WHERE name = 'half'") == []
    assert ask(path, "SELECT * FROM sg_migration") == []


def test_a_file_that_is_no_migration_is_named() -> None:
    good = "-- min_program: 0.1.0\nSELECT 1;\n"
    assert parse_migration("0007_what.sql", good) == Migration(7, "what", "0.1.0", good)
    bad = [("what.sql", good), ("0007.sql", good), ("0007_what.sql", "SELECT 1;\n"), ("0007_what.sql", "-- min_program: x\n")]
    for name, sql in bad:
        with pytest.raises(ValueError, match=name):
            parse_migration(name, sql)


def test_versions_are_compared_by_their_release() -> None:
    assert version_key("0.10.0.dev1") == version_key("0.10.0") > version_key("0.9.9") > version_key("unknown")
