"""A tail: a peer that nobody speaks for. It has subscribed to a room, and what it is given goes to its link.

So it is bounded, counted and sent away as every other peer; only that it may follow any room, and is told of its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from stompgate.broker.acknowledgements import AckMode
from stompgate.broker.destinations import room_destination
from stompgate.chat.recovery import Begun
from stompgate.model.causes import Cause, Refusal
from stompgate.model.destinations import Destination, Kind
from stompgate.model.messages import Position
from stompgate.model.sessions import ANONYMOUS
from stompgate.stomp.heartbeats import Agreement
from stompgate.stomp.versions import Version

from .following import Following
from .gate import Gate
from .link import Link
from .peer import Peer
from .subscriptions import Subscription


class Tail:
    """One room's. Its link is closed with the cause when it ends; whoever holds the link says when that is ``lost``."""

    def __init__(self, gate: Gate, room: str, link: Link) -> None:
        self._loop = gate.loop
        self._began: asyncio.Future[int | None] = gate.loop.create_future()
        self._peer = Peer(gate, link)
        self._peer.connected(Version.V1_2, ANONYMOUS, Agreement(0.0, 0.0))
        destination = Destination(room_destination(room), Kind.ROOM, room)
        subscription = Subscription(self._peer, "tail", destination.name, AckMode.AUTO)
        self._peer.subscriptions.begin(subscription)
        subscription.following = _Ending(gate, subscription, destination, self._ended)
        subscription.following.begin(None, None, self._joined)

    async def began(self) -> int | None:
        """Wait until it has joined: everything above the returned number comes by the link. None: it has ended instead."""
        return await self._began

    def fail(self, cause: Cause) -> None:
        """End it."""
        self._peer.fail(Refusal(cause))

    def lost(self) -> None:
        """Nobody takes what it is given any more. Called once."""
        self._peer.lost(Cause.PEER_LEFT)

    def _joined(self, begun: Begun) -> None:
        position = Position.parse(begun.position)
        assert position is not None
        if not self._began.done():
            self._began.set_result(position.seq)

    def _ended(self) -> None:
        if not self._began.done():
            self._began.set_result(None)
        # Not now: if it ends by a refusal, that is about to name the cause.
        self._loop.call_soon(self._peer.close, Cause.NO_SUCH_ROOM)


class _Ending(Following):
    """Tells of its end. A client is not told when its subscription ends; a tail has nothing else to wait for."""

    __slots__ = ("_told",)

    def __init__(self, gate: Gate, subscription: Subscription, destination: Destination, told: Callable[[], None]) -> None:
        super().__init__(gate, subscription, destination)
        self._told = told

    def end(self) -> None:
        """Stop, and say so."""
        super().end()
        self._told()
