"""The consumers of a queue on this server: who is next. What waits in the queue is not known here."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar


class Consumer(Protocol):
    """Somebody who takes messages of a queue."""

    @property
    def credit(self) -> int:
        """How many more messages it may be given now; never negative."""


C = TypeVar("C", bound=Consumer)


class Consumers(Generic[C]):
    """Competing consumers, served in turn. Who has no credit is passed over and keeps its place."""

    def __init__(self) -> None:
        self._in_turn: dict[C, None] = {}  # the one served longest ago first

    def add(self, consumer: C) -> None:
        """One more, served last."""
        self._in_turn[consumer] = None

    def discard(self, consumer: C) -> None:
        """One less. Discarding one that is not there does nothing."""
        self._in_turn.pop(consumer, None)

    @property
    def credit(self) -> int:
        """How many messages could be given now."""
        return sum(consumer.credit for consumer in self._in_turn)

    def next(self) -> C | None:
        """Return whose turn it is, None while nobody has credit; it then is the last in turn."""
        found = next((consumer for consumer in self._in_turn if consumer.credit > 0), None)
        if found is not None:
            del self._in_turn[found]
            self._in_turn[found] = None
        return found

    def __len__(self) -> int:
        return len(self._in_turn)
