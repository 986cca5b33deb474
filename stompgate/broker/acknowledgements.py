"""What a subscription has been given and not yet acknowledged (STOMP 1.2 SUBSCRIBE ack Header, ACK, NACK).

``client`` acknowledges everything up to a message, ``client-individual`` that message alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum


class AckMode(Enum):
    """The ``ack`` header of SUBSCRIBE."""

    AUTO = "auto"
    CLIENT = "client"
    INDIVIDUAL = "client-individual"


class Unacknowledged:
    """One subscription's messages that wait for an ACK, in the order they were given."""

    __slots__ = ("_cumulative", "_waiting")

    def __init__(self, mode: AckMode) -> None:
        self._cumulative = mode is AckMode.CLIENT
        self._waiting: dict[str, None] = {}

    def give(self, ack_id: str) -> None:
        """A message went out under this id."""
        self._waiting[ack_id] = None

    def settle(self, ack_id: str) -> list[str]:
        """Settle a message, in ``client`` mode with all before it. Returns which, in their order; none for an unknown id."""
        if ack_id not in self._waiting:
            return []
        if not self._cumulative:
            del self._waiting[ack_id]
            return [ack_id]
        settled: list[str] = []
        while not settled or settled[-1] != ack_id:
            settled.append(next(iter(self._waiting)))
            del self._waiting[settled[-1]]
        return settled

    def copy(self) -> Unacknowledged:
        """Return the same messages, to try on them what would be settled."""
        copied = Unacknowledged(AckMode.CLIENT if self._cumulative else AckMode.INDIVIDUAL)
        copied._waiting = self._waiting.copy()
        return copied

    def __contains__(self, ack_id: object) -> bool:
        return ack_id in self._waiting

    def __iter__(self) -> Iterator[str]:
        return iter(self._waiting)

    def __len__(self) -> int:
        return len(self._waiting)
