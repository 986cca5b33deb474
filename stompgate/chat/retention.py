"""Retention: messages older than the operators want are taken away, a slice at a time, with pauses for everybody else.

What is gone cannot be brought back, so a clock that has jumped is not believed. Any number of servers may do this at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from stompgate.ports.clock import Clock, pause
from stompgate.ports.part import Figure
from stompgate.ports.store import OutcomeUnknown, Store, StoreUnavailable

DAY_S = 86_400
JUMP_S = 3_600.0
"""By so much the time of day may gain on the clock that never jumps; a time server's corrections are smaller."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RetentionLimits:
    """``days``: 0 keeps everything. ``archives``: messages are moved to a table of their own instead of deleted.

    ``slice_messages``: taken away at a time; ``pause_s``: between two slices; ``every_s``: between two rounds.
    """

    days: int = 0
    archives: bool = False
    slice_messages: int = 500
    pause_s: float = 0.5
    every_s: float = 3_600.0


class Retention:
    """Prunes the store. ``pruned``: messages taken away here since the start."""

    def __init__(self, store: Store, clock: Clock, limits: RetentionLimits) -> None:
        self._store = store
        self._clock = clock
        self._limits = limits
        self._ahead_s = self._now_ahead_s()
        self._working: asyncio.Task[None] | None = None
        self.pruned = 0

    def start(self) -> None:
        """Begin the first round."""
        if self._limits.days > 0:
            self._working = asyncio.create_task(self._work(), name="retention")

    async def close(self) -> None:
        """Stop. A slice under way is whole or nothing, whatever becomes of it."""
        if self._working is not None:
            self._working.cancel()
            await asyncio.wait({self._working})

    def figures(self) -> Sequence[Figure]:
        """``ports.part.Measured``."""
        return [Figure("stompgate_retention_pruned_total", "Messages taken away for their age.", self.pruned)]

    async def _work(self) -> None:
        while True:
            try:
                await self._round()
            except (StoreUnavailable, OutcomeUnknown) as error:
                _log.warning("old messages are not taken away yet", reason=str(error))
            await pause(self._clock, self._limits.every_s)

    async def _round(self) -> None:
        began = self.pruned
        before_us = self._clock.utc_us() - self._limits.days * DAY_S * 1_000_000
        while not self._clock_has_jumped():
            gone = await self._store.prune(before_us, self._limits.slice_messages, archive=self._limits.archives)
            self.pruned += gone
            if gone == 0:
                break
            await pause(self._clock, self._limits.pause_s)
        if self.pruned > began:
            _log.info("old messages were taken away", messages=self.pruned - began, archived=self._limits.archives)

    def _clock_has_jumped(self) -> bool:
        gained_s = self._now_ahead_s() - self._ahead_s
        if gained_s <= JUMP_S:
            return False
        _log.error("the clock has jumped: nothing is taken away until a restart with the right time", gained_s=round(gained_s))
        return True

    def _now_ahead_s(self) -> float:
        return self._clock.utc_us() / 1e6 - self._clock.monotonic()
