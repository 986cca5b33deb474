"""What a frame from a peer does: the way in, readable from top to bottom.

``handle`` lets a frame take effect at once and returns None, or returns an awaitable that the frames behind it must wait
for. It raises ``Refusal`` for what is not done, which ends the connection with an ERROR.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final

import structlog

from stompgate.broker import users
from stompgate.broker.acknowledgements import AckMode
from stompgate.chat.recovery import Begun
from stompgate.model.causes import Cause, Refusal
from stompgate.model.destinations import Destination, Kind
from stompgate.model.sessions import Identity, Session
from stompgate.stomp import answers, heartbeats, states
from stompgate.stomp.frames import Command, Frame
from stompgate.stomp.heartbeats import Agreement
from stompgate.stomp.states import State
from stompgate.stomp.versions import Version, choose

from .acknowledging import acknowledge
from .consuming import Consuming
from .following import Following
from .sending import Waiting, send, then
from .subscriptions import Subscription
from .transactions import abort, begin, commit

if TYPE_CHECKING:
    from .peer import Peer

_log = structlog.get_logger(__name__)


def handle(peer: Peer, frame: Frame) -> Waiting:
    """Let a frame take effect. Frames of one peer are handled one after the other."""
    next_state = states.check(peer.state, peer.version, frame)
    if peer.state is State.CLOSING or (peer.is_gone and frame.command not in _FOR_OTHERS):
        return None  # nobody is there for what it would do
    return _HANDLERS[frame.command](peer, frame) if next_state is not State.CLOSING else _disconnect(peer, frame)


# CONNECT, DISCONNECT


def _connect(peer: Peer, frame: Frame) -> Waiting:
    settings = peer.gate.settings
    version = choose(frame.headers.get("accept-version"))
    if version is None:
        raise Refusal(Cause.NO_COMMON_VERSION, "This server speaks STOMP 1.0, 1.1 and 1.2.")
    agreement = heartbeats.negotiate(heartbeats.parse(frame.headers.get("heart-beat")), settings.heart_beat)
    peer.wants_soft_errors = frame.headers.get("errors") == "soft"
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
    peer.connected(version, identity, agreement)
    gate.counters.connecteds += 1
    if identity.user is not None:
        now_us = gate.clock.utc_us()
        peer.session = Session(
            peer.id,
            identity.user,
            settings.server_id,
            settings.advertised_host,
            settings.advertised_port,
            now_us,
            now_us,
        )
        gate.sessions.opened(peer.session)
        gate.counters.sessions_opened += 1
    named = {"session": peer.id, "server": settings.product} if settings.names_server else {}
    peer.send(answers.connected(version, settings.heart_beat, named))


def _disconnect(peer: Peer, frame: Frame) -> Waiting:
    """The RECEIPT follows all others; then the client closes, and if it does not, the server does."""
    waiting = peer.settled()
    if waiting is None:
        _disconnected(peer, frame)
        return None
    return then(waiting, lambda: _disconnected(peer, frame))


def _disconnected(peer: Peer, frame: Frame) -> None:
    receipt_id = frame.headers.get("receipt")
    if peer.is_refused:
        return  # an earlier SEND was not done: the ERROR says so
    peer.subscriptions.end_all()  # which answers a SUBSCRIBE that has not begun yet
    if receipt_id is None:
        peer.close(Cause.DISCONNECTED)
    elif peer.state is not State.CLOSING:
        peer.receipt(receipt_id)
        peer.close_later(Cause.DISCONNECTED)


# SUBSCRIBE, UNSUBSCRIBE


def _subscribe(peer: Peer, frame: Frame) -> Waiting:
    name = frame.headers["destination"]
    destination = peer.gate.destination(name)
    subscription_id = frame.headers.get("id")
    routed_by = users.of_user(peer.identity.user or "", destination.name) if destination.kind is Kind.OWN else destination.name
    mode = AckMode(frame.headers.get("ack", "auto"))
    subscription = Subscription(peer, subscription_id, name, mode, destination=routed_by)
    peer.subscriptions.check_new(subscription)
    if destination.kind is Kind.ROOM:
        _follow(peer, frame, subscription, destination)
        return None
    if destination.kind is Kind.QUEUE:
        subscription.consuming = Consuming(peer.gate, subscription, _prefetch(peer, frame))
    waiting = peer.gate.authoriser.may_subscribe(peer.identity, destination)
    if waiting is None:
        _subscribed(peer, frame, subscription)
        return None
    return then(waiting, lambda: _subscribed(peer, frame, subscription))


def _prefetch(peer: Peer, frame: Frame) -> int:
    """How many unacknowledged messages of a queue a consumer wants at a time."""
    limit = peer.gate.settings.prefetch
    wanted = frame.headers.get("prefetch-count", str(limit))
    if not (wanted.isascii() and wanted.isdigit() and len(wanted) < 10):
        raise Refusal(Cause.BAD_HEADER, "prefetch-count is a number; 0 leaves it to the server.")
    return min(int(wanted) or limit, limit)


def _subscribed(peer: Peer, frame: Frame, subscription: Subscription) -> None:
    if not peer.is_gone and peer.state is State.CONNECTED:
        peer.subscriptions.begin(subscription)
        if subscription.consuming is None:
            peer.gate.router.add(subscription)
        else:
            subscription.consuming.begin()
        peer.receipt(frame.headers.get("receipt"))


def _follow(peer: Peer, frame: Frame, subscription: Subscription, destination: Destination) -> None:
    """Register first; whether the user may, and what was missed, is read by a task that holds no other frame."""
    receipt_id = frame.headers.get("receipt")

    def begun(how: Begun) -> None:
        if how.recovered is False:
            user = peer.identity.user
            _log.info("not recovered", room=destination.room, position=how.position, connection=peer.id, user=user)
        recovered = {} if how.recovered is None else {"recovered": str(how.recovered).lower()}
        peer.receipt(receipt_id, {**recovered, "position": how.position})

    peer.subscriptions.begin(subscription)
    subscription.following = Following(peer.gate, subscription, destination)
    subscription.following.begin(frame.headers.get("since"), receipt_id, begun)


def _unsubscribe(peer: Peer, frame: Frame) -> Waiting:
    """By its id, or in 1.0 by its destination, whether it has an id or not."""
    headers = frame.headers
    named = [peer.subscriptions.get(headers["id"])] if "id" in headers else peer.subscriptions.named(headers["destination"])
    for subscription in named:
        if subscription is not None:
            peer.subscriptions.end(subscription)
    peer.receipt(headers.get("receipt"))
    return None


_FOR_OTHERS: Final = frozenset({Command.SEND, Command.BEGIN, Command.COMMIT, Command.ABORT})
"""What takes effect although the peer has left meanwhile (STOMP 1.2, DISCONNECT)."""

_HANDLERS: Final[Mapping[str, Callable[[Peer, Frame], Waiting]]] = {
    Command.CONNECT: _connect,
    Command.STOMP: _connect,
    Command.SEND: send,
    Command.SUBSCRIBE: _subscribe,
    Command.UNSUBSCRIBE: _unsubscribe,
    Command.ACK: acknowledge,
    Command.NACK: acknowledge,
    Command.BEGIN: begin,
    Command.COMMIT: commit,
    Command.ABORT: abort,
}
