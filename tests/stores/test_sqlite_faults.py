"""An SQLite file on a disk that is full, hangs, or is held by another program: what callers are told is true."""

from __future__ import annotations

import asyncio
import resource
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from stompgate.ports.part import PartDown
from stompgate.ports.store import OutcomeUnknown, StoreUnavailable
from stompgate.stores.migrations import migrations_for
from stompgate.stores.sqlite import SqliteSettings, SqliteStore
from stompgate.stores.sqlite_file import connect_writer, migrate, transact
from tests.ports.drafts import draft, make_room, say, stored
from tests.requirements import require_program

from .rivals import DEADLINE_S, ask, wait_until, write_lock

LOCKED_SOON = SqliteSettings(busy_timeout_s=0.01)
# A second is an age for the thread to begin its first job in, also on a machine that is busy with other things.
HANGS = SqliteSettings(busy_timeout_s=DEADLINE_S, deadline_s=1.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chat.db"


@asynccontextmanager
async def opened(path: Path, settings: SqliteSettings | None = None) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, server_id="server-1", settings=settings)
    await store.open()
    try:
        await store.ping()  # what it does at first by itself is done too
        yield store
    finally:
        await store.close()


@contextmanager
def files_may_grow_to(size_bytes: int) -> Iterator[None]:
    """A full disk, as the system calls of this process see it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_database_locked_by_another_program_does_nothing_and_says_so(path: Path) -> None:
    async with opened(path, LOCKED_SOON) as store:
        room = await make_room(store, "room")
        with write_lock(path):
            with pytest.raises(StoreUnavailable, match="locked"):
                await store.append([draft(room)])
            with pytest.raises(PartDown, match="locked"):
                await store.ping()
            assert list(await store.history(room, limit=5)) == []
        await store.ping()
        assert [message.seq for message in await say(store, room, "1")] == [1]


def test_a_database_that_may_not_grow_rolls_back_for_certain(path: Path) -> None:
    connection = connect_writer(path, busy_timeout_s=1)
    migrate(connection, migrations_for("sqlite"), "0.1.0")
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    insert = "INSERT INTO sg_meta VALUES (?, ?)"
    with pytest.raises(StoreUnavailable, match="SQLITE_FULL"):
        transact(connection, lambda writer: [writer.execute(insert, (str(n), "x" * 5000)) for n in range(10)])
    connection.execute(f"PRAGMA max_page_count = {pages + 100}")
    transact(connection, lambda writer: writer.execute(insert, ("after", "x" * 5000)))
    assert connection.execute("SELECT name FROM sg_meta").fetchall() == [("after",)]
    connection.close()


async def test_a_commit_that_fails_on_a_full_disk_is_unknown_and_may_be_made_again(path: Path) -> None:
    async with opened(path) as store:
        room = await make_room(store, "room")
        await say(store, room, "before")
        drafts = [draft(room, str(n), client_id=f"c{n}") for n in range(5)]
        with files_may_grow_to(path.with_name("chat.db-wal").stat().st_size):
            with pytest.raises(OutcomeUnknown):
                await store.append(drafts)
            with pytest.raises(PartDown):
                await store.ping()
        assert [stored(outcome).seq for outcome in await store.append(drafts)] == [2, 3, 4, 5, 6]
        assert [message.seq for message in await store.history(room, limit=10)] == [1, 2, 3, 4, 5, 6]


async def test_a_write_that_hangs_is_unknown_and_one_behind_it_never_happens(path: Path) -> None:
    async with opened(path, HANGS) as store:
        room = await make_room(store, "room")
        with write_lock(path):
            hanging = asyncio.create_task(store.append([draft(room, "hanging")]))
            waiting = asyncio.create_task(store.append([draft(room, "waiting")]))
            with pytest.raises(OutcomeUnknown):
                await hanging
            with pytest.raises(StoreUnavailable):
                await waiting
        await wait_until(lambda: ask(path, "SELECT content FROM sg_message") == [("hanging",)])
        await say(store, room, "after")
        assert [message.content for message in await store.history(room, limit=5)] == ["hanging", "after"]


async def test_a_cancelled_call_that_was_waiting_never_happens(path: Path) -> None:
    async with opened(path, SqliteSettings(busy_timeout_s=DEADLINE_S, deadline_s=DEADLINE_S)) as store:
        room = await make_room(store, "room")
        with write_lock(path):
            first = asyncio.create_task(store.append([draft(room, "first")]))
            cancelled = asyncio.create_task(store.append([draft(room, "cancelled")]))
            await asyncio.sleep(0)
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
        await first
        await say(store, room, "last")
        assert [message.content for message in await store.history(room, limit=5)] == ["first", "last"]


async def test_too_many_waiting_calls_are_refused_at_once(path: Path) -> None:
    settings = SqliteSettings(busy_timeout_s=DEADLINE_S, deadline_s=DEADLINE_S, max_jobs=3)
    async with opened(path, settings) as store:
        room = await make_room(store, "room")
        with write_lock(path):
            calls = [asyncio.create_task(store.append([draft(room, str(n))])) for n in range(10)]
            await wait_until(lambda: sum(call.done() for call in calls) >= 6)
        answers = await asyncio.gather(*calls, return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, StoreUnavailable)]
        assert len(refused) in (6, 7)
        assert len(await store.history(room, limit=20)) == 10 - len(refused)


async def test_a_value_that_no_database_can_hold_is_refused(path: Path) -> None:
    async with opened(path) as store:
        with pytest.raises(StoreUnavailable, match="cannot hold"):
            await store.history("\ud800", limit=1)
        with pytest.raises(StoreUnavailable, match="cannot hold"):
            await store.create_room("\ud800", buyer="b", seller="s", product_name="p")


# Closing


async def test_closing_ends_what_was_asked_for(path: Path) -> None:
    async with opened(path) as store:
        room = await make_room(store, "room")
        calls = [asyncio.create_task(store.append([draft(room, str(n))])) for n in range(50)]
        await asyncio.sleep(0)
    assert [stored((await call)[0]).seq for call in calls] == list(range(1, 51))


async def test_closing_while_the_disk_hangs_is_bounded_and_leaves_nobody_waiting(path: Path) -> None:
    settings = SqliteSettings(busy_timeout_s=DEADLINE_S, deadline_s=DEADLINE_S, close_deadline_s=1.0)
    store = SqliteStore(path, server_id="server-1", settings=settings)
    await store.open()
    room = await make_room(store, "room")
    await store.ping()
    with write_lock(path):
        hanging, waiting = (asyncio.create_task(store.append([draft(room, str(n))])) for n in range(2))
        await asyncio.sleep(0)
        await store.close()
        with pytest.raises(OutcomeUnknown):
            await hanging
        with pytest.raises(StoreUnavailable):
            await waiting
    # The file is free again as soon as the disk is back.
    await wait_until(lambda: not any(thread.name == "sqlite-writer" for thread in threading.enumerate()))
    async with opened(path) as again:
        assert [message.content for message in await again.history(room, limit=5)] == ["0"]


async def test_a_closed_store_is_unavailable(path: Path) -> None:
    async with opened(path) as store:
        room = await make_room(store, "room")
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.append([draft(room)])
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.history(room, limit=1)
    with pytest.raises(PartDown):
        await store.ping()


async def test_no_read_transaction_stays_open(path: Path) -> None:
    async with opened(path) as store:
        room = await make_room(store, "room")
        await say(store, room, "1", "2", "3")
        await store.history(room, limit=1)
        await store.heads([room])
        await store.room_user(room, "nobody")
        await store.message_at(room, 1)
        assert ask(path, "PRAGMA wal_checkpoint(TRUNCATE)") == [(0, 0, 0)]


# Clearing deleted rooms

LEFT = "SELECT (SELECT count(*) FROM sg_message), (SELECT count(*) FROM sg_member)"


async def test_a_deleted_rooms_rows_go_in_slices_that_let_messages_in_between(path: Path) -> None:
    async with opened(path, SqliteSettings(clear_slice_rows=1)) as store:
        room, other = await make_room(store, "room"), await make_room(store, "other")
        await say(store, room, *map(str, range(500)))
        await store.delete_room(room)
        await say(store, other, "in between")
        assert ask(path, "SELECT count(*) FROM sg_message") > [(1,)]
        await wait_until(lambda: ask(path, LEFT) == [(1, 2)])
        assert [message.content for message in await store.history(other, limit=5)] == ["in between"]


async def test_what_a_stop_left_of_deleted_rooms_goes_at_the_next_start(path: Path) -> None:
    async with opened(path, SqliteSettings(clear_slice_rows=1)) as store:
        for name in ("room-a", "room-b"):
            await say(store, await make_room(store, name), *map(str, range(300)))
        await store.delete_room("room-a")
        await store.delete_room("room-b")
    assert ask(path, "SELECT count(*) FROM sg_message") > [(0,)]
    async with opened(path):
        await wait_until(lambda: ask(path, LEFT) == [(0, 0)])


async def test_clearing_that_fails_is_logged_and_done_with_the_next_removal(path: Path) -> None:
    async with opened(path, LOCKED_SOON) as store:
        for name in ("room-a", "room-b"):
            await say(store, await make_room(store, name), "1")
        await store.delete_room("room-a")
        with capture_logs() as lines, write_lock(path):
            await wait_until(lambda: bool(lines))
        assert lines[0]["event"] == "deleted rooms are not cleared yet"
        assert ask(path, LEFT) == [(2, 4)]
        await store.delete_room("room-b")
        await wait_until(lambda: ask(path, LEFT) == [(0, 0)])


# Durability

TRACED = """
import asyncio, os, sys
from pathlib import Path
from stompgate.model.messages import Draft
from stompgate.stores.sqlite import SqliteStore

