"""Following a room: a subscription's way into the live set, and back into it when it fell behind.

Its reads run in a task of its own, which ends with the subscription; everything it owns is let go in ``end``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Final

import structlog

from stompgate.chat.recovery import Begun
from stompgate.model.causes import Cause, Refusal
from stompgate.model.destinations import Destination
from stompgate.model.messages import ChatMessage
from stompgate.ports.clock import pause
from stompgate.ports.store import StoreUnavailable

if TYPE_CHECKING:
    from .gate import Gate
    from .subscriptions import Subscription

_RETRY_S: Final = 1.0
"""Between tries to catch up while the store is away."""

_log = structlog.get_logger(__name__)


class Following:
    """Recovery's ``Follower`` for one subscription."""

    __slots__ = (
        "_destination",
        "_feed",
        "_fell_behind",
        "_gate",
        "_members_version",
        "_placed",
        "_receipt_id",
        "_subscription",
        "_task",
    )

    def __init__(self, gate: Gate, subscription: Subscription, destination: Destination) -> None:
        self._gate = gate
        self._subscription = subscription
        self._destination = destination
        self._feed = gate.feeds.acquire(destination.room)
        self._members_version = 0
        self._placed: asyncio.Future[None] | None = None
        self._receipt_id: str | None = None  # of the SUBSCRIBE, until it is answered
        self._task: asyncio.Task[None] | None = None
        self._fell_behind = False

    def begin(self, since: str | None, receipt_id: str | None, done: Callable[[Begun], None]) -> None:
        """Find out whether the peer may, catch up if it comes back, and join; then ``done``. A refusal goes to the peer."""
        self._placed = self._gate.loop.create_future()
        self._subscription.peer.subscriptions.unplaced += 1
        self._receipt_id = receipt_id
        self._run(self._begin(since, done))

    def catch_up(self) -> None:
        """Leave the live set and come back to it when nothing is missing; or, if the peer may not any more, end."""
        self._gate.router.discard(self._subscription)
        if self._task is None:
            self._run(self._catch_up())
        else:
            self._fell_behind = True  # just as it was about to end: once more

    def end(self) -> None:
        """Stop, whatever is going on. A SUBSCRIBE that is ended before it began has been dealt with all the same."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._subscription.peer.receipt(self._answered())
        self._place()
        self._gate.feeds.release(self._feed)

    def placed(self, room: str) -> Awaitable[None] | None:
        """Wait until it is known after which message of that room it begins. None if it is, and for any other room."""
        if self._placed is None or room != self._destination.room:
            return None
        return asyncio.shield(self._placed)

    def _place(self) -> None:
        if self._placed is not None:
            self._placed.set_result(None)
            self._placed = None
            self._subscription.peer.subscriptions.unplaced -= 1

    # What recovery asks and does

    @property
    def last_seq(self) -> int:
        """The number of the last message given."""
        return self._subscription.last_seq

    def begin_after(self, seq: int) -> None:
        """Set ``last_seq``."""
        self._subscription.last_seq = seq
        self._place()

    def give(self, message: ChatMessage) -> None:
        """Send one message to this peer alone."""
        self._gate.delivery.give(message, self._subscription)

    @property
    def is_full(self) -> bool:
        """Whether the peer must acknowledge first."""
        return self._subscription.is_full

    def drained(self) -> Awaitable[None] | None:
        """Wait for the peer where it does not keep up, or does not acknowledge."""
        subscription = self._subscription
        return subscription.peer.subscriptions.relief() if subscription.is_full else subscription.outbox.drained()

    def may_receive(self, members_version: int) -> Awaitable[None] | None:
        """Check again where the members have changed since the last check."""
        if members_version <= self._members_version:
            return None
        self._gate.rooms.heard(self._destination.room, members_version)  # no older answer will do
        return self._check()

    def join(self) -> None:
        """Enter the live set."""
        self._gate.router.add(self._subscription)

    # The task

    def _run(self, work: Coroutine[None, None, None]) -> None:
        self._task = asyncio.get_running_loop().create_task(work, name=f"follow {self._destination.room}")
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if self._task is not task:
            return  # nobody asks any more
        self._task = None
        if error is not None:
            peer, receipt_id = self._subscription.peer, self._answered()
            peer.subscriptions.end(self._subscription)
            if isinstance(error, StoreUnavailable):
                error = Refusal(Cause.STORE_UNAVAILABLE, detail=str(error))
            if isinstance(error, Refusal):
                self._log_refused(error)
                peer.refuse(Refusal(error.cause, error.explanation), receipt_id)
            else:
                peer.fail(error, receipt_id)
        elif self._fell_behind and self._subscription.is_live:
            self._fell_behind = False
            self.catch_up()

    def _log_refused(self, refusal: Refusal) -> None:
        peer = self._subscription.peer
        _log.info(
            "subscription refused",
            cause=refusal.cause.code,
            detail=refusal.detail,
            room=self._destination.room,
            connection=peer.id,
            user=peer.identity.user,
        )

    async def _begin(self, since: str | None, done: Callable[[Begun], None]) -> None:
        await self._check()
        begun = await self._gate.recovery.begin(self._feed, self, since)
        self._answered()
        done(begun)

    async def _catch_up(self) -> None:
        """However long the store is away. Whoever may not receive any more is told as little as those in the live set."""
        while True:
            try:
                return await self._gate.recovery.catch_up(self._feed, self)
            except StoreUnavailable:
                pass
            except Refusal as refusal:
                if refusal.cause is not Cause.STORE_UNAVAILABLE:
                    return self._subscription.peer.subscriptions.end(self._subscription)
            await pause(self._gate.clock, _RETRY_S)

    def _answered(self) -> str | None:
        """The receipt that is still to be given, which is given now."""
        receipt_id, self._receipt_id = self._receipt_id, None
        return receipt_id

    async def _check(self) -> None:
        identity = self._subscription.peer.identity
        waiting = self._gate.authoriser.may_subscribe(identity, self._destination)
        if waiting is not None:
            await waiting
        members = self._gate.rooms.known(self._destination.room)
        self._members_version = members.version if members is not None else 0
