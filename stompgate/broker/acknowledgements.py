"""What a subscription has been given and not yet acknowledged (STOMP 1.2 SUBSCRIBE ack Header, ACK, NACK).

``client`` acknowledges everything up to a message, ``client-individual`` that message alone. On topics nothing is given
again, so NACK settles a message as ACK does.
"""

from __future__ import annotations

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

    def settle(self, ack_id: str) -> int:
        """Settle a message, in ``client`` mode with all before it. Returns how many; 0 for an id that does not wait."""
        if ack_id not in self._waiting:
            return 0
        if not self._cumulative:
            del self._waiting[ack_id]
            return 1
        settled = 0
        while True:
            oldest = next(iter(self._waiting))
            del self._waiting[oldest]
            settled += 1
            if oldest == ack_id:
                return settled

    def __contains__(self, ack_id: object) -> bool:
        return ack_id in self._waiting

    def __len__(self) -> int:
        return len(self._waiting)
