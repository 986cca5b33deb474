"""When what this server has seen of its rooms is compared with what is stored.

A comparison finds what no record told of: seldom while the relay works, often while it is down, at once when it was reset.
One that fails is made again soon; one that is asked for while another runs follows it, since the other may have read too
early.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from stompgate.ports.clock import Clock, Timer


@dataclass(frozen=True, slots=True)
class ComparisonLimits:
    """Seconds between two comparisons: while the relay is up, while it is down, and after a failure."""

    every_s: float
    every_down_s: float
    retry_s: float


class Comparison:
    """Calls ``compare``, one call at a time; it returns whether it could be done."""

    def __init__(
        self,
        compare: Callable[[], Coroutine[None, None, bool]],
        clock: Clock,
        relay_is_up: Callable[[], bool],
        limits: ComparisonLimits,
    ) -> None:
        self._compare = compare
        self._clock = clock
        self._relay_is_up = relay_is_up
        self._limits = limits
        self._began_s = clock.monotonic()
        self._timer: Timer | None = None
        self._task: asyncio.Task[bool] | None = None
        self._again = False
        self._is_closed = False

    def start(self) -> None:
        """Begin to compare regularly."""
        self._plan()

    async def close(self) -> None:
        """Compare no more."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def now(self) -> None:
        """Compare what there is from this moment on."""
        if self._task is not None:
            self._again = True
        elif not self._is_closed:
            self._again = False
            self._began_s = self._clock.monotonic()
            self._task = asyncio.create_task(self._compare(), name="feeds compare")
            self._task.add_done_callback(self._compared)

    def _compared(self, task: asyncio.Task[bool]) -> None:
        self._task = None
        if task.cancelled():
            return
        if self._again:
            self.now()
        elif task.result():
            self._plan()
        else:
            self._plan_at(self._limits.retry_s, self.now)

    def _plan(self) -> None:
        """Look again before long: the relay may go down meanwhile."""
        self._plan_at(min(self._limits.every_s, self._limits.every_down_s), self._look)

    def _look(self) -> None:
        every_s = self._limits.every_s if self._relay_is_up() else self._limits.every_down_s
        if self._clock.monotonic() - self._began_s >= every_s:
            self.now()
        else:
            self._plan()

    def _plan_at(self, wait_s: float, call: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self._is_closed:
            self._timer = self._clock.call_later(wait_s, call)
