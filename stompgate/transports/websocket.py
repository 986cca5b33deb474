"""STOMP over WebSocket: one connection after its handshake (RFC 6455).

Frames come in through the sans-I/O protocol of the ``websockets`` library. Data frames go out as prebuilt bytes beside
it, which is sound as long as it is open, sends no fragments, and its own bytes (pong, close) go through the same outbox.
A WebSocket message is not put together here: the STOMP parser takes any cutting.
"""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from websockets.exceptions import PayloadTooBig
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol as FrameProtocol
from websockets.protocol import Side, State

from stompgate.gateway.link import Link
from stompgate.model.causes import Cause, Refusal
from stompgate.timing.wheel import Entry

from .outbox import Flusher, Outbox

_DATA: Final = frozenset({Opcode.TEXT, Opcode.BINARY, Opcode.CONT})
_ABNORMAL: Final = 1006  # says that no close frame came; it cannot be sent (RFC 6455 section 7.4.1)
_NORMAL: Final = 1000


class WebSocketFraming:
    """A frame as one unmasked WebSocket message: text where it is UTF-8, else binary (RFC 6455 section 5.2)."""

    __slots__ = ()

    def wrap(self, frame: bytes, *, is_text: bool) -> bytes:
        """Return the WebSocket message."""
        first = 0x81 if is_text else 0x82
        length = len(frame)
        if length < 126:
            return bytes((first, length)) + frame
        if length < 65536:
            return bytes((first, 126, length >> 8, length & 0xFF)) + frame
        return bytes((first, 127)) + length.to_bytes(8, "big") + frame


FRAMING: Final = WebSocketFraming()


class _Frames(FrameProtocol):
    """The library's protocol with what it leaves to its user: text is checked, and CLOSE may come between fragments."""

    _decoder: codecs.IncrementalDecoder | None = None

    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None  # RFC 6455 section 5.5.1: a close may come within a fragmented message
        elif frame.opcode is Opcode.TEXT:
            if frame.fin:
                str(frame.data, "utf-8")
            else:
                self._decoder = codecs.getincrementaldecoder("utf-8")()
                self._decoder.decode(frame.data)
        elif frame.opcode is Opcode.CONT and self._decoder is not None:
            self._decoder.decode(frame.data, frame.fin)
            if frame.fin:
                self._decoder = None
        super().recv_frame(frame)


@dataclass(frozen=True, slots=True)
class WebSocketLimits:
    """``frame_bytes``: of one WebSocket frame; ``stranger_frame_bytes``: until the peer has said who it is; ``close_s``: how
    long a peer may take to answer a close."""

    frame_bytes: int = 1024 * 1024
    stranger_frame_bytes: int = 64 * 1024
    close_s: float = 5.0


class Receiver(Protocol):
    """What a connection's bytes go to: ``gateway.peer.Peer``."""

    def receive_bytes(self, data: bytes) -> None:
        """Bytes of the stream, cut anywhere."""

    def fail(self, error: BaseException) -> None:
        """The stream is broken or not read: say so, and close."""

    def lost(self, cause: Cause) -> None:
        """The connection is gone. Called once, last."""


class WebSocketLink(asyncio.Protocol):
    """The gateway's ``Link`` for one WebSocket. ``attach`` makes the peer that takes what comes in."""

    transport: Final = "websocket"
    framing = FRAMING

    __slots__ = ("_closing", "_flusher", "_frames", "_is_lost", "_limits", "_peer", "_transport", "last_received_s", "outbox")

    def __init__(
        self, transport: asyncio.Transport, flusher: Flusher, limits: WebSocketLimits, attach: Callable[[Link], Receiver]
    ) -> None:
        self._transport = transport
        self._flusher = flusher
        self._limits = limits
        self._closing: Entry | None = None
        self._is_lost = False
        self._frames = _Frames(Side.SERVER, max_size=(None, limits.stranger_frame_bytes))
        self.outbox = Outbox(flusher, transport, self._too_slow)
        self.last_received_s = flusher.now_s()
        self._peer = attach(self)

    # asyncio's side

    def data_received(self, data: bytes) -> None:
        """Bytes came in."""
        self.last_received_s = self._flusher.now_s()
        frames = self._frames
        was_open = frames.state is State.OPEN
        frames.receive_data(data)
        for event in frames.events_received():
            if was_open and isinstance(event, Frame) and event.opcode in _DATA:
                self._peer.receive_bytes(bytes(event.data))
        if frames.state is not State.OPEN and was_open:
            self._ended_by_peer()
        elif frames.writes:
            self._send_own()

    def eof_received(self) -> None:
        """The peer sends no more; the transport closes itself."""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio's signature)
        """The socket is gone."""
        self._is_lost = True
        self.outbox.end()
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        self._peer.lost(Cause.PEER_LEFT)

    def pause_writing(self) -> None:
        """The socket takes no more for now."""
        self.outbox.block()

    def resume_writing(self) -> None:
        """The socket takes more again."""
        self.outbox.relieve()

    # The gateway's side

    def close(self, cause: Cause) -> None:
        """Send what was offered and a close frame; the peer has a while to answer it."""
        if self._closing is not None or self._is_lost:
            return
        self._closing = self._flusher.wheel.schedule(self._flusher.now_s() + self._limits.close_s, self._transport.abort)
        if self._frames.state is State.OPEN:
            code = _NORMAL if cause.close_code == _ABNORMAL else cause.close_code
            self._frames.send_close(code, cause.code)
        self._send_own()

    def admit(self) -> None:
        """Take larger WebSocket frames from now on."""
        self._frames.max_fragment_size = self._limits.frame_bytes

    def pause_reading(self) -> None:
        """Take no more bytes for now."""
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take bytes again."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def describe(self) -> str:
        """The remote address, for the log."""
        address = self._transport.get_extra_info("peername")
        return f"{address[0]}:{address[1]}" if address else "unknown"

    # Between the two

    def _ended_by_peer(self) -> None:
        """The peer sent a close frame, or something that is no WebSocket."""
        error = self._frames.parser_exc
        if isinstance(error, PayloadTooBig):
            self._peer.fail(Refusal(Cause.FRAME_TOO_LARGE, "A WebSocket frame is larger than this server takes."))
        elif isinstance(error, UnicodeDecodeError):
            self._peer.fail(Refusal(Cause.NOT_UTF8))
        elif error is not None:
            self._peer.fail(Refusal(Cause.BROKEN_WEBSOCKET, detail=str(error)))
        self.close(Cause.PEER_LEFT)

    def _send_own(self) -> None:
        """Send what the library has to say, in its order with what was offered before."""
        for data in self._frames.data_to_send():
            if data:
                self.outbox.offer(data)
            else:
                self.outbox.flush(self._flusher.now_s())
                self.outbox.end()
                self._end_stream()

    def _end_stream(self) -> None:
        """Close, but after a fault leave the peer's bytes a place to go: a reset would destroy what it has not read yet."""
        if self._frames.parser_exc is not None and self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def _too_slow(self) -> None:
        self._peer.fail(Refusal(Cause.SLOW_CONSUMER))
