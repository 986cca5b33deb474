"""The outbox: what is stored here and owed to the other servers, until the relay has acknowledged it.

The rows themselves are the outbox; this keeps them moving. Marks are cleared in batches, and a sweep finds what stayed
behind: rows of an earlier life, answers that were lost, records that the relay did not take. It publishes in the order of
the rows, and offers them to this server's own feeds as well. After a long outage one sweep follows the other as fast as the
relay acknowledges. What the relay refuses for good is marked like what it took, so that it blocks nothing: the other servers
find it in the store, at their next comparison.

It never publishes while another process may act for this server: what was not published stays owed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from time import perf_counter

import structlog

from stompgate.model.messages import ChatMessage
from stompgate.model.records import ChatRecord, RoomChanged
from stompgate.ports.clock import Clock, Timer
from stompgate.ports.relay import Answer, Relay
from stompgate.ports.store import OutcomeUnknown, Store, StoreUnavailable
from stompgate.timing.histogram import FAST_S, Histogram

Owed = ChatRecord | RoomChanged

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class OutboxLimits:
    """``marks``: acknowledged records per write to the store; ``sweep_records``: per sweep; ``close_s``: how long the relay
    may take at the end to answer for what is on the way."""

    marks: int = 1_000
    mark_every_s: float = 0.5
    sweep_every_s: float = 5.0
    sweep_records: int = 500
    close_s: float = 5.0


class Outbox:
    """Publishes what this server stored, while it may. ``offer`` takes a record to this server's own feeds.

    Counted since the start: records ``swept`` up, and ``refused`` by the relay; ``relayed_s`` is from publication to the
    acknowledgement. ``owed``: the rows that the last sweep found, as many as it takes at most.
    """

    def __init__(
        self,
        store: Store,
        relay: Relay,
        clock: Clock,
        offer: Callable[[Owed], None],
        limits: OutboxLimits,
        *,
        may_publish: Callable[[], bool],
    ) -> None:
        self._store = store
        self._relay = relay
        self._clock = clock
        self._offer = offer
        self._limits = limits
        self._may_publish = may_publish
        self._on_the_way: dict[str, float] = {}  # published, not acknowledged yet, and when
        self._settled: dict[str, Owed] = {}  # taken or refused, not marked yet
        self._mark_timer: Timer | None = None
        self._sweep_timer: Timer | None = None
        self._marking: asyncio.Task[None] | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self._is_more_owed = False  # the last sweep found as many as it takes, and some of them left behind
        self._is_closed = False
        self._all_answered = asyncio.Event()  # looked at by ``close`` alone
        self.swept = 0
        self.refused = 0
        self.owed = 0
        self.relayed_s = Histogram(FAST_S)

    @property
    def on_the_way(self) -> int:
        """Records that the relay has not answered yet."""
        return len(self._on_the_way)

    @property
    def unmarked(self) -> int:
        """Records that the relay has answered, and whose rows are still to be marked."""
        return len(self._settled)

    def start(self) -> None:
        """Begin with a sweep: what an earlier life of this server owed goes first."""
        self._begin_sweep()

    async def close(self) -> None:
        """Wait a while for the relay's answers, clear the marks and stop. What is left is found by the next life's sweep."""
        self._is_closed = True
        for timer in (self._mark_timer, self._sweep_timer):
            if timer is not None:
                timer.cancel()
        if self._sweeping is not None:
            self._sweeping.cancel()
        works = [work for work in (self._marking, self._sweeping) if work is not None]
        if works:
            await asyncio.wait(works)
        if self._on_the_way and self._relay.is_up:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._limits.close_s):
                    await self._all_answered.wait()
        await self._clear_marks()

    def stored(self, message: ChatMessage) -> None:
        """A message is committed: offer it here, and tell the others."""
        self.announce(ChatRecord(message))

    def announce(self, record: Owed) -> None:
        """A record is committed, and this server the one to publish it."""
        self._offer(record)
        if self._may_publish():
            self._publish(record)

    def _publish(self, record: Owed) -> None:
        key = _key(record)
        if key not in self._on_the_way:
            self._on_the_way[key] = perf_counter()
            self._relay.publish(record, lambda answer: self._answered(key, record, answer))

    def _answered(self, key: str, record: Owed, answer: Answer) -> None:
        published_s = self._on_the_way.pop(key)
        if not self._on_the_way and self._is_closed:
            self._all_answered.set()
        if answer is Answer.UNKNOWN:
            return  # the next sweep finds the row
        if answer is Answer.TAKEN:
            self.relayed_s.observe(perf_counter() - published_s)
        if answer is Answer.REFUSED:
            self.refused += 1
            room, message = (record.message.room, record.message.id) if isinstance(record, ChatRecord) else (record.room, None)
            _log.error("the relay refused a record for good; other servers read it from the store", room=room, message=message)
        self._settled[key] = record
        self._plan_marking()

    def _plan_marking(self) -> None:
        if self._mark_timer is None and self._marking is None and not self._is_closed:
            self._mark_timer = self._clock.call_later(self._limits.mark_every_s, self._begin_marking)

    def _begin_marking(self) -> None:
        self._mark_timer = None
        self._marking = asyncio.create_task(self._clear_marks(), name="outbox marks")
        self._marking.add_done_callback(self._marked)

    def _marked(self, task: asyncio.Task[None]) -> None:  # noqa: ARG002 (a callback)
        self._marking = None
        if self._settled:
            self._plan_marking()
        if self._is_more_owed:
            self._begin_sweep()

    async def _clear_marks(self) -> None:
        while self._settled:
            batch = dict(islice(self._settled.items(), self._limits.marks))
            try:
                await self._store.mark_relayed(list(batch.values()))
            except (StoreUnavailable, OutcomeUnknown):
                self._settled.clear()  # the sweep publishes them again, which harms nobody
                return
            for key in batch:
                self._settled.pop(key, None)

    def _begin_sweep(self) -> None:
        if self._sweeping is None and not self._is_closed:
            self._sweeping = asyncio.create_task(self._sweep(), name="outbox sweeps")
            self._sweeping.add_done_callback(self._swept)

    def _swept(self, task: asyncio.Task[None]) -> None:  # noqa: ARG002 (a callback)
        self._sweeping = None
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        if not self._is_closed:
            self._sweep_timer = self._clock.call_later(self._limits.sweep_every_s, self._begin_sweep)

    async def _sweep(self) -> None:
        self._is_more_owed = False
        if not self._may_publish():
            return
        try:
            records = await self._store.unrelayed(self._limits.sweep_records)
        except StoreUnavailable:
            return  # the next sweep tries again
        self.owed = len(records)  # also while the relay is down: then it is what an operator asks for
        if not self._relay.is_up:
            return
        left_behind = [record for record in records if not self._is_moving(_key(record))]
        self._is_more_owed = bool(left_behind) and len(records) == self._limits.sweep_records
        self.swept += len(left_behind)
        for record in left_behind:
            self.announce(record)

    def _is_moving(self, key: str) -> bool:
        return key in self._on_the_way or key in self._settled


def _key(record: Owed) -> str:
    return record.message.id if isinstance(record, ChatRecord) else f"{record.room}/{record.members_version}"
