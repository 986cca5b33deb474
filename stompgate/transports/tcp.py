"""STOMP over plain TCP, or TLS: frames as they are, on a port of their own.

A peer is taken in as soon as it is there. It has the time-outs and limits of every peer; nothing is done here but to carry
bytes, to close without a reset, and to answer HTTP, which comes here by mistake, in its own language.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Final, cast

from stompgate.gateway.link import Link
from stompgate.model.causes import Cause, Refusal

from .door import House
from .handshake import refused
from .outbox import Flusher, Outbox
from .refusing import in_stomp, turn_away
from .socket_end import SocketEnd
from .websocket import Receiver

_HTTP: Final = re.compile(rb"[A-Z]+ \S+ HTTP/1\.[01]\r?\n")
"""The first line of a request (RFC 9112 section 3). No command of STOMP has a space."""


_FULL_READ_BYTES: Final = 128 * 1024
"""uvloop reads again at once, up to 32 times, while each read fills its 250 KB: 8 MiB before others have their turn."""


class TcpFraming:
    """A frame as it is."""

    __slots__ = ()

    def wrap(self, frame: bytes, *, is_text: bool) -> bytes:  # noqa: ARG002 (here it makes no difference)
        """Return the frame."""
        return frame


FRAMING: Final = TcpFraming()


class TcpLink(asyncio.Protocol):
    """The gateway's ``Link`` for one TCP connection. ``attach`` makes the peer that takes what comes in.

    ``close_s``: how long a peer may take to read what is left and close, once the server has ended its stream.
    """

    transport: Final = "tcp"
    framing = FRAMING
    close_code: Final = None

    __slots__ = ("_close_s", "_end", "_flusher", "_has_begun", "_is_paused", "_peer", "last_received_s", "outbox")

    def __init__(
        self, transport: asyncio.Transport, flusher: Flusher, close_s: float, attach: Callable[[Link], Receiver]
    ) -> None:
        self._end = SocketEnd(transport, flusher)
        self._flusher = flusher
        self._close_s = close_s
        self._has_begun = False
        self._is_paused = False  # by the peer
        self.outbox = Outbox(flusher, transport, self._too_slow)
        self.last_received_s = flusher.now_s()
        self._peer = attach(self)

    # asyncio's side

    def data_received(self, data: bytes) -> None:
        """Bytes came in."""
        self.last_received_s = self._flusher.now_s()
        if not self._has_begun:
            self._has_begun = True
            if _HTTP.match(data):
                self._refuse_http()
                return
        self._peer.receive_bytes(data)
        if len(data) >= _FULL_READ_BYTES and not self._is_paused:
            self._end.pause_reading()
            asyncio.get_running_loop().call_soon(self._read_or_not)

    def eof_received(self) -> bool:
        """The peer sends no more. It stays while answers are on their way, which over TLS it cannot."""
        self.outbox.flush(self._flusher.now_s())
        return not self._end.is_closing and self._end.can_half_close and self._peer.ended()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio's signature)
        """The socket is gone."""
        self._end.lost()
        self.outbox.end()
        self._peer.lost(Cause.PEER_LEFT)

    def pause_writing(self) -> None:
        """The socket takes no more for now."""
        self.outbox.block()

    def resume_writing(self) -> None:
        """The socket takes more again."""
        self.outbox.relieve()

    # The gateway's side

    def close(self, cause: Cause) -> None:  # noqa: ARG002 (an ERROR has said it, where there is something to say)
        """Send what was offered and end the stream; the peer has a while to read that and close."""
        if self._end.begin_close(self._close_s):
            self._end.end_stream(self.outbox, lingers=True)

    def admit(self) -> None:
        """The size of a piece means nothing here."""

    def pause_reading(self) -> None:
        """Take no more bytes for now."""
        self._is_paused = True
        self._read_or_not()

    def resume_reading(self) -> None:
        """Take bytes again."""
        self._is_paused = False
        self._read_or_not()

    def describe(self) -> str:
        """The remote address, for the log."""
        return self._end.describe()

    # Between the two

    def _read_or_not(self) -> None:
        if self._is_paused:
            self._end.pause_reading()
        else:
            self._end.resume_reading()

    def _refuse_http(self) -> None:
        refusal = Refusal(Cause.WRONG_PORT, "This port takes STOMP over TCP; HTTP and WebSockets have a port of their own.")
        self.outbox.offer_other(refused(refusal).serialize())
        self._peer.close(Cause.WRONG_PORT)

    def _too_slow(self) -> None:
        self._peer.fail(Refusal(Cause.SLOW_CONSUMER))


class TcpDoor(asyncio.Protocol):
    """Takes a connection in, or tells it why not."""

    __slots__ = ("_close_s", "_house")

    def __init__(self, house: House, close_s: float) -> None:
        self._house = house
        self._close_s = close_s

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A connection was accepted."""
        house = self._house
        stream = cast(asyncio.Transport, transport)  # uvloop's own, which is no subclass of it
        if (cause := house.obstacle) is not None:
            turn_away(house, stream, in_stomp(Refusal(cause)), cause)
        else:
            stream.set_protocol(TcpLink(stream, house.flusher, self._close_s, house.gateway.attach))
