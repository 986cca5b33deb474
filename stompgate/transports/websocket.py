"""STOMP over WebSocket: one connection after its handshake (RFC 6455).

Frames come in through the sans-I/O protocol of the ``websockets`` library. Data frames go out as prebuilt bytes beside
it, which is sound as long as it is open, sends no fragments, and its close goes through the same outbox.
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

from stompgate.gateway.link import Framing, Link
from stompgate.model.causes import Cause, Refusal

from .deflate import CompressedTooEarly, Inflater, InflatesTooMuch
from .framing import FRAMING
from .outbox import Flusher, Outbox
from .socket_end import SocketEnd

_DATA: Final = frozenset({Opcode.TEXT, Opcode.BINARY, Opcode.CONT})
_ABNORMAL: Final = 1006  # says that no close frame came; it cannot be sent (RFC 6455 section 7.4.1)
_NORMAL: Final = 1000
_PONG: Final = 0x8A
_NOTHING: Final = memoryview(b"")
_PIECE_BYTES: Final = 4096
"""What is parsed in one go: 680 WebSocket frames at most, which is 3 ms. A read brings up to 256 KiB."""


class _Frames(FrameProtocol):
    """The library's protocol with what it leaves to its user: text is checked, and CLOSE may come between fragments.

    A PING is an event only: its PONG takes its place among the answers to what came before it.
    """

    _decoder: codecs.IncrementalDecoder | None = None

    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.PING:
            self.events.append(frame)
            return
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
    long a peer may take to answer a close; ``frames_per_turn``: WebSocket frames taken before others have their turn."""

    frame_bytes: int = 1024 * 1024
    stranger_frame_bytes: int = 64 * 1024
    close_s: float = 5.0
    frames_per_turn: int = 64


class Receiver(Protocol):
    """What a connection's bytes go to: ``gateway.peer.Peer``."""

    def receive_bytes(self, data: bytes) -> None:
        """Bytes of the stream, cut anywhere."""

    def fail(self, error: BaseException) -> None:
        """The stream is broken or not read: say so, and close."""

    def close(self, cause: Cause) -> None:
        """Close without a word."""

    def ended(self) -> bool:
        """The peer sends no more. Returns whether it is still owed answers: then it is closed after them, else now."""

    def lost(self, cause: Cause) -> None:
        """The connection is gone. Called once, last."""


class MessageReceiver(Receiver, Protocol):
    """A receiver for which the cutting into WebSocket messages means something. STOMP's has no ``message_ended``."""

    def message_ended(self, *, is_text: bool) -> None:
        """What came by ``receive_bytes`` since the last end was one WebSocket message."""


