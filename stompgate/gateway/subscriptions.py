"""A subscription: which peer gets what, in which bytes. The router groups those that can share them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from stompgate.broker.acknowledgements import AckMode, Unacknowledged
from stompgate.model.causes import Cause, Refusal
from stompgate.stomp.serializer import MessageTemplate, subscription_line
from stompgate.stomp.versions import Version

from .link import Framing

if TYPE_CHECKING:
    from .consuming import Consuming
    from .following import Following
    from .peer import Peer


class Encoding(NamedTuple):
    """What must be equal for two subscriptions to take the very same bytes."""

    framing: Framing
    version: Version
    line: bytes


BY_HAND = "by hand"
"""The encoding of subscriptions that acknowledge by hand: each of their messages is its own."""


class Subscription:
    """One SUBSCRIBE of one peer.

    ``name`` is the destination as the client wrote it, and is shown it; ``destination`` the one it is routed by, the same if
    left out. For rooms ``last_seq`` is the number of the last message given, and ``following`` how it catches up; for queues
    ``consuming`` is what it holds.
    """

    __slots__ = (
        "consuming",
        "destination",
        "encoding",
        "following",
        "id",
        "is_live",
        "last_seq",
        "name",
        "outbox",
        "peer",
        "unacknowledged",
    )

    def __init__(self, peer: Peer, subscription_id: str | None, name: str, mode: AckMode, *, destination: str = "") -> None:
        self.peer = peer
        self.id = subscription_id
        self.name = name
        self.destination = destination or name
        self.outbox = peer.link.outbox
        self.is_live = True
        self.last_seq = 0
        self.following: Following | None = None
        self.consuming: Consuming | None = None
        self.unacknowledged = None if mode is AckMode.AUTO else Unacknowledged(mode)
        line = b"" if subscription_id is None else subscription_line(subscription_id, peer.version)
        shared = Encoding(peer.link.framing, peer.version, line)
        self.encoding: Hashable = shared if self.unacknowledged is None else BY_HAND

    @property
    def key(self) -> str:
        """What UNSUBSCRIBE names it by: its id, or in 1.0 without one its destination."""
        return self.name if self.id is None else self.id

    @property
    def is_full(self) -> bool:
        """Whether it acknowledges by hand, and its connection owes as many ACKs as it may."""
        return self.unacknowledged is not None and self.peer.subscriptions.is_full

    def encode(self, template: MessageTemplate, message_id: str, *, is_text: bool) -> bytes:
        """The bytes of a message for this subscription alone, which owes an ACK for it from now on if it gives one by hand."""
        ack = None
        if self.unacknowledged is not None:
            self.unacknowledged.give(message_id)
            self.peer.subscriptions.owe_ack()
            ack = f"{message_id}@{self.id}" if self.peer.version is Version.V1_2 else None
        return self.peer.link.framing.wrap(template.for_subscription(self.id, ack), is_text=is_text)

    def catch_up(self) -> None:
        """A message came that is not the next one."""
        if self.following is not None:
            self.following.catch_up()

    def end(self) -> None:
        """Receive nothing more."""
        self.is_live = False
        if self.following is not None:
            self.following.end()
        if self.consuming is not None:
            self.consuming.end()


class Subscriptions:
    """The living subscriptions of one peer, by what UNSUBSCRIBE names them by. ``unacknowledged``: messages of all of them;
    ``unplaced``: of how many to rooms it is not known yet where they begin; ``left``: how many there still were when all were
    ended."""

    __slots__ = ("_by_key", "_given_before", "_peer", "_relief", "left", "unacknowledged", "unplaced")

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._by_key: dict[str, Subscription] = {}
        self._given_before: dict[tuple[str, str], None] = {}  # key and message of what ended unacknowledged, the oldest first
        self._relief: asyncio.Future[None] | None = None
        self.unacknowledged = 0
        self.unplaced = 0
        self.left = 0

    def check_new(self, subscription: Subscription) -> None:
        """Raises ``Refusal`` (DUPLICATE_SUBSCRIPTION, TOO_MANY_SUBSCRIPTIONS) for one that cannot begin."""
        limit = self._peer.gate.settings.subscriptions
        if subscription.key in self._by_key:
            raise Refusal(Cause.DUPLICATE_SUBSCRIPTION, "Each living subscription of a connection needs an id of its own.")
        if len(self._by_key) >= limit:
            raise Refusal(Cause.TOO_MANY_SUBSCRIPTIONS, f"A connection may have {limit} subscriptions.")

    def begin(self, subscription: Subscription) -> None:
        """One lives from now on."""
        self._by_key[subscription.key] = subscription

    def end(self, subscription: Subscription) -> None:
        """One lives no more; its unacknowledged messages are settled by that. Ending it again does nothing."""
        if not subscription.is_live:
            return
        self._by_key.pop(subscription.key, None)
        self._peer.gate.router.discard(subscription)
        subscription.end()
        if subscription.unacknowledged is not None:
            self._given_before.update(((subscription.key, message_id), None) for message_id in subscription.unacknowledged)
            while len(self._given_before) > self._peer.gate.settings.unacknowledged:
                del self._given_before[next(iter(self._given_before))]
            self.acknowledged(len(subscription.unacknowledged))

    def end_all(self) -> None:
        """End all of them."""
        self.left += len(self._by_key)  # none begins after that, whenever it is called again
        for subscription in list(self._by_key.values()):
            self.end(subscription)
        self._given_before.clear()

    def was_given_before(self, key: str, message_id: str) -> bool:
        """Whether it was an ended one with that key that was given a message which nobody acknowledged. Told once of each.

        A client that has just used an id again can't know which of the two a message is from.
        """
        is_known = (key, message_id) in self._given_before
        self._given_before.pop((key, message_id), None)
        return is_known

    def get(self, key: str) -> Subscription | None:
        """The one with that key."""
        return self._by_key.get(key)

    def named(self, name: str) -> Sequence[Subscription]:
        """Those to a destination, by the name that the client wrote."""
        return [subscription for subscription in self._by_key.values() if subscription.name == name]

    def placed(self, room: str) -> Awaitable[None] | None:
        """Wait for one to that room of which it is not known yet where it begins. None if there is none."""
        for subscription in self._by_key.values():
            if subscription.following is not None and (placed := subscription.following.placed(room)) is not None:
                return placed
        return None

    def acknowledged(self, number: int) -> None:
        """So many messages wait for an ACK no more. Who waits for room is told if that makes any."""
        was_full = self.is_full
        self.unacknowledged -= number
        if self._relief is not None and self.unacknowledged <= self._peer.gate.settings.unacknowledged // 2:
            self._relief.set_result(None)
            self._relief = None
        if was_full and number:
            for subscription in self._by_key.values():
                if subscription.consuming is not None:
                    subscription.consuming.credit_rose()

    @property
    def is_full(self) -> bool:
        """Whether as many messages wait for an ACK as may."""
        return self.unacknowledged >= self._peer.gate.settings.unacknowledged

    def relief(self) -> Awaitable[None]:
        """Wait until half of them at most do: for each single ACK a page would be read from the store."""
        if self._relief is None:
            self._relief = self._peer.gate.loop.create_future()
        return asyncio.shield(self._relief)

    def owe_ack(self) -> None:
        """One more message waits for an ACK."""
        self.unacknowledged += 1
        gate = self._peer.gate
        if self.unacknowledged == gate.settings.unacknowledged + 1:
            gate.loop.call_soon(self._peer.fail, Refusal(Cause.TOO_MANY_UNACKED))

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[Subscription]:
        return iter(self._by_key.values())


def split_ack(ack: str) -> tuple[str, str]:
    """The message id and the subscription id of a MESSAGE's ``ack`` header (1.2).

    Raises ``Refusal`` (UNKNOWN_ACK) for what is none, such as the message's id alone.
    """
    message_id, at, subscription_id = ack.partition("@")
    if not at:
        raise Refusal(Cause.UNKNOWN_ACK, "In STOMP 1.2 the id of ACK and NACK is the ack header of the MESSAGE.")
    return message_id, subscription_id
