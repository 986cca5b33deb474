"""``ChatClient`` with the real daemon: whatever happens to its connections, each message is there once, or that is denied."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import pytest

from stompgate.client import ChatClient, ConnectionLost, Joined, Message, NoAnswer, Options, Refused, connect
from stompgate.client.options import BackOff
from tests.clients.rooms import BUYER, SELLER, history, intake_of
from tests.daemon_process import Daemon, Launch
from tests.proxy import Proxy, Way
from tests.waiting import until
from tests.wire_client import make_room

HASTY = Options(deadline_s=5.0, pause_first_s=0.02, pause_most_s=0.2)


@pytest.fixture
async def proxy(shared_daemon: Daemon) -> AsyncIterator[Proxy]:
    """The way to the daemon that the clients take."""
    async with Proxy("127.0.0.1", shared_daemon.port) as proxy:
        yield proxy
    assert asyncio.all_tasks() == {asyncio.current_task()}


@asynccontextmanager
async def two(url: str) -> AsyncIterator[tuple[ChatClient, ChatClient]]:
    """A buyer and a seller."""
    async with (
        ChatClient(url, user=BUYER, options=HASTY) as buyer,
        ChatClient(url, user=SELLER, options=HASTY) as seller,
    ):
        yield buyer, seller


def at(proxy: Proxy) -> str:
    return f"ws://127.0.0.1:{proxy.port}/ws-stomp"


async def joined(events: AsyncIterator[Message | Joined]) -> Joined:
    """The next event, which must be that."""
    event = await anext(events)
    assert isinstance(event, Joined), event
    return event


async def said(events: AsyncIterator[Message | Joined], number: int) -> list[str]:
    """The next so many contents, whatever happens between them; nothing may have been missed."""
    contents: list[str] = []
    while len(contents) < number:
        match await anext(events):
            case Joined(recovered=recovered):
                assert recovered
            case message:
                contents.append(message.json()["content"])
    return contents


async def gives_up(events: AsyncIterator[Message | Joined]) -> None:
    """Wait for an event that does not come, and no longer."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await anext(events)


async def test_over_many_cuts_every_message_is_stored_once_and_received_once(shared_daemon: Daemon, proxy: Proxy) -> None:
    room = await make_room(shared_daemon.url, BUYER, SELLER)
    contents = [str(number) for number in range(300)]
    async with two(at(proxy)) as (buyer, seller), seller.follow(room) as events:
        await joined(events)

        async def speak() -> None:
            for number, content in enumerate(contents):
                if number % 20 == 10:
                    proxy.cut()
                await buyer.send(room, content)

        _, received = await asyncio.gather(speak(), said(events, len(contents)))
    assert received == contents
    assert [message["content"] for message in await history(shared_daemon, room)] == contents
    assert proxy.cuts >= 15


async def test_a_message_whose_receipt_was_lost_is_stored_once(shared_daemon: Daemon, proxy: Proxy) -> None:
    room = await make_room(shared_daemon.url, BUYER, SELLER)
    async with two(at(proxy)) as (buyer, _):
        proxy.cut_at(Way.TO_CLIENT, b"receipt-id:r2", lets_pass=False)  # r1 is the subscription to errors
        await buyer.send(room, "once")
        assert proxy.has_sprung
    assert [message["content"] for message in await history(shared_daemon, room)] == ["once"]


async def test_what_was_sent_and_missed_while_the_server_was_dead_is_there_when_it_is_back(launch: Launch) -> None:
    daemon = launch()
    room = await make_room(daemon.url, BUYER, SELLER)
    async with two(daemon.ws_url) as (buyer, seller), seller.follow(room) as events:
        await joined(events)
        await buyer.send(room, "before")
        await asyncio.to_thread(daemon.kill)
        sending = asyncio.gather(*(buyer.send(room, f"while it was dead {number}") for number in range(3)))
        await asyncio.to_thread(daemon.start_again)
        await sending
        received = await said(events, 4)
    assert received[0] == "before"
    assert [message["content"] for message in await history(daemon, room)] == received


async def test_a_gap_is_admitted_and_it_goes_on_behind_it(launch: Launch) -> None:
    daemon = launch({"chat": {"catch_up_limit_messages": 5}})
    room = await make_room(daemon.url, BUYER, SELLER)
    async with two(daemon.ws_url) as (buyer, seller):
        async with seller.follow(room) as events:
            first = await joined(events)
            assert first.recovered is None
        for number in range(3):
            await buyer.send(room, str(number))
        async with seller.follow(room, since=first.position) as events:
            back = await joined(events)
        async with seller.follow(room, since=back.position) as events:  # nothing of what was missed was taken yet
            assert (back.recovered, (await joined(events)).recovered) == (True, True)
            await buyer.send(room, "3")
            assert await said(events, 1) == ["0"]
            assert await said(events, 3) == ["1", "2", "3"]
        for number in range(4, 9):
            await buyer.send(room, str(number))
        async with seller.follow(room, since=first.position) as events:
            again = await joined(events)
            assert again.recovered is False
            assert again.position != first.position
            await buyer.send(room, "9")
            assert await said(events, 1) == ["9"]


