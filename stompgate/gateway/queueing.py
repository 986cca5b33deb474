"""Queues on this server: what is sent goes to where the messages wait, and from there to one consumer after the other.

A message is claimed only for a consumer that has credit for it, and is settled once it was acknowledged; what a consumer
leaves behind is returned. Everything that waits for the store is bounded by what clients may send and hold. Nothing is
claimed while another process may act for this server.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from stompgate.broker.queues import Consumers
from stompgate.model.causes import Cause, Refusal
from stompgate.model.ids import MessageIds
from stompgate.model.queues import Claim, QueueMessage
from stompgate.model.records import QueueHint
from stompgate.ports.clock import Clock, Timer
from stompgate.ports.queues import QueueFull, Queues
from stompgate.ports.relay import Relay
from stompgate.ports.store import OutcomeUnknown, StoreUnavailable

Done = Callable[[Refusal | None], None]


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """``messages``: of one queue. ``put_messages`` and ``claim_messages``: in one call of the store. ``waiting_messages``:
    for their turn to be put. ``look_every_s``: at queues with consumers, for hints that were lost."""

    messages: int = 10_000
    put_messages: int = 256
    claim_messages: int = 256
    waiting_messages: int = 10_000
    look_every_s: float = 2.0
    retry_s: float = 1.0
    unknown_for_s: float = 10.0


class QueueConsumer(Protocol):
    """A subscription to a queue."""

    @property
    def credit(self) -> int:
        """How many more messages it may be given now."""

    def give(self, claim: Claim) -> None:
        """Take a message, and settle it in the end."""


@dataclass(frozen=True, slots=True)
class _Parcel:
    messages: Sequence[QueueMessage]
    done: Done


class _Served:
    """A queue that has consumers here."""

    __slots__ = ("consumers", "is_hinted", "name", "timer", "work")

    def __init__(self, name: str) -> None:
        self.name = name
        self.consumers: Consumers[QueueConsumer] = Consumers()
        self.is_hinted = False  # there may be more than was seen
        self.work: asyncio.Task[None] | None = None
        self.timer: Timer | None = None


class QueueDesk:
    """Puts, claims and settles for the connections of this server. ``owner``: of its lease."""

    def __init__(
        self, queues: Queues, relay: Relay, clock: Clock, limits: QueueLimits, *, owner: str, may_claim: Callable[[], bool]
    ) -> None:
        self._queues = queues
        self._relay = relay
        self._clock = clock
        self._limits = limits
        self._owner = owner
        self._may_claim = may_claim
        self._ids = MessageIds()
        self._served: dict[str, _Served] = {}
        self._outgoing: deque[_Parcel] = deque()
        self._outgoing_messages = 0
        self._putting: asyncio.Task[None] | None = None
        self._consumed: list[Claim] = []
        self._returned: list[Claim] = []
        self._settling: asyncio.Task[None] | None = None
        self._is_closed = False
        self.put = 0
        self.given = 0
        self.redelivered = 0
        self.consumed = 0
        self.returned = 0

    async def close(self) -> None:
        """Put and settle what was accepted, claim nothing more. What is left in doubt is free when the lease is let go."""
        self._is_closed = True
        works = [served.work for served in self._served.values() if served.work is not None]
        for served in self._served.values():
            self._stop(served)
        for work in works:
            work.cancel()
        if works:
            await asyncio.wait(works)
        while self._putting is not None or self._settling is not None:
            await asyncio.wait([work for work in (self._putting, self._settling) if work is not None])

    # What is sent

    def send(self, messages: Sequence[QueueMessage], done: Done) -> None:
        """Let messages wait in their queues, all of them or none. ``done`` is called once, later, with what was refused."""
        if self._outgoing_messages >= self._limits.waiting_messages:
            asyncio.get_running_loop().call_soon(done, Refusal(Cause.OVERLOADED))
            return
        self._outgoing.append(_Parcel(messages, done))
        self._outgoing_messages += len(messages)
        if self._putting is None:
            self._putting = asyncio.create_task(self._put_all(), name="queues put")

    async def _put_all(self) -> None:
        try:
            while self._outgoing:
                await self._put_group(self._next_group())
        finally:
            self._putting = None

    def _next_group(self) -> list[_Parcel]:
        group: list[_Parcel] = []
        number = 0
        while self._outgoing:
            number += len(self._outgoing[0].messages)
            if group and number > self._limits.put_messages:
                break
            group.append(self._outgoing.popleft())
            self._outgoing_messages -= len(group[-1].messages)
        return group

    async def _put_group(self, group: Sequence[_Parcel]) -> None:
        """Put a group; if a queue in it is full, each parcel alone, so that only those for that queue are refused."""
        refusal = await self._put([message for parcel in group for message in parcel.messages])
        if refusal is not None and refusal.cause is Cause.QUEUE_FULL and len(group) > 1:
            for parcel in group:
                await self._put_group([parcel])
            return
        for parcel in group:
            asyncio.get_running_loop().call_soon(parcel.done, refusal)
        if refusal is None:
            for queue in {message.queue for parcel in group for message in parcel.messages}:
                self.hint(queue)
                self._relay.publish(QueueHint(queue))

    async def _put(self, messages: Sequence[QueueMessage]) -> Refusal | None:
        give_up_at: float | None = None
        while True:
            try:
                await self._queues.put(messages, limit=self._limits.messages)
            except QueueFull as full:
                return Refusal(Cause.QUEUE_FULL, f"{full} holds {self._limits.messages} messages already.")
            except StoreUnavailable as error:
                if give_up_at is None:  # never attempted: this refusal is certain
                    return Refusal(Cause.STORE_UNAVAILABLE, detail=str(error))
            except OutcomeUnknown:
                pass
            else:
                self.put += len(messages)
                return None
            now_s = self._clock.monotonic()
            give_up_at = now_s + self._limits.unknown_for_s if give_up_at is None else give_up_at
            if now_s >= give_up_at:
                return Refusal(Cause.OUTCOME_UNKNOWN)
            await asyncio.sleep(self._limits.retry_s)

    # Who consumes

    def join(self, queue: str, consumer: QueueConsumer) -> None:
        """A consumer is there, and served from now on."""
        served = self._served.get(queue)
        if served is None:
            served = self._served[queue] = _Served(queue)
        served.consumers.add(consumer)
        self.hint(queue)

    def leave(self, queue: str, consumer: QueueConsumer) -> None:
        """A consumer is gone. What it holds is settled by itself."""
        served = self._served.get(queue)
        if served is None:
            return
        served.consumers.discard(consumer)
        if not len(served.consumers):
            self._stop(served)
            del self._served[queue]

    def hint(self, queue: str) -> None:
        """A queue may have messages that it did not have before."""
        served = self._served.get(queue)
        if served is not None:
            served.is_hinted = True
            self._begin(served)

    def credit_rose(self, queue: str) -> None:
        """A consumer may be given more again."""
        served = self._served.get(queue)
        if served is not None and served.is_hinted:
            self._begin(served)

    def _begin(self, served: _Served) -> None:
        if served.work is None and not self._is_closed:
            served.work = asyncio.create_task(self._serve(served), name=f"serve {served.name}")

    def settle(self, claims: Iterable[Claim], *, is_consumed: bool) -> None:
        """Let go of claims: their messages are gone, or wait again for another consumer."""
        (self._consumed if is_consumed else self._returned).extend(claims)
        if self._settling is None and (self._consumed or self._returned):
            self._settling = asyncio.create_task(self._settle_all(), name="queues settle")

    async def _serve(self, served: _Served) -> None:
        """Claim what there is credit for, as long as there is something."""
        try:
            while served.is_hinted and not self._is_closed:
                wanted = min(served.consumers.credit, self._limits.claim_messages)
                if not (wanted and self._may_claim()):
                    return
                served.is_hinted = False
                claims = await self._claim(served.name, wanted)
                self._deal(served, claims)
                served.is_hinted = served.is_hinted or len(claims) == wanted
        finally:
            served.work = None
            self._look_later(served)

    async def _claim(self, queue: str, wanted: int) -> Sequence[Claim]:
        """Claims nothing if the store is away; the next look tries again. An unknown outcome is asked for until it is known."""
        attempt = self._ids.new(self._clock.utc_us())
        while True:
            try:
                return await self._queues.claim(queue, wanted, owner=self._owner, attempt=attempt)
            except StoreUnavailable:
                return ()
            except OutcomeUnknown:
                await asyncio.sleep(self._limits.retry_s)

    def _deal(self, served: _Served, claims: Sequence[Claim]) -> None:
        for at, claim in enumerate(claims):
            consumer = None if self._is_closed else served.consumers.next()
            if consumer is None:  # they left, or took from elsewhere, meanwhile
                self.settle(claims[at:], is_consumed=False)
                return
            self.given += 1
            self.redelivered += claim.is_redelivered
            consumer.give(claim)

    def _look_later(self, served: _Served) -> None:
        self._stop(served)
        if len(served.consumers) and not self._is_closed:
            served.timer = self._clock.call_later(self._limits.look_every_s, lambda: self.hint(served.name))

    def _stop(self, served: _Served) -> None:
        if served.timer is not None:
            served.timer.cancel()
            served.timer = None

    async def _settle_all(self) -> None:
        try:
            while self._consumed or self._returned:
                consumed, self._consumed = self._consumed, []
                returned, self._returned = self._returned, []
                if not await self._settle(consumed, returned):
                    self._consumed[:0], self._returned[:0] = consumed, returned
                    if self._is_closed:
                        return  # they are free when this server's lease ends
                    await asyncio.sleep(self._limits.retry_s)
        finally:
            self._settling = None

    async def _settle(self, consumed: Sequence[Claim], returned: Sequence[Claim]) -> bool:
        try:
            await self._queues.settle(self._owner, consumed=consumed, returned=returned)
        except (StoreUnavailable, OutcomeUnknown):
            return False
        self.consumed += len(consumed)
        self.returned += len(returned)
        for queue in {claim.message.queue for claim in returned}:
            self.hint(queue)
            self._relay.publish(QueueHint(queue))
        return True
