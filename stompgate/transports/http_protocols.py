"""The two protocols of HTTP connections: uvicorn's, one request at a time, with bounded heads, and telling of their loss."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from stompgate.model.causes import Cause, Refusal

from .handshake import refused

_HEAD_END: Final = b"\r\n\r\n"
_PIECE_BYTES: Final = 4096
_PIECES_PER_TURN: Final = 64

DEPARTURE: Final = "departure"
"""The key in a scope's ``state`` of its connection's ``Departure``."""


class Departure:
    """Tells the application that a connection is lost, without a task that waits for it. ``listener``: whom to tell."""

    __slots__ = ("listener",)

    def __init__(self) -> None:
        self.listener: Callable[[], None] | None = None

    def happened(self) -> None:
        """The connection is lost."""
        listener, self.listener = self.listener, None
        if listener is not None:
            listener()


class Http10(H11Protocol):
    """Uvicorn's protocol for HTTP/1.0, which has one request a connection, telling of its loss."""

    def data_received(self, data: bytes) -> None:
        """Bytes came in. What is behind the request is none, be it the empty line of an old client (RFC 9112 section 2.2)."""
        if self.cycle is None or self.cycle.more_body:
            super().data_received(data)

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP. Within a request that may be half answered already, that can only be told by the end."""
        if self.cycle is None:
            super().send_400_response(msg)
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        super().connection_lost(exc)
        self.app_state[DEPARTURE].happened()


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """How large the head of a request may be. Each of its ``headers`` takes a hundred bytes and more of memory."""

    size_bytes: int = 16 * 1024
    headers: int = 128


class _Flow(FlowControl):
    """Uvicorn's, but that what lies unread comes before what is still to be read. ``go_on`` takes it."""

    def __init__(self, transport: asyncio.Transport, go_on: Callable[[], None]) -> None:
        super().__init__(transport)
        self._go_on = go_on

    def resume_reading(self) -> None:
        """More may be taken."""
        if self.read_paused:
            asyncio.get_running_loop().call_soon(self._go_on)

    def read(self) -> None:
        """Read from the transport."""
        super().resume_reading()


class HeadLimited(HttpToolsProtocol):
    """Uvicorn's protocol, taking one request at a time, and no head that does not end. The first was measured at the door.

    Uvicorn by itself makes requests of all that a read brings before it answers the first: 13,000 of them from 256 KiB.
    """

    flow: _Flow
    _in_head = False
    _is_over = False
    _head_bytes = 0
    _body_bytes = 0  # that are still to come, of a body whose length is known
    _unread = b""  # from the third byte before ``_taken`` on, at the least: they may begin the end of a head
    _taken = 0
    limits = HeadLimits()
    door: Callable[[], asyncio.Protocol] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The connection is ours."""
        super().connection_made(transport)
        self.flow = _Flow(transport, self._go_on)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = self._body_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header of it. What is raised here ends the connection with 400."""
        if len(self.headers) >= self.limits.headers:
            raise ValueError("too many headers")
        if self._in_head and name.lower() == b"content-length":  # not in a trailer
            self._body_bytes = int(value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Its head is complete."""
        self._in_head = False
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of its body."""
        self._body_bytes -= len(body)
        super().on_body(body)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._end()
        super().connection_lost(exc)
        self.app_state[DEPARTURE].happened()

    def data_received(self, data: bytes) -> None:
        """Bytes came in."""
        if not self._is_over:
            self._keep(data)
            self._go_on()

    def handle_websocket_upgrade(self) -> None:
        """A later request asks for a WebSocket, as a proxy that keeps its connections may: it goes to the door like a first."""
        assert self.door is not None
        self.connections.discard(self)
        lines = [b"%s: %s" % header for header in self.scope["headers"]]
        head = b"\r\n".join([b"%s %s HTTP/1.1" % (self.scope["method"].encode(), self.url), *lines, b"", b""])
        behind = self._unread[self._taken :]
        self._end()
        self.flow.read()  # which it paused, if this came behind another request
        door = self.door()
        self.transport.set_protocol(door)
        door.connection_made(self.transport)
        at_door = cast(asyncio.Protocol, self.transport.get_protocol())  # the door's, or who took it from there
        at_door.data_received(head + behind)

    def _should_upgrade_to_ws(self) -> bool:
        return self.door is not None

    @property
    def _is_full(self) -> bool:
        """Whether the application has as much of a body before it as may wait."""
        cycle = self.cycle
        return cycle is not None and not cycle.response_complete and len(cycle.body) > HIGH_WATER_LIMIT

    @property
    def _may_take(self) -> bool:
        """Whether the request that came last is answered, or is still to come, and not too much of it is here."""
        cycle = self.cycle
        return cycle is None or cycle.response_complete or (cycle.more_body and not self._is_full)

    def _go_on(self) -> None:
        """Take what lies unread until it is others' turn, and read when nothing is left: only so is a loss noticed.

        Nothing is taken once the transport closes: TLS may have chosen by then whom it tells of the loss.
        """
        for _ in range(_PIECES_PER_TURN):
            if self._taken == len(self._unread) or not self._may_take or self.transport.is_closing():
                break
            self._take(self._next_piece())
        if self._is_over or self.transport.is_closing():
            return
        if self._taken < len(self._unread):
            self.flow.pause_reading()
            if self._may_take:
                self.flow.resume_reading()
        elif not self._is_full:
            self._keep(b"")
            self.flow.read()

    def _keep(self, more: bytes) -> None:
        self._unread = self._unread[max(0, self._taken - 3) :] + more
        self._taken = min(3, self._taken)

    def _next_piece(self) -> bytes:
        """Up to the end of a head or body, so that no request comes with the one before it; chunks end like a head."""
        start = self._taken
        if self._body_bytes > 0 and not self._in_head:
            self._taken = min(start + min(self._body_bytes, _PIECE_BYTES), len(self._unread))
            return self._unread[start : self._taken]
        end = self._unread.find(_HEAD_END, max(0, start - 3), start + _PIECE_BYTES)
        self._taken = min(start + _PIECE_BYTES, len(self._unread)) if end < 0 else end + len(_HEAD_END)
        return self._unread[start : self._taken]

    def _take(self, piece: bytes) -> None:
        went_on = self._in_head
        super().data_received(piece)
        if went_on and self._in_head:
            self._head_bytes += len(piece)
            if self._head_bytes > self.limits.size_bytes and not self.transport.is_closing():
                self._refuse()

    def _refuse(self) -> None:
        """Say so and end; what still comes has a place to go until the watch closes, or a reset would destroy the answer."""
        self._end()
        explanation = f"The head of a request may have {self.limits.size_bytes} bytes."
        self.transport.write(refused(Refusal(Cause.FRAME_TOO_LARGE, explanation)).serialize())
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()

    def _end(self) -> None:
        """Take nothing any more."""
        self._is_over = True
        self._unread, self._taken = b"", 0
