"""SEND: what a client wants to have said becomes a parcel, and a parcel goes its way.

A parcel is read and found in order before anything else happens, so that a transaction can keep it until its COMMIT. Nothing
here may reach the store, the relay or a receiver before the authoriser has said yes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from stompgate.broker import users
from stompgate.broker.acknowledgements import AckMode
from stompgate.broker.destinations import room_destination
from stompgate.chat.wire import read_incoming
from stompgate.model.causes import Cause, Refusal
from stompgate.model.destinations import Destination, Kind
from stompgate.model.messages import Draft
from stompgate.model.queues import QueueMessage
from stompgate.model.sessions import Identity
from stompgate.ports.store import Outcome, Rejected
from stompgate.stomp.frames import Frame, user_headers

from .subscriptions import Subscription

if TYPE_CHECKING:
    from .gate import Gate
    from .peer import Peer

_CLIENT_ID_CHARS: Final = 64

_HEADER_BYTES: Final = 128
"""About what a header that is kept takes beside its text."""

Waiting = Awaitable[None] | None

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ChatParcel:
    """A chat message for a room, checked but for its sender's right to send it."""

    destination: Destination
    sender: str
    content: str
    client_id: str | None

    @property
    def size_bytes(self) -> int:
        """At most, in UTF-8."""
        return len(self.content) * 4

    def admission(self, gate: Gate) -> Waiting:
        """What to wait for before it may go. Raises ``Refusal``."""
        receivers = room_destination(self.destination.room)
        return gate.authoriser.may_send(Identity(self.sender), self.destination) or gate.delivery.congestion_at(receivers)

    def draft(self, gate: Gate, transaction: str = "") -> Draft:
        """The message as the store takes it, with an id and a time of now."""
        room = self.destination.room
        version = gate.rooms.version_with(room, self.sender)
        now_us = gate.clock.utc_us()
        message_id = gate.ids.new(now_us)
        return Draft(message_id, room, self.sender, self.content, self.client_id, now_us, version, transaction)

    def go(self, peer: Peer, receipt_id: str | None) -> None:
        """Hand it to the store. The RECEIPT follows when it is there."""
        draft = self.draft(peer.gate)
        peer.in_flight += 1
        peer.gate.intake.submit(draft, lambda outcome: _answered(peer, receipt_id, objection(peer, draft, outcome)))


@dataclass(frozen=True, slots=True)
class BroadcastParcel:
    """A message for a destination that is not stored: for all who subscribed, for a user, or for the sender alone."""

    destination: Destination
    sender: Identity
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def size_bytes(self) -> int:
        """Of headers and body."""
        return _size_bytes(self.headers, self.body)

    def admission(self, gate: Gate) -> Waiting:
        """What to wait for before it may go. Raises ``Refusal``."""
        return gate.authoriser.may_send(self.sender, self.destination) or gate.delivery.congestion_at(self.destination.name)

    def go(self, peer: Peer, receipt_id: str | None) -> None:
        """Deliver it here and hand it to the relay. The RECEIPT means that it was accepted."""
        if self.destination.kind is Kind.OWN:
            message_id = peer.gate.new_id()
            for subscription in peer.subscriptions.named(self.destination.name):
                peer.gate.delivery.tell(subscription, message_id, self.headers, self.body)
        else:
            self.broadcast(peer.gate)
        peer.receipt(receipt_id)

    def broadcast(self, gate: Gate) -> None:
        """Deliver it here and hand it to the relay; one's own destinations are not meant."""
        gate.delivery.broadcast(self.destination.name, gate.new_id(), self.headers, self.body)


@dataclass(frozen=True, slots=True)
class QueueParcel:
    """A message for a queue."""

    destination: Destination
    sender: Identity
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def size_bytes(self) -> int:
        """Of headers and body."""
        return _size_bytes(self.headers, self.body)

    def admission(self, gate: Gate) -> Waiting:
        """What to wait for before it may go. Raises ``Refusal``."""
        return gate.authoriser.may_send(self.sender, self.destination)

    def message(self, gate: Gate) -> QueueMessage:
        """The message as it waits, with an id and a time of now."""
        now_us = gate.clock.utc_us()
        return QueueMessage(gate.ids.new(now_us), self.destination.name, self.headers, self.body, now_us)

    def go(self, peer: Peer, receipt_id: str | None) -> None:
        """Put it into its queue. The RECEIPT follows when it is there."""
        peer.in_flight += 1
        peer.gate.queues.send((self.message(peer.gate),), lambda refusal: _answered(peer, receipt_id, refusal))


Parcel = ChatParcel | BroadcastParcel | QueueParcel


