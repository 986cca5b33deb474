"""What a frame from a peer does: the way in, readable from top to bottom.

``handle`` lets a frame take effect at once and returns None, or returns an awaitable that the frames behind it must wait
for. It raises ``Refusal`` for what is not done, which ends the connection with an ERROR.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final

from stompgate.broker.acknowledgements import AckMode
from stompgate.broker.destinations import read_destination
from stompgate.chat.recovery import Begun
from stompgate.chat.wire import read_incoming
from stompgate.model.causes import Cause, Refusal
from stompgate.model.destinations import Destination, Kind
from stompgate.model.ids import new_session_id
from stompgate.model.messages import Draft
from stompgate.model.sessions import Identity, Session
from stompgate.ports.store import Outcome, Rejected
from stompgate.stomp import answers, heartbeats, states
from stompgate.stomp.frames import Command, Frame, user_headers
from stompgate.stomp.heartbeats import Agreement
from stompgate.stomp.states import State
from stompgate.stomp.versions import Version, choose

from .following import Following
from .subscriptions import Subscription, split_ack

if TYPE_CHECKING:
    from .peer import Peer

_CLIENT_ID_CHARS: Final = 64

Waiting = Awaitable[None] | None


def handle(peer: Peer, frame: Frame) -> Waiting:
    """Let a frame take effect. Frames of one peer are handled one after the other."""
    next_state = states.check(peer.state, peer.version, frame)
    if peer.state is State.CLOSING or (peer.is_gone and frame.command != Command.SEND):
        return None  # nobody is there for what it would do
    return _HANDLERS[frame.command](peer, frame) if next_state is not State.CLOSING else _disconnect(peer, frame)


# CONNECT, DISCONNECT


def _connect(peer: Peer, frame: Frame) -> Waiting:
    settings = peer.gate.settings
    version = choose(frame.headers.get("accept-version"))
    if version is None:
        raise Refusal(Cause.NO_COMMON_VERSION, "This server speaks STOMP 1.0, 1.1 and 1.2.")
    agreement = heartbeats.negotiate(heartbeats.parse(frame.headers.get("heart-beat")), settings.heart_beat)
    identity = peer.gate.authenticator.authenticate(frame.headers)
    if isinstance(identity, Identity):
        _connected(peer, version, identity, agreement)
        return None
    return _connect_later(peer, version, identity, agreement)


async def _connect_later(peer: Peer, version: Version, identity: Awaitable[Identity], agreement: Agreement) -> None:
    _connected(peer, version, await identity, agreement)


def _connected(peer: Peer, version: Version, identity: Identity, agreement: Agreement) -> None:
    gate, settings = peer.gate, peer.gate.settings
    if peer.is_gone or peer.state is State.CLOSING:
        return
    session_id = new_session_id()
    peer.connected(version, identity, agreement)
    if identity.user is not None:
        now_us = gate.clock.utc_us()
        peer.session = Session(
            session_id,
            identity.user,
            settings.server_id,
            settings.advertised_host,
            settings.advertised_port,
            now_us,
            now_us,
        )
        gate.sessions.opened(peer.session)
    named = {"session": session_id, "server": settings.product} if settings.names_server else {}
    peer.send(answers.connected(version, settings.heart_beat, named))


def _disconnect(peer: Peer, frame: Frame) -> Waiting:
    """The RECEIPT follows those of earlier SENDs; then the client closes, and if it does not, the server does."""
    waiting = peer.settled()
    if waiting is None:
        _disconnected(peer, frame)
        return None
    return _then(waiting, lambda: _disconnected(peer, frame))


def _disconnected(peer: Peer, frame: Frame) -> None:
    receipt_id = frame.headers.get("receipt")
    if peer.is_refused:
        return  # an earlier SEND was not done: the ERROR says so
    if receipt_id is None:
        peer.close(Cause.DISCONNECTED)
    elif peer.state is not State.CLOSING:
        peer.receipt(receipt_id)
        peer.close_later(Cause.DISCONNECTED)


# SEND


def _send(peer: Peer, frame: Frame) -> Waiting:
    if "transaction" in frame.headers:
        raise Refusal(Cause.NOT_SUPPORTED, "Transactions are not served.")
    destination = read_destination(frame.headers["destination"])
    if destination.kind is Kind.INTAKE:
        return _send_chat(peer, frame, destination)
    waiting = peer.gate.authoriser.may_send(peer.identity, destination)
    if waiting is None:
        waiting = peer.gate.delivery.congestion_at(destination.name)
    if waiting is None:
        _broadcast(peer, frame, destination)
        return None
    return _then(waiting, lambda: _broadcast(peer, frame, destination))


def _broadcast(peer: Peer, frame: Frame, destination: Destination) -> None:
    message_id = peer.gate.ids.new(peer.gate.clock.utc_us())
    peer.gate.delivery.broadcast(destination.name, message_id, user_headers(frame.headers), frame.body)
    peer.receipt(frame.headers.get("receipt"))


def _send_chat(peer: Peer, frame: Frame, destination: Destination) -> Waiting:
    limit = peer.gate.settings.content_chars
    incoming = read_incoming(frame.body)
    if len(incoming.content) > limit:
        raise Refusal(Cause.BODY_TOO_LONG, f'"content" may have {limit} characters at most.')
    if incoming.room is not None and incoming.room != destination.room:
        raise Refusal(Cause.BAD_BODY, '"roomUUID" must be the room of the destination.')
    if peer.identity.user is not None and incoming.sender not in (None, peer.identity.user):
        raise Refusal(Cause.WRONG_SENDER, '"sender" must be the user that this connection is.')
    sender = peer.identity.user or incoming.sender
    if not sender:
        raise Refusal(Cause.IDENTITY_REQUIRED, 'The body must have "sender", since this connection has no user.')
    client_id = _client_message_id(frame.headers)

    def submit() -> None:
        version = peer.gate.rooms.version_with(destination.room, sender)
        now_us = peer.gate.clock.utc_us()
        draft = Draft(peer.gate.ids.new(now_us), destination.room, sender, incoming.content, client_id, now_us, version)
        peer.in_flight += 1
        peer.gate.intake.submit(draft, lambda outcome: _stored(peer, frame, outcome))

    waiting = peer.gate.authoriser.may_send(Identity(sender), destination)
    if waiting is None:
        waiting = peer.gate.delivery.congestion_at(destination.name)
    if waiting is None:
        submit()
        return None
    return _then(waiting, submit)


def _stored(peer: Peer, frame: Frame, outcome: Outcome) -> None:
    receipt_id = frame.headers.get("receipt")
    if isinstance(outcome, Rejected):
        peer.refuse(Refusal(outcome.cause, detail=outcome.detail), receipt_id)
    else:
        peer.receipt(receipt_id)
    peer.answered()


def _client_message_id(headers: Mapping[str, str]) -> str | None:
    client_id = headers.get("client-message-id")
    if client_id is None:
        return None
    if 0 < len(client_id) <= _CLIENT_ID_CHARS and all("!" <= character <= "~" for character in client_id):
        return client_id
    raise Refusal(Cause.BAD_HEADER, f"client-message-id takes 1 to {_CLIENT_ID_CHARS} visible ASCII characters.")


# SUBSCRIBE, UNSUBSCRIBE


def _subscribe(peer: Peer, frame: Frame) -> Waiting:
    destination = read_destination(frame.headers["destination"])
    subscription_id = frame.headers.get("id")
    subscription = Subscription(peer, subscription_id, destination.name, AckMode(frame.headers.get("ack", "auto")))
    if peer.subscriptions is None:
        peer.subscriptions = {}
    if subscription.key in peer.subscriptions:
        raise Refusal(Cause.DUPLICATE_SUBSCRIPTION, "Each living subscription of a connection needs an id of its own.")
    if len(peer.subscriptions) >= peer.gate.settings.subscriptions:
        raise Refusal(Cause.TOO_MANY_SUBSCRIPTIONS, f"A connection may have {peer.gate.settings.subscriptions} subscriptions.")
    if destination.kind is Kind.ROOM:
        _follow(peer, frame, subscription, destination)
        return None
    waiting = peer.gate.authoriser.may_subscribe(peer.identity, destination)
    if waiting is None:
        _subscribed(peer, frame, subscription)
        return None
    return _then(waiting, lambda: _subscribed(peer, frame, subscription))


def _subscribed(peer: Peer, frame: Frame, subscription: Subscription) -> None:
    if peer.subscriptions is not None and not peer.is_gone and peer.state is State.CONNECTED:
        peer.subscriptions[subscription.key] = subscription
        peer.gate.router.add(subscription)
        peer.receipt(frame.headers.get("receipt"))


def _follow(peer: Peer, frame: Frame, subscription: Subscription, destination: Destination) -> None:
    """Register first; whether the user may, and what was missed, is read by a task that holds no other frame."""
    assert peer.subscriptions is not None
    receipt_id = frame.headers.get("receipt")

    def begun(how: Begun) -> None:
        recovered = {} if how.recovered is None else {"recovered": str(how.recovered).lower()}
        peer.receipt(receipt_id, {**recovered, "position": how.position})

    peer.subscriptions[subscription.key] = subscription
    subscription.following = Following(peer.gate, subscription, destination)
    subscription.following.begin(frame.headers.get("since"), receipt_id, begun)


def _unsubscribe(peer: Peer, frame: Frame) -> Waiting:
    key = frame.headers.get("id", frame.headers.get("destination", ""))
    subscription = peer.subscriptions.get(key) if peer.subscriptions else None
    if subscription is not None:
        peer.end_subscription(subscription)
    peer.receipt(frame.headers.get("receipt"))
    return None


# ACK, NACK


def _acknowledge(peer: Peer, frame: Frame) -> Waiting:
    """On topics nothing is delivered again, so that ACK and NACK both settle. After UNSUBSCRIBE there is nothing to settle."""
    if "transaction" in frame.headers:
        raise Refusal(Cause.NOT_SUPPORTED, "Transactions are not served.")
    message_id, subscription_id = _named(peer.version, frame.headers)
    subscriptions = peer.subscriptions or {}
    if subscription_id is None:
        waiting = (s for s in subscriptions.values() if s.unacknowledged is not None and message_id in s.unacknowledged)
        subscription = next(waiting, None)
    else:
        subscription = subscriptions.get(subscription_id)
    if subscription is not None:
        peer.unacknowledged -= subscription.settle(message_id)
    peer.receipt(frame.headers.get("receipt"))
    return None


def _named(version: Version, headers: Mapping[str, str]) -> tuple[str, str | None]:
    """The message id and the subscription id that an ACK or NACK names, in each version's way."""
    match version:
        case Version.V1_2:
            return split_ack(headers["id"])
        case Version.V1_1:
            return headers["message-id"], headers["subscription"]
        case Version.V1_0:
            return headers["message-id"], headers.get("subscription")


def _not_supported(peer: Peer, frame: Frame) -> Waiting:  # noqa: ARG001 (a handler)
    raise Refusal(Cause.NOT_SUPPORTED, "Transactions are not served.")


async def _then(waiting: Awaitable[None], act: Callable[[], None]) -> None:
    await waiting
    act()


_HANDLERS: Final[Mapping[str, Callable[[Peer, Frame], Waiting]]] = {
    Command.CONNECT: _connect,
    Command.STOMP: _connect,
    Command.SEND: _send,
    Command.SUBSCRIBE: _subscribe,
    Command.UNSUBSCRIBE: _unsubscribe,
    Command.ACK: _acknowledge,
    Command.NACK: _acknowledge,
    Command.BEGIN: _not_supported,
    Command.COMMIT: _not_supported,
    Command.ABORT: _not_supported,
}
