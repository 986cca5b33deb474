"""Time, handed in so that tests can own it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """Never make the call. Cancelling again, or after the call, does nothing."""


class Clock(Protocol):
    """Two clocks and an alarm."""

    def monotonic(self) -> float:
        """Seconds that only ever go forward: for time-outs and intervals."""

    def utc_us(self) -> int:
        """Microseconds since 1970, UTC: for the times that people see. May jump."""

    def call_later(self, delay_s: float, call: Callable[[], None]) -> Timer:
        """Make ``call`` once, ``delay_s`` monotonic seconds from now at the earliest."""


async def pause(clock: Clock, seconds: float) -> None:
    """Wait so long by that clock."""
    over = asyncio.Event()
    timer = clock.call_later(seconds, over.set)
    try:
        await over.wait()
    finally:
        timer.cancel()
