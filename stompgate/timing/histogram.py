"""How often something took how long, or was how large: counts in fixed buckets, cheap enough for the path of a message.

It knows nothing of who shows it. It must never grow with what it is told.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Final

FAST_S: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds in seconds for what usually takes milliseconds: a write to the store, an answer of the relay."""

LATE_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds in seconds for a lateness that is measured in whole milliseconds."""

ROWS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
"""Bounds for how many came together."""


class Histogram:
    """Observed values. ``bounds`` rise; a bucket takes what is not above its bound, and one more takes all the rest."""

    __slots__ = ("_counts", "bounds", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        if not bounds or any(low >= high for low, high in pairwise(bounds)):
            raise ValueError(f"bounds must rise: {bounds}")
        self.bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """How many values were observed. ``total`` is their sum."""
        return sum(self._counts)

    def cumulative(self) -> Sequence[int]:
        """For each bound how many values were not above it, and last how many there were at all."""
        return list(accumulate(self._counts))
