"""A peer: one STOMP connection, whatever it comes by.

It pulls frames from its parser and lets each take effect before the next. What must wait holds those behind it in the
parser's buffer; past a bound the transport stops reading. A refusal is an ERROR and the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING

import structlog

from stompgate.broker.transactions import Transactions
from stompgate.model.causes import Cause, Refusal
from stompgate.model.ids import new_session_id
from stompgate.model.sessions import ANONYMOUS, Identity, Session
from stompgate.stomp import answers
from stompgate.stomp.frames import Frame, FrameRefusal
from stompgate.stomp.heartbeats import Agreement
from stompgate.stomp.parser import Parser
from stompgate.stomp.serializer import serialize
from stompgate.stomp.states import State
from stompgate.stomp.versions import Version
from stompgate.timing.wheel import Entry

from .complaints import complain
from .frames import handle
from .heartbeats import HeartBeats
from .subscriptions import Subscriptions
from .transactions import Held

if TYPE_CHECKING:
    from .gate import Gate
    from .link import Link

_log = structlog.get_logger(__name__)


class Peer:
    """One connection's state. The transport calls ``receive_bytes`` and ``lost``; everything else is the gateway's.

    ``id`` names the connection in the log, and is its session's id once it has one. Counted since it began: ``frames_in`` and
    ``bytes_in`` of the STOMP stream.
    """

    __slots__ = (
        "_deadline",
        "_dismissing",
        "_failing",
        "_has_ended",
        "_heart_beats",
        "_holding",
        "_holds",
        "_parser",
        "_settled",
        "_transactions",
        "bytes_in",
        "cause",
        "frames_in",
        "gate",
        "has_connected",
        "id",
        "identity",
        "in_flight",
        "is_gone",
        "is_reading_paused",
        "link",
        "listening_since_s",
        "opened_s",
        "session",
        "state",
        "subscriptions",
        "wants_soft_errors",
    )

    def __init__(self, gate: Gate, link: Link) -> None:
        self.gate = gate
        self.link = link
        self.id = new_session_id()
        self.state = State.AWAITING_CONNECT
        self.identity: Identity = ANONYMOUS
        self.session: Session | None = None
        self.subscriptions = Subscriptions(self)
        self.in_flight = 0
        self.frames_in = 0
        self.bytes_in = 0
        self.has_connected = False
        self.wants_soft_errors = False
        self.is_gone = False
        self.is_reading_paused = False
        self.cause: Cause | None = None
        self.opened_s = gate.clock.monotonic()
        self.listening_since_s = self.opened_s  # before that, silence was of our own making
        self._parser = Parser(gate.settings.stranger_limits)
        self._has_ended = False
        self._holds = False  # nothing is pulled
        self._holding: asyncio.Task[None] | None = None
        self._failing: asyncio.Task[None] | None = None
        self._dismissing: asyncio.Task[None] | None = None
        self._settled: asyncio.Future[None] | None = None
        self._heart_beats: HeartBeats | None = None
        self._transactions: Transactions[Held] | None = None
        first_frame_s = self.opened_s + gate.settings.first_frame_s
        # Of the first frame; after DISCONNECT, of the client's close; when dismissed, of the store's answers.
        self._deadline: Entry | None = gate.wheel.schedule(first_frame_s, self._first_frame_late)
        gate.joined(self)

    @property
    def version(self) -> Version:
        """The version that this connection speaks; 1.2 until one is chosen."""
        return self._parser.version

    @property
    def delivered(self) -> int:
        """How many MESSAGE frames it was given."""
        return self.link.outbox.messages

    @property
    def bytes_out(self) -> int:
        """How much was handed to the socket, framing included."""
        return self.link.outbox.sent_bytes

    @property
    def is_refused(self) -> bool:
        """Whether a frame was refused whose ERROR waits for the answers to others."""
        return self._failing is not None

    @property
    def transactions(self) -> Transactions[Held]:
        """The transactions that are open. Whatever ends the connection aborts them."""
        if self._transactions is None:
            self._transactions = Transactions(self.gate.settings.transactions)
        return self._transactions

    # What the transport tells

    def receive_bytes(self, data: bytes) -> None:
        """Bytes of the STOMP stream came in."""
        self.bytes_in += len(data)
        if self.state is State.CLOSING:
            return
        self._parser.receive_bytes(data)
        if not self._holds:
            self._pull()
        elif self._parser.buffered_bytes > self.gate.settings.unread_bytes and not self.is_reading_paused:
            self.is_reading_paused = True
            self.link.pause_reading()

    def ended(self) -> bool:
        """The peer sends no more. Returns whether it is still owed answers, which it then gets within the closing grace."""
        if self.state is State.CLOSING or not (self._holds or self.in_flight):
            return False
        self._has_ended = True
        self._close_within_grace(Cause.PEER_LEFT)
        return True

    def lost(self, cause: Cause) -> None:
        """The connection is gone. What was received still takes effect; nothing is sent any more. Called once."""
        self.is_gone = True
        self.cause = self.cause or cause
        self._stop_timers()
        if self._holding is not None and not self.has_connected:
            # Nobody waits for that password to be checked any more. Not now: the task may not have begun.
            self.gate.loop.call_soon(self._holding.cancel)
            self._holds = False
        self.subscriptions.end_all()
        if self.session is not None:
            self.gate.sessions.closed(self.session.id)
            self.gate.counters.sessions_gone += 1
        self._forget()
        self.gate.left(self, self.cause)

    # What frames do

    def connected(self, version: Version, identity: Identity, agreement: Agreement) -> None:
        """CONNECT was accepted."""
        self._parser.version, self._parser.limits = version, self.gate.settings.frame_limits
        self.identity = identity
        self.state = State.CONNECTED
        self.has_connected = True
        self.link.admit()
        self._stop_timers()
        if agreement.send_every_s or agreement.expect_every_s:
            self._heart_beats = HeartBeats(self, agreement)
            self._heart_beats.start()

    def send(self, frame: Frame) -> None:
        """Send one frame to this peer alone."""
        if not self.is_gone:
            self.link.outbox.offer_other(self.link.framing.wrap(serialize(frame, self.version), is_text=True))

    def receipt(self, receipt_id: str | None, headers: Mapping[str, str] | None = None) -> None:
        """Send the RECEIPT that a frame asked for, if it did."""
        if receipt_id is not None and self.state is not State.CLOSING:
            self.send(answers.receipt(receipt_id, headers))

    def settled(self) -> Awaitable[None] | None:
        """None if every SEND is answered, else an awaitable that ends when they are."""
        if not self.in_flight:
            return None
        if self._settled is None:
            self._settled = asyncio.get_running_loop().create_future()
        return self._settled

    def answered(self) -> None:
        """The store has answered one SEND."""
        self.in_flight -= 1
        if not self.in_flight and self._settled is not None:
            settled, self._settled = self._settled, None
            if not settled.done():
                settled.set_result(None)
        if self._holds and self._holding is None:
            self._go_on()
        self._close_if_ended()

    # How it ends

    def fail(self, error: BaseException, receipt_id: str | None = None) -> None:
        """Send ERROR and close (STOMP 1.2, ERROR). What is no ``Refusal`` is the server's mistake, and logged."""
        if self.state is State.CLOSING:
            return
        if not isinstance(error, Refusal):
            _log.error("a frame could not be handled", connection=self.id, user=self.identity.user, exc_info=error)
            error = Refusal(Cause.INTERNAL)
        if error.detail:
            user = self.identity.user
            _log.info("refused", cause=error.cause.code, detail=error.detail, connection=self.id, user=user)
        headers = {"version": "1.0,1.1,1.2"} if error.cause is Cause.NO_COMMON_VERSION else None
        self.send(answers.error(error.cause, error.explanation, receipt_id, headers))
        self.close(error.cause)

    def refuse(self, refusal: Refusal, receipt_id: str | None = None) -> None:
        """Fail, but after the answers to earlier SENDs, for those take effect. No further frame will.

        Of a connection that asked for soft errors only the frame is refused, where the cause allows it.
        """
        if complain(self, refusal, receipt_id):
            return
        self._parser.discard()
        waiting = self.settled()
        if waiting is None:
            self.fail(refusal, receipt_id)
        elif self._failing is None:
            failing = self._fail_after(waiting, refusal, receipt_id)
            self._failing = self.gate.loop.create_task(failing, name="peer fails")

    async def _fail_after(self, waiting: Awaitable[None], refusal: Refusal, receipt_id: str | None) -> None:
        await waiting
        self.fail(refusal, receipt_id)

    def dismiss(self, cause: Cause, answers_s: float) -> None:
        """Close without ERROR, but after the answers to the frames taken so far, or ``answers_s`` from now. None is taken."""
        self._parser.discard()
        if self._waits_for() is None:
            self.close(cause)
            return
        if self._deadline is not None:
            self._deadline.cancel()
        close_at_s = self.gate.clock.monotonic() + answers_s
        self._deadline = self.gate.wheel.schedule(close_at_s, lambda: self.close(cause))
        self._dismissing = self.gate.loop.create_task(self._close_answered(cause), name="peer is dismissed")

    async def _close_answered(self, cause: Cause) -> None:
        while self.state is not State.CLOSING and (waiting := self._waits_for()) is not None:
            await asyncio.wait([asyncio.ensure_future(waiting)])  # which leaves to others what they wait for as well
        self.close(cause)

    def _waits_for(self) -> Awaitable[None] | None:
        """What is still to be answered: a held frame, an ERROR that waits for its turn, SENDs that the store has."""
        if self._failing is not None and not self._failing.done():
            return self._failing
        return self._holding or self.settled()

    def close(self, cause: Cause) -> None:
        """Close without ERROR."""
        if self.state is State.CLOSING:
            return
        self.cause = cause
        self._leave()
        if not self.is_gone:
            self.link.close(cause)

    def close_later(self, cause: Cause) -> None:
        """Leave it to the client to close, and do so if it does not within the grace."""
        self.cause = cause
        self._leave()
        if not self.is_gone:
            self._close_within_grace(cause)

    def _close_within_grace(self, cause: Cause) -> None:
        self._stop_timers()
        close_at_s = self.gate.clock.monotonic() + self.gate.settings.closing_grace_s
        self._deadline = self.gate.wheel.schedule(close_at_s, lambda: self.link.close(cause))

    def _close_if_ended(self) -> None:
        if self._has_ended and not (self._holds or self.in_flight or self.is_refused):
            self.close(Cause.PEER_LEFT)

    def _leave(self) -> None:
        """Take no more frames, and give nothing more. Held frames are dropped, answers still on the way are not sent."""
        self.state = State.CLOSING
        self._parser.discard()
        self._transactions = None
        self._stop_timers()
        self.subscriptions.end_all()
        self._resume_reading()  # to see the peer go

    # Pulling frames

    def _pull(self) -> None:
        """Let frames take effect until there are none, one must wait, or it is others' turn."""
        turns, sends_in_flight = self.gate.settings.frames_per_turn, self.gate.settings.sends_in_flight
        frames = self.gate.counters.frames
        frame: Frame | None = None
        try:
            while True:
                if self.in_flight >= sends_in_flight:
                    self._holds = True  # until one is answered
                    return
                frame = self._parser.next_frame()
                if frame is None:
                    break
                frames[frame.command] += 1
                self.frames_in += 1
                try:
                    waiting = handle(self, frame)
                except Refusal as refusal:
                    if not complain(self, refusal, frame.headers.get("receipt")):
                        raise
                    waiting = None
                if waiting is not None:
                    self._holds = True
                    self._holding = self.gate.loop.create_task(self._hold(waiting, frame), name="peer holds")
                    return
                turns -= 1
                if not turns:
                    self._holds = True
                    self.gate.loop.call_soon(self._go_on)
                    return
        except FrameRefusal as refusal:
            self.refuse(refusal, refusal.receipt)
        except Refusal as refusal:
            self.refuse(refusal, frame.headers.get("receipt") if frame is not None else None)
        except Exception as error:  # the one broad one: a mistake of ours costs this connection alone
            self.fail(error)

    async def _hold(self, waiting: Awaitable[None], frame: Frame) -> None:
        try:
            await waiting
        except Refusal as refusal:
            self.refuse(refusal, frame.headers.get("receipt"))
        except Exception as error:
            self.fail(error)
        finally:
            self._holding = None
        self._go_on()

    def _go_on(self) -> None:
        """Pull again after a wait."""
        if self._holding is not None:
            return
        self._holds = False
        if self.state is State.CLOSING:
            return
        self._pull()
        # Not before: whoever sends many small frames would have a new piece read for each that is taken.
        if not self._holds or self._parser.buffered_bytes <= self.gate.settings.unread_bytes:
            self._resume_reading()
        self._close_if_ended()
        self._forget()

    def _forget(self) -> None:
        """Keep nothing of a peer that is gone once all of it has taken effect: it may be long until its memory is collected."""
        if self.is_gone and not self._holds:
            self._parser.discard()
            self._transactions = None

    def _resume_reading(self) -> None:
        if self.is_reading_paused:
            self.is_reading_paused = False
            self.listening_since_s = self.gate.clock.monotonic()
            self.link.resume_reading()

    def _first_frame_late(self) -> None:
        self.fail(Refusal(Cause.FIRST_FRAME_LATE))

    def _stop_timers(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self._heart_beats is not None:
            self._heart_beats.stop()
            self._heart_beats = None
