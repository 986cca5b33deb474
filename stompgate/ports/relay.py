"""How servers of a group tell each other what happened."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from enum import Enum, auto
from typing import Protocol

from stompgate.model.records import Record

from .part import Part


class Answer(Enum):
    """What became of a published record."""

    TAKEN = auto()
    """It will reach every server."""

    UNKNOWN = auto()
    """It may reach the servers, also later, or not. It may be published again."""

    REFUSED = auto()
    """It never will, as it is: too large, for instance. To publish it again would be of no use."""


Acknowledge = Callable[[Answer], None]
"""Called later, on the event loop, exactly once for a record. Must not raise."""

Departed = Callable[[str], Awaitable[None]]
"""Told that a user is to be forgotten. Raises ``StoreUnavailable`` or ``OutcomeUnknown`` to be told again later."""


class RelayListener(Protocol):
    """Who takes records from a relay. All are called on the event loop and must neither raise nor block."""

    def receive(self, records: Sequence[Record]) -> None:
        """Records from all servers, this one included."""

    def congestion(self) -> Awaitable[None] | None:
        """What to wait for before more records are handed over; None while there is room.

        A relay may wait less long than that, and one that cannot hold records back need not ask.
        """

    def relay_reset(self) -> None:
        """The relay was opened, rebuilt or reset: records may have been missed before this moment."""


class Relay(Part, Protocol):
    """Carries records to every server of the group, the sender's own included.

    - Order: records with the same key (room, or destination) that one server publishes arrive in that order, but for repeats.
    - At least once for a record that was answered with ``TAKEN``.
    - Bounded: what is accepted and not yet answered has a limit; beyond it the answer is ``UNKNOWN``, soon.
    - It opens also while what stands behind it is away, and takes it up when it comes.
    """

    def listen(self, listener: RelayListener) -> None:
        """Name the one listener. Called before ``open``; nothing is received before ``open`` has returned."""

    def listen_for_departures(self, departed: Departed) -> None:
        """Name who is told of users that other programs want forgotten. Called before ``open``.

        Of each such announcement one server of the group is told, at least once: again, here or on another one, until a call
        has returned. A relay that brings none never calls.
        """

    def publish(self, record: Record, acknowledge: Acknowledge | None = None) -> None:
        """Hand over a record without waiting. Never raises."""

    @property
    def is_up(self) -> bool:
        """False while the relay is known to be down: then nothing is to be expected from it."""
