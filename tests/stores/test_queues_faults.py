"""Queues while a statement of SQLite fails, or the link to MySQL is cut, anywhere: what is told stays true, now and later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stompgate.model.queues import Claim
from stompgate.ports.queues import MessageTooLarge, Queues
from stompgate.ports.store import OutcomeUnknown, StoreUnavailable
from stompgate.stores.mysql import MysqlStore
from stompgate.stores.sqlite import SqliteStore
from tests.ports.test_queues import message, messages
from tests.proxy import Proxy, Way
from tests.services import Services

from . import mysql_rows, rivals
from .faults import FAULTS, Disk, Fault
from .mysql_rows import by_way_of, connection_to, emptied_url, port_of

DEADLINE_S = 30.0
OWNER, QUEUE, OTHER = "owner-1", "/queue/a", "/queue/b"
Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Operation:
    """A call that writes. It is told what this server holds, and whether it is made again after an unknown outcome."""

    name: str
    call: Callable[[Queues, Sequence[Claim], bool], Awaitable[object]]

    def __str__(self) -> str:
        return self.name


async def _put(queues: Queues, held: Sequence[Claim], again: bool) -> None:
    await queues.put([*messages(6)[3:], message(1, OTHER)], limit=100, again=again)


async def _claim(queues: Queues, held: Sequence[Claim], again: bool) -> Sequence[Claim]:
    return await queues.claim(QUEUE, 2, owner=OWNER, attempt="the attempt", again=again)


async def _settle(queues: Queues, held: Sequence[Claim], again: bool) -> None:
    await queues.settle(OWNER, consumed=held[:1], returned=held[1:])


OPERATIONS = Operation("put", _put), Operation("claim", _claim), Operation("settle", _settle)
every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=str)


async def furnish(queues: Queues) -> Sequence[Claim]:
    """Three messages wait in one queue, and two of another are held."""
    await queues.put(messages(3), limit=100)
    await queues.put(messages(2, "/queue/held"), limit=100)
    return await queues.claim("/queue/held", 2, owner=OWNER, attempt="held")


def snapshot(table: Callable[[str], Rows], *, deliveries: bool = True) -> Rows:
    """All that is committed. What is put again counts as delivered, so ``deliveries`` may be left out."""
    counted = ", deliveries" if deliveries else ""
    return table(
        f"SELECT queue, id, headers, body, sent_at_us, claimed_by, attempt{counted} FROM sg_queue_message ORDER BY number"
    )


def assert_true(told: object, now: Rows, before: Rows, after: Rows) -> None:
    match told:
        case StoreUnavailable():
            assert now == before
        case OutcomeUnknown():
            assert now in (before, after)
        case _:
            assert now == after


async def told_by(call: Awaitable[object]) -> object:
    """The answer of a call, or what it raised."""
    try:
        return await call
    except (StoreUnavailable, OutcomeUnknown) as error:
        return error


# SQLite


@asynccontextmanager
async def file(path: Path, disk: Disk) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, server_id="server-1", connect=disk.connect)
    await store.open()
    try:
        await store.ping()
        yield store
    finally:
        await store.close()


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if not fault.lasts], ids=str)
@every_operation
async def test_what_is_told_is_true_whatever_statement_fails(tmp_path: Path, operation: Operation, fault: Fault) -> None:
    disk, told_kinds, chosen, number = Disk(), set[type](), 0, 1
    async with file(tmp_path / "right.db", disk) as store:
        held = await furnish(store)
        before = snapshot(lambda sql: rivals.ask(tmp_path / "right.db", sql))
        disk.arm()
        answer = await operation.call(store, held, False)
        number = len(disk.statements)
        after = snapshot(lambda sql: rivals.ask(tmp_path / "right.db", sql))
    assert before != after
    for chosen in range(1, number + 1):
        path, disk = tmp_path / f"{chosen}.db", Disk()
        async with file(path, disk) as store:
            held = await furnish(store)
            disk.arm(chosen, fault)
            told = await told_by(operation.call(store, held, False))
            told_kinds.add(type(told))
            assert_true(told, snapshot(lambda sql, path=path: rivals.ask(path, sql)), before, after)  # type: ignore[misc]
            disk.heal()
            again = await operation.call(store, held, isinstance(told, OutcomeUnknown))
            assert again == answer
            plain = snapshot(lambda sql, path=path: rivals.ask(path, sql), deliveries=False)  # type: ignore[misc]
            assert plain == [row[:-1] for row in after]
    assert told_kinds >= {StoreUnavailable, OutcomeUnknown}


# MySQL


@pytest.fixture
def url(services: Services) -> str:
    return emptied_url(services)


async def lease(store: MysqlStore) -> None:
    await store.take_lease(OWNER)


def empty(url: str) -> None:
    mysql_rows.ask(url, "DELETE FROM sg_queue_message")


@pytest.mark.parametrize("way", Way)
@every_operation
async def test_what_is_told_is_true_wherever_the_link_is_cut(url: str, operation: Operation, way: Way) -> None:
    def table(sql: str) -> Rows:
        return mysql_rows.ask(url, sql)

    async with mysql_rows.opened(url) as store:
        await lease(store)
        held = await furnish(store)
        before = snapshot(table)
        answer = await operation.call(store, held, False)
        after = snapshot(table)
        assert before != after
        unknown = 0
        for number in range(100):
            empty(url)
            held = await furnish(store)
            async with (
                Proxy("127.0.0.1", port_of(url)) as proxy,
                mysql_rows.opened(by_way_of(url, proxy.port), write_connections=1, queue_connections=1) as cut_off,
            ):
                await cut_off.ping()  # waits, on the one connection for writing, for what the store does at first by itself
                await cut_off.claim("/queue/none", 1, owner=OWNER, attempt="the connection is there")
                _arm(proxy, way, number)
                told = await told_by(operation.call(cut_off, held, False))
                is_over = not proxy.has_sprung
                unknown += isinstance(told, OutcomeUnknown)
                await mysql_rows.no_transaction_is_left(url)
                assert_true(told, snapshot(table), before, after)
                proxy.heal()
                again = await operation.call(cut_off, held, not isinstance(told, StoreUnavailable))
                assert again == answer
                assert snapshot(table, deliveries=False) == [row[:-1] for row in after]
            if is_over:
                break
        assert unknown > 0, "no cut hit a commit"


def _arm(proxy: Proxy, way: Way, number: int) -> None:
    """First at the COMMIT: how answers are cut into pieces is chance, and may hide it."""
    if number:
        proxy.cut_at_piece(way, number)
    else:
        proxy.cut_at(Way.TO_SERVER, b"COMMIT", lets_pass=way is Way.TO_CLIENT)


THE_FIRST_TRY = {
    "put": "INSERT INTO sg_queue_message (queue, id, headers, body, sent_at_us) VALUES"
    " ('/queue/a', 'id-/queue/a-3', '[]', '', 0), ('/queue/a', 'id-/queue/a-4', '[]', '', 0)",
    "claim": f"UPDATE sg_queue_message SET claimed_by = '{OWNER}', attempt = 'the attempt', deliveries = 1"
    " WHERE id IN ('id-/queue/a-0', 'id-/queue/a-1')",
}


@pytest.mark.parametrize("operation", OPERATIONS[:2], ids=str)
async def test_a_second_try_waits_for_the_first_that_is_still_under_way(url: str, operation: Operation) -> None:
    """The first one's caller is told that nothing is known; in the database it comes to its COMMIT later."""
    patient: dict[str, Any] = {"deadline_s": DEADLINE_S, "lock_wait_s": int(DEADLINE_S)}
    async with Proxy("127.0.0.1", port_of(url)) as proxy, mysql_rows.opened(by_way_of(url, proxy.port), **patient) as store:
        await lease(store)
        held = await furnish(store)
        proxy.cut_at(Way.TO_SERVER, b"COMMIT", lets_pass=False)
        with pytest.raises(OutcomeUnknown):
            await operation.call(store, held, False)
        await mysql_rows.no_transaction_is_left(url)
        with connection_to(url) as first, first.cursor() as cursor:
            first.begin()
            cursor.execute(THE_FIRST_TRY[operation.name])
            second = asyncio.ensure_future(operation.call(store, held, True))
            await mysql_rows.someone_waits_for_a_lock(url)
            first.commit()
        told = await second
        rows = mysql_rows.ask(url, "SELECT id, attempt FROM sg_queue_message ORDER BY number")
        ids = [row[0] for row in rows]
        assert len(ids) == len(set(ids)) == (5 if operation.name == "claim" else 9)
        claimed = [row[0] for row in rows if row[1] == "the attempt"]
        assert claimed == ([claim.message.id for claim in told] if isinstance(told, list) else [])


async def test_a_message_larger_than_the_database_takes_is_refused_alone(url: str) -> None:
    async with mysql_rows.opened(url) as store:
        (size,) = mysql_rows.ask(url, "SELECT @@max_allowed_packet")[0]
        with pytest.raises(MessageTooLarge):
            await store.put([message(1), _sized(2, int(size))], limit=10)
        assert snapshot(lambda sql: mysql_rows.ask(url, sql)) == []
        # In several packets, and one transaction.
        large = [_sized(number, int(size) // 4) for number in range(4)]
        await store.put(large, limit=10)
        await lease(store)
        assert [claim.message for claim in await store.claim(QUEUE, 10, owner=OWNER, attempt="1")] == large


def _sized(number: int, size: int) -> Any:
    plain = message(number)
    return type(plain)(plain.id, plain.queue, plain.headers, b"\xff" * size, plain.sent_at_us)
