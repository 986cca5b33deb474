"""Queues under torture: what was RECEIPTed is consumed in the end, and whoever is given it again is told so.

Senders never send a message again, so that each is put once, or, where nobody can say, once or never. Consumers acknowledge by
hand, refuse some, and are cut off with messages in their hands.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from stompgate.stomp.frames import Frame
from tests.wire_client import WireClient

from .clients import Client, first_of
from .cluster import Cluster
from .ending import until
from .record import Record, RoomRecord

_QUEUES = 3
_SENDERS, _CONSUMERS = 2, 3
_WINDOW = 8
_PREFETCH = ("1", "4", "0")
_REFUSED = 0.05
_SETTLE_S = 90.0
"""More than a lease, for which a dead server's messages wait, and what services and servers take to be back."""

_SHOWN = 5


@dataclass
class QueueRecord:
    """What became of the messages of one queue, by what they say. ``fresh``: given without ``redelivered:true``."""

    name: str
    sent: set[str] = field(default_factory=set)
    receipted: set[str] = field(default_factory=set)
    given: Counter[str] = field(default_factory=Counter)
    fresh: Counter[str] = field(default_factory=Counter)

    @property
    def missing(self) -> list[str]:
        """What was RECEIPTed, and given to nobody."""
        return sorted(self.receipted - self.given.keys())

    def judge(self, record: Record) -> None:
        """Complain of what was lost, doubled without a word, or made up."""
        doubled = sorted(content for content, times in self.fresh.items() if times > 1)
        strange = sorted(self.given.keys() - self.sent)
        record.counts["lost"] += len(self.missing)
        record.counts["doubled"] += len(doubled)
        for wrong, what in (
            (self.missing, "lost: RECEIPTed and given to nobody"),
            (doubled, "given twice without redelivered:true"),
            (strange, "given and never sent"),
        ):
            if wrong:
                record.complain(f"{self.name}: {len(wrong)} {what}: {wrong[:_SHOWN]}")


class QueueSender(Client):
    """Puts numbered messages; what had no answer when its connection ended is not sent again."""

    def __init__(
        self, doors: Sequence[str], who: str, queue: QueueRecord, record: Record, chance: random.Random, every_s: float
    ) -> None:
        super().__init__(doors, who, RoomRecord(queue.name), record, chance)
        self._queue = queue
        self._every_s = every_s
        self._number = 0
        self._unanswered: set[str] = set()
        self.is_sending = True

    @property
    def is_quiet(self) -> bool:
        """Whether it sends no more and waits for no answer."""
        return not (self.is_sending or self._unanswered)

    async def live(self, client: WireClient) -> None:
        """Send, and take the RECEIPTs."""
        self._unanswered.clear()
        await first_of(self._write(client), self._read(client))

    async def _write(self, client: WireClient) -> None:
        while True:
            await asyncio.sleep(self._chance.uniform(0.5, 1.5) * self._every_s)
            if self.is_sending and len(self._unanswered) < _WINDOW:
                self._number += 1
                content = f"{self.who}.{self._number}"
                self._unanswered.add(content)
                self._queue.sent.add(content)
                headers = {"destination": self._queue.name, "receipt": content}
                await client.send_frames(Frame("SEND", headers, content.encode()))

    async def _read(self, client: WireClient) -> None:
        while True:
            if not self._unanswered:
                await asyncio.sleep(self._every_s / 2)
                continue
            content = (await self.next_frame(client)).headers["receipt-id"]
            self._unanswered.discard(content)
            self._queue.receipted.add(content)
            self._record.counts["queue receipts"] += 1
            self._record.note(f"receipt {content}")


class QueueConsumer(Client):
    """Takes messages of a queue; refuses some, and acknowledges the others."""

    def __init__(self, doors: Sequence[str], who: str, queue: QueueRecord, record: Record, chance: random.Random) -> None:
        super().__init__(doors, who, RoomRecord(queue.name), record, chance)
        self._queue = queue

    async def live(self, client: WireClient) -> None:
        """Subscribe, then take what comes."""
        prefetch = self._chance.choice(_PREFETCH)
        subscribe = {"destination": self._queue.name, "id": "s", "ack": "client-individual", "prefetch-count": prefetch}
        await client.send_frames(Frame("SUBSCRIBE", subscribe))
        while True:
            frame = await self.next_frame(client)
            content, is_again = frame.body.decode(), frame.headers.get("redelivered") == "true"
            self._queue.given[content] += 1
            self._queue.fresh[content] += not is_again
            self._record.counts["queue messages redelivered" if is_again else "queue messages given"] += 1
            self._record.note(f"given {content} to {self.who}{' again' if is_again else ''}")
            answer = "NACK" if self._chance.random() < _REFUSED else "ACK"
            await client.send_frames(Frame(answer, {"id": frame.headers["ack"]}))


class QueueCrowd:
    """All queues, with those who send to them and consume from them. Close it: its clients end with it."""

    def __init__(self, cluster: Cluster, record: Record, chance: random.Random, *, every_s: float) -> None:
        self._cluster = cluster
        self._record = record
        self._chance = chance
        self.queues = [QueueRecord(f"/queue/torture-{number}") for number in range(1, _QUEUES + 1)]
        doors = cluster.ways_in
        self._senders = [
            QueueSender(doors, f"q{number}.{n}", queue, record, chance, every_s)
            for number, queue in enumerate(self.queues, 1)
            for n in range(1, _SENDERS + 1)
        ]
        self._consumers = [
            QueueConsumer(doors, f"c{number}.{n}", queue, record, chance)
            for number, queue in enumerate(self.queues, 1)
            for n in range(1, _CONSUMERS + 1)
        ]
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self) -> None:
        """Let them live."""
        self._tasks += [asyncio.create_task(one.go_on(), name=one.who) for one in (*self._senders, *self._consumers)]

    async def close(self) -> None:
        """End all clients."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def drop_now_and_then(self, every_s: float, until_s: float) -> None:
        """Cut one of them after the other, until that time of the loop."""
        loop = asyncio.get_running_loop()
        while (left_s := until_s - loop.time()) > 0:
            await asyncio.sleep(min(left_s, self._chance.expovariate(1 / every_s)))
            self._chance.choice((*self._senders, *self._consumers)).cut.set()
            self._record.troubles["queue client dropped"] += 1

    async def end(self) -> None:
        """Wait until all is consumed, then judge. What is wrong is in the record."""
        for sender in self._senders:
            sender.is_sending = False
        await until(self._record, "every SEND to a queue is answered", _SETTLE_S, self._unanswered)
        await until(self._record, "every queue is empty", _SETTLE_S, self._waiting)
        for queue in self.queues:
            queue.judge(self._record)
        for task in self._tasks:
            if task.done():
                self._record.complain(f"{task.get_name()} has ended: {task}")

    async def _unanswered(self) -> str:
        return ", ".join(sender.who for sender in self._senders if not sender.is_quiet)

    async def _waiting(self) -> str:
        waiting = await asyncio.to_thread(self._cluster.queued)
        missing = sum(len(queue.missing) for queue in self.queues)
        return f"{waiting} messages wait, {missing} were given to nobody" if waiting or missing else ""
