"""The clock of a running server: the machine's, and the event loop's alarms."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from stompgate.ports.clock import Timer


class SystemClock:
    """The ports' ``Clock``."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def monotonic(self) -> float:
        """Seconds of the event loop's clock."""
        return self._loop.time()

    def utc_us(self) -> int:
        """Microseconds since 1970, UTC."""
        return time.time_ns() // 1000

    def call_later(self, delay_s: float, call: Callable[[], None]) -> Timer:
        """An alarm on the event loop."""
        return self._loop.call_later(delay_s, call)
