"""MySQL behind a link that is cut at every place, and a server that is killed, paused or read-only: what is told stays true."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import suppress
from functools import partial

import pytest

from stompgate.model.rooms import Members
from stompgate.ports.part import PartDown
from stompgate.ports.store import OutcomeUnknown, StoreUnavailable
from stompgate.stores.mysql import MysqlStore
from stompgate.stores.mysql_connection import Session, connect
from stompgate.stores.mysql_url import address_of
from tests.cancelled_at import CancelledAt
from tests.ports.drafts import BUYER, SELLER, draft, make_room, say, stored
from tests.proxy import Proxy, Way
from tests.services import Service, Services, database, start_database

from .mysql_rows import Saved, ask, by_way_of, connection_to, emptied_url, no_transaction_is_left, opened, port_of, snapshot
from .operations import OPERATIONS, Answer, Operation, assert_no_gaps_by, furnish

DEADLINE_S = 30.0
ROOM = "room-a"


@pytest.fixture
def url(services: Services) -> str:
    return emptied_url(services)


# Cuts


async def told_by(call: Awaitable[Answer]) -> Answer:
    """The answer of a call, or what it raised."""
    try:
        return await call
    except (StoreUnavailable, OutcomeUnknown) as error:
        return error


@pytest.fixture(scope="module")
def furnished(services: Services) -> Saved:
    """The data that every operation begins with."""
    url = emptied_url(services)

    async def make() -> None:
        async with opened(url) as store:
            await furnish(store)
            await cleared(url)

    asyncio.run(make())
    return Saved(url)


async def cleared(url: str) -> None:
    """Wait until nothing is left of deleted rooms, and no transaction is under way."""
    async with asyncio.timeout(DEADLINE_S):
        while ask(url, "SELECT 1 FROM sg_room WHERE deleted > cleared"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class Cuts:
    """The places where the link is cut, one after the other, until an operation gets by unharmed."""

    def __init__(self, way: Way) -> None:
        self.way = way
        self._number = 0
        self._rounds_left = 3

    def __iter__(self) -> Iterator[int]:
        while self._rounds_left:
            self._number += 1
            assert self._number < 100
            yield self._number

    def over(self, *, has_hit: bool) -> None:
        """It got by. What the store does by itself may have come in the way of the cut that counts: then all are made again."""
        self._rounds_left = 0 if has_hit else self._rounds_left - 1
        self._number = 0


@pytest.mark.parametrize("way", Way)
@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
async def test_what_is_told_is_true_wherever_the_link_is_cut(furnished: Saved, operation: Operation, way: Way) -> None:
    url, before = furnished.put_back(), snapshot(furnished.url)
    async with opened(url) as store:
        await operation.call(store)
        await cleared(url)
    after = snapshot(url)
    assert before != after
    cuts, unknown = Cuts(way), 0
    for number in cuts:
        furnished.put_back()
        # With one connection for writing, a ping waits until the store has done what it does at first by itself.
        async with (
            Proxy("127.0.0.1", port_of(url)) as proxy,
            opened(by_way_of(url, proxy.port), write_connections=1, deadline_s=30.0) as store,
        ):
            await store.ping()
            proxy.cut_at_piece(way, number)
            told = await told_by(operation.call(store))
            if not proxy.has_sprung:
                cuts.over(has_hit=unknown > 0)
            found = snapshot(url)
            if isinstance(told, OutcomeUnknown):
                unknown += 1
                assert found in (before, after)
            else:
                assert found == (before if isinstance(told, StoreUnavailable) else after)
            proxy.heal()
            again = await told_by(operation.call(store))
            assert not isinstance(again, Exception)
            assert isinstance(told, Exception) or again == operation.again(told)
            assert snapshot(url) == after
            assert_no_gaps_by(partial(ask, url))
    assert unknown > 0, "no cut hit a commit"


async def test_readers_are_served_in_spite_of_a_cut_connection(url: str) -> None:
    async with Proxy("127.0.0.1", port_of(url)) as proxy, opened(by_way_of(url, proxy.port)) as store:
        (message,) = await say(store, await make_room(store, ROOM), "1")
        for number in range(1, 4):
            await store.heads([ROOM])
            proxy.cut_at_piece(Way.TO_CLIENT, number)
            with suppress(StoreUnavailable):
                await store.history(ROOM, limit=1)
            proxy.heal()
            assert await store.history(ROOM, limit=1) == [message]
        proxy.cut()
        assert await store.history(ROOM, limit=1) == [message]
        assert stored((await store.append([draft(ROOM)]))[0]).seq == 2


# Cancellation


@pytest.mark.parametrize("after", [False, True])
async def test_connecting_gives_in_to_a_cancellation_at_each_of_its_waits(url: str, after: bool) -> None:
    """Else a deadline that ends at that moment would be no more."""
    for number in range(1, 100):
        connecting = connect(address_of(url), Session(lock_wait_s=2, idle_s=30, connect_s=DEADLINE_S))
        try:
            connection = await CancelledAt(connecting, number, after=after)
        except asyncio.CancelledError:
            continue
        connection.cut()
        break
    assert 4 < number < 99  # every wait has had its turn, and then it ran to its end


async def test_after_a_cancelled_call_every_answer_is_to_its_own_question(url: str) -> None:
    """Every packet is a little late, so that calls are cancelled at each of their waits."""
    async with (
        Proxy("127.0.0.1", port_of(url)) as proxy,
        opened(by_way_of(url, proxy.port), read_connections=2, write_connections=2) as store,
    ):
        rooms = [await make_room(store, f"room-{n}") for n in range(8)]
        for n, room in enumerate(rooms):
            await say(store, room, *map(str, range(n + 1)))
        proxy.delay_s = 0.004
        cancelled = 0
        for step in range(40):
            tasks: list[asyncio.Task[object]] = [
                asyncio.create_task(store.history(rooms[step % 8], limit=5)),
                asyncio.create_task(store.members(rooms[step % 8])),
                asyncio.create_task(store.append([draft(rooms[0], f"step {step}"), draft(rooms[1], f"step {step}")])),
                asyncio.create_task(store.take_lease("owner")),
            ]
            await asyncio.sleep(step * 0.0005)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            cancelled += sum(task.cancelled() for task in tasks)
            if step % 5:
                continue
            heads = await store.heads(rooms)
            members = await asyncio.gather(*(store.members(room) for room in rooms[2:]))
            assert {head.room: head.last_seq for head in heads if head.room in rooms[2:]} == {
                room: n + 3 for n, room in enumerate(rooms[2:])
            }
            assert members == [
                Members(room, frozenset((BUYER, SELLER)), 1, deleted=False, last_seq=n + 3) for n, room in enumerate(rooms[2:])
            ]
        assert cancelled > 40
        proxy.delay_s = 0.0
        await no_transaction_is_left(url)
        contents = [[one.content for one in await store.history(room, limit=100)][n + 1 :] for n, room in enumerate(rooms[:2])]
        assert contents[0] == contents[1], "a group is stored whole or not at all"
        assert len(set(contents[0])) == len(contents[0])
        assert_no_gaps_by(partial(ask, url))


# The server


async def eventually_stored(store: MysqlStore, content: str) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                outcomes = await store.append([draft(ROOM, content)])
            except (StoreUnavailable, OutcomeUnknown):
                await asyncio.sleep(0.05)
            else:
                assert stored(outcomes[0]).content == content
                return


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with start_database(tmp_path_factory.mktemp("database")) as server:
        yield server


@pytest.fixture
async def store(server: Service) -> AsyncIterator[MysqlStore]:
    async with opened(server.url, deadline_s=1.5) as store:
        await make_room(store, ROOM)
        yield store


async def test_connections_that_an_operator_kills_are_replaced(server: Service, store: MysqlStore) -> None:
    await eventually_stored(store, "before")
    await store.heads([ROOM])
    with connection_to(server.url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM information_schema.PROCESSLIST"
            " WHERE id != CONNECTION_ID() AND user = SUBSTRING_INDEX(USER(), '@', 1)"
        )
        ids = [number for (number,) in cursor.fetchall()]
        assert len(ids) >= 3
        for number in ids:
            cursor.execute("KILL %s", (number,))
    await store.ping()
    assert [head.room for head in await store.heads([ROOM])] == [ROOM]
    await eventually_stored(store, "after")


async def test_connections_that_the_database_ended_for_their_silence_are_replaced_unseen(url: str) -> None:
    others = "SELECT id FROM information_schema.PROCESSLIST WHERE db = DATABASE() AND id != CONNECTION_ID()"
    async with opened(url, idle_timeout_s=1) as store:
        room = await make_room(store, "room")
        await say(store, room, "1")
        await store.heads([room])
        assert ask(url, others)
        async with asyncio.timeout(DEADLINE_S):
            while ask(url, others):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert [head.last_seq for head in await store.heads([room])] == [1]
        assert [message.seq for message in await say(store, room, "2")] == [2]


async def test_a_server_that_is_killed_and_comes_back_is_taken_up_again(server: Service, store: MysqlStore) -> None:
    await eventually_stored(store, "before the kill")
    await asyncio.to_thread(server.kill)
    for call in (store.append([draft(ROOM)]), store.history(ROOM, limit=1), store.heads([ROOM])):
        with pytest.raises(StoreUnavailable):
            await call
    with pytest.raises(PartDown):
        await store.ping()
    await asyncio.to_thread(server.start)
    await eventually_stored(store, "after the kill")
    await store.ping()


async def test_a_server_that_is_paused_is_given_up_in_time_and_taken_up_when_it_goes_on(
    server: Service, store: MysqlStore
) -> None:
    await eventually_stored(store, "before the pause")
    await store.heads([ROOM])
    server.pause()
    try:
        group = [draft(ROOM, "in the pause")]
        with pytest.raises(OutcomeUnknown):
            await store.append(group)
        with pytest.raises(StoreUnavailable):
            await store.history(ROOM, limit=1)
        with pytest.raises(PartDown):
            await store.ping()
    finally:
        server.resume()
    await eventually_stored(store, "after the pause")
    await store.append(group)
    contents = [message.content for message in await store.history(ROOM, limit=100)]
    assert contents.count("in the pause") == 1
    assert_no_gaps_by(partial(ask, server.url))


async def test_a_server_that_is_read_only_refuses_for_certain_and_is_not_well(server: Service, store: MysqlStore) -> None:
    await eventually_stored(store, "before")
    head = await store.heads([ROOM])
    database(server.folder).administer("SET GLOBAL read_only = 1")
    try:
        with pytest.raises(StoreUnavailable):
            await store.append([draft(ROOM)])
        with pytest.raises(PartDown, match="read"):
            await store.ping()
        assert await store.heads([ROOM]) == head
    finally:
        database(server.folder).administer("SET GLOBAL read_only = 0")
    await eventually_stored(store, "after")
