"""Groups of messages in MySQL: how many packets they cost, and what becomes of them when rooms are locked or rows are bad."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import chain

import pytest

from stompgate.model.causes import Cause
from stompgate.model.messages import Draft
from stompgate.ports.store import OutcomeUnknown, Stored, StoreUnavailable
from stompgate.stores.mysql import MysqlStore
from tests.ports.drafts import BUYER, SELLER, draft, make_room, rejected, repeated, say, stored
from tests.proxy import NO_WAY, Proxy, Way
from tests.services import Services

from .mysql_rows import (
    by_way_of,
    connection_to,
    emptied_url,
    locked,
    no_transaction_is_left,
    opened,
    port_of,
    someone_waits_for_a_lock,
)

DEADLINE_S = 60.0
ROOMS = tuple(f"room-{n:02}" for n in range(40))


@pytest.fixture
def url(services: Services) -> str:
    return emptied_url(services)


@pytest.fixture
async def store(url: str) -> AsyncIterator[MysqlStore]:
    async with opened(url) as store:
        for room in ROOMS[:3]:
            await make_room(store, room)
        yield store


class Packets:
    """A link to the database that counts what the client asks: each packet of its own with number 0 is a round trip."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._links: set[asyncio.Task[None]] = set()
        self.asked = 0
        self.port = 0

    @asynccontextmanager
    async def counted(self) -> AsyncIterator[Packets]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self
        await asyncio.wait(self._links, timeout=DEADLINE_S)

    def _accept(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self._links.add(asyncio.create_task(self._link(client, to_client)))

    async def _link(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection("127.0.0.1", self._target)
        answers = asyncio.create_task(self._answer(server, to_client))
        with suppress(ConnectionError):
            await self._ask(client, to_server)
        to_server.close()
        await answers

    async def _ask(self, client: asyncio.StreamReader, to_server: asyncio.StreamWriter) -> None:
        while head := await client.read(4):
            head += await client.readexactly(4 - len(head))
            self.asked += head[3] == 0
            to_server.write(head + await client.readexactly(int.from_bytes(head[:3], "little")))

    async def _answer(self, server: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await server.read(65536):
                to_client.write(data)
        to_client.close()


async def test_a_message_and_a_group_of_any_size_cost_one_round_trip(url: str) -> None:
    async with Packets(port_of(url)).counted() as packets, opened(by_way_of(url, packets.port)) as store:
        rooms = [await make_room(store, room) for room in ROOMS]
        await say(store, rooms[0], "the connection is there")
        for size in (1, 8, 64, 256):
            before = packets.asked
            group = [draft(rooms[n % len(rooms)], client_id=f"{size}-{n}") for n in range(size)]
            assert all(stored(outcome) for outcome in await store.append(group))
            assert packets.asked - before == 1


async def test_what_cannot_be_numbered_blindly_costs_two_more_whatever_the_size(url: str) -> None:
    async with Packets(port_of(url)).counted() as packets, opened(by_way_of(url, packets.port)) as store:
        rooms = [await make_room(store, room) for room in ROOMS]
        known = [draft(room, client_id="c") for room in rooms]
        await store.append(known)
        for group in (known, [draft(room, members_version=0) for room in rooms * 6], [draft("nowhere"), draft(rooms[0])]):
            before = packets.asked
            await store.append(group)
            assert packets.asked - before == 3


async def test_history_does_not_wait_behind_a_group_that_waits(url: str, store: MysqlStore) -> None:
    (message,) = await say(store, ROOMS[1], "1")
    with locked(url, ROOMS[0]):
        waiting = asyncio.create_task(store.append([draft(ROOMS[0])]))
        assert await store.history(ROOMS[1], limit=1) == [message]
        assert [head.last_seq for head in await store.heads(ROOMS[:2])] == [0, 1]
        assert not waiting.done()
    assert stored((await waiting)[0]).seq == 1


async def test_a_room_that_stays_locked_is_refused_and_its_neighbours_are_stored(url: str) -> None:
    async with opened(url, lock_wait_s=1) as store:
        for room in ROOMS[:3]:
            await make_room(store, room)
        group = [
            draft(ROOMS[0], "blocked"),
            draft(ROOMS[1], "1"),
            draft("nowhere"),
            draft(ROOMS[1], "with one that is blocked", transaction="t"),
            draft(ROOMS[0], "blocked", transaction="t"),
            draft(ROOMS[2], "2", members_version=0),
        ]
        with locked(url, ROOMS[0]):
            outcomes = await store.append(group)
        assert [rejected(outcomes[n]).cause for n in (0, 3, 4)] == [Cause.STORE_UNAVAILABLE] * 3
        assert rejected(outcomes[2]).cause is Cause.NO_SUCH_ROOM
        assert [(stored(outcomes[n]).room, stored(outcomes[n]).seq) for n in (1, 5)] == [(ROOMS[1], 1), (ROOMS[2], 1)]
        figures = {(figure.name, figure.lane): figure.value for figure in store.figures()}
        assert figures["stompgate_store_lock_waits_total", "append"] == 1
        again = await store.append(group)
        assert [stored(again[n]).seq for n in (0, 4)] == [1, 2]
        assert [repeated(again[n]).seq for n in (1, 5)] == [1, 1]


async def test_a_lock_that_is_let_go_in_time_is_waited_for(url: str, store: MysqlStore) -> None:
    with locked(url, ROOMS[0]):
        waiting = asyncio.create_task(store.append([draft(ROOMS[0]), draft(ROOMS[1])]))
        await store.history(ROOMS[0], limit=1)
    assert [stored(outcome).seq for outcome in await waiting] == [1, 1]


async def test_a_deadlock_is_tried_again(url: str, store: MysqlStore) -> None:
    """Another program locks the rooms in the wrong order; the database rolls back the one that has changed less: ours."""
    with connection_to(url) as connection, connection.cursor() as cursor:
        connection.begin()
        for n in range(50):
            cursor.execute("INSERT INTO sg_meta (name, value) VALUES (%s, '')", (f"weight-{n}",))
        cursor.execute("SELECT id FROM sg_room WHERE uuid = %s FOR UPDATE", (ROOMS[1],))
        waiting = asyncio.create_task(store.append([draft(ROOMS[0]), draft(ROOMS[1])]))
        await someone_waits_for_a_lock(url)
        await asyncio.to_thread(cursor.execute, "SELECT id FROM sg_room WHERE uuid = %s FOR UPDATE", (ROOMS[0],))
        connection.rollback()
    assert [stored(outcome).seq for outcome in await waiting] == [1, 1]
    figures = {(figure.name, figure.lane): figure.value for figure in store.figures()}
    assert figures["stompgate_store_deadlocks_total", "append"] == 1


async def test_two_servers_that_write_to_the_same_rooms_leave_no_gap(url: str) -> None:
    async with opened(url, "server-1") as one, opened(url, "server-2") as other:
        for room in ROOMS:
            await make_room(one, room)

        async def write(store: MysqlStore, order: int) -> list[tuple[str, int]]:
            found = []
            for _ in range(15):
                outcomes = await store.append([draft(room) for room in ROOMS[::order] * 2])
                found += [(stored(outcome).room, stored(outcome).seq) for outcome in outcomes]
            return found

        numbers = await asyncio.gather(write(one, 1), write(other, -1))
        assert sorted(chain(*numbers)) == sorted((room, seq) for room in ROOMS for seq in range(1, 61))


# Bad rows


BAD = {
    "an id too long": {"message_id": "i" * 256},
    "a sender too long": {"sender": "s" * 256},
    "a client id too long": {"client_id": "c" * 65},
    "half a character": {"content": "\ud800"},
    "a content too long": {"content": "x" * (1 << 24)},
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
async def test_a_row_that_the_database_cannot_hold_is_answered_alone(store: MysqlStore, bad: dict[str, str]) -> None:
    outcomes = await store.append(
        [
            draft(ROOMS[0], "1"),
            draft(ROOMS[0], **{"content": "bad", **bad}),  # type: ignore[arg-type]
            draft(ROOMS[0], "falls with it", transaction="t"),
            draft(ROOMS[1], **{"content": "bad", **bad, "transaction": "t"}),  # type: ignore[arg-type]
            draft(ROOMS[1], "2"),
        ]
    )
    assert [rejected(outcomes[n]).cause for n in (1, 2, 3)] == [Cause.BAD_BODY] * 3
    assert [stored(outcomes[n]).seq for n in (0, 4)] == [1, 1]
    assert [rejected(one).cause for one in await store.append([draft(ROOMS[0], **{"content": "b", **bad})])] == [  # type: ignore[arg-type]
        Cause.BAD_BODY
    ]


async def test_a_group_larger_than_a_packet_is_one_transaction_and_a_row_larger_than_one_is_answered_alone(
    url: str, store: MysqlStore
) -> None:
    """16 MiB, as the databases of the tests are told to take."""
    large = [draft(ROOMS[0], f"{n}" * (4 << 20)) for n in range(5)]
    too_large = draft(ROOMS[1], "'" * (12 << 20))
    async with opened(url, deadline_s=DEADLINE_S) as patient:
        outcomes = await patient.append([*large, too_large, draft(ROOMS[1], "small")])
    assert [stored(outcome).seq for outcome in outcomes[:5]] == [1, 2, 3, 4, 5]
    assert rejected(outcomes[5]).cause is Cause.BAD_BODY
    assert stored(outcomes[6]).seq == 1
    assert [one.content for one in await store.history(ROOMS[0], limit=5)] == [one.content for one in large]


async def test_texts_are_compared_sign_by_sign_with_their_blanks(store: MysqlStore) -> None:
    kinds = ["c", "C", "c ", " c", "ç", "c\u0327", "ｃ", "c\x00", "c\u200b", "🙂", "🙃"]
    outcomes = await store.append([draft(ROOMS[0], client_id=kind) for kind in kinds])
    assert [stored(outcome).seq for outcome in outcomes] == list(range(1, len(kinds) + 1))
    again = await store.append([draft(ROOMS[0], client_id=kind) for kind in reversed(kinds)])
    assert [repeated(outcome).seq for outcome in again] == list(range(len(kinds), 0, -1))
    assert len(await store.append([draft(ROOMS[0], message_id=kind) for kind in kinds])) == len(kinds)
    for name in (f"{BUYER} ", BUYER.upper(), f"{BUYER}\x00"):
        (outcome,) = await store.append([draft(ROOMS[0], sender=name, members_version=0)])
        assert rejected(outcome).cause is Cause.NO_SUCH_ROOM


async def test_signs_that_mean_something_to_sql_are_signs(store: MysqlStore) -> None:
    texts = ["'); DROP TABLE sg_room; --", '"', "\\", "\\'", "%s", "%(x)s", "%%", "\x1a\n\r\x00", "`", ";", "{collation}"]
    assert [message.content for message in await say(store, ROOMS[0], *texts)] == texts
    assert [message.content for message in await store.history(ROOMS[0], limit=99)] == texts
    for text in texts:
        seller, _ = await store.create_room(f"room {text}", buyer=text, seller=SELLER, product_name=text)
        assert (seller.other, seller.room.product_name, seller.room.uuid) == (text, text, f"room {text}")


# Unknown outcomes


async def test_a_commit_whose_answer_is_lost_is_found_again(url: str, store: MysqlStore) -> None:
    async with Proxy("127.0.0.1", port_of(url)) as proxy, opened(by_way_of(url, proxy.port), deadline_s=1) as cut_off:
        await say(cut_off, ROOMS[0], "the connection is there")
        group = [draft(ROOMS[0], "1", client_id="c"), draft(ROOMS[1], "2")]
        proxy.swallowed = frozenset({Way.TO_CLIENT})
        with pytest.raises(OutcomeUnknown):
            await cut_off.append(group)
        with pytest.raises(StoreUnavailable):
            await cut_off.append(group)
        proxy.heal()
        assert [repeated(outcome).seq for outcome in await cut_off.append(group)] == [2, 1]
        assert [head.last_seq for head in await store.heads(ROOMS[:2])] == [2, 1]


async def test_a_packet_that_arrives_after_it_was_sent_again_stores_nothing(url: str, store: MysqlStore) -> None:
    async with Proxy("127.0.0.1", port_of(url)) as proxy, opened(by_way_of(url, proxy.port), deadline_s=1) as slow:
        await say(slow, ROOMS[0], "the connection is there")
        group = [draft(ROOMS[0], "1", client_id="c"), draft(ROOMS[1], "2")]
        proxy.held = frozenset({Way.TO_SERVER})
        with pytest.raises(OutcomeUnknown):
            await slow.append(group)
        assert [stored(outcome).seq for outcome in await store.append(group)] == [2, 1]
        proxy.held = NO_WAY
        assert [repeated(outcome).seq for outcome in await slow.append(group)] == [2, 1]
        await no_transaction_is_left(url)
        assert [head.last_seq for head in await store.heads(ROOMS[:2])] == [2, 1]
        assert len(await store.history(ROOMS[0], limit=10)) == 2


async def test_what_may_still_be_under_way_is_not_called_refused(url: str) -> None:
    """The room is locked by the first attempt itself, as far as anyone can tell: only the whole call may be put off."""
    async with Proxy("127.0.0.1", port_of(url)) as proxy, opened(by_way_of(url, proxy.port), lock_wait_s=1) as store:
        for room in ROOMS[:2]:
            await make_room(store, room)
        await say(store, ROOMS[1], "the connection is there")
        group: list[Draft] = [draft(ROOMS[0], "1"), draft(ROOMS[1], "2")]
        with locked(url, ROOMS[0]):
            first = asyncio.create_task(store.append(group))
            await someone_waits_for_a_lock(url)
            proxy.cut()
            with pytest.raises(OutcomeUnknown):
                await first
            with pytest.raises(StoreUnavailable):
                await store.append(group)
            assert await store.history(ROOMS[1], limit=1, after=1) == []
        outcomes = await store.append(group)
        assert [outcome.message.seq for outcome in outcomes if isinstance(outcome, Stored)] == [1, 2]
        await no_transaction_is_left(url)
        assert [head.last_seq for head in await store.heads(ROOMS[:2])] == [1, 2]
