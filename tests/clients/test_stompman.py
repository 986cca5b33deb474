"""stompman over WebSocket: it acknowledges one by one, beats every second, and comes back by itself after a crash."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from stompman import AckableMessageFrame, Client, ConnectionParameters, ErrorFrame, Heartbeat, MessageFrame, SubscriptionError
from stompman.connection_ws import WebSocketConnection

from tests.daemon_process import DEADLINE_S, Daemon
from tests.wire_client import make_room

from .rooms import BUYER, HEADER_VALUES, HOSTILE_CONTENTS, SELLER, chat_body, history, intake_of, subscription_of

RECONNECTS = 20
SECONDS, FAST = Heartbeat(1000, 1000), Heartbeat(500, 500)
HEADER_VALUE = HEADER_VALUES["1.1"]
"""stompman speaks 1.2, but takes each CR out of the headers that it sends."""


async def until(holds: Callable[[], bool], what: str) -> None:
    """Wait for a condition while the loop runs. Fails the test when the deadline is over."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not holds():  # noqa: ASYNC110 (nobody tells of what is looked at)
                await asyncio.sleep(0.01)
    except TimeoutError:
        pytest.fail(f"{what}: not within {DEADLINE_S:g} s")


class User:
    """One user with stompman, which follows rooms from where the last message was."""

    def __init__(self, client: Client, name: str) -> None:
        self.client, self.name = client, name
        self.said: list[tuple[str, str]] = []
        self.frames: list[MessageFrame] = []

    async def follow(self, room: str) -> None:
        """Subscribe. stompman subscribes again with these very headers, so that ``since`` is kept up to date."""
        headers: dict[str, str] = {}

        async def take(message: AckableMessageFrame) -> None:
            body = json.loads(message.body)
            self.said.append((body["sender"], body["content"]))
            headers["since"] = str(message.headers.get("position"))
            await message.ack()

        await self.client.subscribe_with_manual_ack(subscription_of(room), take, headers=headers, receipt_timeout=DEADLINE_S)

    async def listen(self, destination: str) -> None:
        async def take(message: MessageFrame) -> None:
            self.frames.append(message)

        await self.client.subscribe(
            destination, take, on_suppressed_exception=lambda error, _: pytest.fail(str(error)), receipt_timeout=DEADLINE_S
        )

    async def send(self, room: str, content: str) -> None:
        body = chat_body(room, self.name, content).encode()
        await self.client.send(body, intake_of(room), content_type="application/json", receipt_timeout=DEADLINE_S)


@asynccontextmanager
async def connected(daemon: Daemon, name: str, heart_beat: Heartbeat = SECONDS) -> AsyncIterator[User]:
    """A user who is connected; at the end it unsubscribes and disconnects."""
    errors: list[ErrorFrame] = []
    parameters = ConnectionParameters("127.0.0.1", daemon.port, name, "", "ws-stomp", connect_headers={"sender": name})
    client = Client(
        [parameters],
        on_error_frame=errors.append,
        connection_class=WebSocketConnection,
        connect_retry_attempts=RECONNECTS,
        heartbeat=heart_beat,
    )
    async with client:
        yield User(client, name)
        for subscription in client._active_subscriptions.get_all():
            await subscription.unsubscribe()
    assert errors == []


async def test_two_chat_acknowledge_and_come_back_after_a_crash(daemon: Daemon) -> None:
    room = await make_room(daemon.url, BUYER, SELLER)
    said = [(name, content) for content in HOSTILE_CONTENTS for name in (BUYER, SELLER)]
    async with connected(daemon, BUYER) as buyer, connected(daemon, SELLER) as seller:
        for user in (buyer, seller):
            await user.follow(room)
        for content in HOSTILE_CONTENTS:
            await buyer.send(room, content)
            await seller.send(room, content)
        await until(lambda: len(buyer.said) >= len(said) <= len(seller.said), "both have everything")

        await asyncio.to_thread(daemon.kill)
        await asyncio.to_thread(daemon.start_again)

        for number in range(3):
            await buyer.send(room, f"after the crash {number}")
            said.append((BUYER, f"after the crash {number}"))
        await until(lambda: len(buyer.said) >= len(said) <= len(seller.said), "both have everything again")
        assert buyer.said == seller.said == said
    assert [(message["sender"], message["content"]) for message in await history(daemon, room)] == said


async def test_header_values_of_every_kind_arrive(daemon: Daemon) -> None:
    async with connected(daemon, BUYER) as buyer, connected(daemon, SELLER) as seller:
        await seller.listen("/topic/headers")
        headers = {"of-mine": HEADER_VALUE}
        await buyer.client.send("본문".encode(), "/topic/headers", headers=headers, receipt_timeout=DEADLINE_S)
        await until(lambda: bool(seller.frames), "the message is here")
        (message,) = seller.frames
    assert (dict(message.headers)["of-mine"], message.body.decode()) == (HEADER_VALUE, "본문")


async def test_a_quiet_connection_is_kept_by_heart_beats(launch: Callable[..., Daemon]) -> None:
    daemon = launch({"stomp": {"heart_beat_send_ms": 500, "heart_beat_receive_ms": 500, "heart_beat_grace_floor_s": 1.0}})
    async with connected(daemon, BUYER, FAST) as buyer:
        state = buyer.client._connection_manager._active_connection_state
        assert state is not None
        for _ in range(5):  # a silence of 1.5 s is the end
            before = state.connection.last_read_time
            await until(lambda before=before: state.connection.last_read_time != before, "a heart-beat")  # type: ignore[misc]
        assert buyer.client.is_alive()
        assert buyer.client._connection_manager._active_connection_state is state


async def test_a_stranger_s_subscription_is_refused_with_its_reason(daemon: Daemon) -> None:
    room = await make_room(daemon.url, BUYER, SELLER)
    errors: list[ErrorFrame] = []
    parameters = ConnectionParameters("127.0.0.1", daemon.port, "x", "", "ws-stomp", connect_headers={"sender": "stranger"})
    client = Client([parameters], on_error_frame=errors.append, connection_class=WebSocketConnection)
    async with client:
        user = User(client, "stranger")
        with pytest.raises(SubscriptionError) as refused:
            await user.follow(room)
    assert refused.value.reason == "rejected"
    assert [dict(error.headers)["code"] for error in errors] == ["no-such-room"]
