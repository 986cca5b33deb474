"""ACK and NACK: which message they name, and that it is settled by them."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from stompgate.broker.acknowledgements import Unacknowledged
from stompgate.model.causes import Cause, Refusal
from stompgate.stomp.frames import Command, Frame
from stompgate.stomp.versions import Version

from .subscriptions import Subscription, split_ack

if TYPE_CHECKING:
    from .peer import Peer


@dataclass(frozen=True, slots=True)
class Settlement:
    """An ACK or NACK. ``is_consumed``: the message is not to be delivered again, as on topics none is."""

    size_bytes: ClassVar[int] = 0  # of a body, in a transaction

    subscription: Subscription
    message_id: str
    is_consumed: bool

    @property
    def is_waited_for(self) -> bool:
        """Whether there is such a message, and it was not settled yet."""
        waiting = self.subscription.unacknowledged
        return waiting is not None and self.message_id in waiting

    def check(self) -> None:
        """Raises ``Refusal`` (UNKNOWN_ACK) if the message does not wait for it, unless its subscription has ended."""
        if self.subscription.is_live and not self.is_waited_for:
            raise Refusal(Cause.UNKNOWN_ACK, "ACK and NACK name a message that was delivered here and not acknowledged yet.")

    def go(self, peer: Peer) -> None:
        """Settle it. Raises ``Refusal`` as ``check`` does."""
        self.check()
        subscription = self.subscription
        if subscription.unacknowledged is not None:
            settled = subscription.unacknowledged.settle(self.message_id)
            if subscription.consuming is not None:
                subscription.consuming.settled(settled, is_consumed=self.is_consumed)
            if subscription.is_live:
                peer.subscriptions.acknowledged(len(settled))


def rehearse(settlements: Iterable[Settlement]) -> dict[Subscription, list[str]]:
    """Return which messages of which subscriptions are going to be settled.

    Raises ``Refusal`` (UNKNOWN_ACK) unless each finds its message waiting when those before it are settled.
    """
    rehearsed: dict[Subscription, Unacknowledged] = {}
    found: dict[Subscription, list[str]] = {}
    for settlement in settlements:
        subscription = settlement.subscription
        if not subscription.is_live or subscription.unacknowledged is None:
            continue
        if subscription not in rehearsed:
            rehearsed[subscription] = subscription.unacknowledged.copy()
        settled = rehearsed[subscription].settle(settlement.message_id)
        if not settled:
            raise Refusal(Cause.UNKNOWN_ACK, "A message that the transaction acknowledges does not wait for it any more.")
        found.setdefault(subscription, []).extend(settled)
    return found


def acknowledge(peer: Peer, frame: Frame) -> Awaitable[None] | None:
    """Let an ACK or NACK take effect, or keep it in its transaction. After UNSUBSCRIBE there is nothing to settle."""
    settlement = read_settlement(peer, frame)
    transaction = frame.headers.get("transaction")
    if transaction is not None:
        held = peer.transactions.named(transaction)
        if settlement is not None:
            held.hold(settlement)
    elif settlement is not None:
        settlement.go(peer)
    peer.receipt(frame.headers.get("receipt"))
    return None


def read_settlement(peer: Peer, frame: Frame) -> Settlement | None:
    """What an ACK or NACK names; None if what it is from is not there any more. Raises ``Refusal`` (UNKNOWN_ACK)."""
    message_id, subscription_id = _named(peer.version, frame.headers)
    if subscription_id is None:
        waiting = (s for s in peer.subscriptions if s.unacknowledged is not None and message_id in s.unacknowledged)
        subscription = next(waiting, None)
    else:
        subscription = peer.subscriptions.get(subscription_id)
    if subscription is None:
        return None
    is_consumed = frame.command == Command.ACK or frame.headers.get("requeue") == "false"
    settlement = Settlement(subscription, message_id, is_consumed)
    if not settlement.is_waited_for and peer.subscriptions.was_given_before(subscription.key, message_id):
        return None
    settlement.check()
    return settlement


def _named(version: Version, headers: Mapping[str, str]) -> tuple[str, str | None]:
    """The message id and the subscription id that an ACK or NACK names, in each version's way."""
    match version:
        case Version.V1_2:
            return split_ack(headers["id"])
        case Version.V1_1:
            return headers["message-id"], headers["subscription"]
        case Version.V1_0:
            return headers["message-id"], headers.get("subscription")
