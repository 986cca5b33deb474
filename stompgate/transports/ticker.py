"""Drives the timer wheel: one alarm, as long as the wheel has anything to do."""

from __future__ import annotations

import structlog

from stompgate.ports.clock import Clock, Timer
from stompgate.timing.wheel import TimerWheel

_log = structlog.get_logger(__name__)


class Ticker:
    """Advances a wheel every ``tick_s`` seconds."""

    def __init__(self, wheel: TimerWheel, clock: Clock, tick_s: float) -> None:
        self._wheel = wheel
        self._clock = clock
        self._tick_s = tick_s
        self._timer: Timer | None = None

    def start(self) -> None:
        """Begin to tick."""
        self._timer = self._clock.call_later(self._tick_s, self._tick)

    def stop(self) -> None:
        """Tick no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = self._clock.call_later(self._tick_s, self._tick)
        for _ in range(len(self._wheel) + 1):  # a call that fails ends the advance; those behind it are still due
            try:
                self._wheel.advance(self._clock.monotonic())
            except Exception:
                _log.exception("a timed call failed")
            else:
                return
