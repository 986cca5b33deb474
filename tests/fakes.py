"""Stand-ins for the outside that a test owns: time."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from itertools import count


class FakeTimer:
    """A call that a ``FakeClock`` makes when its time comes."""

    def __init__(self, at_s: float, call: Callable[[], None]) -> None:
        self.at_s = at_s
        self._call: Callable[[], None] | None = call

    def cancel(self) -> None:
        self._call = None

    @property
    def is_pending(self) -> bool:
        return self._call is not None

    def make_call(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            call()


class FakeClock:
    """A ``Clock`` that stands still until a test advances it. Both of its times go on together."""

    def __init__(self, monotonic_s: float = 1000.0, utc_us: int = 1_700_000_000_000_000) -> None:
        self._now_s = monotonic_s
        self._utc_ahead_us = utc_us - round(monotonic_s * 1_000_000)
        self._timers: list[tuple[float, int, FakeTimer]] = []
        self._numbers = count()

    def monotonic(self) -> float:
        return self._now_s

    def utc_us(self) -> int:
        return self._utc_ahead_us + round(self._now_s * 1_000_000)

    def set_utc_us(self, utc_us: int) -> None:
        """Let the time of day jump, as clocks do; the monotonic one does not notice."""
        self._utc_ahead_us = utc_us - round(self._now_s * 1_000_000)

    def call_later(self, delay_s: float, call: Callable[[], None]) -> FakeTimer:
        timer = FakeTimer(self._now_s + max(0.0, delay_s), call)
        heapq.heappush(self._timers, (timer.at_s, next(self._numbers), timer))
        return timer

    def advance(self, seconds: float) -> None:
        """Let time pass, making the calls that come due in order, each at its own time, those that calls add included."""
        until_s = self._now_s + seconds
        while self._timers and self._timers[0][0] <= until_s:
            at_s, _, timer = heapq.heappop(self._timers)
            self._now_s = max(self._now_s, at_s)
            timer.make_call()
        self._now_s = max(self._now_s, until_s)

    def stand_still(self, seconds: float) -> None:
        """Let time pass without a call, as in a process that does not run. The next ``advance`` makes what is overdue."""
        self._now_s += seconds

    def advance_to_next(self, until_s: float = math.inf) -> bool:
        """Go to the earliest call that is to be made until then, and make it and all that are due with it.

        False: there is none.
        """
        while self._timers and not self._timers[0][2].is_pending:
            heapq.heappop(self._timers)
        if not self._timers or self._timers[0][0] > until_s:
            return False
        self._now_s = max(self._now_s, self._timers[0][0])
        self.advance(0.0)
        return True
