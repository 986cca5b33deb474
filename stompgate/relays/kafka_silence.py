"""How long each partition has brought no answer to a fetch, empty ones included. Time is passed in.

A pause of this process itself must not look like Kafka's silence: between two looks no more passes than twice what was meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from aiokafka import TopicPartition


class Silence:
    """``look_every_s``: how often one means to look."""

    __slots__ = ("_answered", "_last_look_s", "_most_s", "_silent_s")

    def __init__(self, look_every_s: float) -> None:
        self._most_s = 2 * look_every_s
        self._answered: dict[TopicPartition, int | None] = {}
        self._silent_s: dict[TopicPartition, float] = {}
        self._last_look_s = 0.0

    def begin(self, partitions: Iterable[TopicPartition], now_s: float) -> None:
        """Watch these, as if all had just answered."""
        self._answered = dict.fromkeys(partitions)
        self._silent_s = dict.fromkeys(self._answered, 0.0)
        self._last_look_s = now_s

    def look(self, answered: Mapping[TopicPartition, int | None], now_s: float) -> None:
        """``answered``: the time of each partition's last answer, by whatever clock: that it changes is what counts."""
        passed_s = min(self._most_s, now_s - self._last_look_s)
        self._last_look_s = now_s
        for partition, at in answered.items():
            if at is not None and at != self._answered.get(partition):
                self._silent_s[partition] = 0.0
            else:
                self._silent_s[partition] = self._silent_s.get(partition, 0.0) + passed_s
            self._answered[partition] = at

    def forgive(self) -> None:
        """Nobody has asked for records for a while."""
        self._silent_s = dict.fromkeys(self._silent_s, 0.0)

    @property
    def longest_s(self) -> float:
        """Seconds of the partition that was silent longest."""
        return max(self._silent_s.values(), default=0.0)
