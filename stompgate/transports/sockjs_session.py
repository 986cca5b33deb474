"""A SockJS session that is carried by HTTP requests, one after another, as the gateway's ``Link``.

Between two requests a session is a few objects and one timer. While a request waits for it, the request's own task is the
only one. A session that nobody receives for, or whose receiver vanishes, ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stompgate.gateway.link import Framing, Link
from stompgate.model.causes import Cause, Refusal
from stompgate.sockjs.session import Phase, Session
from stompgate.timing.wheel import Entry

from .outbox import Flusher
from .sockjs_receiving import Receiving

if TYPE_CHECKING:
    from .websocket import Receiver

_ABNORMAL: Final = 1006
_NORMAL: Final = 1000
_WAITING_SENDS: Final = 8
"""Requests with messages that may wait for one session. Clients have one at a time."""


@dataclass(frozen=True, slots=True)
class SockJsLimits:
    """Times and bounds of a mount.

    ``heart_beat_s``: of silence, after which ``h`` is sent; ``disconnect_delay_s``: how long a session lives without a
    receiver; ``response_bytes``: after which a stream is ended, so that the browser lets go of it; ``cache_messages`` and
    ``cache_bytes``: what may wait for a receiver, and ``cache_s`` how long for one that is there but takes nothing;
    ``body_bytes``: of one request, ``stranger_body_bytes``: until the client has said who it is.
    """

    heart_beat_s: float = 25.0
    disconnect_delay_s: float = 5.0
    response_bytes: int = 128 * 1024
    cache_messages: int = 100
    cache_bytes: int = 512 * 1024
    cache_s: float = 10.0
    body_bytes: int = 1024 * 1024
    stranger_body_bytes: int = 64 * 1024


@dataclass(frozen=True, slots=True)
class SessionHost:
    """What the sessions of a mount share. ``forget`` takes a session out of the mount's table."""

    flusher: Flusher
    limits: SockJsLimits
    framing: Framing
    attach: Callable[[Link], Receiver]
    forget: Callable[[str], None]


def sockjs_close(cause: Cause) -> tuple[int, str]:
    """The code and the reason that a client is told. 1006 says that nothing was told, and cannot be sent."""
    return _NORMAL if cause.close_code == _ABNORMAL else cause.close_code, cause.code


