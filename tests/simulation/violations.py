"""What the simulation says when a promise was broken."""

from __future__ import annotations


class Violation(AssertionError):
    """A promise of the design does not hold."""


def demand(holds: bool, promise: str, *details: object) -> None:
    """Raise ``Violation`` unless it holds."""
    if not holds:
        raise Violation(f"{promise}: {' '.join(map(str, details))}")
