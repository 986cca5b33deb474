"""Whatever statement fails, and wherever a caller is late or gone: what the store says of a call is true, now and later."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from stompgate.ports.part import PartDown, SetupError
from stompgate.ports.store import OutcomeUnknown, StoreUnavailable
from stompgate.stores.sqlite import SqliteSettings, SqliteStore
from tests.ports.drafts import BUYER, draft, say

from .faults import FAULTS, READER, At, Disk, Fault, Hold
from .operations import APPEND, OPERATIONS, Answer, Operation, assert_no_gaps, furnish, snapshot
from .rivals import DEADLINE_S, ask, wait_until

Snapshot = list[list[tuple[object, ...]]]
every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=str)

# Short ones first: a machine that is busy with other things may not have begun by then, and is given more time.
LATE_AFTER_S = (0.05, 0.5, 5.0)


@dataclass(frozen=True)
class Furnished:
    """Files that hold the same data each."""

    template: Path
    folder: Path
    numbers: Iterator[int]

    def new_file(self) -> Path:
        return Path(shutil.copy(self.template, self.folder / f"chat-{next(self.numbers)}.db"))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("furnished") / "chat.db"

    async def make() -> None:
        async with opened(path) as store:
            await furnish(store)
            await wait_until(lambda: ask(path, "SELECT 1 FROM sg_room WHERE deleted > cleared") == [])

    asyncio.run(make())
    return path


@pytest.fixture
def furnished(template: Path, tmp_path: Path) -> Furnished:
    return Furnished(template, tmp_path, count(1))


@asynccontextmanager
async def opened(path: Path, disk: Disk | None = None, deadline_s: float = DEADLINE_S) -> AsyncIterator[SqliteStore]:
    """A store that has done what it does at first by itself."""
    settings = SqliteSettings(deadline_s=deadline_s)
    store = SqliteStore(path, server_id="server-1", settings=settings, connect=(disk or Disk()).connect)
    await store.open()
    try:
        await eventually_pinged(store)
        yield store
    finally:
        await store.close()


async def eventually_pinged(store: SqliteStore) -> None:
    """Return when the writer has done all that was handed to it before."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                return await store.ping()
            except PartDown:
                await asyncio.sleep(0)


async def told_by(call: Awaitable[Answer]) -> Answer:
    """The answer of a call, or what it raised."""
    try:
        return await call
    except (StoreUnavailable, OutcomeUnknown) as error:
        return error


@dataclass(frozen=True)
class Faultless:
    """An operation on a disk that works: what is there before and after it, its answer, and its statements."""

    before: Snapshot
    after: Snapshot
    answer: Answer
    statements: tuple[str, ...]


async def without_fault(furnished: Furnished, operation: Operation) -> Faultless:
    path, disk = furnished.new_file(), Disk()
    before = snapshot(path)
    async with opened(path, disk) as store:
        disk.arm()
        answer = await operation.call(store)
        statements = tuple(disk.statements)
        after = snapshot(path)
    end = (
        len(statements) - statements[::-1].index("COMMIT")
        if operation.name != "delete_room"
        else statements.index("COMMIT") + 1
    )
    assert before != after
    assert_no_gaps(path)
    return Faultless(before, after, answer, statements[:end])


# Statements that fail


@every_operation
@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_what_is_told_is_true_whatever_statement_fails(furnished: Furnished, operation: Operation, fault: Fault) -> None:
    right = await without_fault(furnished, operation)
    told_kinds: set[type] = set()
    for chosen, statement in enumerate(right.statements, 1):
        path, disk = furnished.new_file(), Disk()
        async with opened(path, disk) as store:
            disk.arm(chosen, fault)
            told = await told_by(operation.call(store))
            told_kinds.add(type(told))
            now = snapshot(path)
            assert_true(told, now, right, f"{fault} at {chosen}, {statement}")
            if fault.lasts:
                with pytest.raises(StoreUnavailable):
                    await store.append([draft("room-b", "of it nothing is ever there")])
            disk.heal()
            again = await operation.call(store)
            assert again == (operation.again(right.answer) if now == right.after else right.answer)
            assert snapshot(path) == right.after
            await say(store, "room-b", "next")
            assert_no_gaps(path)
            last = snapshot(path)
        async with opened(path):
            assert snapshot(path) == last
    assert told_kinds >= {StoreUnavailable, OutcomeUnknown}


