"""The door of the port that takes everything but STOMP over TCP, and who is at it.

A doorkeeper reads the head of each connection's first request. A WebSocket upgrade goes to our protocol class, with the
very bytes that came; anything else goes to uvicorn's HTTP protocol classes with the application. Nothing waits here
without a time limit, and a head that does not end is cut off.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, Protocol, cast

from stompgate.access.addresses import Networks, forwarded_for
from stompgate.gateway.link import Link
from stompgate.model.causes import Cause, Refusal
from stompgate.timing.wheel import Entry

from .handshake import Doorman, Handshake, refused
from .http_protocols import HeadLimits
from .http_side import HttpSide
from .outbox import Flusher
from .refusing import LINGERING, in_stomp, turn_away
from .websocket import Receiver, WebSocketLimits, WebSocketLink

_HEAD_END: Final = b"\r\n\r\n"
_STOMP: Final = re.compile(rb"\s*(?:CONNECT|STOMP)\r?\n")
"""The beginning of STOMP. A request of HTTP has more than one word in its first line."""


@dataclass(frozen=True, slots=True)
class ListenLimits:
    """What a connection may do before it has said what it is, and how many there may be.

    ``silence_s``: after so long without a sign of the peer's system the connection is lost.
    """

    head_s: float = 10.0
    head: HeadLimits = field(default_factory=HeadLimits)
    connections: int = 10_000
    backlog: int = 1024
    silence_s: int = 120


class Gateway(Protocol):
    """Who takes WebSockets in."""

    def attach(self, link: Link) -> Receiver:
        """Make the receiver for a new connection."""

    @property
    def connected(self) -> int:
        """How many connections there are now."""


class AtDoor(Protocol):
    """A connection that has not said yet what it is."""

    def dismiss(self) -> None:
        """Wait no longer."""


@dataclass(slots=True, kw_only=True)
class House:
    """What every doorkeeper needs: where connections go from here, who waits ``at_door``, how many were ``refused`` there.

    ``is_closing``: who is inside stays, but nobody is let in any more. ``proxies``: whose word is taken for whose a
    WebSocket is.
    """

    doorman: Doorman
    http: HttpSide
    gateway: Gateway
    flusher: Flusher
    limits: ListenLimits
    websocket_limits: WebSocketLimits
    proxies: Networks = ()
    at_door: set[AtDoor] = field(default_factory=set)
    lingering: int = 0
    refused: Counter[Cause] = field(default_factory=Counter)
    is_closing: bool = False

    @property
    def waiting(self) -> int:
        """How many connections have not said yet what they are."""
        return len(self.at_door)

    @property
    def is_full(self) -> bool:
        """Whether one connection more would be too many."""
        return self._beyond_limit >= 0

    @property
    def may_tell_one_more(self) -> bool:
        """Whether one connection more may come in, be it to hear that it is too many."""
        return max(0, self._beyond_limit) + self.lingering < LINGERING

    @property
    def _beyond_limit(self) -> int:
        return self.waiting + self.http.connected + self.gateway.connected - self.limits.connections

    @property
    def obstacle(self) -> Cause | None:
        """Why nobody may come in; None if they may."""
        return Cause.SERVER_STOPPING if self.is_closing else Cause.TOO_MANY_CONNECTIONS if self.is_full else None

    def objection(self) -> Cause | None:
        """The same for those who need no connection of their own, and counted as refused."""
        cause = self.obstacle
        if cause is not None:
            self.refused[cause] += 1
        return cause

    def close(self) -> None:
        """Let nobody in any more, nor let anyone wait for that."""
        self.is_closing = True
        for waiting in list(self.at_door):
            waiting.dismiss()


class Doorkeeper(asyncio.Protocol):
    """One connection until it is known what it is."""

    __slots__ = ("_head", "_house", "_late", "_transport")

    def __init__(self, house: House) -> None:
        self._house = house
        self._head = b""
        self._late: Entry | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A connection was accepted."""
        house = self._house
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own, which is no subclass of it
        if (obstacle := house.obstacle) is not None:
            self._refuse(Refusal(obstacle))
            return
        house.at_door.add(self)
        at_s = house.flusher.now_s() + house.limits.head_s
        self._late = house.flusher.wheel.schedule(at_s, self._is_late)

    def data_received(self, data: bytes) -> None:
        """A piece of the head came."""
        searched = max(0, len(self._head) - len(_HEAD_END))
        self._head += data
        end = self._head.find(_HEAD_END, searched)
        limit = self._house.limits.head.size_bytes
        if _STOMP.match(self._head):
            refusal = Refusal(Cause.WRONG_PORT, "This port takes WebSockets and HTTP; STOMP over TCP has a port of its own.")
            self._end(in_stomp(refusal), refusal.cause)
        elif end > limit or (end < 0 and len(self._head) > limit):
            self._refuse(Refusal(Cause.FRAME_TOO_LARGE, f"The head of a request may have {limit} bytes."))
        elif end >= 0:
            self._hand_over(end + len(_HEAD_END))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio's signature)
        """It left before it said what it is."""
        self._stop_waiting()

    def dismiss(self) -> None:
        """Wait no longer. Who has not begun to ask gets no answer: whoever keeps spare connections could not tell to what."""
        if self._head:
            self._refuse(Refusal(Cause.SERVER_STOPPING))
        else:
            self._stop_waiting()
            assert self._transport is not None
            self._transport.close()

    def _hand_over(self, head_bytes: int) -> None:
        house, transport, received = self._house, self._transport, self._head
        assert transport is not None
        self._stop_waiting()
        head = received[:head_bytes]
        if not asks_for_websocket(head):
            most = house.limits.head.headers
            if head.count(b"\r\n") > most + 2:  # the request's own line, and the empty one
                self._refuse(Refusal(Cause.FRAME_TOO_LARGE, f"The head of a request may have {most} headers."))
                return
            protocol = house.http.protocol_for(head)
            transport.set_protocol(protocol)
            protocol.connection_made(transport)
            protocol.data_received(received)
            return
        handshake = house.doorman.answer(head)
        if handshake.refused is not None:
            self._end(handshake.answer, handshake.refused)
            return
        transport.write(handshake.answer)
        attach = handshake.attach or house.gateway.attach
        link = WebSocketLink(
            transport, house.flusher, house.websocket_limits, attach, handshake.inflater, address=self._client_of(handshake)
        )
        transport.set_protocol(link)
        if len(received) > head_bytes:
            link.data_received(received[head_bytes:])

    def _client_of(self, handshake: Handshake) -> str:
        """Whose the WebSocket is, where a proxy of ours says so."""
        assert self._transport is not None
        peer = self._transport.get_extra_info("peername")
        if not (self._house.proxies and handshake.forwarded and peer):
            return ""
        return str(forwarded_for(handshake.forwarded, peer[0], self._house.proxies))

    def _is_late(self) -> None:
        self._refuse(Refusal(Cause.HEAD_LATE))

    def _refuse(self, refusal: Refusal) -> None:
        self._end(refused(refusal).serialize(), refusal.cause)

    def _end(self, answer: bytes, cause: Cause) -> None:
        self._stop_waiting()
        assert self._transport is not None
        turn_away(self._house, self._transport, answer, cause)

    def _stop_waiting(self) -> None:
        self._head = b""
        if self._late is not None:
            self._late.cancel()
            self._late = None
            self._house.at_door.remove(self)


def asks_for_websocket(head: bytes) -> bool:
    """Whether the head of a request has an Upgrade to WebSocket, in whatever header lines (RFC 9110 section 7.8)."""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"upgrade" and b"websocket" in value.lower():
            return True
    return False
