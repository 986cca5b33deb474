"""SockJS over a WebSocket: the framing of SockJS between a ``WebSocketLink`` and the handler.

To the WebSocket it is the receiver of messages, to the handler the ``Link``. Its life is the WebSocket's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stompgate.gateway.link import Framing, Link, Outbox
from stompgate.model.causes import Cause, Refusal
from stompgate.sockjs.framing import HEARTBEAT, OPEN, BrokenPayload, NoPayload, close_frame, decode_messages

from .outbox import Flusher
from .sockjs_session import SockJsLimits, sockjs_close

if TYPE_CHECKING:
    from .websocket import Receiver


@dataclass(frozen=True, slots=True)
class SocketHost:
    """What the WebSockets of a mount share.

    ``framing_over``: the one framing over each kind of WebSocket; ``tells_broken``: ``c`` is sent before a close for what is no
    JSON.
    """

    flusher: Flusher
    limits: SockJsLimits
    framing_over: Callable[[Framing], Framing]
    attach: Callable[[Link], Receiver]
    keeps_surrogates: bool = True
    tells_broken: bool = False


class SockJsSocket:
    """One session that is a WebSocket."""

    transport: Final = "sockjs-websocket"

    __slots__ = (
        "_host",
        "_is_closing",
        "_is_paused",
        "_limit_bytes",
        "_message_ended",
        "_peer",
        "_pieces",
        "_timer",
        "_turn",
        "_unread",
        "_wire",
        "framing",
        "outbox",
    )

    def __init__(self, host: SocketHost, wire: Link) -> None:
        self._host = host
        self._wire = wire
        self._pieces = bytearray()  # of a message that is not all here
        self._limit_bytes = host.limits.stranger_body_bytes
        self._unread: deque[bytes] = deque()  # messages that came while the handler took none
        self._turn: asyncio.Handle | None = None
        self._is_paused = False
        self._is_closing = False
        self.outbox: Outbox = wire.outbox
        self.framing: Framing = host.framing_over(wire.framing)
        self._say(OPEN)
        flusher = host.flusher
        self._timer = flusher.wheel.schedule(flusher.now_s() + host.limits.heart_beat_s, self._beat)
        self._peer: Receiver = host.attach(self)
        self._message_ended: Callable[..., None] | None = getattr(self._peer, "message_ended", None)

    # The handler's side

    @property
    def last_received_s(self) -> float:
        """When anything last came."""
        return self._wire.last_received_s

    @property
    def close_code(self) -> int | None:
        """The code with which the peer closed, None if it did not close first."""
        return self._wire.close_code

    def admit(self) -> None:
        """Take larger messages from now on, and compress where that was agreed."""
        self._wire.admit()
        self._limit_bytes = self._host.limits.body_bytes
        self.framing = self._host.framing_over(self._wire.framing)

    def close(self, cause: Cause) -> None:
        """Say ``c``, and close the WebSocket."""
        self._close(cause, *sockjs_close(cause))

    def close_with(self, code: int, reason: str) -> None:
        """The same in words of one's own; the WebSocket's own close says nothing then."""
        self._close(Cause.DISCONNECTED, code, reason)

    def pause_reading(self) -> None:
        """Take no more messages for now."""
        self._is_paused = True
        self._wire.pause_reading()

    def resume_reading(self) -> None:
        """Take messages again, first those that are here."""
        self._is_paused = False
        if not self._unread:
            self._wire.resume_reading()
        elif self._turn is None:
            self._turn = asyncio.get_running_loop().call_soon(self._go_on)

    def describe(self) -> str:
        """The remote address, for the log."""
        return self._wire.describe()

    # The WebSocket's side

    def receive_bytes(self, data: bytes) -> None:
        """A piece of a WebSocket message."""
        if self._is_closing:
            return
        self._pieces += data
        if len(self._pieces) > self._limit_bytes:
            self._pieces.clear()
            explanation = f"A WebSocket message may have {self._limit_bytes} bytes."
            self._peer.fail(Refusal(Cause.FRAME_TOO_LARGE, explanation))

    def message_ended(self, *, is_text: bool) -> None:  # noqa: ARG002 (clients send text; what is said is the same)
        """That was the last piece of it."""
        payload = bytes(self._pieces)
        self._pieces.clear()
        if self._is_closing:
            return
        try:
            messages = decode_messages(payload, keeps_surrogates=self._host.keeps_surrogates)
        except BrokenPayload:
            self._break_off()
            return
        except NoPayload:
            if payload.strip():
                self._break_off()
            return
        self._unread.extend(messages)
        self._give()

    def fail(self, error: BaseException) -> None:
        """The WebSocket is broken or not read."""
        self._peer.fail(error)

    def ended(self) -> bool:
        """The peer sends no more."""
        self._give_all()
        return self._peer.ended()

    def lost(self, cause: Cause) -> None:
        """The WebSocket is gone."""
        self._give_all()
        self._is_closing = True
        self._timer.cancel()
        self._unread.clear()
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        self._peer.lost(cause)

    # Between the two

    def _give(self) -> None:
        while self._unread and not (self._is_paused or self._is_closing):
            if self._message_ended is None:
                data = b"".join(self._unread)
                self._unread.clear()
                self._peer.receive_bytes(data)
            else:
                self._peer.receive_bytes(self._unread.popleft())
                self._message_ended(is_text=True)

    def _give_all(self) -> None:
        """What was received takes effect, though the handler wanted to wait: nothing comes behind it."""
        self._is_paused = False
        self._give()

    def _go_on(self) -> None:
        self._turn = None
        self._give()
        if not self._unread and not self._is_paused:
            self._wire.resume_reading()

    def _break_off(self) -> None:
        """What came is not SockJS: the text wants an abrupt end, so nothing is said to the handler's client."""
        cause = Cause.BROKEN_SOCKJS
        if not self._host.tells_broken:
            self._is_closing = True
        else:
            self._close(cause, cause.close_code, "")
        self._peer.close(cause)
        self._wire.close(cause)

    def _close(self, cause: Cause, code: int, reason: str) -> None:
        if not self._is_closing:
            self._is_closing = True
            self._say(close_frame(code, reason))
        self._wire.close(cause)

    def _say(self, frame: bytes) -> None:
        self.outbox.offer_other(self._wire.framing.wrap(frame, is_text=True))

    def _beat(self) -> None:
        if self._is_closing:
            return
        flusher, silence_s = self._host.flusher, self._host.limits.heart_beat_s
        now_s = flusher.now_s()
        due_s = self.outbox.last_sent_s + silence_s
        if due_s <= now_s:
            self._say(HEARTBEAT)
            due_s = now_s + silence_s
        self._timer = flusher.wheel.schedule(due_s, self._beat)