def assert_true(told: Answer, now: Snapshot, right: Faultless, where: str) -> None:
    match told:
        case StoreUnavailable():
            assert now == right.before, where
        case OutcomeUnknown():
            assert now in (right.before, right.after), where
        case _:
            assert now == right.after, where
            assert told == right.answer, where


@every_operation
async def test_what_was_refused_or_unknown_is_not_there_in_part_after_a_crash(
    furnished: Furnished, operation: Operation
) -> None:
    """The files are copied as a kill would leave them, with a ROLLBACK that fails too."""
    right = await without_fault(furnished, operation)
    fault = Fault(At.BEFORE, At.BEFORE, lasts=True)
    for chosen, statement in enumerate(right.statements, 1):
        path, disk, crashed = furnished.new_file(), Disk(), furnished.folder / f"crashed-{chosen}.db"
        async with opened(path, disk) as store:
            disk.arm(chosen, fault)
            told = await told_by(operation.call(store))
            for ending in ("", "-wal"):
                shutil.copy(f"{path}{ending}", f"{crashed}{ending}")
            disk.heal()
        async with opened(crashed):
            assert_true(told, snapshot(crashed), right, f"{chosen}, {statement}")


async def test_while_commits_fail_one_call_is_in_doubt_and_later_ones_are_refused_for_certain(furnished: Furnished) -> None:
    path, disk = furnished.new_file(), Disk()
    commit = (await without_fault(furnished, APPEND)).statements.index("COMMIT") + 1
    async with opened(path, disk) as store:
        before = snapshot(path)
        disk.arm(commit, Fault(At.BEFORE))
        with pytest.raises(OutcomeUnknown):
            await APPEND.call(store)
        for _ in range(3):
            disk.arm(3, Fault(At.BEFORE))  # the COMMIT of the row of no meaning
            with pytest.raises(StoreUnavailable, match="COMMIT"):
                await store.append([draft("room-b", "never attempted")])
            assert len(disk.statements) == 4, disk.statements
        assert snapshot(path) == before
        disk.heal()
        await say(store, "room-b", "next")
        disk.arm()
        await say(store, "room-b", "without asking first")
        assert not any("sg_meta" in statement for statement in disk.statements)


# Callers that are late or gone


@every_operation
async def test_a_call_whose_answer_is_late_is_unknown_and_all_of_it_comes(furnished: Furnished, operation: Operation) -> None:
    right = await without_fault(furnished, operation)
    for chosen in range(1, len(right.statements) + 1):
        path, told = await late_at(furnished, operation, chosen, Hold())
        assert isinstance(told, OutcomeUnknown)
        assert snapshot(path) == right.after


@every_operation
async def test_a_late_call_that_fails_then_is_all_or_nothing(furnished: Furnished, operation: Operation) -> None:
    right = await without_fault(furnished, operation)
    for chosen, statement in enumerate(right.statements, 1):
        path, told = await late_at(furnished, operation, chosen, Hold(Fault(At.BEFORE)))
        assert isinstance(told, OutcomeUnknown)
        # The one ROLLBACK on the way of an operation that succeeds is done again by what follows.
        assert snapshot(path) == (right.after if statement == "ROLLBACK" else right.before), statement


async def late_at(furnished: Furnished, operation: Operation, chosen: int, hold: Hold) -> tuple[Path, Answer]:
    """Call with a disk that stands still until the caller has been told; return the file once all is over."""
    for deadline_s in LATE_AFTER_S:
        path, disk = furnished.new_file(), Disk()
        hold = Hold(hold.fault)
        async with opened(path, disk, deadline_s) as store:
            disk.arm(chosen, hold)
            told = await told_by(operation.call(store))
            hold.release.set()
            await eventually_pinged(store)
        if hold.reached.is_set():
            return path, told
        assert isinstance(told, StoreUnavailable)
    raise AssertionError(f"the thread did not come to statement {chosen} within {LATE_AFTER_S[-1]} s")


@every_operation
async def test_a_call_that_was_not_begun_in_time_never_happens(furnished: Furnished, operation: Operation) -> None:
    path, disk, hold = furnished.new_file(), Disk(), Hold()
    async with opened(path, disk, LATE_AFTER_S[1]) as store:
        disk.arm(1, hold)
        holding = asyncio.create_task(told_by(store.mark_mailed(1)))
        before = snapshot(path)
        assert await asyncio.to_thread(hold.reached.wait, DEADLINE_S)
        assert isinstance(await told_by(operation.call(store)), StoreUnavailable)
        hold.release.set()
        assert isinstance(await holding, OutcomeUnknown)
        await eventually_pinged(store)
        assert snapshot(path) == before


