"""Several servers at one MySQL at the same moment: what each is told is true of what they have done together."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import TypeVar

import pymysql
import pytest

from stompgate.model.inquiries import Inquiry
from stompgate.model.messages import Draft
from stompgate.model.queues import Claim
from stompgate.model.records import ChatRecord
from stompgate.ports.store import Outcome, OutcomeUnknown, Stored, StoreUnavailable
from stompgate.stores.mysql import MysqlStore
from stompgate.stores.mysql_url import address_of
from tests.ports.drafts import draft, make_room, say
from tests.ports.test_queues import messages
from tests.services import Services
from tests.waiting import until

from .mysql_rows import ask, connection_to, emptied_url, opened, someone_waits_for_a_lock
from .operations import assert_no_gaps_by

T = TypeVar("T")

DEADLINE_S = 30.0
PATIENT = {"lock_wait_s": int(DEADLINE_S), "deadline_s": DEADLINE_S}
KILL_EVERY_S = 0.02
QUEUE = "/queue/a"
GROUPS, MESSAGES, LIVES, CLAIMS, INQUIRIES = 40, 200, 3, 12, 200


@pytest.fixture
def url(services: Services) -> str:
    return emptied_url(services)


@pytest.fixture
async def servers(url: str) -> AsyncIterator[list[MysqlStore]]:
    """Three of them, who wait for a lock as long as it takes."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(opened(url, f"server-{n}", **PATIENT)) for n in range(3)]


@asynccontextmanager
async def connections_end(url: str) -> AsyncIterator[None]:
    """Now and then the database ends a connection, whatever it is about."""
    ending = asyncio.create_task(_end_connections(url))
    try:
        yield
    finally:
        ending.cancel()
        with suppress(asyncio.CancelledError):
            await ending


async def _end_connections(url: str) -> None:
    with connection_to(url) as hand, hand.cursor() as cursor:
        while True:
            await asyncio.sleep(KILL_EVERY_S)
            cursor.execute("SELECT CONNECTION_ID()")
            own = cursor.fetchall()[0][0]
            cursor.execute("SHOW PROCESSLIST")
            theirs = [row[0] for row in cursor.fetchall() if row[3] == address_of(url).database and row[0] != own]
            with suppress(pymysql.Error):  # it has just ended by itself
                cursor.execute("KILL %s", (random.choice(theirs),))


