"""@stomp/stompjs 7 in Node: chat, its ways of cutting and packing frames, heart-beats, and coming back without loss."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from tests.daemon_process import Daemon
from tests.requirements import require_node_package
from tests.wire_client import connected, make_room

from .remote import Remote, remote
from .rooms import BUYER, HEADER_VALUES, HOSTILE_CONTENTS, SELLER, chat_body, history, intake_of, subscription_of

CHUNK_BYTES = 8 * 1024
CLOSED_BY_CLIENT = 1005
"""stompjs closes without a code, and the server answers in kind; a connection that is cut gives 1006."""


class StompJs(Remote):
    """A client with stompjs."""

    async def send(self, room: str, content: str) -> None:
        """Send to a room, and wait for the receipt."""
        body = chat_body(room, self.user, content)
        await self.call("send", destination=intake_of(room), body=body, headers={})

    async def follow(self, destination: str, **options: Any) -> None:
        """Subscribe, now and whenever it comes back."""
        await self.call("subscribe", destination=destination, **options)

    async def leave(self) -> None:
        """Deactivate the client, which must be a clean end of a connection without errors."""
        closes = len(self.seen("closed"))
        await self.call("leave")
        assert (await self.has("closed", closes + 1))[-1]["code"] == CLOSED_BY_CLIENT
        assert self.seen("error") == []

    async def said(self, number: int) -> list[tuple[str, str]]:
        """Wait for so many messages in all; return who said what."""
        bodies = [json.loads(message["body"]) for message in await self.has("message", number)]
        return [(body["sender"], body["content"]) for body in bodies]


@asynccontextmanager
async def node() -> AsyncIterator[StompJs]:
    """A client that is not active yet; at the end it is deactivated."""
    async with remote(StompJs, ["node", "stompjs.mjs"], require_node_package("@stomp/tcp-wrapper")) as client:
        yield client
        await client.call("leave")


NewClient = Callable[..., Awaitable[StompJs]]


@pytest.fixture
async def new_client(daemon: Daemon) -> AsyncIterator[NewClient]:
    """Connect a client by ``await new_client(user, **options)``."""
    clients: list[StompJs] = []
    async with AsyncExitStack() as stack:

        async def make(user: str, **options: Any) -> StompJs:
            client = await stack.enter_async_context(node())
            clients.append(client)
            await client.connect(daemon.ws_url, user, **options)
            return client

        yield make
        for client in clients:
            await client.leave()


async def test_two_chat_acknowledge_and_come_back_after_a_crash(daemon: Daemon, new_client: NewClient) -> None:
    room = await make_room(daemon.url, BUYER, SELLER)
    buyer, seller = await new_client(BUYER), await new_client(SELLER)
    await buyer.follow(subscription_of(room))
    await seller.follow(subscription_of(room), acknowledges=True)
    for content in HOSTILE_CONTENTS:
        await buyer.send(room, content)
        await seller.send(room, content)
    said = [(user, content) for content in HOSTILE_CONTENTS for user in (BUYER, SELLER)]
    assert await buyer.said(len(said)) == await seller.said(len(said)) == said

    await asyncio.to_thread(daemon.kill)
    await asyncio.to_thread(daemon.start_again)
    for client in (buyer, seller):
        assert (await client.has("followed", 2))[-1]["headers"]["recovered"] == "true"
    await seller.send(room, "back again")
    said.append((SELLER, "back again"))
    assert await buyer.said(len(said)) == await seller.said(len(said)) == said
    assert [(message["sender"], message["content"]) for message in await history(daemon, room)] == said


async def test_after_each_cut_nothing_is_missed_and_nothing_comes_twice(daemon: Daemon, new_client: NewClient) -> None:
    room = await make_room(daemon.url, BUYER, SELLER)
    cuts, burst = 10, 20
    seller = await new_client(SELLER)
    await seller.follow(subscription_of(room))
    async with connected(daemon.ws_url, BUYER) as buyer:
        for cut in range(cuts):
            for number in range(burst):
                await buyer.send(intake_of(room), chat_body(room, BUYER, f"{cut}.{number}"))
                if number == burst // 2:
                    await seller.call("cut")
            receipts = await seller.has("followed", cut + 2)
            assert receipts[-1]["headers"]["recovered"] == "true"
    sent = [(BUYER, f"{cut}.{number}") for cut in range(cuts) for number in range(burst)]
    assert await seller.said(len(sent)) == sent


async def test_heart_beats_of_a_second_both_ways_keep_a_quiet_connection(launch: Callable[..., Daemon]) -> None:
    daemon = launch({"stomp": {"heart_beat_send_ms": 1000, "heart_beat_receive_ms": 1000, "heart_beat_grace_floor_s": 1.0}})
    async with node() as client:
        await client.connect(daemon.ws_url, BUYER, heartbeatIncoming=1000, heartbeatOutgoing=1000)
        await client.has("beat-received", 5)
        await client.has("beat-sent", 5)
        assert client.seen("closed") == client.seen("beat-lost") == []


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"forceBinaryWSFrames": True}, id="binary"),
        pytest.param({"splitLargeFrames": True, "maxWebSocketChunkSize": CHUNK_BYTES}, id="split"),
        pytest.param({"splitLargeFrames": True, "maxWebSocketChunkSize": 7}, id="tiny pieces"),
        pytest.param({"forceBinaryWSFrames": True, "splitLargeFrames": True}, id="binary split"),
    ],
)
async def test_frames_arrive_however_they_are_packed(new_client: NewClient, options: dict[str, Any]) -> None:
    sender, receiver = await new_client(BUYER, **options), await new_client(SELLER)
    await receiver.follow("/topic/packing")
    body = "가나다라 abc\n" * 1000 + "끝"  # no sign above U+FFFF: stompjs may cut such in two, and so breaks it itself
    await sender.call("send", destination="/topic/packing", body=body, headers={"of-mine": HEADER_VALUES["1.2"]})
    (message,) = await receiver.has("message")
    assert message["body"] == body
    assert message["headers"]["of-mine"] == HEADER_VALUES["1.2"]
    assert "receipt" not in message["headers"]


async def test_an_error_says_why_and_closes(daemon: Daemon) -> None:
    room = await make_room(daemon.url, BUYER, SELLER)
    async with node() as client:
        await client.connect(daemon.ws_url, "stranger")
        await client.call("send", destination="/topic/any", body="the first receipt is r-1", headers={})
        refused = asyncio.create_task(client.follow(subscription_of(room)))
        (error, *_) = await client.has("error")
        refused.cancel()
    assert (error["headers"]["code"], error["headers"]["receipt-id"]) == ("no-such-room", "r-2")
