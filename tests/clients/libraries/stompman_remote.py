"""stompman by remote control, over TCP and WebSocket. It connects and subscribes again by itself."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

from stompman import AckableMessageFrame, Client, ConnectionParameters
from stompman.connection import Connection
from stompman.connection_ws import WebSocketConnection

RECEIPT_S = 20.0
RECONNECTS = 20


def say(**line: Any) -> None:
    """Write a line."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class User:
    """One user with one client."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._client: Client | None = None
        self._last: AckableMessageFrame | None = None

    @property
    def client(self) -> Client:
        assert self._client is not None, "it has not connected"
        return self._client

    async def connect(self, url: str, user: str) -> None:
        address = urlsplit(url)
        is_tcp = address.scheme == "tcp"
        assert address.hostname is not None
        assert address.port is not None
        place = ConnectionParameters(
            address.hostname, address.port, user, "", None if is_tcp else address.path[1:], connect_headers={"sender": user}
        )
        self._client = await self._stack.enter_async_context(
            Client(
                [place],
                on_error_frame=lambda frame: say(event="error", headers=dict(frame.headers)),
                connection_class=Connection if is_tcp else WebSocketConnection,
                connect_retry_attempts=RECONNECTS,
            )
        )
        say(event="connected")

    async def subscribe(self, destination: str, headers: dict[str, str]) -> None:
        async def take(message: AckableMessageFrame) -> None:
            self._last = message
            say(event="message", headers=dict(message.headers), body=message.body.decode())

        others = {name: value for name, value in headers.items() if name != "ack"}  # client-individual is its own choice
        await self.client.subscribe_with_manual_ack(destination, take, headers=others, receipt_timeout=RECEIPT_S)

    async def send(self, destination: str, headers: dict[str, str], body: str) -> None:
        await self.client.send(body.encode(), destination, headers=headers, receipt_timeout=RECEIPT_S)

    async def ack(self) -> None:
        assert self._last is not None
        await self._last.ack()

    async def leave(self) -> None:
        for subscription in self.client._active_subscriptions.get_all():
            await subscription.unsubscribe()  # it stays while there are any
        await self._stack.aclose()


async def main() -> None:
    """Do what standard input says, until it ends."""
    async with AsyncExitStack() as stack:
        user = User(stack)
        while line := await asyncio.to_thread(sys.stdin.readline):
            call = json.loads(line)
            await getattr(user, call["name"])(**call["args"])
            say(id=call["id"], result=None)


if __name__ == "__main__":
    asyncio.run(main())
