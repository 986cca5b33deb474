"""Queues on this server: what is sent goes to where the messages wait, and from there to one consumer after the other.

A message is claimed only for a consumer that has credit for it, and is settled once it was acknowledged; what a consumer
leaves behind is returned. Everything that waits for the store is bounded by what clients may send and hold. Nothing is
claimed while another process may act for this server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from stompgate.broker.queues import Consumers
from stompgate.model.ids import MessageIds
from stompgate.model.queues import Claim, QueueMessage
from stompgate.model.records import QueueHint
from stompgate.ports.clock import Clock, Timer
from stompgate.ports.queues import Queues
from stompgate.ports.relay import Relay
from stompgate.ports.store import OutcomeUnknown, StoreUnavailable

from .queue_intake import Done, QueueIntake, QueueLimits


class QueueConsumer(Protocol):
    """A subscription to a queue."""

    @property
    def credit(self) -> int:
        """How many more messages it may be given now."""

    def give(self, claim: Claim) -> None:
        """Take a message, and settle it in the end."""


class _Served:
    """A queue that has consumers here."""

    __slots__ = ("consumers", "is_hinted", "name", "work")

    def __init__(self, name: str) -> None:
        self.name = name
        self.consumers: Consumers[QueueConsumer] = Consumers()
        self.is_hinted = False  # there may be more than was seen
        self.work: asyncio.Task[None] | None = None


class QueueDesk:
    """Puts, claims and settles for the connections of this server. ``owner``: of its lease, its epoch."""

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
        self._intake = QueueIntake(queues, clock, limits, self._arrived)
        self._works: set[asyncio.Task[None]] = set()
        self._look_timer: Timer | None = None
        self._consumed: list[Claim] = []
        self._returned: list[Claim] = []
        self._settling: asyncio.Task[None] | None = None
        self._is_closed = False
        self.given = 0
        self.redelivered = 0
        self.consumed = 0
        self.returned = 0

    @property
    def put(self) -> int:
        """How many messages were put."""
        return self._intake.put

    @property
    def waiting_messages(self) -> int:
        """How many messages wait for their turn to be put."""
        return self._intake.waiting_messages

    def send(self, messages: Sequence[QueueMessage], done: Done) -> None:
        """Let messages wait in their queues, all of them or none. ``done`` is called once, later, with what was refused."""
        self._intake.send(messages, done)

    async def close(self) -> None:
        """Put and settle what was accepted, claim nothing more. What is left in doubt is free when the lease is let go."""
        self._is_closed = True
        if self._look_timer is not None:
            self._look_timer.cancel()
        for work in self._works:
            work.cancel()
        try:
            if self._works:
                await asyncio.wait(self._works)
            await self._intake.close()
            if self._settling is not None:
                await asyncio.wait([self._settling])
        finally:
            if self._settling is not None:
                self._settling.cancel()

    # Who consumes

    def join(self, queue: str, consumer: QueueConsumer) -> None:
        """A consumer is there, and served from now on."""
        served = self._served.get(queue)
        if served is None:
            served = self._served[queue] = _Served(queue)
        served.consumers.add(consumer)
        if self._look_timer is None:
            self._look_later()
        self.hint(queue)

    def leave(self, queue: str, consumer: QueueConsumer) -> None:
        """A consumer is gone. What it holds is settled by itself."""
        served = self._served.get(queue)
        if served is None:
            return
        served.consumers.discard(consumer)
        if not len(served.consumers):
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
            served.work = self._own(asyncio.create_task(self._serve(served), name=f"serve {served.name}"))

    def _own(self, work: asyncio.Task[None]) -> asyncio.Task[None]:
        self._works.add(work)
        work.add_done_callback(self._works.discard)
        return work

    def _arrived(self, queue: str) -> None:
        """A queue has messages that it did not have before: here, and for the other servers."""
        self.hint(queue)
        self._relay.publish(QueueHint(queue, self._owner))

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

    async def _claim(self, queue: str, wanted: int) -> Sequence[Claim]:
        """Claims nothing if the store is away; the next look tries again. An unknown outcome is asked for until it is known:
        what it has claimed would else be held by nobody for as long as this server lives.
        """
        attempt = self._ids.new(self._clock.utc_us())
        is_in_doubt = False
        while True:
            try:
                return await self._queues.claim(queue, wanted, owner=self._owner, attempt=attempt, again=is_in_doubt)
            except StoreUnavailable:
                if not is_in_doubt:
                    return ()
            except OutcomeUnknown:
                is_in_doubt = True
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

    def _look_later(self) -> None:
        self._look_timer = None
        if self._served and not self._is_closed:
            self._look_timer = self._clock.call_later(self._limits.look_every_s, self._begin_look)

    def _begin_look(self) -> None:
        self._own(asyncio.create_task(self._look(), name="queues look"))

    async def _look(self) -> None:
        """See, in one call for all queues, where something is that no hint told of: hints get lost, and leases end."""
        try:
            wanting = [name for name, served in self._served.items() if served.work is None and served.consumers.credit]
            if wanting and self._may_claim():
                for queue in await self._queues.claimable(wanting, owner=self._owner):
                    self.hint(queue)
        except StoreUnavailable:
            pass  # the next look sees it
        finally:
            self._look_later()

    async def _settle_all(self) -> None:
        try:
            most = self._limits.settle_messages
            while self._consumed or self._returned:
                consumed, self._consumed = self._consumed[:most], self._consumed[most:]
                returned, self._returned = self._returned[:most], self._returned[most:]
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
            self._arrived(queue)
        return True
