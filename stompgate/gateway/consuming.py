"""A subscription to a queue: what it holds, and what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import TYPE_CHECKING

from stompgate.model.queues import Claim

if TYPE_CHECKING:
    from .gate import Gate
    from .subscriptions import Subscription


_LOOK_BYTES = 16_384
"""How much is given between looks at the connection: each writes what was given, and what is written together costs less."""

_HEAD_BYTES = 200
"""About what a MESSAGE has beside its body."""


class Consuming:
    """``gateway.queueing.QueueConsumer`` for one subscription.

    By hand it holds up to ``prefetch`` messages until they are acknowledged. With ``ack:auto`` a message is consumed when it is
    handed to the connection. One that takes no more is given none.
    """

    __slots__ = ("_committing", "_gate", "_held", "_prefetch", "_relief", "_subscription", "_unseen_bytes")

    def __init__(self, gate: Gate, subscription: Subscription, prefetch: int) -> None:
        self._gate = gate
        self._subscription = subscription
        self._prefetch = prefetch
        self._held: dict[str, Claim] = {}
        self._committing: frozenset[str] = frozenset()  # of what is held: a COMMIT under way settles them
        self._relief: asyncio.Task[None] | None = None
        self._unseen_bytes = _LOOK_BYTES  # given since the last look at the connection

    def begin(self) -> None:
        """Take part from now on."""
        self._gate.queues.join(self._subscription.destination, self)

    def end(self) -> None:
        """Take part no more; what is held waits for others, unless a COMMIT is about to settle it."""
        if self._relief is not None:
            self._relief.cancel()
            self._relief = None
        self._gate.queues.leave(self._subscription.destination, self)
        self._give_back()

    @property
    def credit(self) -> int:
        """How many more messages it may be given now."""
        room = self._room
        if room <= 0 or self._relief is not None:
            return 0
        outbox = self._subscription.outbox
        if self._unseen_bytes < _LOOK_BYTES and not outbox.is_blocked:
            return room
        waiting = outbox.drained()
        if waiting is None:
            self._unseen_bytes = 0
            return room
        self._relief = asyncio.create_task(self._wait(waiting), name="queue consumer waits")
        return 0

    @property
    def _room(self) -> int:
        """How many more messages the client may have."""
        if self._subscription.unacknowledged is None:
            return self._prefetch
        owed = self._subscription.peer.subscriptions.unacknowledged
        return min(self._prefetch - len(self._held), self._gate.settings.unacknowledged - owed)

    def give(self, claim: Claim) -> None:
        """Send a message. One that the client has not acknowledged yet came back and is claimed anew: the client has it."""
        subscription, message = self._subscription, claim.message
        if subscription.unacknowledged is not None:
            has_it = message.id in self._held
            self._held[message.id] = claim
            if has_it:
                return
        headers = (*message.headers, ("redelivered", "true")) if claim.is_redelivered else message.headers
        self._gate.delivery.tell(subscription, message.id, headers, message.body)
        self._unseen_bytes += len(message.body) + _HEAD_BYTES
        if subscription.unacknowledged is None:
            self._gate.queues.settle((claim,), is_consumed=True)

    def settled(self, message_ids: Iterable[str], *, is_consumed: bool) -> None:
        """The client has acknowledged messages, or does not want them."""
        claims = [self._held.pop(message_id) for message_id in message_ids if message_id in self._held]
        self._gate.queues.settle(claims, is_consumed=is_consumed)
        self.credit_rose()

    def commit_begins(self, message_ids: Iterable[str]) -> None:
        """A transaction takes effect that settles these: as soon as its messages are stored, whoever has left by then."""
        self._committing = frozenset(message_ids)

    def commit_ends(self) -> None:
        """It has settled them, or failed."""
        self._committing = frozenset()
        if not self._subscription.is_live:
            self._give_back()

    def credit_rose(self) -> None:
        """It may be given more again."""
        self._gate.queues.credit_rose(self._subscription.destination)

    def _give_back(self) -> None:
        back = [message_id for message_id in self._held if message_id not in self._committing]
        self._gate.queues.settle([self._held.pop(message_id) for message_id in back], is_consumed=False)

    async def _wait(self, waiting: Awaitable[None]) -> None:
        await waiting
        self._relief = None
        self.credit_rose()