async def until_known(call: Callable[..., Awaitable[T]], *arguments: object) -> T:
    """What a call answers, made again until it does."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            with suppress(StoreUnavailable, OutcomeUnknown):
                return await call(*arguments)
            await asyncio.sleep(0)  # a refusal may come at once, and must not keep the deadline away


async def test_what_servers_store_together_has_numbers_without_gaps_whenever_it_is_read(
    url: str, servers: list[MysqlStore]
) -> None:
    rooms = [await make_room(servers[0], f"room-{n}") for n in range(3)]
    told: list[tuple[Draft, Outcome]] = []
    is_over = asyncio.Event()

    async def talk(server: MysqlStore, chance: random.Random) -> None:
        for _ in range(GROUPS):
            ids = [chance.choice((None, f"c{chance.randrange(40)}")) for _ in range(chance.randint(1, 8))]
            group = [draft(chance.choice(rooms), client_id=client_id) for client_id in ids]
            told.extend(zip(group, await until_known(server.append, group), strict=True))

    async def relay(server: MysqlStore) -> None:
        while not is_over.is_set():
            await until_known(server.mark_relayed, await until_known(server.unrelayed, 20))

    async def read(server: MysqlStore) -> None:
        seen = dict.fromkeys(rooms, 0)
        while not is_over.is_set():
            for room in rooms:
                page = await until_known(partial(server.history, room, after=seen[room], limit=100))
                assert [message.seq for message in page] == list(range(seen[room] + 1, seen[room] + len(page) + 1))
                seen[room] += len(page)

    async with connections_end(url), asyncio.TaskGroup() as works:
        talks = [works.create_task(talk(server, random.Random(number))) for number, server in enumerate(servers)]
        for server in servers:
            works.create_task(relay(server))
            works.create_task(read(server))
        await asyncio.wait(talks)
        is_over.set()
    assert_no_gaps_by(lambda sql: ask(url, sql))
    rows = {row[0]: row[1:] for row in ask(url, "SELECT m.id, uuid, seq FROM sg_message m JOIN sg_room r ON r.id = room_id")}
    messages_told = [outcome.message for _, outcome in told if isinstance(outcome, Stored)]
    assert len(messages_told) == len(told)
    assert all(rows[message.id] == (message.room, message.seq) for message in messages_told)
    assert rows.keys() == {message.id for message in messages_told}


async def test_a_message_of_a_queue_is_in_one_living_hand_whoever_comes_and_goes(url: str, servers: list[MysqlStore]) -> None:
    held: dict[str, str] = {}
    consumed = Counter[str]()
    await servers[0].put(messages(MESSAGES), limit=MESSAGES)

    async def claim(server: MysqlStore, owner: str, number: int) -> list[Claim]:
        call = partial(server.claim, QUEUE, 10, owner=owner, attempt=f"{owner}/{number}")
        try:
            claims = await call()
        except StoreUnavailable:
            return []
        except OutcomeUnknown:
            claims = await until_known(partial(call, again=True))
        for one in claims:
            assert one.message.id not in held
            assert one.message.id not in consumed
            held[one.message.id] = owner
        return list(claims)

    async def live(server: MysqlStore, owner: str, chance: random.Random) -> None:
        """Consume some, return some, and leave some behind in the end."""
        await until_known(server.take_lease, owner)
        for number in range(CLAIMS):
            claims = await claim(server, owner, number)
            chance.shuffle(claims)
            done, back = claims[:3], claims[3:7]
            for one in (*done, *back):
                del held[one.message.id]
            consumed.update(one.message.id for one in done)
            await until_known(partial(server.settle, owner, consumed=done, returned=back))
        for message_id in [message_id for message_id, holder in held.items() if holder == owner]:
            del held[message_id]
        await until_known(server.release_lease, owner)

    async def come_and_go(server: MysqlStore, name: str) -> None:
        for life in range(LIVES):
            await live(server, f"{name}-{life}", random.Random(f"{name}-{life}"))

    async with connections_end(url), asyncio.TaskGroup() as works:
        for server, name in zip(servers, "abc", strict=True):
            works.create_task(come_and_go(server, name))
    await servers[0].take_lease("last")
    while claims := await claim(servers[0], "last", len(held)):
        consumed.update(one.message.id for one in claims)
    assert len(consumed) == MESSAGES
    assert set(consumed.values()) == {1}


async def test_each_inquiry_is_mailed_once_and_none_that_was_has_failed(servers: list[MysqlStore]) -> None:
    mailed: list[int] = []

    async def mail(server: MysqlStore) -> None:
        while len(mailed) < INQUIRIES:
            for inquiry in await until_known(server.unmailed, 1):
                mailed.append(inquiry.id)
                await until_known(server.mark_mailed, inquiry.id)
            await until_known(server.put_off_mail, 1.0)

    async def ask_for(server: MysqlStore, name: str) -> None:
        await until_known(server.add_inquiry, Inquiry(0, name, "a@example.org", "010", "text"))

    async with asyncio.TaskGroup() as works:
        for n in range(INQUIRIES):
            works.create_task(ask_for(servers[n % 3], str(n)))
        for server in servers:
            works.create_task(mail(server))
    assert len(mailed) == len(set(mailed)) == INQUIRIES
    assert list(await servers[0].give_up_mail(2**62)) == []


async def test_what_is_archived_while_its_room_is_deleted_goes_with_it(url: str, servers: list[MysqlStore]) -> None:
    room = await make_room(servers[0], "room")
    await servers[0].mark_relayed([ChatRecord(message) for message in await say(servers[0], room, "1", "2", "3")])
    (first,) = ask(url, "SELECT MIN(number) FROM sg_message")[0]
    with connection_to(url) as holding, holding.cursor() as cursor:
        holding.begin()  # the row number of the first message: its way into the archive is barred
        cursor.execute("INSERT INTO sg_archive VALUES (%s, -1, 1, '', NULL, '', '', 1, 1, 1)", (first,))
        pruning = asyncio.create_task(servers[1].prune(2**62, 100, archive=True))
        await someone_waits_for_a_lock(url)
        await servers[2].delete_room(room)
        await until(lambda: is_cleared(url) or waiting(url) == 2, "it is cleared, or waits for that")
        holding.rollback()
    await pruning
    await until(lambda: is_cleared(url), "it is cleared")
    assert ask(url, "SELECT id FROM sg_archive") == []


def is_cleared(url: str) -> bool:
    return ask(url, "SELECT cleared FROM sg_room") == [(1,)]


def waiting(url: str) -> int:
    """How many transactions wait for another's lock."""
    return int(ask(url, "SELECT COUNT(*) FROM information_schema.INNODB_TRX WHERE trx_state = 'LOCK WAIT'")[0][0])
