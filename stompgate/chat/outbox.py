"""The outbox: what is stored here and owed to the other servers, until the relay has acknowledged it.

The rows themselves are the outbox; this keeps them moving. Marks are cleared in batches, and a sweep finds what stayed
behind: rows of an earlier life, answers that were lost, records that the relay did not take. It publishes in the order of
the rows, and offers them to this server's own feeds as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from itertools import islice

from stompgate.model.messages import ChatMessage
from stompgate.model.records import ChatRecord, RoomChanged
from stompgate.ports.clock import Clock, Timer
from stompgate.ports.relay import Relay
from stompgate.ports.store import OutcomeUnknown, Store, StoreUnavailable

Owed = ChatRecord | RoomChanged


@dataclass(frozen=True, slots=True)
class OutboxLimits:
    """``marks``: acknowledged records per write to the store; ``sweep_records``: per sweep."""

    marks: int = 1_000
    mark_every_s: float = 0.5
    sweep_every_s: float = 5.0
    sweep_records: int = 500


class Outbox:
    """Publishes what this server stored. ``offer`` takes a record to this server's own feeds."""

    def __init__(self, store: Store, relay: Relay, clock: Clock, offer: Callable[[Owed], None], limits: OutboxLimits) -> None:
        self._store = store
        self._relay = relay
        self._clock = clock
        self._offer = offer
        self._limits = limits
        self._on_the_way: set[str] = set()  # published, not acknowledged yet
        self._acknowledged: dict[str, Owed] = {}  # not marked yet
        self._mark_timer: Timer | None = None
        self._sweep_timer: Timer | None = None
        self._work: set[asyncio.Task[None]] = set()
        self.swept = 0

    def start(self) -> None:
        """Begin with a sweep: what an earlier life of this server owed goes first."""
        self._begin(self._sweep())

    async def close(self) -> None:
        """Clear the marks that are due and stop. What is still on the way is found by the next life's sweep."""
        for timer in (self._mark_timer, self._sweep_timer):
            if timer is not None:
                timer.cancel()
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        await self._clear_marks()

    def stored(self, message: ChatMessage) -> None:
        """A message is committed: offer it here, and tell the others."""
        self.announce(ChatRecord(message))

    def announce(self, record: Owed) -> None:
        """A record is committed, with this server as the one that owes it."""
        self._offer(record)
        self._publish(record)

    def _publish(self, record: Owed) -> None:
        key = _key(record)
        if key not in self._on_the_way:
            self._on_the_way.add(key)
            self._relay.publish(record, lambda taken: self._answered(key, record, taken=taken))

    def _answered(self, key: str, record: Owed, *, taken: bool) -> None:
        self._on_the_way.discard(key)
        if not taken:
            return  # the next sweep finds the row
        self._acknowledged[key] = record
        if self._mark_timer is None:
            self._mark_timer = self._clock.call_later(self._limits.mark_every_s, lambda: self._begin(self._clear_marks()))

    async def _clear_marks(self) -> None:
        self._mark_timer = None
        while self._acknowledged:
            batch = dict(islice(self._acknowledged.items(), self._limits.marks))
            try:
                await self._store.mark_relayed(list(batch.values()))
            except (StoreUnavailable, OutcomeUnknown):
                self._acknowledged.clear()  # the sweep publishes them again, which harms nobody
                return
            for key in batch:
                self._acknowledged.pop(key, None)

    async def _sweep(self) -> None:
        try:
            if self._relay.is_up:
                for record in await self._store.unrelayed(self._limits.sweep_records):
                    key = _key(record)
                    if key not in self._on_the_way and key not in self._acknowledged:
                        self.swept += 1
                        self.announce(record)
        except StoreUnavailable:
            pass  # the next sweep tries again
        finally:
            self._sweep_timer = self._clock.call_later(self._limits.sweep_every_s, lambda: self._begin(self._sweep()))

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work, name="outbox works")
        self._work.add(task)
        task.add_done_callback(self._work.discard)


def _key(record: Owed) -> str:
    return record.message.id if isinstance(record, ChatRecord) else f"{record.room}/{record.members_version}"
