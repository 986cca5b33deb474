"""Heart-beats of one connection (STOMP 1.2, Heart-beating), both ways, on the timer wheel.

Within every agreed interval something is sent: a connection that was written to meanwhile is left alone until its
interval is over again. A peer of which nothing came for longer than the grace allows is closed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stompgate.model.causes import Cause, Refusal
from stompgate.stomp.frames import HEARTBEAT
from stompgate.stomp.heartbeats import Agreement
from stompgate.timing.wheel import Entry

if TYPE_CHECKING:
    from .peer import Peer

_EARLY_SHARE: Final = 0.1
"""How much of an interval is left when a heart-beat goes out, for the way to the peer."""

_EARLY_TICKS: Final = 2
"""The same at the least: the wheel may be one tick late, and the event loop another. Below so short an interval a heart-beat
goes out with every tick."""

_STALL_S: Final = 1.0
"""A timer this late says that this process stood still: what the peer sent meanwhile has not been read yet."""


class HeartBeats:
    """Sends and expects heart-beats for one peer as agreed."""

    __slots__ = ("_expect_within_s", "_expecting", "_peer", "_send_after_s", "_sending", "_sends")

    def __init__(self, peer: Peer, agreement: Agreement) -> None:
        settings = peer.gate.settings
        self._peer = peer
        early_s = max(agreement.send_every_s * _EARLY_SHARE, peer.gate.wheel.tick_s * _EARLY_TICKS)
        self._sends = agreement.send_every_s > 0
        self._send_after_s = max(0.0, agreement.send_every_s - early_s)
        self._expect_within_s = 0.0
        if agreement.expect_every_s:
            patience_s = agreement.expect_every_s * settings.heart_beat_grace_factor
            self._expect_within_s = max(patience_s, settings.heart_beat_grace_floor_s)
        self._sending: Entry | None = None
        self._expecting: Entry | None = None

    def start(self) -> None:
        """Begin, from now on."""
        now_s = self._peer.gate.clock.monotonic()
        if self._sends:
            self._sending = self._peer.gate.wheel.schedule(now_s + self._send_after_s, self._send)
        if self._expect_within_s:
            self._expecting = self._peer.gate.wheel.schedule(now_s + self._expect_within_s, self._expect)

    def stop(self) -> None:
        """End both ways."""
        for entry in (self._sending, self._expecting):
            if entry is not None:
                entry.cancel()
        self._sending = self._expecting = None

    def _send(self) -> None:
        gate, link = self._peer.gate, self._peer.link
        now_s = gate.clock.monotonic()
        due_s = link.outbox.last_sent_s + self._send_after_s
        if due_s <= now_s:
            link.outbox.offer_other(link.framing.wrap(HEARTBEAT, is_text=True))
            due_s = now_s + self._send_after_s
        self._sending = gate.wheel.schedule(due_s, self._send)

    def _expect(self) -> None:
        gate, link = self._peer.gate, self._peer.link
        now_s = gate.clock.monotonic()
        stalled = self._expecting is not None and now_s - self._expecting.at_s > _STALL_S
        if self._peer.is_reading_paused or stalled:  # the silence is ours
            due_s = now_s + self._expect_within_s
        else:
            due_s = max(link.last_received_s, self._peer.listening_since_s) + self._expect_within_s
            if due_s <= now_s:
                self._expecting = None
                self._peer.fail(Refusal(Cause.HEARTBEAT_LOST))
                return
        self._expecting = gate.wheel.schedule(due_s, self._expect)
