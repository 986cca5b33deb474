"""A sender of transactions over two rooms: each is stored whole or not at all, and some of them must never be.

What had no answer is sent again as a transaction of its own, with the same client-message-ids. It is not known then whether it
was stored, but all of it was, or nothing.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import orjson

from stompgate.stomp.frames import Frame
from tests.wire_client import WireClient

from .clients import Parcel, Refused, Sender
from .record import Record, RoomRecord, Sent

_MESSAGES = (2, 5)
_SPOILT = 0.25
"""So many more transactions, in proportion, are begun and not to be stored."""

_PAUSE_S = 0.2
_HELD, _BAD = "held ", "bad "


class Trader(Sender):
    """Sends transactions. ``rooms``: its own; another of its user's, where nobody listens; one where it may not send."""

    def __init__(
        self,
        doors: Sequence[str],
        who: str,
        rooms: tuple[RoomRecord, RoomRecord, RoomRecord],
        record: Record,
        chance: random.Random,
        every_s: float,
    ) -> None:
        super().__init__(doors, who, rooms[0], record, chance, every_s)
        self._rooms, self._foreign = rooms[:2], rooms[2]

    def say(self) -> None:
        """One more transaction, to be sent with those that are sent again or by the next turn."""
        name = self.next_name()
        self._unanswered[name] = parcel = self._parcel(name)
        self._record.transactions.append([(room, sent.content) for room, sent in parcel])

    def told(self, error: Frame) -> None:
        """Its bad ones are refused, and what is refused the first time must not be there."""
        name = error.headers.get("receipt-id", "")
        if error.headers["code"] != "no-such-room":
            return
        if name.startswith(_BAD):
            self._record.counts["transactions refused"] += 1
            raise Refused(error.headers["code"])
        for room, sent in self._unanswered.get(name, ()):
            if sent.times == 1:
                room.never.add(sent.content)

    async def _send(self, client: WireClient, receipt: str, parcel: Parcel) -> None:
        is_new = parcel[0][1].times == 0
        if is_new and self.is_sending and self._chance.random() < _SPOILT:
            await self._spoil(client)
        await self._begin(client, receipt, parcel)
        await client.send_frames(Frame("COMMIT", {"transaction": receipt, "receipt": receipt}))

    async def _begin(self, client: WireClient, name: str, parcel: Parcel) -> None:
        """Send all but the end, in one piece or with others between."""
        sends = [self.frame(room, sent, transaction=name, receipt=_HELD + sent.content) for room, sent in parcel]
        await client.send_frames(Frame("BEGIN", {"transaction": name}), *sends)
        if self._chance.random() < 0.5:
            await asyncio.sleep(self._chance.uniform(0.0, _PAUSE_S))

    async def _spoil(self, client: WireClient) -> None:
        """A transaction that is aborted, left open by the end of its connection, or not to be taken."""
        name = self.next_name()
        parcel = self._parcel(name)
        for room, sent in parcel:
            room.never.add(sent.content)
        await self._begin(client, name, parcel)
        end = self._chance.choice(("aborted", "left open", "bad"))
        self._record.counts[f"transactions {end}"] += 1
        match end:
            case "aborted":
                await client.send_frames(Frame("ABORT", {"transaction": name}))
            case "left open":
                self.cut.set()
            case _:
                destination = f"/pub/room/{self._foreign.uuid}/message"
                bad = Frame("SEND", {"destination": destination, "transaction": name}, orjson.dumps({"content": name}))
                await client.send_frames(bad, Frame("COMMIT", {"transaction": name, "receipt": _BAD + name}))

    def _parcel(self, name: str) -> list[tuple[RoomRecord, Sent]]:
        number = self._chance.randint(*_MESSAGES)
        return [(self._chance.choice(self._rooms), self.new(f"{name}-{n}")) for n in range(1, number + 1)]
