"""The pauses between tries: growing, with some chance in them, so that a group of servers doesn't come back in step."""

from __future__ import annotations

import asyncio
import random
from typing import Final

_GROWTH: Final = 2.0
_CHANCE: Final = 0.2


class Retrying:
    """Pauses of ``least_s`` to ``most_s``."""

    __slots__ = ("_least_s", "_most_s", "_next_s")

    def __init__(self, least_s: float, most_s: float) -> None:
        self._least_s = least_s
        self._most_s = most_s
        self._next_s = least_s

    async def pause(self) -> None:
        """Wait; longer each time."""
        pause_s = self._next_s
        self._next_s = min(self._most_s, pause_s * _GROWTH)
        await asyncio.sleep(pause_s * random.uniform(1 - _CHANCE, 1 + _CHANCE))

    def lasted(self, for_s: float) -> None:
        """What was tried went well for so long. After a good while the pauses begin with the shortest again."""
        if for_s > self._most_s:
            self._next_s = self._least_s