class SockJsLink:
    """One session, and what waits in it: its own ``outbox``. ``transport``: how the client began it, for the counters."""

    close_code: Final = None

    __slots__ = (
        "_address",
        "_cause",
        "_host",
        "_id",
        "_is_lost",
        "_is_too_slow",
        "_message_ended",
        "_peer",
        "_reading",
        "_receiver",
        "_relief",
        "_sends",
        "_session",
        "_timer",
        "body_limit_bytes",
        "framing",
        "last_received_s",
        "last_sent_s",
        "messages",
        "sent_bytes",
        "transport",
    )

    def __init__(self, host: SessionHost, session_id: str, transport: str, address: str) -> None:
        self._host = host
        self._id = session_id
        self._address = address
        self._session = Session()
        self._receiver: Receiving | None = None
        self._relief: list[asyncio.Future[None]] = []  # each of who waits for a receiver
        self._reading: asyncio.Future[None] | None = None  # there is one while reading is paused
        self._timer: Entry | None = None  # of silence while there is a receiver, else of its absence
        self._cause = Cause.PEER_LEFT
        self._is_lost = False
        self._is_too_slow = False
        self._sends = 0
        self.messages = self.sent_bytes = 0
        self.body_limit_bytes = host.limits.stranger_body_bytes
        self.transport = transport
        self.framing = host.framing
        self.last_received_s = self.last_sent_s = host.flusher.now_s()
        self._peer: Receiver = host.attach(self)
        self._message_ended: Callable[..., None] | None = getattr(self._peer, "message_ended", None)

    # The gateway's side

    @property
    def outbox(self) -> SockJsLink:
        """What waits to be sent."""
        return self

    @property
    def waiting_bytes(self) -> int:
        """What no receiver has taken."""
        return self._session.waiting_bytes

    def offer(self, data: bytes) -> None:
        """Give a message, which is JSON, to the receiver soon, or to the next one."""
        self.messages += 1
        self.offer_other(data)

    def offer_other(self, data: bytes) -> None:
        """The same for what is no message of a subscription."""
        session, receiver = self._session, self._receiver
        session.offer(data)
        if receiver is not None and receiver.is_ready:
            receiver.wake()
        elif session.is_open and not self._is_too_slow and self._is_too_much():
            self._is_too_slow = True
            # Not now: whoever offers may be in the middle of a fan-out.
            asyncio.get_running_loop().call_soon(self._peer.fail, Refusal(Cause.SLOW_CONSUMER))

    @property
    def is_blocked(self) -> bool:
        """Whether half of what may wait for a receiver does."""
        limits, session = self._host.limits, self._session
        is_much = 2 * session.waiting_messages > limits.cache_messages or 2 * session.waiting_bytes > limits.cache_bytes
        return is_much and session.is_open and not self._is_awaited

    def drained(self) -> Awaitable[None] | None:
        """None if a receiver is there to take all there is, else an awaitable that ends when one is, or never will be."""
        if not self._session.is_open or self._is_awaited:
            return None
        waiting = asyncio.get_running_loop().create_future()
        self._relief = [*(other for other in self._relief if not other.done()), waiting]
        return waiting

    def admit(self) -> None:
        """Take larger requests from now on."""
        self.body_limit_bytes = self._host.limits.body_bytes

    def close(self, cause: Cause) -> None:
        """Let the receiver have what was offered, then ``c``."""
        if self._session.is_open:
            self._cause = cause
        self.close_with(*sockjs_close(cause))

    def close_with(self, code: int, reason: str) -> None:
        """The same in words of one's own. The handler's ``lost`` follows once the client was told, or has not come for it."""
        self._session.close(code, reason)
        self.resume_reading()
        self._relieve()
        if self._receiver is not None:
            self._receiver.wake()

    def pause_reading(self) -> None:
        """Let requests that bring messages wait for their answer."""
        if self._reading is None and self._session.is_open:
            self._reading = asyncio.get_running_loop().create_future()

    def resume_reading(self) -> None:
        """Take messages again."""
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.set_result(None)

    def describe(self) -> str:
        """The remote address, for the log."""
        return self._address

    # The requests' side

    @property
    def has_receiver(self) -> bool:
        """Whether a request waits for what it says."""
        return self._session.has_receiver

    async def receive(self, messages: Sequence[bytes]) -> None:
        """Take messages to the handler, at its pace. Raises ``Refusal`` (OVERLOADED) if too many requests wait already.

        What comes after the close is thrown away.
        """
        if self._sends >= _WAITING_SENDS:
            raise Refusal(Cause.OVERLOADED, "Too many requests of this session wait.")
        if self._message_ended is None:
            messages = (b"".join(messages),)
        self._sends += 1
        try:
            for message in messages:
                while self._reading is not None:
                    await asyncio.shield(self._reading)
                if not self._session.is_open:
                    return
                self.last_received_s = self._host.flusher.now_s()
                self._peer.receive_bytes(message)
                if self._message_ended is not None:
                    self._message_ended(is_text=True)
        finally:
            self._sends -= 1

    def enter(self) -> Receiving | None:
        """A request comes for what the session says; None if another one is still there."""
        if self._session.has_receiver:
            return None
        self._session.has_receiver = True
        self._receiver = Receiving(self)
        self._set_timer(self._host.limits.heart_beat_s, self._beat)
        return self._receiver

    def next_frame(self) -> bytes | None:
        """The next frame for the receiver that is there."""
        session = self._session
        frame = session.next_frame()
        if frame is not None:
            self.last_sent_s = self._host.flusher.now_s()
            self.sent_bytes += len(frame)
        return frame

    @property
    def is_waited_for(self) -> bool:
        """Whether someone has more to say, once there is a receiver to take all of it."""
        return bool(self._relief)

    def ready(self) -> None:
        """The receiver waits: whoever waited for it may go on, and has in the next turn of the loop."""
        self._relieve()

    def leave(self) -> None:
        """The receiver has what it came for, in whole."""
        self._receiver = None
        self._session.has_receiver = False
        if self._session.phase is Phase.CLOSED:
            self._lose()
        self._set_timer(self._host.limits.disconnect_delay_s, self._expire)

    def interrupt(self) -> None:
        """The receiver vanished: nobody knows what it got."""
        self._session.interrupt()
        self.leave()

    # Between the two

    @property
    def _is_awaited(self) -> bool:
        """Whether a receiver is there to take all there is."""
        return self._receiver is not None and self._receiver.is_ready

    def _is_too_much(self) -> bool:
        limits, session = self._host.limits, self._session
        if session.waiting_messages > limits.cache_messages or session.waiting_bytes > limits.cache_bytes:
            return True
        return session.has_receiver and self._host.flusher.now_s() - self.last_sent_s > limits.cache_s

    def _beat(self) -> None:
        limits, now_s, receiver = self._host.limits, self._host.flusher.now_s(), self._receiver
        due_s = self.last_sent_s + limits.heart_beat_s
        if due_s <= now_s:
            if receiver is not None:
                receiver.beat()
            due_s = now_s + limits.heart_beat_s
        self._set_timer(due_s - now_s, self._beat)

    def _expire(self) -> None:
        """Nobody came for what there is."""
        self._session.close(*sockjs_close(Cause.PEER_LEFT))
        self._lose()
        self._host.forget(self._id)

    def _lose(self) -> None:
        if self._is_lost:
            return
        self._is_lost = True
        self.resume_reading()
        self._relieve()
        self._peer.lost(self._cause)

    def _relieve(self) -> None:
        relief, self._relief = self._relief, []
        for waiting in relief:
            if not waiting.done():
                waiting.set_result(None)

    def _set_timer(self, after_s: float, call: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        flusher = self._host.flusher
        self._timer = flusher.wheel.schedule(flusher.now_s() + after_s, call)