async def test_a_wait_that_is_given_up_loses_nothing(shared_daemon: Daemon, proxy: Proxy) -> None:
    room = await make_room(shared_daemon.url, BUYER, SELLER)
    async with two(at(proxy)) as (buyer, seller), seller.follow(room) as events:
        await joined(events)
        for number in range(3):
            await gives_up(events)
            await proxy.refuse()
            await gives_up(events)  # while there is no connection
            await proxy.allow()
            await buyer.send(room, str(number))
            assert await said(events, 1) == [str(number)]


async def test_what_trying_again_cannot_help_is_raised_and_the_rest_goes_on(shared_daemon: Daemon, proxy: Proxy) -> None:
    room = await make_room(shared_daemon.url, BUYER, SELLER)
    async with two(at(proxy)) as (buyer, _):
        with pytest.raises(Refused, match="no-such-room"):
            await buyer.send("nowhere", "hello")
        async with buyer.follow("nowhere") as events:
            with pytest.raises(Refused, match="no-such-room"):
                await anext(events)
        await buyer.send(room, "hello")
        assert proxy.connections == 2


async def test_what_is_to_be_tried_later_is_sent_again_on_the_same_connection(launch: Launch) -> None:
    daemon = launch()
    daemon.expected_log.add("messages cannot be stored")
    room = await make_room(daemon.url, BUYER, SELLER)
    async with (
        Proxy("127.0.0.1", daemon.port) as proxy,
        two(at(proxy)) as (buyer, _),
        connect(daemon.ws_url, user=SELLER) as seller,
    ):
        await buyer.send(room, "before")
        with closing(sqlite3.connect(daemon.folder / "chat.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # as a back-up program may
            sending = asyncio.create_task(buyer.send(room, "later"))
            with pytest.raises(Refused, match="store-unavailable"):
                await seller.send(intake_of(room), '{"content":"not tried again"}')
            other.execute("ROLLBACK")
        await sending
        assert proxy.connections == 2
    assert [message["content"] for message in await history(daemon, room)] == ["before", "later"]


async def test_who_may_not_come_in_is_told_wherever_he_waits(shared_daemon: Daemon) -> None:
    async with ChatClient(f"{shared_daemon.ws_url}-elsewhere", user=BUYER, options=HASTY) as chat:
        with pytest.raises(ConnectionLost, match="http-404"):
            await chat.send("room", "hello")
        async with chat.follow("room") as events:
            with pytest.raises(ConnectionLost, match="http-404"):
                await anext(events)


async def test_only_a_connection_that_was_made_counts_as_steady(monkeypatch: pytest.MonkeyPatch) -> None:
    lived: list[float] = []

    class Noted(BackOff):
        def pause_s(self, lived_s: float = 0.0) -> float:
            lived.append(lived_s)
            return super().pause_s(lived_s)

    monkeypatch.setattr("stompgate.client.chat.BackOff", Noted)
    silent = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with silent, ChatClient(f"tcp://127.0.0.1:{silent.sockets[0].getsockname()[1]}", options=HASTY):
        await until(lambda: len(lived) > 1, "it has tried twice")
    assert not any(lived)


async def test_a_message_is_not_tried_longer_than_was_said(shared_daemon: Daemon, proxy: Proxy) -> None:
    room = await make_room(shared_daemon.url, BUYER, SELLER)
    await proxy.refuse()
    async with two(at(proxy)) as (buyer, _):
        with pytest.raises(NoAnswer):
            await buyer.send(room, "hello", message_id="m-1", within_s=0.1)
        await proxy.allow()
        assert await buyer.send(room, "hello", message_id="m-1") == "m-1"


async def test_who_is_cancelled_waits_for_no_answer(shared_daemon: Daemon, proxy: Proxy) -> None:
    room = await make_room(shared_daemon.url, BUYER, SELLER)

    async def follows(begun: asyncio.Event) -> None:
        async with ChatClient(at(proxy), user=BUYER, options=Options(deadline_s=3600.0)) as chat, chat.follow(room) as events:
            await joined(events)
            begun.set()
            await anext(events)

    begun = asyncio.Event()
    following = asyncio.create_task(follows(begun))
    await begun.wait()
    proxy.held = frozenset({Way.TO_CLIENT})
    following.cancel()
    await asyncio.wait([following], timeout=10)
    assert following.cancelled()
    proxy.heal()


async def test_whoever_still_waits_when_the_chat_is_left_is_told(shared_daemon: Daemon, proxy: Proxy) -> None:
    await proxy.refuse()
    async with two(at(proxy)) as (buyer, _):
        sending = asyncio.create_task(buyer.send("room", "hello"))
        await asyncio.sleep(0)
    with pytest.raises(ConnectionLost, match="left"):
        await sending
