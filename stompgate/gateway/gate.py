"""The gate: everything a peer's frames may need, in one place, and the peers themselves."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from stompgate.broker.destinations import read_bare, read_destination
from stompgate.broker.router import Router
from stompgate.broker.transactions import TransactionLimits
from stompgate.chat.feeds import Feeds
from stompgate.chat.intake import Intake
from stompgate.chat.recovery import Recovery
from stompgate.chat.rooms import Rooms
from stompgate.model.causes import Cause
from stompgate.model.destinations import Destination
from stompgate.model.ids import MessageIds
from stompgate.ports.auth import Authenticator, Authoriser
from stompgate.ports.clock import Clock
from stompgate.ports.sessions import Sessions
from stompgate.stomp.heartbeats import HeartBeat
from stompgate.stomp.parser import Limits
from stompgate.timing.wheel import TimerWheel

from .delivery import Delivery
from .link import Link
from .peer import Peer
from .queueing import QueueDesk
from .subscriptions import Subscription


@dataclass(frozen=True, slots=True)
class GateSettings:
    """What the settings say about peers."""

    server_id: str
    advertised_host: str
    advertised_port: int
    product: str
    frame_limits: Limits
    stranger_limits: Limits
    heart_beat: HeartBeat
    heart_beat_grace_factor: float
    heart_beat_grace_floor_s: float
    names_server: bool
    first_frame_s: float
    sends_in_flight: int
    unread_bytes: int
    frames_per_turn: int
    subscriptions: int
    unacknowledged: int
    transactions: TransactionLimits
    bare_names_are_queues: bool
    prefetch: int
    content_chars: int
    closing_grace_s: float


@dataclass(slots=True)
class GateCounters:
    """Plain counts since the start, read by whoever shows them: connections ``opened`` and ``gone`` by transport, ``frames`` by
    command, ``connecteds`` sent, sessions opened and gone."""

    opened: Counter[str] = field(default_factory=Counter)
    gone: Counter[str] = field(default_factory=Counter)
    frames: Counter[str] = field(default_factory=Counter)
    connecteds: int = 0
    sessions_opened: int = 0
    sessions_gone: int = 0


@dataclass(slots=True, kw_only=True)
class Gate:
    """The collaborators of every peer, and the peers that are connected now."""

    settings: GateSettings
    clock: Clock
    wheel: TimerWheel
    loop: asyncio.AbstractEventLoop
    authenticator: Authenticator
    authoriser: Authoriser
    rooms: Rooms
    intake: Intake
    feeds: Feeds
    recovery: Recovery
    sessions: Sessions
    router: Router[Subscription]
    delivery: Delivery
    queues: QueueDesk
    closed_log: Callable[[Peer, Cause], None]

    peers: set[Peer] = field(init=False, default_factory=set)
    counters: GateCounters = field(init=False, default_factory=GateCounters)
    ids: MessageIds = field(init=False, default_factory=MessageIds)
    closes: Counter[Cause] = field(init=False, default_factory=Counter)
    empty: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _closing: Cause | None = field(init=False, default=None)

    def attach(self, link: Link) -> Peer:
        """Make the peer for a new connection."""
        return Peer(self, link)

    def new_id(self) -> str:
        """A message id of now."""
        return self.ids.new(self.clock.utc_us())

    def destination(self, text: str) -> Destination:
        """Read a ``destination`` header. Raises ``Refusal`` (BAD_DESTINATION)."""
        return read_bare(text) if self.settings.bare_names_are_queues else read_destination(text)

    @property
    def connected(self) -> int:
        """How many connections there are now."""
        return len(self.peers)

    def joined(self, peer: Peer) -> None:
        """A connection has come. Whoever comes when all are closed is closed too, as soon as it is made."""
        self.peers.add(peer)
        self.counters.opened[peer.link.transport] += 1
        if self._closing is not None:
            self.loop.call_soon(peer.close, self._closing)

    def left(self, peer: Peer, cause: Cause) -> None:
        """A connection is gone."""
        self.peers.discard(peer)
        self.counters.gone[peer.link.transport] += 1
        self.closes[cause] += 1
        self.closed_log(peer, cause)
        if not self.peers:
            self.empty.set()

    def close_all(self, cause: Cause) -> None:
        """Close every connection, and every one that still comes; ``empty`` is set when the last has gone."""
        self._closing = cause
        if self.peers:
            self.empty.clear()
        else:
            self.empty.set()
        for peer in list(self.peers):
            peer.close(cause)
