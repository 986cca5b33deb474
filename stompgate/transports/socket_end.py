"""Our end of a connection's socket, whatever is spoken over it: how it is called, and how it is closed.

Closing a socket on which something lies unread makes the system send a reset, and that destroys at the peer what it has
not read yet, above all the ERROR that says why. So a close here leaves what still comes a place to go, for a bounded time.
"""

from __future__ import annotations

import asyncio

from stompgate.timing.wheel import Entry

from .outbox import Flusher, Outbox


class SocketEnd:
    """Held by the link of a connection. ``address``: how it is called, if not by the socket's other end."""

    __slots__ = ("_abort", "_address", "_flusher", "_is_lost", "_transport")

    def __init__(self, transport: asyncio.Transport, flusher: Flusher, address: str = "") -> None:
        self._transport = transport
        self._address = address
        self._flusher = flusher
        self._abort: Entry | None = None
        self._is_lost = False

    @property
    def is_open(self) -> bool:
        """Whether bytes may still come."""
        return not (self._is_lost or self._transport.is_closing())

    @property
    def is_closing(self) -> bool:
        """Whether a close has begun."""
        return self._abort is not None

    @property
    def can_half_close(self) -> bool:
        """Whether one direction can end without the other, which TLS does not let it."""
        return self._transport.can_write_eof()

    def begin_close(self, within_s: float) -> bool:
        """Cut the connection if it is not closed in time. Returns whether this is the beginning: it begins once, if at all."""
        if self._abort is not None or self._is_lost:
            return False
        self._abort = self._flusher.wheel.schedule(self._flusher.now_s() + within_s, self._transport.abort)
        return True

    def end_stream(self, outbox: Outbox, *, lingers: bool) -> None:
        """Send what was offered and nothing after it. ``lingers``: the peer may go on sending; its end closes the socket."""
        outbox.flush(self._flusher.now_s())
        outbox.end()
        if lingers and self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def lost(self) -> None:
        """The socket is gone."""
        self._is_lost = True
        if self._abort is not None:
            self._abort.cancel()

    def pause_reading(self) -> None:
        """Take no more bytes for now."""
        if self.is_open:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take bytes again."""
        if self.is_open:
            self._transport.resume_reading()

    def describe(self) -> str:
        """The remote address, for the log."""
        if self._address:
            return self._address
        address = self._transport.get_extra_info("peername")
        return f"{address[0]}:{address[1]}" if address else "unknown"
