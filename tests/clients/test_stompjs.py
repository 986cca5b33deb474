"""@stomp/stompjs 7 in Node: chat, its ways of cutting and packing frames, heart-beats, and coming back without loss."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from tests.daemon_process import DEADLINE_S, Daemon
from tests.requirements import require_node_package
from tests.wire_client import connected, make_room

from .rooms import BUYER, HEADER_VALUES, HOSTILE_CONTENTS, SELLER, chat_body, history, intake_of, subscription_of

LINE_LIMIT_BYTES = 1024 * 1024
CHUNK_BYTES = 8 * 1024
CLOSED_BY_CLIENT = 1005
"""stompjs closes without a code, and the server answers in kind; a connection that is cut gives 1006."""


class StompJs:
    """A Node process with one stompjs client, told what to do line by line."""

    def __init__(self, process: Process) -> None:
        self.events: list[dict[str, Any]] = []
        self.user = ""
        self._process = process
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._changed = asyncio.Event()

    async def call(self, name: str, **args: Any) -> Any:
        """Call a function of ``stompjs.mjs``; return what its promise gives."""
        number = len(self._answers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"id": number, "name": name, "args": args}).encode() + b"\n")
        async with asyncio.timeout(DEADLINE_S):
            return await answer

    async def connect(self, daemon: Daemon, user: str, **options: Any) -> None:
        """Activate the client and wait for CONNECTED."""
        self.user = user
        await self.call("activate", brokerURL=daemon.ws_url, user=user, **options)
        await self.has("connected")

    async def send(self, room: str, content: str) -> None:
        """Send to a room, and wait for the receipt."""
        await self.call("publish", destination=intake_of(room), body=chat_body(room, self.user, content))

    async def leave(self) -> None:
        """Deactivate the client, which must be a clean end of a connection without errors."""
        closes = len(self.seen("closed"))
        await self.call("deactivate")
        assert (await self.has("closed", closes + 1))[-1]["code"] == CLOSED_BY_CLIENT
        assert self.seen("error") == []

    async def has(self, event: str, number: int = 1) -> list[dict[str, Any]]:
        """Wait for so many events of a name in all; return them."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                while len(found := self.seen(event)) < number:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pytest.fail(f"{self.user} has {len(found)} of {number} {event}: {self.events[-5:]}")
        return found

    def seen(self, event: str) -> list[dict[str, Any]]:
        """The events of a name so far."""
        return [seen for seen in self.events if seen["event"] == event]

    async def said(self, number: int) -> list[tuple[str, str]]:
        """Wait for so many messages in all; return who said what."""
        bodies = [json.loads(message["body"]) for message in await self.has("message", number)]
        return [(body["sender"], body["content"]) for body in bodies]

    async def read(self) -> None:
        """Take in what the process says, to its end."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            said = json.loads(line)
            if "id" not in said:
                self.events.append(said)
                self._changed.set()
            elif "error" in said:
                self._answers[said["id"]].set_exception(AssertionError(said["error"]))
            else:
                self._answers[said["id"]].set_result(said["result"])


@asynccontextmanager
async def node() -> AsyncIterator[StompJs]:
    """A client that is not active yet; at the end it is deactivated."""
    folder = require_node_package("@stomp/stompjs")
    process = await asyncio.create_subprocess_exec(
        "node", "stompjs.mjs", cwd=folder, stdin=PIPE, stdout=PIPE, limit=LINE_LIMIT_BYTES
    )
    client = StompJs(process)
    reading = asyncio.create_task(client.read())
    try:
        yield client
        await client.call("deactivate")
    finally:
        assert process.stdin is not None
        process.stdin.close()
        async with asyncio.timeout(DEADLINE_S):
            await process.wait()
            await reading


NewClient = Callable[..., Awaitable[StompJs]]


@pytest.fixture
async def new_client(daemon: Daemon) -> AsyncIterator[NewClient]:
    """Connect a client by ``await new_client(user, **options)``."""
    clients: list[StompJs] = []
    async with AsyncExitStack() as stack:

        async def make(user: str, **options: Any) -> StompJs:
            client = await stack.enter_async_context(node())
            clients.append(client)
            await client.connect(daemon, user, **options)
            return client

        yield make
        for client in clients:
            await client.leave()


async def test_two_chat_acknowledge_and_come_back_after_a_crash(daemon: Daemon, new_client: NewClient) -> None:
    room = await make_room(daemon.url, BUYER, SELLER)
    buyer, seller = await new_client(BUYER), await new_client(SELLER)
    await buyer.call("follow", destination=subscription_of(room))
    await seller.call("follow", destination=subscription_of(room), acknowledges=True)
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
    await seller.call("follow", destination=subscription_of(room))
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
        await client.connect(daemon, BUYER, heartbeatIncoming=1000, heartbeatOutgoing=1000)
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
    await receiver.call("follow", destination="/topic/packing")
    body = "가나다라 abc\n" * 1000 + "끝"  # no sign above U+FFFF: stompjs may cut such in two, and so breaks it itself
    await sender.call("publish", destination="/topic/packing", body=body, headers={"of-mine": HEADER_VALUES["1.2"]})
    (message,) = await receiver.has("message")
    assert message["body"] == body
    assert message["headers"]["of-mine"] == HEADER_VALUES["1.2"]
    assert "receipt" not in message["headers"]


async def test_an_error_says_why_and_closes(daemon: Daemon) -> None:
    room = await make_room(daemon.url, BUYER, SELLER)
    async with node() as client:
        await client.connect(daemon, "stranger")
        await client.call("publish", destination="/topic/any", body="the first receipt is r-1")
        refused = asyncio.create_task(client.call("follow", destination=subscription_of(room)))
        (error, *_) = await client.has("error")
        refused.cancel()
    assert (error["headers"]["code"], error["headers"]["receipt-id"]) == ("no-such-room", "r-2")