def send(peer: Peer, frame: Frame) -> Waiting:
    """Let a SEND take effect, or keep it in its transaction."""
    receipt_id = frame.headers.get("receipt")
    transaction = frame.headers.get("transaction")
    if transaction is not None:
        with peer.transactions.named(transaction).failing() as held:
            held.hold(read_parcel(peer, frame))
        peer.receipt(receipt_id)
        return None
    parcel = read_parcel(peer, frame)
    waiting = admission(peer, parcel)
    if waiting is None:
        parcel.go(peer, receipt_id)
        return None
    return then(waiting, lambda: parcel.go(peer, receipt_id))


def admission(peer: Peer, parcel: Parcel) -> Waiting:
    """What to wait for before a peer's parcel may go. Raises ``Refusal``.

    Frames take effect in their order: to a subscription of the same connection that was asked for before, a message comes.
    """
    if isinstance(parcel, ChatParcel) and peer.subscriptions.unplaced:
        return _admission_after_subscribing(peer, parcel)
    return parcel.admission(peer.gate)


async def _admission_after_subscribing(peer: Peer, parcel: ChatParcel) -> None:
    while (waiting := peer.subscriptions.placed(parcel.destination.room)) is not None:
        await waiting
    if (waiting := parcel.admission(peer.gate)) is not None:
        await waiting


def read_parcel(peer: Peer, frame: Frame) -> Parcel:
    """Read what a SEND carries. Raises ``Refusal`` for what could never be sent."""
    destination = peer.gate.destination(frame.headers["destination"])
    if destination.kind is Kind.INTAKE:
        return read_chat(peer.gate, peer.identity, frame, destination)
    headers = _with_reply_destination(peer, user_headers(frame.headers))
    kind = QueueParcel if destination.kind is Kind.QUEUE else BroadcastParcel
    return kind(destination, peer.identity, headers, frame.body)


def read_chat(gate: Gate, identity: Identity, frame: Frame, destination: Destination) -> ChatParcel:
    """Read a SEND to a room. Raises ``Refusal`` for what could never be sent."""
    limit = gate.settings.content_chars
    incoming = read_incoming(frame.body)
    if len(incoming.content) > limit:
        raise Refusal(Cause.BODY_TOO_LONG, f'"content" may have {limit} characters at most.')
    if incoming.room is not None and incoming.room != destination.room:
        raise Refusal(Cause.BAD_BODY, '"roomUUID" must be the room of the destination.')
    user = identity.user
    if user is not None and incoming.sender not in (None, user):
        raise Refusal(Cause.WRONG_SENDER, '"sender" must be the user that this connection is.')
    sender = user or incoming.sender
    if not sender:
        raise Refusal(Cause.IDENTITY_REQUIRED, 'The body must have "sender", since this connection has no user.')
    return ChatParcel(destination, sender, incoming.content, _client_message_id(frame.headers))


def _size_bytes(headers: Sequence[tuple[str, str]], body: bytes) -> int:
    return len(body) + sum(len(name) + len(value) + _HEADER_BYTES for name, value in headers)


def _with_reply_destination(peer: Peer, headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Replace ``reply-to:/temp-queue/…`` by a destination that reaches this connection, under the subscription id of that name.

    Clients of RabbitMQ know it so. The same name means the same destination as long as the connection lives.
    """
    return tuple(
        (key, _reply_destination(peer, value))
        if key == "reply-to" and value.startswith(users.TEMPORARY_PREFIX)
        else (key, value)
        for key, value in headers
    )


def _reply_destination(peer: Peer, name: str) -> str:
    known = peer.subscriptions.get(name)
    if known is not None:
        return known.destination
    subscription = Subscription(peer, name, users.new_reply_destination(), AckMode.AUTO)
    peer.subscriptions.check_new(subscription)
    if not peer.is_gone:  # or nobody would ever end it
        peer.subscriptions.begin(subscription)
        peer.gate.router.add(subscription)
    return subscription.destination


def _client_message_id(headers: Mapping[str, str]) -> str | None:
    client_id = headers.get("client-message-id")
    if client_id is None:
        return None
    if 0 < len(client_id) <= _CLIENT_ID_CHARS and all("!" <= character <= "~" for character in client_id):
        return client_id
    raise Refusal(Cause.BAD_HEADER, f"client-message-id takes 1 to {_CLIENT_ID_CHARS} visible ASCII characters.")


def objection(peer: Peer, draft: Draft, outcome: Outcome) -> Refusal | None:
    """Why a message was not stored, which is logged; None if it was."""
    if not isinstance(outcome, Rejected):
        return None
    _log.info(
        "message not stored",
        cause=outcome.cause.code,
        detail=outcome.detail,
        room=draft.room,
        message=draft.id,
        connection=peer.id,
        user=draft.sender,
    )
    return Refusal(outcome.cause)


def _answered(peer: Peer, receipt_id: str | None, refusal: Refusal | None) -> None:
    if refusal is not None:
        peer.refuse(refusal, receipt_id)
    else:
        peer.receipt(receipt_id)
    peer.answered()


async def then(waiting: Awaitable[None], act: Callable[[], None]) -> None:
    """Act when the wait is over."""
    await waiting
    act()
