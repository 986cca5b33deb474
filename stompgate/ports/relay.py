"""How servers of a group tell each other what happened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from stompgate.model.records import Record

from .part import Part


class RelayListener(Protocol):
    """Who takes records from a relay. Both are called on the event loop and must neither raise nor block."""

    def receive(self, records: Sequence[Record]) -> None:
        """Records from all servers, this one included."""

    def relay_reset(self) -> None:
        """The relay was opened, rebuilt or reset: records may have been missed before this moment."""


class Relay(Part, Protocol):
    """Carries records to every server of the group, the sender's own included.

    - Order: records with the same key (room, or destination) that one server publishes arrive in that order, but for repeats.
    - At least once for a record whose acknowledgement was given; a record without one may or may not arrive, also later.
    - Bounded: what is accepted and not yet acknowledged has a limit; beyond it ``publish`` acknowledges with False at once.
    """

    def listen(self, listener: RelayListener) -> None:
        """Name the one listener. Called before ``open``; nothing is received before ``open`` has returned."""

    def publish(self, record: Record, acknowledge: Callable[[bool], None] | None = None) -> None:
        """Hand over a record without waiting.

        ``acknowledge`` is called later, on the event loop, exactly once: True when the record will reach every server,
        False when that is unknown or refused. Never raises.
        """

    @property
    def is_up(self) -> bool:
        """False while the relay is known to be down: then nothing is to be expected from it."""
