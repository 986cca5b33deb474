"""Drives the timer wheel: one alarm, as long as the wheel has anything to do. Measures how late the event loop is.

After the loop has stood still, what peers sent meanwhile lies unread. Nobody may be judged by their silence before that
is read, so the wheel rests for one tick then.
"""

from __future__ import annotations

import structlog

from stompgate.ports.clock import Clock, Timer
from stompgate.timing.histogram import LATE_S, Histogram
from stompgate.timing.wheel import TimerWheel

STALL_S = 0.5
"""A tick this late is a stall. Above what a busy loop or a full garbage collection costs, and a small part of the silence
that any peer is forgiven."""

_WARN_EVERY_S = 1.0

_log = structlog.get_logger(__name__)


class Ticker:
    """Advances a wheel every ``tick_s`` seconds.

    ``lag_s`` is how late the last tick was; ``lags_s``, ``stalls`` and ``longest_stall_s`` are since the start. A tick that is
    ``warn_s`` late is logged, once a second at most. ``worst_lag_s`` is whosoever's who reads it and sets it back.
    """

    def __init__(self, wheel: TimerWheel, clock: Clock, tick_s: float, *, warn_s: float = STALL_S) -> None:
        self._wheel = wheel
        self._clock = clock
        self._tick_s = tick_s
        self.warn_s = warn_s
        self._warned_s = float("-inf")
        self._timer: Timer | None = None
        self._due_s = 0.0
        self._has_rested = False
        self.lag_s = self.worst_lag_s = 0.0
        self.lags_s = Histogram(LATE_S)
        self.stalls = 0
        self.longest_stall_s = 0.0

    def start(self) -> None:
        """Begin to tick."""
        self._due_s = self._clock.monotonic() + self._tick_s
        self._timer = self._clock.call_later(self._tick_s, self._tick)

    def stop(self) -> None:
        """Tick no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        now_s = self._clock.monotonic()
        late_s = self.lag_s = max(0.0, now_s - self._due_s)
        self.lags_s.observe(late_s)
        self.worst_lag_s = max(self.worst_lag_s, late_s)
        self.start()
        if late_s >= self.warn_s and now_s - self._warned_s >= _WARN_EVERY_S:
            self._warned_s = now_s
            _log.warning("the event loop stood still", stalled_s=round(late_s, 3))
        if late_s < STALL_S:
            self._has_rested = False
        else:
            self._stalled(late_s)
            # Never twice in a row: a loop that is always late must still keep its times.
            self._has_rested = not self._has_rested
            if self._has_rested:
                return
        self._advance()

    def _stalled(self, late_s: float) -> None:
        self.stalls += 1
        self.longest_stall_s = max(self.longest_stall_s, late_s)

    def _advance(self) -> None:
        for _ in range(len(self._wheel) + 1):  # a call that fails ends the advance; those behind it are still due
            try:
                self._wheel.advance(self._clock.monotonic())
            except Exception:
                _log.exception("a timed call failed")
            else:
                return