async def append():
    store = SqliteStore(Path(sys.argv[1]), server_id="server-1")
    await store.open()
    await store.create_room("room", buyer="b", seller="s", product_name="p")
    for n in range(5):
        os.write(1, b"asked\\n")
        await store.append([Draft(str(n), "room", "b", "hello", None, 0, 1)])
        os.write(1, b"answered\\n")
    await store.close()

asyncio.run(append())
"""


async def test_the_data_is_on_the_disk_before_the_answer(path: Path) -> None:
    strace = require_program("strace")
    log = path.with_name("calls")
    process = await asyncio.create_subprocess_exec(
        *(strace, "-f", "-y", "-o", str(log), "-e", "trace=write,pwrite64,fsync,fdatasync"),
        *(sys.executable, "-c", TRACED, str(path)),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    assert output.count(b"answered") == 5
    calls = log.read_text().splitlines()
    asked = [n for n, line in enumerate(calls) if '"asked\\n"' in line]
    answered = [n for n, line in enumerate(calls) if '"answered\\n"' in line]
    for start, end in zip(asked, answered, strict=True):
        between = calls[start:end]
        written = [n for n, line in enumerate(between) if "pwrite64(" in line and "chat.db-wal" in line]
        synced = [n for n, line in enumerate(between) if "sync(" in line and "chat.db-wal" in line]
        assert written
        assert synced
        assert written[-1] < synced[-1]
