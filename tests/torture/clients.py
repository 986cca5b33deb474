"""Clients that go on whatever happens to their connection: a sender that sends again, a receiver that comes back.

Each connection goes to a server at random, through that server's door. They trust no connection for long: one that is
silent is given up for another.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
from websockets.exceptions import WebSocketException

from stompgate.stomp.frames import Frame
from tests.sockjs.way import connected_session
from tests.wire_client import WireClient, connected

from .record import Chain, Record, RoomRecord, Seen, Sent

GONE = (WebSocketException, OSError, TimeoutError, EOFError, AssertionError, RuntimeError)
"""How a connection ends when its server is killed. AssertionError: an ERROR in place of CONNECTED. RuntimeError: uvloop's word
for a write to a socket that was reset.
"""

_TO_BE_EXPECTED = frozenset(
    {"server-stopping", "store-unavailable", "outcome-unknown", "overloaded", "slow-consumer", "heartbeat-lost", "no-such-room"}
)
_BACK_OFF_S = (0.05, 0.5)
_PATIENCE_S = (3.0, 9.0)
_DIAL_S = 5.0
_WINDOW = 16
_BURST = 12

Parcel = Sequence[tuple[RoomRecord, Sent]]
"""Messages that are answered together, each with its room."""


class Refused(Exception):
    """An ERROR came. The connection is of no more use."""


class Over(Exception):
    """The room is gone: nothing more is to be done."""


class Client:
    """One device of a user, with one connection at a time. ``cut`` drops it without a word."""

    def __init__(self, doors: Sequence[str], who: str, room: RoomRecord, record: Record, chance: random.Random) -> None:
        self._doors = doors
        self.who = who
        self.room = room
        self._record = record
        self._chance = chance
        self.cut = asyncio.Event()

    @property
    def user(self) -> str:
        """Whose device it is."""
        return self.who.partition("/")[0]

    async def go_on(self) -> None:
        """Live until cancelled or the room is gone, over any number of connections."""
        while True:
            try:
                async with self._dial() as client:
                    self.cut.clear()
                    await first_of(self.live(client), self._wait_for_cut())
            except Over:
                return
            except (Refused, *GONE):
                self._record.counts["connections ended"] += 1
                await asyncio.sleep(self._chance.uniform(*_BACK_OFF_S))

    async def live(self, client: WireClient) -> None:
        """What to do on one connection."""
        raise AssertionError("a client without a life")

    async def next_frame(self, client: WireClient) -> Frame:
        """The next frame that is no ERROR."""
        async with asyncio.timeout(self._chance.uniform(*_PATIENCE_S)):
            frame = await client.frame()
        if frame.command != "ERROR":
            return frame
        code = frame.headers["code"]
        self.told(frame)
        self._record.refused(self.room, self.who, code)
        if code not in _TO_BE_EXPECTED:
            self._record.complain(f"{self.room.uuid}: {self.who} was told {code}: {frame.body.decode()}")
        if code == "no-such-room":
            raise Over
        raise Refused(code)

    def told(self, error: Frame) -> None:
        """An ERROR came. Raises ``Refused`` if it was asked for."""

    async def _wait_for_cut(self) -> None:
        await self.cut.wait()

    @asynccontextmanager
    async def _dial(self) -> AsyncIterator[WireClient]:
        door = self._chance.choice(self._doors)
        opened = connected_session if door.startswith("xhr") else connected
        async with asyncio.timeout(_DIAL_S) as patience, opened(door, self.user) as client:
            patience.reschedule(None)
            self._record.counts[f"connections over {door.partition(':')[0]}"] += 1
            try:
                yield client
            finally:
                client.abort()


class Sender(Client):
    """Sends numbered messages; what was not RECEIPTed is sent again, in order, with the same client-message-id.

    What it waits for is kept by the ids of the receipts, of which each may stand for several messages.
    """

    def __init__(
        self, doors: Sequence[str], who: str, room: RoomRecord, record: Record, chance: random.Random, every_s: float
    ) -> None:
        super().__init__(doors, who, room, record, chance)
        self._every_s = every_s
        self._unanswered: OrderedDict[str, Parcel] = OrderedDict()
        self._number = 0
        self._life = 0
        self.is_sending = True

    @property
    def has_all_receipts(self) -> bool:
        """Whether nothing waits for a RECEIPT."""
        return not self._unanswered

    def say(self) -> None:
        """One more message, to be sent with those that are sent again or by the next turn."""
        content = self.next_name()
        self._unanswered[content] = [(self.room, self.new(content))]

    def next_name(self) -> str:
        """The name of the next thing that it says."""
        self._number += 1
        return f"{self.who}.{self._number}"

    def new(self, content: str) -> Sent:
        """A message that was not sent yet."""
        return Sent(content, self._life, time.monotonic(), times=0)

    async def live(self, client: WireClient) -> None:
        """Send again what is owed, then go on."""
        self._life += 1
        for receipt, parcel in list(self._unanswered.items()):
            for _, sent in parcel:
                sent.times += sent.times == 0 and sent.life != self._life  # as good as sent before: its order is not promised
            await self._send(client, receipt, parcel)
        await first_of(self._write(client), self._read(client))

    async def _write(self, client: WireClient) -> None:
        while True:
            await asyncio.sleep(self._chance.uniform(0.5, 1.5) * self._every_s)
            burst = _BURST if self._chance.random() < 0.02 else 1
            for _ in range(burst):
                if self.is_sending and len(self._unanswered) < _WINDOW:
                    self.say()
            for receipt, parcel in list(self._unanswered.items()):
                if parcel[0][1].times == 0:
                    await self._send(client, receipt, parcel)

    async def _read(self, client: WireClient) -> None:
        while True:
            if not self._unanswered:
                await asyncio.sleep(self._every_s / 2)
                continue
            receipt = await self.next_frame(client)
            parcel = self._unanswered.pop(receipt.headers["receipt-id"], ())
            self._record.counts["transactions receipted"] += len(parcel) > 1
            for room, sent in parcel:
                self._record.receipted(room, sent)

    async def _send(self, client: WireClient, receipt: str, parcel: Parcel) -> None:
        for room, sent in parcel:
            await client.send_frames(self.frame(room, sent, receipt=receipt))

    def frame(self, room: RoomRecord, sent: Sent, **headers: str) -> Frame:
        """The SEND of a message, which counts as sent from now on."""
        sent.times += 1
        self._record.sent(sent)
        named = {"destination": f"/pub/room/{room.uuid}/message", "client-message-id": sent.content}
        return Frame("SEND", named | headers, orjson.dumps({"content": sent.content}))


class Receiver(Client):
    """Takes a room's messages, and comes back with the last position it knows."""

    def __init__(self, doors: Sequence[str], who: str, room: RoomRecord, record: Record, chance: random.Random) -> None:
        super().__init__(doors, who, room, record, chance)
        self.chain = Chain(record, room, who)

    async def live(self, client: WireClient) -> None:
        """Subscribe, then take what comes."""
        headers = {"since": self.chain.position} if self.chain.position is not None else {}
        subscribe = {"destination": f"/sub/chat/room/{self.room.uuid}", "id": "s", "receipt": "s", **headers}
        self.chain.begins()
        await client.send_frames(Frame("SUBSCRIBE", subscribe))
        while True:
            frame = await self.next_frame(client)
            if frame.command == "MESSAGE":
                body = orjson.loads(frame.body)
                self.chain.given(Seen(body["seq"], body["content"], frame.headers["position"]))
            else:
                self.chain.begun(frame.headers.get("recovered"), frame.headers["position"])


class Witness(Client):
    """Is only there, on one server, as long as that lets it: presence must know of it without being told again by it."""

    async def live(self, client: WireClient) -> None:
        """Sit there until the connection is gone."""
        await client.socket.wait_closed()
        raise Refused("the connection has ended")


async def first_of(*lives: Coroutine[Any, Any, None]) -> None:
    """Live all of them until one ends; its end is theirs."""
    tasks = [asyncio.create_task(life) for life in lives]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