@every_operation
async def test_a_cancelled_call_happens_whole_once_it_was_begun(furnished: Furnished, operation: Operation) -> None:
    right = await without_fault(furnished, operation)
    for chosen in range(1, len(right.statements) + 1):
        path, disk, hold = furnished.new_file(), Disk(), Hold()
        async with opened(path, disk) as store:
            disk.arm(chosen, hold)
            call = asyncio.ensure_future(operation.call(store))
            assert await asyncio.to_thread(hold.reached.wait, DEADLINE_S)
            await cancelled(call)
            hold.release.set()
            await eventually_pinged(store)
            assert snapshot(path) == right.after
            assert await operation.call(store) == operation.again(right.answer)
            assert snapshot(path) == right.after


@every_operation
async def test_a_cancelled_call_that_was_not_begun_never_happens(furnished: Furnished, operation: Operation) -> None:
    path, disk, hold = furnished.new_file(), Disk(), Hold()
    async with opened(path, disk) as store:
        disk.arm(1, hold)
        holding = asyncio.ensure_future(store.mark_mailed(1))
        before = snapshot(path)
        assert await asyncio.to_thread(hold.reached.wait, DEADLINE_S)
        call = asyncio.ensure_future(operation.call(store))
        for _ in range(3):
            await asyncio.sleep(0)
        await cancelled(call)
        hold.release.set()
        await holding
        await eventually_pinged(store)
        assert snapshot(path) == before


async def cancelled(call: asyncio.Future[Answer]) -> None:
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


# Reading

READS: dict[str, Callable[[SqliteStore], Awaitable[Any]]] = {
    "history": lambda store: store.history("room-a", limit=10),
    "message_at": lambda store: store.message_at("room-a", 4),
    "heads": lambda store: store.heads(["room-a", "room-b", "unknown"]),
    "unrelayed": lambda store: store.unrelayed(100),
    "members": lambda store: store.members("room-a"),
    "room_user": lambda store: store.room_user("room-a", BUYER),
    "rooms_of": lambda store: store.rooms_of(BUYER),
    "all_room_users": lambda store: store.all_room_users(),
    "list_rooms": lambda store: store.list_rooms(user=BUYER, before=9, limit=10),
    "unmailed": lambda store: store.unmailed(10),
}


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_a_read_that_fails_says_so_and_later_ones_see_the_present(furnished: Furnished, name: str, fault: Fault) -> None:
    read = READS[name]
    disk = Disk(READER)
    async with opened(furnished.new_file(), disk) as store:
        disk.arm()
        await read(store)
        statements = len(disk.statements)
    for chosen in range(1, statements + 1):
        disk = Disk(READER)
        async with opened(furnished.new_file(), disk) as store:
            disk.arm(chosen, fault)
            assert isinstance(await told_by(read(store)), StoreUnavailable)
            disk.heal()
            await say(store, "room-a", "since then")
            (head,) = await store.heads(["room-a"])
            assert head.last_seq == 4
            assert [message.content for message in await store.history("room-a", after=3, limit=9)] == ["since then"]
            await read(store)


# Opening


@pytest.mark.parametrize("thread", [Disk().thread, READER])
@pytest.mark.parametrize("at", [At.BEFORE, At.AFTER], ids=lambda at: at.value)
@pytest.mark.parametrize("error", [sqlite3.OperationalError, MemoryError])
async def test_opening_that_fails_anywhere_says_so_and_can_be_done_again(
    tmp_path: Path, thread: str, at: At, error: type[Exception]
) -> None:
    disk = Disk(thread)
    async with opened(tmp_path / "faultless.db", disk):
        last = next((n for n, sql in enumerate(disk.statements) if sql.startswith("SELECT value FROM sg_meta")), 0)
    statements = last + 2 if thread != READER else 1
    for chosen in range(1, statements + 1):
        path, disk = tmp_path / f"chat-{chosen}.db", Disk(thread)
        disk.arm(chosen, Fault(at, error=error))
        with pytest.raises(SetupError):
            await SqliteStore(path, server_id="server-1", connect=disk.connect).open()
        async with opened(path) as store:
            await furnish(store)
        assert_no_gaps(path)
