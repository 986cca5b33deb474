"""Token buckets: so many at once, then so many a minute. Time is passed in.

The number of buckets is bounded, whoever comes: the one that was used longest ago is forgotten, as if it were full.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

_MINUTE_S = 60.0


class Buckets:
    """A bucket per key, each of ``per_min`` tokens that come back at that rate. 0: no limit. ``limit_keys`` are remembered."""

    def __init__(self, per_min: int, limit_keys: int) -> None:
        self._per_min = per_min
        self._limit_keys = limit_keys
        self._levels: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()  # tokens left, and when that was so

    def __len__(self) -> int:
        return len(self._levels)

    def wait_s(self, key: Hashable, now_s: float) -> float:
        """Return the seconds until there is a token, 0 if there is one now. None is taken."""
        if self._per_min == 0:
            return 0.0
        missing = 1.0 - self._level(key, now_s)
        return max(0.0, missing * _MINUTE_S / self._per_min)

    def take(self, key: Hashable, now_s: float) -> None:
        """Take a token, whether or not there is one."""
        if self._per_min == 0:
            return
        self._levels[key] = (self._level(key, now_s) - 1.0, now_s)
        self._levels.move_to_end(key)
        if len(self._levels) > self._limit_keys:
            self._levels.popitem(last=False)

    def _level(self, key: Hashable, now_s: float) -> float:
        left, at_s = self._levels.get(key, (float(self._per_min), now_s))
        return min(float(self._per_min), left + (now_s - at_s) * self._per_min / _MINUTE_S)
