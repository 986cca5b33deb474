"""Clients that go on whatever happens to their connection: a sender that sends again, a receiver that comes back."""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any

import orjson
from websockets.exceptions import WebSocketException

from stompgate.stomp.frames import Frame
from tests.wire_client import WireClient, connected

from .record import Record, RoomRecord

GONE = (WebSocketException, OSError, TimeoutError, AssertionError)
"""How a connection ends when its server is killed; AssertionError: an ERROR instead of what was expected."""

_BACK_OFF_S = 0.05
_WINDOW = 16


class Client:
    """One user with one connection at a time."""

    def __init__(self, url: str, user: str) -> None:
        self._url = url
        self._user = user
        self.cut = asyncio.Event()

    def dial(self) -> AbstractAsyncContextManager[WireClient]:
        """A new connection."""
        return connected(self._url, self._user)

    async def go_on(self) -> None:
        """Live until cancelled, over any number of connections."""
        while True:
            try:
                async with self.dial() as client:
                    await self._until_cut(self.live(client))
            except GONE:
                await asyncio.sleep(_BACK_OFF_S)

    async def live(self, client: WireClient) -> None:
        """What to do on one connection."""
        raise AssertionError("a client without a life")

    async def _until_cut(self, life: Coroutine[Any, Any, None]) -> None:
        self.cut.clear()
        tasks: set[asyncio.Task[Any]] = {asyncio.create_task(life), asyncio.create_task(self.cut.wait())}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class Sender(Client):
    """Sends numbered messages; what was not RECEIPTed is sent again, in order, with the same client-message-id."""

    def __init__(self, url: str, user: str, room: str, record: Record, every_s: float) -> None:
        super().__init__(url, user)
        self._room = room
        self._record = record
        self._every_s = every_s
        self._unanswered: OrderedDict[str, bytes] = OrderedDict()
        self._number = 0
        self.is_sending = True

    @property
    def has_all_receipts(self) -> bool:
        """Whether nothing waits for a RECEIPT."""
        return not self._unanswered

    async def live(self, client: WireClient) -> None:
        """Send again what is owed, then go on."""
        self._record.resent += len(self._unanswered)
        for number, body in list(self._unanswered.items()):
            await self._send(client, number, body)
        await asyncio.gather(self._write(client), self._read(client))

    async def _write(self, client: WireClient) -> None:
        while True:
            if self.is_sending and len(self._unanswered) < _WINDOW:
                self._number += 1
                content = f"{self._user}:{self._number}"
                number = str(self._number)
                self._unanswered[number] = orjson.dumps({"content": content})
                await self._send(client, number, self._unanswered[number])
            await asyncio.sleep(self._every_s)

    async def _read(self, client: WireClient) -> None:
        while True:
            receipt = await client.expect("RECEIPT")
            number = receipt.headers["receipt-id"]
            if self._unanswered.pop(number, None) is not None:
                self._record.rooms[self._room].receipted.append(f"{self._user}:{number}")

    async def _send(self, client: WireClient, number: str, body: bytes) -> None:
        headers = {"destination": f"/pub/room/{self._room}/message", "receipt": number, "client-message-id": number}
        await client.send_frames(Frame("SEND", headers, body))


class Receiver(Client):
    """Takes a room's messages, and comes back with the last position it knows."""

    def __init__(self, url: str, user: str, room: str, name: str, record: Record) -> None:
        super().__init__(url, user)
        self._room = room
        self._record = record
        self._of_room: RoomRecord = record.rooms[room]
        self._seen = self._of_room.seen.setdefault(name, [])
        self._since: str | None = None

    @property
    def has_begun(self) -> bool:
        """Whether it has subscribed at least once."""
        return self._since is not None

    @property
    def is_up_to_date(self) -> bool:
        """Whether it has seen everything that was RECEIPTed."""
        seen = {content for _, content in self._seen}
        return seen.issuperset(self._of_room.receipted)

    async def live(self, client: WireClient) -> None:
        """Subscribe, then take what comes."""
        headers = {"since": self._since} if self._since is not None else {}
        subscribe = {"destination": f"/sub/chat/room/{self._room}", "id": "s", "receipt": "s", **headers}
        await client.send_frames(Frame("SUBSCRIBE", subscribe))
        while True:
            frame = await client.frame()
            if frame.command == "MESSAGE":
                self._take(frame)
            else:
                assert frame.command == "RECEIPT", frame
                self._begun(frame)

    def _take(self, frame: Frame) -> None:
        body = orjson.loads(frame.body)
        self._seen.append((body["seq"], body["content"]))
        self._since = frame.headers["position"]

    def _begun(self, receipt: Frame) -> None:
        if self._since is not None:
            self._record.recoveries += 1
            self._record.unrecovered += receipt.headers["recovered"] != "true"
        else:
            self._since = receipt.headers["position"]


async def drop_at_random(clients: list[Receiver], record: Record, times: int, chance: random.Random) -> None:
    """Cut the connection of one receiver after the other, without a word, so many times in all."""
    for _ in range(times):
        chance.choice(clients).cut.set()
        record.drops += 1
        await asyncio.sleep(chance.uniform(0.0, 0.05))
