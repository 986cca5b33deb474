"""What every adapter has in common: it is opened, asked how it is, and closed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


class Part(Protocol):
    """A piece with a life: the container opens parts in order, pings them for the health page, and closes them in reverse."""

    async def open(self) -> None:
        """Make ready for use. Raises ``SetupError`` with a sentence for the operator where that cannot succeed."""

    async def close(self) -> None:
        """Finish what was accepted, within a bounded time, and let go of everything. Called once, after a successful open."""

    async def ping(self) -> None:
        """Return if the part works now; raise ``PartDown`` with the reason if it does not. Takes 2 s at most."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A number that a part keeps for operators. ``name`` in the manner of Prometheus, ``total`` at the end of a counter's.

    ``lane`` tells figures of one name apart (a topic, a pool), "" if there is only one.
    """

    name: str
    about: str
    value: float
    lane: str = ""


@runtime_checkable
class Measured(Protocol):
    """A part that keeps figures."""

    def figures(self) -> Sequence[Figure]:
        """All of them as they are now, the same names each time. Cheap, never waits, never raises."""


class SetupError(Exception):
    """The program cannot start as it is set up. The text names what is wrong and what was expected."""


class PartDown(Exception):
    """A part does not work at the moment. The text is for operators; it holds no secret."""