class WebSocketLink(asyncio.Protocol):
    """The gateway's ``Link`` for one WebSocket. ``attach`` makes the peer that takes what comes in; ``address`` is whose it is,
    if the socket's other end is not it."""

    transport: Final = "websocket"
    __slots__ = (
        "_end",
        "_flusher",
        "_frames",
        "_inflater",
        "_is_paused",
        "_is_text",
        "_limits",
        "_message_ended",
        "_peer",
        "_turn",
        "_unread",
        "framing",
        "last_received_s",
        "outbox",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        flusher: Flusher,
        limits: WebSocketLimits,
        attach: Callable[[Link], Receiver],
        inflater: Inflater | None = None,
        *,
        address: str = "",
    ) -> None:
        self._flusher = flusher
        self._limits = limits
        self._inflater = inflater
        self._end = SocketEnd(transport, flusher, address)
        self._is_paused = False  # by the peer
        self._is_text = False
        self._unread = _NOTHING  # while there is any, the transport is not read
        self._turn: asyncio.Handle | None = None
        self._frames = _Frames(Side.SERVER, max_size=(None, limits.stranger_frame_bytes))
        if inflater is not None:
            self._frames.extensions = [inflater]
        self.framing: Framing = FRAMING  # also with compression, until the peer has said who it is
        self.outbox = Outbox(flusher, transport, self._too_slow)
        self.last_received_s = flusher.now_s()
        self._peer = attach(self)
        self._message_ended: Callable[..., None] | None = getattr(self._peer, "message_ended", None)

    # asyncio's side

    def data_received(self, data: bytes) -> None:
        """Bytes came in."""
        self.last_received_s = self._flusher.now_s()
        if len(data) <= _PIECE_BYTES and not self._unread:
            self._receive(data)
            return
        # TLS may hand over more although reading is paused.
        self._unread = memoryview(bytes(self._unread) + data if self._unread else data)
        if self._turn is None and not self._is_paused:
            self._go_on()

    def eof_received(self) -> bool:
        """The peer sends no more. It stays while answers are on their way, which over TLS it cannot."""
        while self._unread:  # TLS tells the end although reading is paused, and nothing is taken after it
            self._receive(self._next_piece())
        self.outbox.flush(self._flusher.now_s())
        return not self._end.is_closing and self._end.can_half_close and self._peer.ended()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio's signature)
        """The socket is gone."""
        self._end.lost()
        self._unread = _NOTHING
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        self.outbox.end()
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
        if not self._end.begin_close(self._limits.close_s):
            return
        if self._frames.state is State.OPEN:
            code = _NORMAL if cause.close_code == _ABNORMAL else cause.close_code
            self._frames.send_close(code, cause.code)
        self._send_own()

    def admit(self) -> None:
        """Take larger WebSocket frames from now on, and compress where that was agreed."""
        self._frames.max_fragment_size = self._limits.frame_bytes
        if self._inflater is not None:
            self._inflater.admit()
            self.framing = self._inflater.framing

    @property
    def close_code(self) -> int | None:
        """The code with which the peer closed, None if it did not close first."""
        closed = self._frames.close_rcvd
        return closed.code if closed is not None and self._frames.close_rcvd_then_sent else None

    def pause_reading(self) -> None:
        """Take no more bytes for now."""
        self._is_paused = True
        self._read_or_not()

    def resume_reading(self) -> None:
        """Take bytes again, first those that are here."""
        self._is_paused = False
        self._read_or_not()

    def describe(self) -> str:
        """The remote address, for the log."""
        return self._end.describe()

    # Between the two

    def _receive(self, data: bytes | memoryview) -> int:
        """Take bytes; return how many WebSocket frames they completed."""
        frames, ended = self._frames, self._message_ended
        was_open = frames.state is State.OPEN
        frames.receive_data(data)  # type: ignore[arg-type]  # a bytearray takes them, and views too
        events = frames.events_received()
        for event in events:
            assert isinstance(event, Frame)
            if event.opcode in _DATA:
                if was_open:
                    self._peer.receive_bytes(bytes(event.data))
                    if ended is not None:
                        self._is_text = event.opcode is Opcode.TEXT or (event.opcode is Opcode.CONT and self._is_text)
                        if event.fin:
                            ended(is_text=self._is_text)
            elif event.opcode is Opcode.PING:
                self.outbox.offer_other(bytes((_PONG, len(event.data))) + event.data)
        if frames.state is not State.OPEN and was_open:
            self._ended_by_peer()
        elif frames.writes:
            self._send_own()
        return len(events)

    def _go_on(self) -> None:
        """Take what lies unread until it is others' turn: a read full of tiny frames would hold them up for 0.2 s."""
        self._turn = None
        left = self._limits.frames_per_turn
        while self._unread and left > 0 and not self._is_paused:
            left -= self._receive(self._next_piece())
        self._read_or_not()

    def _next_piece(self) -> memoryview:
        piece = self._unread[:_PIECE_BYTES]
        self._unread = self._unread[_PIECE_BYTES:] or _NOTHING  # an empty view keeps the whole read in memory
        return piece

    def _read_or_not(self) -> None:
        """Read from the transport if the peer takes what comes and everything that came is taken."""
        if not self._end.is_open:
            return
        if self._is_paused or self._unread:
            self._end.pause_reading()
        else:
            self._end.resume_reading()
        if self._unread and not self._is_paused and self._turn is None:
            self._turn = asyncio.get_running_loop().call_soon(self._go_on)

    def _ended_by_peer(self) -> None:
        """The peer sent a close frame, or something that is no WebSocket."""
        error = self._frames.parser_exc
        if isinstance(error, CompressedTooEarly):
            self._peer.fail(Refusal(Cause.BROKEN_WEBSOCKET, "Nothing may be compressed before CONNECTED was received."))
        elif isinstance(error, InflatesTooMuch):
            self._peer.fail(Refusal(Cause.FRAME_TOO_LARGE, "A message is compressed more than this server takes."))
        elif isinstance(error, PayloadTooBig):
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
                self.outbox.offer_other(data)
            else:
                # Who has answered the close frame sends no more; after a fault more may be on its way.
                self._end.end_stream(self.outbox, lingers=self._frames.parser_exc is not None)

    def _too_slow(self) -> None:
        self._peer.fail(Refusal(Cause.SLOW_CONSUMER))
